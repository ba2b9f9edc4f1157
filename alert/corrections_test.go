package alert

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// label is what an analyst says of a text at so many minutes after noon.
func label(id string, minutes int) news.Label {
	return news.Label{
		ID: id, At: noon.Add(time.Duration(minutes) * time.Minute), Author: "slack:U024BE7LH", Task: news.TaskSentiment,
		Label: "neutral", Was: "negative", Lang: "en", Text: "Boeing slips on a banana", Model: news.Model{Name: "en", Version: "1"},
	}
}

// failing is a labels topic that answers so.
type failing struct{ err error }

func (f failing) WriteMessages(context.Context, ...kafka.Message) error { return f.err }

func newCorrections(t *testing.T, change func(*CorrectionsConfig)) *Corrections {
	t.Helper()
	cfg := CorrectionsConfig{Redis: startRedis(t), Writer: failing{}, Clock: func() time.Time { return noon }, Log: quietLog()}
	if change != nil {
		change(&cfg)
	}
	c, err := NewCorrections(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func add(t *testing.T, c *Corrections, labels ...news.Label) {
	t.Helper()
	for _, l := range labels {
		if err := c.Add(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
}

func listed(t *testing.T, c *Corrections, limit int) (ids []string) {
	t.Helper()
	labels, err := c.List(t.Context(), limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range labels {
		ids = append(ids, l.ID+" "+l.Label)
	}
	return ids
}

// A label is on the topic under its key, as people gave it, and is listed.
func TestLabelGoesToTheTopic(t *testing.T) {
	server := testenv.StartKafka(t)
	server.CreateTopic("labels", 2)
	client, err := broker.New(broker.Config{Brokers: []string{server.Addr}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	topic := client.Writer("labels")
	t.Cleanup(func() { _ = topic.Close() })
	c := newCorrections(t, func(cfg *CorrectionsConfig) { cfg.Writer = topic })
	given := label("a", 0)
	given.At = time.Time{} // the clock's, then
	add(t, c, given)

	var got news.Label
	for partition := range 2 {
		chunk, err := client.Fetch(t.Context(), "labels", partition, 0, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range chunk.Messages {
			if err := json.Unmarshal(m.Value, &got); err != nil || string(m.Key) != given.Key() {
				t.Errorf("key %q, value %s: %v", m.Key, m.Value, err)
			}
		}
	}
	given.At = noon
	if got != given {
		t.Errorf("on the topic: %+v, want %+v", got, given)
	}
	if labels, err := c.List(t.Context(), 10); err != nil || len(labels) != 1 || labels[0] != given {
		t.Errorf("listed: %+v, %v", labels, err)
	}
	if n := testutil.ToFloat64(c.labels.WithLabelValues(news.TaskSentiment, "taken")); n != 1 {
		t.Errorf("metric counts %v", n)
	}
}

// The newest comes first, a label replaces an older one of its key and never a newer one,
// and the oldest make room.
func TestNewestLabels(t *testing.T) {
	c := newCorrections(t, func(cfg *CorrectionsConfig) { cfg.Keep = 3 })
	changed := label("a", 5)
	changed.Label = "positive"
	add(t, c, label("b", 2), changed, label("a", 1), label("c", 3))
	if got, want := listed(t, c, 10), []string{"a positive", "c neutral", "b neutral"}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	add(t, c, label("d", 4))
	if got, want := listed(t, c, 10), []string{"a positive", "d neutral", "c neutral"}; !slices.Equal(got, want) {
		t.Errorf("listed %q, want %q", got, want)
	}
	if got := listed(t, c, 1); !slices.Equal(got, []string{"a positive"}) {
		t.Errorf("one of them: %q", got)
	}
	if n := c.cfg.Redis.HLen(t.Context(), c.keys()[0]).Val(); n != 3 {
		t.Errorf("Redis keeps %d labels, want 3", n)
	}
}

// What is not on the topic is not listed.
func TestTopicRefusesALabel(t *testing.T) {
	c := newCorrections(t, func(cfg *CorrectionsConfig) { cfg.Writer = failing{kafka.MessageSizeTooLarge} })
	if err := c.Add(t.Context(), label("a", 0)); !errors.Is(err, kafka.MessageSizeTooLarge) {
		t.Errorf("error %v, want the topic's", err)
	}
	if got := listed(t, c, 10); len(got) != 0 {
		t.Errorf("listed %q", got)
	}
}

func TestInvalidLabels(t *testing.T) {
	tests := []struct {
		name   string
		change func(*news.Label)
		valid  bool
	}{
		{"as it is", func(l *news.Label) {}, true},
		{"a topic", func(l *news.Label) { l.Task, l.Label = news.TaskTopic, "公司" }, true},
		{"not about the company", func(l *news.Label) { l.Task, l.Label, l.Entity = news.TaskEntity, news.NotAbout, "BA" }, true},
		{"not about which", func(l *news.Label) { l.Task, l.Label = news.TaskEntity, news.NotAbout }, false},
		{"about the company", func(l *news.Label) { l.Task, l.Label, l.Entity = news.TaskEntity, "about", "BA" }, false},
		{"no item", func(l *news.Label) { l.ID = "" }, false},
		{"nobody", func(l *news.Label) { l.Author = "" }, false},
		{"no such sentiment", func(l *news.Label) { l.Label = "bearish" }, false},
		{"no such task", func(l *news.Label) { l.Task = "mood" }, false},
		{"no label", func(l *news.Label) { l.Task, l.Label = news.TaskTopic, "" }, false},
		{"no text", func(l *news.Label) { l.Text = " \n" }, false},
		{"a text that no reading has", func(l *news.Label) { l.Text = strings.Repeat("x", news.MaxReadingText+1) }, false},
		{"a torn text", func(l *news.Label) { l.Text = "\xff" }, false},
		{"a key that could be another's", func(l *news.Label) { l.ID = "a\x1fentity" }, false},
	}
	c := newCorrections(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			l := label("a", 0)
			tt.change(&l)
			if err := c.Add(t.Context(), l); errors.Is(err, ErrInvalidLabel) == tt.valid || (err == nil) != tt.valid {
				t.Errorf("error %v, valid %v", err, tt.valid)
			}
		})
	}
}
