package classify

import (
	"cmp"
	"context"
	"iter"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/news"
)

// wordModel is a session in the place of ONNX Runtime's, so that what goes wrong in it can
// be chosen: it counts the words "bad" and "good" of a text, and does harm at "panic",
// "fail" and "nan".
type wordModel struct {
	mu      sync.Mutex
	batches []onnx.Batch  // copies of what it was given
	gate    chan struct{} // with a gate, each run waits for one value
}

// The vocabulary of wordModel's tokenizer.
const words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nbad\ngood\npanic\nfail\nnan\nword\n,\n"

const (
	idBad = iota + 4
	idGood
	idPanic
	idFail
	idNaN
)

func (w *wordModel) Outputs() []string { return []string{"topic", "sentiment"} }
func (w *wordModel) Close() error      { return nil }

func (w *wordModel) Run(b onnx.Batch) ([]onnx.Logits, error) {
	if w.gate != nil {
		<-w.gate
	}
	w.mu.Lock()
	w.batches = append(w.batches, onnx.Batch{Rows: b.Rows, Cols: b.Cols, IDs: slices.Clone(b.IDs), Mask: slices.Clone(b.Mask)})
	w.mu.Unlock()
	sentiment := onnx.Logits{Name: "sentiment", Labels: 3}
	topic := onnx.Logits{Name: "topic", Labels: 2}
	for i := range b.Rows {
		s, t, err := logits(b.IDs[i*b.Cols:(i+1)*b.Cols], b.Mask[i*b.Cols:(i+1)*b.Cols])
		if err != nil {
			return nil, err
		}
		sentiment.Data, topic.Data = append(sentiment.Data, s...), append(topic.Data, t...)
	}
	return []onnx.Logits{topic, sentiment}, nil
}

// logits are positive, negative, neutral, and short, long.
func logits(ids, mask []int64) (sentiment, topic []float32, err error) {
	var good, bad, n float32
	for i, id := range ids {
		n += float32(mask[i])
		switch {
		case mask[i] == 0:
		case id == idGood:
			good++
		case id == idBad:
			bad++
		case id == idPanic:
			panic("the model met a poisonous text")
		case id == idFail:
			return nil, nil, onnx.ErrBatch
		case id == idNaN:
			good = float32(math.NaN())
		}
	}
	return []float32{good, bad, 0}, []float32{0, n - 10}, nil
}

// runs is how many texts were run how often.
func (w *wordModel) rows() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, b := range w.batches {
		n += b.Rows
	}
	return n
}

// wordStage is a stage of one English bundle around a wordModel.
func wordStage(t *testing.T, w *wordModel, c Config) *Stage {
	t.Helper()
	m := wordBundle(t, w, c.Model)
	c.Queue = cmp.Or(c.Queue, 64)
	if c.Clock == nil {
		c.Clock = func() time.Time { return t0 }
	}
	s, err := newStage(c.withDefaults(), []*Model{m})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// wordBundle is an opened English bundle around a wordModel.
func wordBundle(t *testing.T, w session, c ModelConfig) *Model {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "vocab.txt", words)
	tok, err := openTokenizer(dir)
	if err != nil {
		t.Fatal(err)
	}
	b := &Bundle{Name: "words", Version: "3", Digest: "d1", Languages: []string{"en"}, MaxTokens: 34, Heads: []bert.Head{
		{Task: taskSentiment, Labels: []string{"positive", "negative", "neutral"}, Temperature: 2},
		{Task: taskTopic, Labels: []string{"short", "long"}, Temperature: 1},
	}}
	m := &Model{Bundle: b, tokenizer: tok, session: w, config: c.withDefaults()}
	m.config.BatchThreads, m.config.TokenBudget = cmp.Or(c.BatchThreads, 1), cmp.Or(c.TokenBudget, 256)
	if err := m.matchHeads(); err != nil {
		t.Fatal(err)
	}
	return m
}

// read submits items one after the other and waits for all of them.
func read(t *testing.T, s *Stage, items ...news.Item) (readings []news.Reading, errs []error) {
	t.Helper()
	for r, err := range s.Classify(context.Background(), slices.Values(items)) {
		if len(r) != 1 {
			t.Fatalf("%d readings of item %d", len(r), len(readings))
		}
		readings, errs = append(readings, r[0]), append(errs, err)
	}
	if len(readings) != len(items) {
		t.Fatalf("%d readings of %d items", len(readings), len(items))
	}
	return readings, errs
}

func texts(of ...string) []news.Item {
	var out []news.Item
	for i, text := range of {
		out = append(out, news.Item{ID: string(rune('a' + i)), Text: text})
	}
	return out
}

// measured are the metrics of one name, each after the values of its labels in the order of their names.
func measured(t *testing.T, r *prometheus.Registry, name string) iter.Seq2[[]string, *dto.Metric] {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func([]string, *dto.Metric) bool) {
		for _, f := range families {
			if f.GetName() != name {
				continue
			}
			for _, m := range f.GetMetric() {
				var values []string
				for _, l := range m.GetLabel() {
					values = append(values, l.GetValue())
				}
				if !yield(values, m) {
					return
				}
			}
		}
	}
}

// counter is the value of a counter of the registry with these label values, in the order
// of their names.
func counter(t *testing.T, r *prometheus.Registry, name string, values ...string) float64 {
	t.Helper()
	for got, m := range measured(t, r, name) {
		if slices.Equal(got, values) {
			return m.GetCounter().GetValue()
		}
	}
	return 0
}
