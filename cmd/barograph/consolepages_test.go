package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/barograph/barograph/console"
	"github.com/barograph/barograph/news"
)

// mood is an alert of everything, and the corrections that people make of its evidence.
type mood struct {
	index *console.Index

	mu     sync.Mutex
	labels []news.Label
}

func (m *mood) Add(_ context.Context, l news.Label) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.labels = append(m.labels, l)
	return nil
}

func (m *mood) List(context.Context, int) ([]news.Label, error) { return nil, nil }

type noSilences struct{}

func (noSilences) Add(_ context.Context, s console.Silence) (console.Silence, error) { return s, nil }
func (noSilences) List(context.Context) ([]console.Silence, error)                   { return nil, nil }
func (noSilences) Remove(context.Context, string) error                              { return nil }

// serve serves the console's pages, and gives their address.
func (m *mood) serve(t *testing.T) string {
	t.Helper()
	now := time.Now()
	alert := news.Alert{ID: "a1", Status: news.Firing, Kind: news.SpikeNegative, Severity: news.Warning, StartedAt: now.Add(-20 * time.Minute), FiredAt: now.Add(-10 * time.Minute),
		Window: news.Duration(time.Hour), Items: 9, Negative: 8, Expected: .3, VolumeFactor: 1, Surprise: 5, Evidence: []news.Evidence{{ID: "1", Title: "Nokia falls", Source: "wire", Negative: .9}}}
	s, err := console.New(console.Config{Listen: "127.0.0.1:0", Log: slog.New(slog.DiscardHandler), Sources: &console.Sources{
		Index: m.index, Windows: []time.Duration{time.Hour}, Keeps: 48 * time.Hour, Silences: noSilences{}, Corrections: m,
		Outlook: func(_ context.Context, of []news.Series) ([]console.Outlook, error) {
			return make([]console.Outlook, len(of)), nil
		},
		Course: func(context.Context, news.Series, news.SpikeKind, time.Time, time.Time, time.Duration) ([]console.Step, error) {
			return nil, nil
		},
		Annotate: func(context.Context, string, news.Note) error { return nil },
		Firing:   func(context.Context) ([]news.Alert, error) { return []news.Alert{alert}, nil },
		Models:   func(context.Context) ([]console.Model, error) { return nil, nil },
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var served sync.WaitGroup
	served.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() { cancel(); served.Wait() })
	return "http://" + s.Addr()
}

// TestTextsInABrowser: of a text that was read as a whole and for two companies, an alert of
// everything shows the whole's reading, and a correction is of that. What a reader opened stays open
// while the stream goes on.
func TestTextsInABrowser(t *testing.T) {
	m := &mood{index: console.NewIndex(console.IndexConfig{})}
	at := time.Now().Add(-15 * time.Minute)
	add := func(negative float64, entities ...string) {
		m.index.AddReadings([]news.Reading{{ID: "1", Source: "wire", Kind: news.KindNews, PublishedAt: at, Lang: "en", Entities: entities,
			Sentiment: news.Sentiment{Negative: negative, Positive: 1 - negative}, Title: "Nokia falls as Ericsson wins order", Text: "The whole of the text."}}, true)
	}
	add(.9)
	add(.02, "ERIC")
	add(.97, "NOK")
	b := openBrowser(t, m.serve(t))
	stays := func(place, path string) {
		t.Helper()
		b.click(place+" summary", "Text")
		asked := fmt.Sprintf("performance.getEntriesByType('resource').filter((r) => r.name.includes(%q)).length", path)
		before := eval[int](b, asked)
		eventually(t, patience, "two more looks", func() bool { // when the second begins, the first is over
			add(.9)
			return eval[int](b, asked) >= before+2
		})
		if !eval[bool](b, fmt.Sprintf("!!document.querySelector(%q)", place+" details[open]")) {
			t.Errorf("%s: the text that was opened is shut", path)
		}
	}

	b.open("/a/a1")
	b.wait("its evidence", "document.querySelector('main .item')")
	if said := eval[string](b, "document.querySelector('main .item .meta').innerText"); eval[bool](b, "!!document.querySelector('main .item a.chip')") {
		t.Errorf("the evidence is a reading toward a company: %s", said)
	}
	stays("main .item", "/api/v1/alerts/a1")
	b.click(".item button", "Correct")
	b.wait("the form", "document.querySelector('.correct input[value=neutral]')")
	eval[any](b, "document.querySelector('.correct input[value=neutral]').click()")
	b.click(".correct button[type=submit]", "Save")
	b.wait("thanks", "document.querySelector('.correct [role=status]')?.textContent.startsWith('Noted')")
	m.mu.Lock()
	if len(m.labels) != 1 || m.labels[0].Entity != "" || m.labels[0].Was != "negative" {
		t.Errorf("labels %+v", m.labels)
	}
	m.mu.Unlock()

	b.open("/s/-")
	b.wait("the texts", "document.querySelectorAll('#texts .item').length === 3")
	stays("#texts .item", "/api/v1/series/")
}
