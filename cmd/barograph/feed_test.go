package main

import (
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

// What a feed is written as is not what a topic with a mapping is read as, and a kind that there is
// not would be refused item by item: both are wrong usage, and said before anything is written.
func TestFeedRSSRefusesWhatTheMonitorWouldNotRead(t *testing.T) {
	config := writeConfig(t, "kafka: {brokers: ['127.0.0.1:1'], create_topics: false, topics: [{name: wire, kind: news, mapping: {text: /body}}, {name: own, kind: news}]}")
	state := filepath.Join(t.TempDir(), "state.json")
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "kafka.topics: wire is read through its mapping"},
		{[]string{"--topic", "own", "--kind", "comments"}, `kind "comments": known are news and comment`},
	} {
		_, _, err := run(t, append([]string{"feed", "rss", "-c", config, "--state", state, "--once", "http://127.0.0.1:1/feed"}, c.args...)...)
		if _, usage := err.(usageError); !usage || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.args, err, c.want)
		}
	}
}
