package ingest_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
)

func TestStart(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	writer := s.client.Writer(s.topic)
	defer writer.Close()
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 4 {
		m := kafka.Message{Value: fmt.Append(nil, i), Time: day.AddDate(0, 0, i)}
		if err := writer.WriteMessages(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		start ingest.Start
		first string
	}{
		{ingest.Earliest(), "0"},
		{ingest.StartAt(day.AddDate(0, 0, 1).Add(time.Second)), "2"},
		{ingest.StartAt(day.AddDate(1, 0, 0)), "after"},
		{ingest.Latest(), "after"},
	}
	var stops []func() error
	firsts := make([]chan string, len(tests))
	for i, tt := range tests {
		first := make(chan string, 100)
		firsts[i] = first
		cfg := s.config()
		cfg.Group = fmt.Sprintf("%s-%d", s.group, i)
		cfg.Start = tt.start
		stops = append(stops, run(t, cfg, func(_ context.Context, d *ingest.Delivery[string]) error {
			first <- d.Value
			d.Done()
			return nil
		}))
		// The start is settled, and kept, before anything is read.
		own := &stage{t: t, client: s.client, topic: s.topic, group: cfg.Group}
		eventually(t, "the start to be committed", func() bool { return own.committed(1)[0] >= 0 })
	}
	if err := writer.WriteMessages(t.Context(), kafka.Message{Value: []byte("after")}); err != nil {
		t.Fatal(err)
	}
	for i, tt := range tests {
		if got := <-firsts[i]; got != tt.first {
			t.Errorf("start %s: first message %q, want %q", tt.start, got, tt.first)
		}
		if err := stops[i](); err != nil {
			t.Error(err)
		}
	}
}

// What the group has not read is gone when it comes back: it says so and goes on.
func TestLostPositionGoesOnAtTheEarliest(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	s.produce(0, 10)
	cfg := s.config()
	var seen tally
	handle := func(_ context.Context, d *ingest.Delivery[string]) error {
		seen.add(d.Value)
		d.Done()
		return nil
	}
	stop := run(t, cfg, handle)
	eventually(t, "the messages", func() bool { return seen.distinct() == 10 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// A topic made anew under the name: position 10 is behind its end.
	response, err := s.client.API().DeleteTopics(t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{s.topic}})
	if err != nil || response.Errors[s.topic] != nil {
		t.Fatal(err, response)
	}
	eventually(t, "the topic to be gone", func() bool {
		cluster, err := s.client.Ping(t.Context())
		return err == nil && cluster.Topics[s.topic] == 0
	})
	if err := s.client.EnsureTopics(t.Context(), broker.Topic{Name: s.topic, Partitions: 1, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	cfg.Registerer = registry
	s.rewindTo(10)
	_ = run(t, cfg, handle)
	s.produce(100, 103)
	eventually(t, "the new topic's messages", func() bool { return seen.has("100") && seen.has("102") })
	if got := testutil.CollectAndCount(registry, "barograph_ingest_offset_resets_total"); got != 1 {
		t.Errorf("%d series of resets, want the topic's", got)
	}
}

// Retention has deleted what the group has not read yet.
func TestRetentionPassedThePosition(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	s.topic += "-short"
	err := s.client.EnsureTopics(t.Context(), broker.Topic{Name: s.topic, Partitions: 1, Replication: 1, Config: map[string]string{"retention.ms": "3600000"}})
	if err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().AddDate(0, 0, -1)
	write(t, s.client, s.topic, kafka.Message{Value: []byte("old"), Time: yesterday}, kafka.Message{Value: []byte("old"), Time: yesterday})
	s.rewindTo(0)
	eventually(t, "the retention", func() bool {
		first, _, err := s.client.Bounds(t.Context(), s.topic, 0)
		return err == nil && first == 2
	})
	registry := prometheus.NewRegistry()
	cfg := s.config()
	cfg.Registerer = registry
	got := make(chan string, 10)
	_ = run(t, cfg, func(_ context.Context, d *ingest.Delivery[string]) error {
		got <- d.Value
		d.Done()
		return nil
	})
	write(t, s.client, s.topic, kafka.Message{Value: []byte("new")})
	if first := <-got; first != "new" {
		t.Errorf("read %q first", first)
	}
	if got := testutil.CollectAndCount(registry, "barograph_ingest_offset_resets_total"); got != 1 {
		t.Errorf("%d series of resets, want the topic's", got)
	}
}

// rewindTo commits a position for a group without members.
func (s *stage) rewindTo(offset int64) {
	s.t.Helper()
	response, err := s.client.API().OffsetCommit(s.t.Context(), &kafka.OffsetCommitRequest{GroupID: s.group, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{s.topic: {{Partition: 0, Offset: offset}}}})
	if err != nil || response.Topics[s.topic][0].Error != nil {
		s.t.Fatal(err, response)
	}
}

// One of two topics comes later: the other is read meanwhile.
func TestMissingTopicIsReadOnceItExists(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	late := newStageNamed(s, s.topic+"-late")
	cfg := s.config()
	cfg.Topics = []string{late.topic, s.topic}
	var seen tally
	_ = run(t, cfg, func(_ context.Context, d *ingest.Delivery[string]) error {
		seen.add(d.Topic + " " + d.Value)
		d.Done()
		return nil
	})
	s.produce(0, 1)
	eventually(t, "the topic that exists", func() bool { return seen.has(s.topic + " 0") })
	if err := s.client.EnsureTopics(t.Context(), broker.Topic{Name: late.topic, Partitions: 1, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	late.produce(0, 1)
	eventually(t, "the late topic", func() bool { return seen.has(late.topic + " 0") })
}

func newStageNamed(s *stage, topic string) *stage {
	other := *s
	other.topic = topic
	return &other
}
