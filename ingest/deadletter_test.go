package ingest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// large lets a topic take messages of 10 MB and more.
var large = map[string]string{"max.message.bytes": "20000000"}

// write puts messages on a topic, one request each.
func write(t *testing.T, client *broker.Client, topic string, messages ...kafka.Message) {
	t.Helper()
	writer := client.Writer(topic)
	defer writer.Close()
	for _, m := range messages {
		if err := broker.Write(t.Context(), writer, retry.Policy{}, m); err != nil {
			t.Fatal(err)
		}
	}
}

// read takes the messages of a topic with one partition, once there are n.
func read(t *testing.T, client *broker.Client, topic string, n int) []kafka.Message {
	t.Helper()
	var messages []kafka.Message
	eventually(t, "messages on "+topic, func() bool {
		response, err := client.API().Fetch(t.Context(), &kafka.FetchRequest{Topic: topic, Offset: int64(len(messages)),
			MinBytes: 1, MaxBytes: 20 << 20, MaxWait: 100 * time.Millisecond})
		if err != nil || response.Error != nil {
			return false
		}
		for {
			record, err := response.Records.ReadRecord()
			if err != nil {
				return len(messages) >= n
			}
			m := kafka.Message{Headers: record.Headers}
			if m.Key, err = kafka.ReadAll(record.Key); err != nil {
				t.Fatal(err)
			}
			if m.Value, err = kafka.ReadAll(record.Value); err != nil {
				t.Fatal(err)
			}
			messages = append(messages, m)
		}
	})
	return messages
}

func header(m kafka.Message, key string) string {
	for _, h := range m.Headers {
		if h.Key == key {
			return string(h.Value)
		}
	}
	return ""
}

func TestBadMessagesGoToTheDeadLettersAsTheyCame(t *testing.T) {
	client := connect(t, startKafka(t).Addr)
	s := &stage{t: t, client: client, topic: "bad", dead: "bad-dead", group: "bad", sessionTimeout: 2 * time.Second}
	err := client.EnsureTopics(t.Context(), broker.Topic{Name: s.topic, Partitions: 1, Replication: 1, Config: large},
		broker.Topic{Name: s.dead, Partitions: 1, Replication: 1, Config: large})
	if err != nil {
		t.Fatal(err)
	}
	var sent []kafka.Message
	for i, bad := range badMessages {
		sent = append(sent, kafka.Message{Key: []byte{0xff, byte(i)}, Value: []byte(bad.value),
			Headers: []kafka.Header{{Key: "trace", Value: []byte{0, 0xfe}}, {Key: "trace", Value: nil}}})
	}
	sent = append(sent, kafka.Message{}) // neither key nor value
	write(t, client, s.topic, sent...)
	write(t, client, s.topic, kafka.Message{Value: []byte(`{"id":"good","text":"T","published_at":1773142200}`)})

	stop := run(t, ingest.ConsumerConfig[news.Item]{Broker: client, Group: s.group, Topics: []string{s.topic}, DeadLetters: s.dead,
		Decode: ingest.Items(map[string]*ingest.Decoder{s.topic: decoder(t, ingest.DecoderConfig{})}), CommitInterval: 50 * time.Millisecond,
		Clock: func() time.Time { return now }},
		func(_ context.Context, d *ingest.Delivery[news.Item]) error {
			if d.Value.ID != "good" {
				t.Errorf("delivered %+v", d.Value)
			}
			d.Done()
			return nil
		})
	eventually(t, "everything to be committed", func() bool { return s.committed(1)[0] == int64(len(sent)+1) })
	if err := stop(); err != nil {
		t.Error(err)
	}
	letters := read(t, client, s.dead, len(sent))
	found := map[string]bool{}
	for _, letter := range letters {
		offset, err := strconv.Atoi(header(letter, ingest.HeaderOffset))
		if err != nil || offset >= len(sent) {
			t.Fatalf("headers %v", letter.Headers)
		}
		found[strconv.Itoa(offset)] = true
		origin, class := sent[offset], ingest.NotJSON
		if offset < len(badMessages) {
			class = badMessages[offset].class
		}
		if !bytes.Equal(letter.Key, origin.Key) || (letter.Key == nil) != (origin.Key == nil) ||
			!bytes.Equal(letter.Value, origin.Value) || (letter.Value == nil) != (origin.Value == nil) {
			t.Errorf("offset %d: key or value changed", offset)
		}
		ours := letter.Headers[len(origin.Headers):]
		if len(origin.Headers) > 0 && !reflect.DeepEqual(letter.Headers[:len(origin.Headers)], origin.Headers) {
			t.Errorf("offset %d: headers %v, were %v", offset, letter.Headers, origin.Headers)
		}
		want := [][2]string{{"barograph-topic", s.topic}, {"barograph-partition", "0"}, {"barograph-offset", strconv.Itoa(offset)},
			{"barograph-time", "2026-03-10T12:00:00Z"}}
		for _, w := range want {
			if got := header(letter, w[0]); got != w[1] {
				t.Errorf("offset %d: header %s is %q, want %q", offset, w[0], got, w[1])
			}
		}
		if reason := header(letter, "barograph-reason"); !strings.HasPrefix(reason, string(class)+": ") || len(ours) != 5 {
			t.Errorf("offset %d: reason %q in headers %v; want class %s", offset, reason, ours, class)
		}
	}
	if len(found) != len(sent) {
		t.Errorf("%d of %d dead letters", len(found), len(sent))
	}
}

