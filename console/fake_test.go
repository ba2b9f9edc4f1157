package console

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
)

// noon is the time of tests.
var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// world is what the console shows in tests of its handlers; the command's tests show the
// real thing.
type world struct {
	mu       sync.Mutex
	index    *Index
	firing   []news.Alert
	silences []Silence
	labels   []news.Label
	broken   error
}

func newWorld() *world {
	return &world{index: NewIndex(IndexConfig{Clock: func() time.Time { return noon }})}
}

func (w *world) sources() *Sources {
	return &Sources{
		Index: w.index, Windows: []time.Duration{time.Hour, 8 * time.Hour}, Keeps: 48 * time.Hour, Clock: func() time.Time { return noon },
		Outlook: func(_ context.Context, of []news.Series) ([]Outlook, error) {
			var out []Outlook
			for _, s := range of {
				out = append(out, Outlook{Series: s, Kind: news.SpikeNegative, Window: news.Duration(30 * time.Minute), Items: 4, Negative: 3, Expected: .5, Surprise: float64(len(s.Entity)),
					ShareBefore: .2, Recent: []Count{{Start: noon.Add(-time.Hour), Items: 4, Negative: 3}}})
			}
			return out, w.broken
		},
		Course: func(_ context.Context, _ news.Series, kind news.SpikeKind, from, to time.Time, step time.Duration) ([]Step, error) {
			var out []Step
			for at := from.Truncate(step); at.Before(to); at = at.Add(step) {
				step := Step{Start: at, Items: 2, Negative: 1, Usual: 1.5, Expected: .3, High: 2}
				if kind == news.SpikePositive {
					step.Negative, step.Positive = 0, 2
				}
				out = append(out, step)
			}
			return out, w.broken
		},
		Firing:   func(context.Context) ([]news.Alert, error) { return slices.Clone(w.firing), w.broken },
		Annotate: func(_ context.Context, id string, n news.Note) error { return w.note(id, n) },
		Mute: func(_ context.Context, id, by string, at time.Time, long time.Duration) error {
			return w.note(id, news.Note{At: at, By: by, Did: news.Muted, Until: at.Add(long)})
		},
		Silences: w, Corrections: labelsOf{w},
		Models: func(context.Context) ([]Model, error) {
			return []Model{{Model: model, Languages: []string{"en"}, Live: true, Card: "# A card",
				Heads: []Head{{Task: news.TaskTopic, Labels: []string{"Earnings", "Legal"}, Accuracy: "0.9"}}}}, nil
		},
		Lag: func() (int64, bool) { return 7, true },
	}
}

var model = news.Model{Name: "en", Version: "1", Digest: "d1"}

func (w *world) Add(_ context.Context, m Silence) (Silence, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.ID, m.CreatedAt = fmt.Sprint("s", len(w.silences)+1), noon
	w.silences = append(w.silences, m)
	return m, w.broken
}

func (w *world) List(context.Context) ([]Silence, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.silences), w.broken
}

func (w *world) Remove(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := len(w.silences)
	w.silences = slices.DeleteFunc(w.silences, func(m Silence) bool { return m.ID == id })
	if len(w.silences) == before {
		return fmt.Errorf("%w: silence %s", ErrNotFound, id)
	}
	return nil
}

type labelsOf struct{ *world }

func (l labelsOf) Add(_ context.Context, label news.Label) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.labels = append(l.labels, label)
	return l.broken
}

func (l labelsOf) List(_ context.Context, limit int) ([]news.Label, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.labels[:min(limit, len(l.labels))], l.broken
}

// note notes something on an alert that is on.
func (w *world) note(id string, n news.Note) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.firing {
		if w.firing[i].ID == id {
			w.firing[i].Notes = append(w.firing[i].Notes, n)
			return nil
		}
	}
	return fmt.Errorf("%w: alert %s", ErrNotFound, id)
}

// reading is a reading some minutes before noon.
func reading(id string, minutes int, negative float64, entities ...string) news.Reading {
	return news.Reading{ID: id, Source: "wire", Kind: news.KindNews, PublishedAt: noon.Add(-time.Duration(minutes) * time.Minute), ClassifiedAt: noon, Lang: "en",
		Entities: entities, Sentiment: news.Sentiment{Negative: negative, Neutral: 1 - negative}, Topic: news.Topic{Label: "Earnings", Probability: .9},
		Model: model, Title: "Title of " + id, Text: "Title of " + id, URL: "https://wire.example/" + id}
}

func alertOf(id, entity string, firedBefore time.Duration) news.Alert {
	return news.Alert{ID: id, Status: news.Firing, Kind: news.SpikeNegative, Series: news.Series{Entity: entity}, Severity: news.Warning,
		StartedAt: noon.Add(-firedBefore - 10*time.Minute), FiredAt: noon.Add(-firedBefore), Window: news.Duration(30 * time.Minute),
		Items: 9, Negative: 8, Expected: .3, VolumeFactor: 1, Share: .9, ShareBefore: .2, Surprise: 5, Sources: 3, Model: model, Reason: "8 negative",
		Evidence: []news.Evidence{{ID: "a", Title: "Title of a", URL: "https://wire.example/a", Negative: .9}}}
}

// serve is the console's handler over a world.
func serve(t *testing.T, w *world, access Access) http.Handler {
	t.Helper()
	s, err := New(Config{Listen: "127.0.0.1:0", Sources: w.sources(), Access: access, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.listener.Close() })
	return s.server.Handler
}

// call sends a request as a program on this machine does.
func call(handler http.Handler, request *http.Request) *httptest.ResponseRecorder {
	if request.Host == "example.com" { // httptest's own
		request.Host = "127.0.0.1:8095"
	}
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	return answer
}
