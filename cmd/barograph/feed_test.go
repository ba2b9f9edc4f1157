package main

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/testenv"
)

// The list of dead letters names those of the class that is asked for, and says how often each was
// put back before; the others are a number. A class that there is not is wrong usage.
func TestFeedDeadLettersListsWhatIsAskedFor(t *testing.T) {
	server := testenv.StartKafka(t)
	for _, topic := range []string{"news", "barograph.dead-letters"} {
		server.CreateTopic(topic, 1)
	}
	letter := func(reason, redelivered string) kafka.Message {
		m := kafka.Message{Topic: "barograph.dead-letters", Value: []byte("{}"), Headers: []kafka.Header{
			{Key: ingest.HeaderReason, Value: []byte(reason)}, {Key: ingest.HeaderTopic, Value: []byte("news")}}}
		if redelivered != "" {
			m.Headers = append(m.Headers, kafka.Header{Key: ingest.HeaderRedelivered, Value: []byte(redelivered)})
		}
		return m
	}
	writer := openBroker(t, server.Addr).Writer("")
	defer writer.Close()
	err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 10}, letter("no-text: neither title nor text", ""), letter("no-time: no time", "1"), letter("no-text: again", "2"))
	if err != nil {
		t.Fatal(err)
	}
	config := writeConfig(t, fmt.Sprintf("kafka: {brokers: ['%s']}", server.Addr))
	said, _, err := run(t, "feed", "deadletters", "-c", config, "--dry-run", "--reason", "no-time")
	if err != nil || strings.Contains(said, "no-text") || !strings.Contains(said, "no-time: no time  (put back 1 time before)\n1 to put back, 0 skipped, 2 of other reasons\n") {
		t.Errorf("of one class: %v, %s", err, said)
	}
	said, _, err = run(t, "feed", "deadletters", "-c", config, "--dry-run")
	if err != nil || !strings.Contains(said, "neither title nor text\n") || !strings.Contains(said, "again  (put back 2 times before)\n3 to put back, 0 skipped\n") {
		t.Errorf("of all: %v, %s", err, said)
	}
	_, _, err = run(t, "feed", "deadletters", "-c", config, "--reason", "nonsense")
	if _, usage := err.(usageError); !usage || !strings.Contains(err.Error(), "no-time") {
		t.Errorf("a class that there is not: %v", err)
	}
}

// A letter that its topic does not take is passed for good, which is no success.
func TestFeedDeadLettersFailsForWhatATopicRefuses(t *testing.T) {
	server := testenv.StartKafka(t)
	client := openBroker(t, server.Addr)
	err := client.EnsureTopics(t.Context(), broker.Topic{Name: "news", Partitions: 1, Config: map[string]string{"max.message.bytes": "5000"}},
		broker.Topic{Name: "barograph.dead-letters", Partitions: 1})
	if err != nil {
		t.Fatal(err)
	}
	var letters []kafka.Message
	for _, size := range []int{10, 10_000, 10} {
		letters = append(letters, kafka.Message{Topic: "barograph.dead-letters", Value: bytes.Repeat([]byte("x"), size), Headers: []kafka.Header{
			{Key: ingest.HeaderReason, Value: []byte("failed: store")}, {Key: ingest.HeaderTopic, Value: []byte("news")}}})
	}
	writer := client.Writer("")
	defer writer.Close()
	if err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 10}, letters...); err != nil {
		t.Fatal(err)
	}
	config := writeConfig(t, fmt.Sprintf("kafka: {brokers: ['%s']}", server.Addr))
	said, _, err := run(t, "feed", "deadletters", "-c", config)
	if err == nil || !strings.Contains(err.Error(), "1 of 3 dead letters are larger than their topic takes") || !strings.Contains(said, "2 put back, 1 skipped\n") {
		t.Errorf("got %v, %s", err, said)
	}
	if said, _, err := run(t, "feed", "deadletters", "-c", config); err != nil || !strings.Contains(said, "0 put back, 0 skipped\n") {
		t.Errorf("again: %v, %s", err, said)
	}
}

// What a feed is written as is not what a topic is read as that maps a field of it, and a kind that there is
// not would be refused item by item: both are wrong usage, and said before anything is written.
func TestFeedRSSRefusesWhatTheMonitorWouldNotRead(t *testing.T) {
	config := writeConfig(t, "kafka: {brokers: ['127.0.0.1:1'], create_topics: false, topics: [{name: wire, kind: news, mapping: {text: /body}}, {name: unread, kind: news, mapping: {url: ''}}, {name: own, kind: news, mapping: {text: /text, entities: /tickers, lang: ''}}]}")
	state := filepath.Join(t.TempDir(), "state.json")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, `kafka.topics: wire reads text from "/body"`},
		{[]string{"--topic", "unread"}, `kafka.topics: unread reads url from ""`},
		{[]string{"--topic", "own", "--kind", "comments"}, `kind "comments": known are news and comment`},
	} {
		_, _, err := run(t, append([]string{"feed", "rss", "-c", config, "--state", state, "--once", "http://127.0.0.1:1/feed"}, c.args...)...)
		if _, usage := err.(usageError); !usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.args, err, c.want)
		}
	}
}