// What a stage gives up, and what the program trips over, goes the same way.
func TestFailedDeliveriesGoToTheDeadLetters(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	s.produce(0, 5)
	cfg := s.config()
	cfg.Decode = func(m kafka.Message) (string, error) {
		if string(m.Value) == "0" {
			panic("decoder")
		}
		return string(m.Value), nil
	}
	_ = run(t, cfg, func(_ context.Context, d *ingest.Delivery[string]) error {
		switch d.Value {
		case "1":
			panic("handler")
		case "2":
			return errors.New("cannot")
		case "3":
			go d.Fail(fmt.Errorf("later: %w", &ingest.Rejection{Class: ingest.TooLarge, Detail: "for the model"}))
			return nil
		}
		d.Done()
		return nil
	})
	eventually(t, "all to be committed", func() bool { return s.committed(1)[0] == 5 })
	got := map[string]string{}
	for _, letter := range read(t, s.client, s.dead, 4) {
		got[string(letter.Value)] = header(letter, ingest.HeaderReason)
	}
	want := map[string]string{"0": "panic: decoder", "1": "panic: handler", "2": "failed: cannot", "3": "too-large: for the model"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("reasons %v, want %v", got, want)
	}
}

// The dead-letter topic takes 1 MB only: the letter is cut and says so.
func TestDeadLetterTooLargeForItsTopicIsCut(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	s.topic += "-large"
	if err := s.client.EnsureTopics(t.Context(), broker.Topic{Name: s.topic, Partitions: 1, Replication: 1, Config: large}); err != nil {
		t.Fatal(err)
	}
	huge := kafka.Message{Key: []byte("k"), Value: bytes.Repeat([]byte("x"), 3<<20)}
	heavy := kafka.Message{Value: []byte("v"), Headers: []kafka.Header{{Key: "heavy", Value: bytes.Repeat([]byte("h"), 2<<20)}}}
	write(t, s.client, s.topic, huge, heavy)
	_ = run(t, s.config(), func(context.Context, *ingest.Delivery[string]) error { return errors.New("no") })
	eventually(t, "both to be committed", func() bool { return s.committed(1)[0] == 2 })
	for _, letter := range read(t, s.client, s.dead, 2) {
		switch truncated := header(letter, ingest.HeaderTruncated); truncated {
		case strconv.Itoa(3<<20 + 1):
			if len(letter.Value) == 0 || string(letter.Key) != "k" || !bytes.HasPrefix(huge.Value, letter.Value) {
				t.Errorf("key %q and %d bytes of the value are left", letter.Key, len(letter.Value))
			}
		case strconv.Itoa(2<<20 + 6):
			if len(letter.Value) != 0 || header(letter, ingest.HeaderReason) != "failed: no" {
				t.Errorf("value %q, headers %v", letter.Value, letter.Headers)
			}
		default:
			t.Errorf("size before: %q", truncated)
		}
	}
}

// As long as a dead letter cannot be written its offset stays; the rest goes on.
func TestDeadLetterThatCannotBeWrittenIsNotCommitted(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	s.produce(0, 3)
	cfg := s.config()
	cfg.DeadLetters += "-late"
	var seen tally
	_ = run(t, cfg, func(_ context.Context, d *ingest.Delivery[string]) error {
		seen.add(d.Value)
		if d.Value == "1" {
			return errors.New("no")
		}
		d.Done()
		return nil
	})
	eventually(t, "the message after it", func() bool { return seen.has("2") })
	eventually(t, "the message before it to be committed", func() bool { return s.committed(1)[0] == 1 })
	if err := s.client.EnsureTopics(t.Context(), broker.Topic{Name: cfg.DeadLetters, Partitions: 1, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all to be committed", func() bool { return s.committed(1)[0] == 3 })
}
