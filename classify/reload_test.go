package classify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// tinyWords is a vocabulary for the tiny checkpoints of classify/bert: 40 tokens, in an
// order that shift chooses, so that two bundles cut a text into different ids.
func tinyWords(shift int) string {
	words := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]"}
	for i := range 36 {
		words = append(words, fmt.Sprintf("w%d", (i+shift)%36))
	}
	return strings.Join(words, "\n")
}

// tinyBundle is a real bundle of a few kilobytes. Versions differ in their weights' use.
func tinyBundle(t testing.TB, dir, version string, shift int, entities bool) string {
	t.Helper()
	source := filepath.Join(testenv.Root(t), "classify", "bert", "testdata", "tiny", "brain-cls")
	if err := os.CopyFS(dir, os.DirFS(source)); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "vocab.txt", tinyWords(shift))
	config, err := os.ReadFile(filepath.Join(source, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(config), `"version": "1"`, fmt.Sprintf(`"version": "%s", "entity_segment": %v`, version, entities), 1)
	if err := os.Remove(filepath.Join(dir, "config.json")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "config.json", changed)
	return dir
}

func tinyConfig(t testing.TB, log *slog.Logger) ModelConfig {
	c := realConfig(t, bert.FP32)
	c.Log = log
	return c
}

func promote(t *testing.T, slot, from string) Version {
	t.Helper()
	b, err := OpenBundle(from, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := Promote(slot, b, t0, func(string) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// tinyText is one of many texts of a few words.
func tinyText(i int) string {
	return fmt.Sprintf("w%d w%d w%d w%d", i%36, i/36%36, i/7%36, i/1296%36)
}

// TestABundleIsReplacedWhileItemsFlow: no item is lost, failed or read twice, and each reading
// is what the model that it names says of the text: no rows cut by one are read by the other.
func TestABundleIsReplacedWhileItemsFlow(t *testing.T) {
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0, false)
	next := tinyBundle(t, t.TempDir(), "2", 17, false)
	log := slog.New(slog.DiscardHandler)
	s, err := New(Config{Bundles: []string{slot}, Model: tinyConfig(t, log), Reload: 5 * time.Millisecond, Copies: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var (
		mu     sync.Mutex
		seen   = map[string]news.Reading{}
		latest atomic.Pointer[string]
		end    = make(chan struct{})
		flow   sync.WaitGroup
	)
	for g := range 4 {
		flow.Go(func() {
			for i := g; ; i += 4 {
				select {
				case <-end:
					return
				default:
				}
				id := fmt.Sprint(i)
				err := s.Submit(context.Background(), news.Item{ID: id, Text: tinyText(i)}, func(r []news.Reading, err error) {
					mu.Lock()
					defer mu.Unlock()
					if _, again := seen[id]; again || err != nil || len(r) != 1 || r[0].ID != id {
						t.Errorf("item %s: again %v, error %v, readings %v", id, again, err, r)
					}
					seen[id] = r[0]
					latest.Store(&r[0].Model.Version)
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	serves := func(version string) {
		t.Helper()
		waitFor(t, func() bool { v := latest.Load(); return v != nil && *v == version })
	}
	serves("1")
	first := s.lanes[0].acquire()
	first.release()
	promote(t, slot, next)
	serves("2")
	waitFor(t, func() bool { return first.users.Load() == 0 })
	if _, err := Rollback(slot); err != nil {
		t.Fatal(err)
	}
	serves("1")
	close(end)
	flow.Wait()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	models := map[string]*Model{}
	for version, dir := range map[string]string{"1": slot, "2": next} {
		if models[version], err = OpenModel(dir, tinyConfig(t, log)); err != nil {
			t.Fatal(err)
		}
		defer models[version].Close()
	}
	counts := map[string]int{}
	for _, r := range seen {
		counts[r.Model.Version]++
		m := models[r.Model.Version]
		if r.Model.Digest != m.Bundle.Digest {
			t.Fatalf("version %s has the digest %s", r.Model.Version, r.Model.Digest)
		}
		if counts[r.Model.Version] > 300 {
			continue
		}
		said, errs := m.Predict([]string{r.Text})
		if errs[0] != nil {
			t.Fatal(errs[0])
		}
		if want := answerOf(m.Bundle.Heads, said[0]).sentiment; math.Abs(want.Negative-r.Sentiment.Negative) > 1e-4 {
			t.Fatalf("item %s %q by version %s: %v, but alone the model says %v", r.ID, r.Text, r.Model.Version, r.Sentiment, want)
		}
	}
	if counts["1"] == 0 || counts["2"] == 0 {
		t.Errorf("items by version: %v", counts)
	}
}

func TestACopyIsNotAnsweredByTheModelBefore(t *testing.T) {
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0, false)
	s, err := New(Config{Bundles: []string{slot}, Model: tinyConfig(t, slog.New(slog.DiscardHandler)), Reload: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	readings, _ := read(t, s, news.Item{ID: "a", Text: "w1 w2"}, news.Item{ID: "b", Text: "w1 w2"})
	if readings[1].DuplicateOf != "a" {
		t.Errorf("before, the copy is %+v", readings[1])
	}
	promote(t, slot, tinyBundle(t, t.TempDir(), "2", 17, false))
	waitFor(t, func() bool { return s.models.Load() == 2 })
	readings, _ = read(t, s, news.Item{ID: "c", Text: "w1 w2"}, news.Item{ID: "d", Text: "w1 w2"})
	if readings[0].DuplicateOf != "" || readings[0].Model.Version != "2" || readings[1].DuplicateOf != "c" {
		t.Errorf("after: %+v", readings)
	}
}

// TestABundleThatDoesNotLoadChangesNothing: it is logged once and counted, and the next good
// one serves.
func TestABundleThatDoesNotLoadChangesNothing(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"weights cut off": func(dir string) error { return os.Truncate(filepath.Join(dir, "model.safetensors"), 9000) },
		"no labels": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"model_type":"bert","hidden_size":16,"num_hidden_layers":2,
				"num_attention_heads":4,"intermediate_size":24,"vocab_size":40,"max_position_embeddings":12}`), 0o644)
		},
		"no tokenizer": func(dir string) error { return os.Remove(filepath.Join(dir, "vocab.txt")) },
		"no sentiment": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "config.json"), []byte(`{"model_type":"bert","hidden_size":16,"num_hidden_layers":2,
				"num_attention_heads":4,"intermediate_size":24,"vocab_size":40,"max_position_embeddings":12,
				"barograph":{"pooling":"cls","heads":[{"task":"topic","labels":["a","b","c"]}]}}`), 0o644)
		},
		"live.json damaged": func(dir string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(dir), liveFile), []byte(`{"live":7}`), 0o644)
		},
	} {
		t.Run(name, func(t *testing.T) {
			slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0, false)
			var logged syncBuffer
			registry := prometheus.NewRegistry()
			s, err := New(Config{Bundles: []string{slot}, Model: tinyConfig(t, slog.New(slog.NewTextHandler(&logged, nil))),
				Reload: 5 * time.Millisecond, Registerer: registry})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			bad, err := OpenBundle(tinyBundle(t, t.TempDir(), "2", 17, false), nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := Promote(slot, bad, t0, damage); err != nil { // damaged after it was copied
				t.Fatal(err)
			}
			if name == "live.json damaged" {
				if err := damage(filepath.Join(slot, versionsFolder, "x")); err != nil {
					t.Fatal(err)
				}
			}
			failures := func() float64 {
				return counter(t, registry, "barograph_classify_model_load_failures_total", slot)
			}
			waitFor(t, func() bool { return failures() == 1 })
			readings, errs := read(t, s, news.Item{ID: "a", Text: "w1 w2"})
			if errs[0] != nil || readings[0].Model.Version != "1" {
				t.Errorf("the old bundle does not serve on: %+v, %v", readings[0], errs[0])
			}
			if err := os.Remove(filepath.Join(slot, versionsFolder, liveFile)); err != nil {
				t.Fatal(err)
			}
			promote(t, slot, tinyBundle(t, t.TempDir(), "3", 5, false))
			waitFor(t, func() bool { return s.models.Load() == 2 })
			if readings, _ = read(t, s, news.Item{ID: "b", Text: "w1 w2"}); readings[0].Model.Version != "3" {
				t.Errorf("the next bundle does not serve: %+v", readings[0])
			}
			if n := strings.Count(logged.String(), "does not load"); n != 1 || failures() != 1 {
				t.Errorf("logged %d times, %v failures:\n%s", n, failures(), logged.String())
			}
			digest := readings[0].Model.Digest
			if got := gauge(t, registry, "barograph_classify_model_info"); len(got) != 1 || got[0] != fmt.Sprint([]string{slot, digest, "tiny", "3"}) {
				t.Errorf("the info metric shows %v", got)
			}
		})
	}
}

// TestFilesCopiedIntoTheFolderServe, when they are all there.
func TestFilesCopiedIntoTheFolderServe(t *testing.T) {
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0, false)
	s, err := New(Config{Bundles: []string{slot}, Model: tinyConfig(t, slog.New(slog.DiscardHandler)), Reload: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	next := tinyBundle(t, t.TempDir(), "2", 17, false)
	for _, name := range []string{"vocab.txt", "config.json"} {
		if err := copyFile(filepath.Join(slot, name), filepath.Join(next, name)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, func() bool {
		readings, errs := read(t, s, news.Item{ID: "a", Text: "w1 w2"})
		want, _ := Digest(next)
		return errs[0] == nil && readings[0].Model.Digest == want
	})
}

// TestStopDoesNotReadWhatIsQueued: the batch under way is finished, the other items are done
// with ErrClosed, once each.
func TestStopDoesNotReadWhatIsQueued(t *testing.T) {
	w := &wordModel{gate: make(chan struct{})}
	s := wordStage(t, w, Config{Model: ModelConfig{TokenBudget: 12}})
	var read, closed atomic.Int32
	for i := range 50 {
		text := fmt.Sprintf("good word %d", i)
		if i%5 == 0 {
			text = "bad word" // copies wait for each other
		}
		if err := s.Submit(context.Background(), news.Item{ID: fmt.Sprint(i), Text: text}, func(r []news.Reading, err error) {
			switch {
			case err == nil:
				read.Add(1)
			case errors.Is(err, ErrClosed):
				closed.Add(1)
			default:
				t.Error(err)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	w.gate <- struct{}{} // the first batch
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop() }()
	waitFor(t, s.stopping)
	close(w.gate) // whatever runs now may
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if read.Load()+closed.Load() != 50 || read.Load() == 0 || w.rows() > 9 {
		t.Errorf("%d items were read, %d given back; %d rows went through the model", read.Load(), closed.Load(), w.rows())
	}
	if err := s.Submit(context.Background(), news.Item{}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Stop: %v", err)
	}
}

// syncBuffer is a buffer that several goroutines may use.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// gauge lists the label values of a gauge that are 1, in the order of the labels' names.
func gauge(t *testing.T, r *prometheus.Registry, name string) (shown []string) {
	t.Helper()
	for values, m := range measured(t, r, name) {
		if m.GetGauge().GetValue() == 1 {
			shown = append(shown, fmt.Sprint(values))
		}
	}
	return shown
}
