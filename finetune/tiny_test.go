package finetune

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/finetune/step"
	"github.com/barograph/barograph/internal/testenv"
)

// pairs are texts of two words of the tiny model, no two alike, with labels in turn.
func pairs(first, last int, labels ...string) Source {
	var lines []string
	for i := first; i < last; i++ {
		lines = append(lines, fmt.Sprintf("w%d w%d|%s", i/36, i%36, labels[i%len(labels)]))
	}
	return Source{Task: "sentiment", Name: fmt.Sprintf("from%d.csv", first), Rows: rows(lines...)}
}

// tinyConfig trains a model of 16 dimensions, which takes next to no time.
func tinyConfig(t *testing.T, train, valid Source) Config {
	t.Helper()
	words := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]"}
	for i := range 36 {
		words = append(words, fmt.Sprint("w", i))
	}
	base := filepath.Join(t.TempDir(), "base")
	err := errors.Join(os.CopyFS(base, os.DirFS(filepath.Join("..", "classify", "bert", "testdata", "tiny", "bases", "base"))),
		os.WriteFile(filepath.Join(base, "vocab.txt"), []byte(strings.Join(words, "\n")), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	s := Defaults(step.LoRA)
	s.Epochs, s.Batch, s.MaxTokens = 1, 8, 8
	return Config{
		Base: base, Out: filepath.Join(t.TempDir(), "bundle"), Train: []Source{train}, Valid: []Source{valid}, Settings: s, Languages: []string{"en"},
		Library: filepath.Join(testenv.Deps(t), "onnxruntime", "libonnxruntime.so"), Device: onnx.CPU, Threads: 1, Log: slog.New(slog.DiscardHandler),
	}
}

// bundleConfig is what the finished bundle's config.json says of it.
func bundleConfig(t *testing.T, dir string) bert.Bundle {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	var config struct{ Barograph bert.Bundle }
	if err = errors.Join(err, json.Unmarshal(raw, &config)); err != nil {
		t.Fatal(err)
	}
	return config.Barograph
}

// TestTheBestEpochIsKept, training ends as soon as enough epochs were no better, and the bundle
// has the temperature that was fitted. No training row is positive and all for validation are, so
// that no epoch is better than the first, and the model is sure and wrong.
func TestTheBestEpochIsKept(t *testing.T) {
	c := tinyConfig(t, pairs(0, 40, "negative", "neutral"), pairs(40, 52, "positive"))
	c.Settings.Epochs, c.Settings.Patience, c.Settings.Rate = 9, 2, 2e-2
	j := &job{Config: c}
	trainJob(t, j)
	epochs := j.best.state.Epochs
	if len(epochs) != 3 || !epochs[0].Best || epochs[1].Best || epochs[2].Best {
		t.Fatalf("two epochs without a better one are enough, and the first was the best: %+v", epochs)
	}
	now, _, err := j.best.validate()
	if err != nil {
		t.Fatal(err)
	}
	if first, last := epochs[0].Heads[0].Loss, epochs[2].Heads[0].Loss; now[0].Loss != first || first == last {
		t.Errorf("the loss of what is kept is %v, that of the best epoch %v, of the last %v", now[0].Loss, first, last)
	}
	r, err := j.finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := bundleConfig(t, c.Out).Heads[0].Temperature; r.Best != 1 || got < 1.2 {
		t.Errorf("epoch %d is called the best, and a model that is sure and wrong has the temperature %v", r.Best, got)
	}
}

// TestABundleThatInt8CostsTooMuchAsksForFP32. The labels are what the model says in fp32, so that
// each that int8 changes is a loss.
func TestABundleThatInt8CostsTooMuchAsksForFP32(t *testing.T) {
	j := &job{Config: tinyConfig(t, pairs(0, 40, sentiment.Labels...), pairs(40, 1040, sentiment.Labels...))}
	j.Settings.Rate = 2e-2
	logits := trainJob(t, j)
	for i, e := range j.data.valid {
		e.Labels[0] = slices.Index(logits[0][i], slices.Max(logits[0][i]))
	}
	r, err := j.finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Costs) == 0 || r.Costs[0].Precision != bert.INT8 || r.Costs[0].Gain > -maxLoss {
		t.Fatalf("int8 costs too little for this test: %v", r.Costs)
	}
	if got := bundleConfig(t, j.Out); got.Precision != bert.FP32 || got.PrecisionCUDA != r.PrecisionCUDA {
		t.Errorf("%v, and the bundle asks for %q, and on CUDA for %q", r.Costs, got.Precision, got.PrecisionCUDA)
	}
}

// TestACheckpointIsLeftWithinAnEpoch, and a run that is killed goes on from there: what is on the
// disk at one moment is what a kill would leave.
func TestACheckpointIsLeftWithinAnEpoch(t *testing.T) {
	config := func() Config {
		return tinyConfig(t, pairs(0, 40, sentiment.Labels...), pairs(40, 52, sentiment.Labels...))
	}
	c, again := config(), config()
	c.Checkpoint = time.Nanosecond
	c.OnUpdate = func(u Update) {
		if u.N == 3 { // of five in the only epoch
			if err := os.CopyFS(filepath.Join(again.Out, checkpointsName), os.DirFS(filepath.Join(c.Out, checkpointsName))); err != nil {
				t.Error(err)
			}
		}
	}
	whole := &job{Config: c}
	trainJob(t, whole)
	resumed := 0
	again.Resume, again.OnData = true, func(s Summary) { resumed = max(resumed, s.Resumed) }
	rest := &job{Config: again}
	trainJob(t, rest)
	if resumed != 2 {
		t.Errorf("went on after update %d; a checkpoint of the second was due before the third", resumed)
	}
	for name, w := range whole.trainer.Weights() {
		if !slices.Equal(w.Data, rest.trainer.Weights()[name].Data) {
			t.Errorf("%s is not what it is without the kill", name)
		}
	}
}

// TestTwoBatchesMakeAnUpdateOfDoubleSize: with a seed by which both runs have the same texts in
// the same updates, training takes the same course.
func TestTwoBatchesMakeAnUpdateOfDoubleSize(t *testing.T) {
	config := func(batch, accumulate int) Config {
		c := tinyConfig(t, pairs(0, 16, sentiment.Labels...), pairs(40, 52, sentiment.Labels...))
		c.Settings.Dropout, c.Settings.Rate, c.Settings.Batch, c.Settings.Accumulate = 0, 2e-2, batch, accumulate
		return c
	}
	data := &job{Config: config(8, 1)}
	if err := data.prepare(); err != nil {
		t.Fatal(err)
	}
	texts := func(batches ...[]*Example) (out []string) {
		for _, e := range slices.Concat(batches...) {
			out = append(out, e.Text)
		}
		slices.Sort(out)
		return out
	}
	seed := uint64(0)
	for ; ; seed++ {
		large, small := order(data.data.train, 8, seed, 0), order(data.data.train, 4, seed, 0)
		if len(large) != 2 || len(small) != 4 {
			t.Fatalf("%d and %d batches", len(large), len(small))
		}
		if slices.Equal(texts(large[0]), texts(small[0], small[1])) {
			break
		}
	}
	one, two := &job{Config: config(8, 1)}, &job{Config: config(4, 2)}
	one.Settings.Seed, two.Settings.Seed = seed, seed
	trainJob(t, one)
	trainJob(t, two)
	a, b := one.best.state.Points, two.best.state.Points
	if len(a) != 2 || len(b) != 2 {
		t.Fatalf("%d and %d updates, want 2", len(a), len(b))
	}
	for i := range a {
		if math.Abs(a[i].Loss-b[i].Loss) > 1e-5 || math.Abs(a[i].Norm-b[i].Norm) > 1e-5 {
			t.Errorf("update %d: %+v with one batch, %+v with two of half its size", i+1, a[i], b[i])
		}
	}
}

// TestResumingIsByAllThatDecides: a checkpoint of another base, other heads, first values, data or
// settings has another fingerprint.
func TestResumingIsByAllThatDecides(t *testing.T) {
	fingerprint := func(change func(*job)) string {
		e := func(text string) *Example {
			return &Example{Text: text, Entity: "BA", Labels: []int{1}, Weights: []float32{1}, taught: [][]float64{{.5, .5, 0}}}
		}
		j := &job{base: &base{sha256: "one", init: map[string][]float32{"w": {1, 2}}}, data: dataset{train: []*Example{e("a")}, valid: []*Example{e("b")}},
			heads: []bert.Head{{Task: "sentiment", Labels: slices.Clone(sentiment.Labels)}}}
		j.Settings = Defaults(step.LoRA)
		change(j)
		return j.fingerprint(j.Settings)
	}
	same := fingerprint(func(*job) {})
	if same != fingerprint(func(*job) {}) {
		t.Error("one run has two fingerprints")
	}
	for name, change := range map[string]func(*job){
		"base":         func(j *job) { j.base.sha256 = "two" },
		"labels":       func(j *job) { slices.Reverse(j.heads[0].Labels) },
		"heads":        func(j *job) { j.heads = append(j.heads, bert.Head{Task: "topic"}) },
		"first values": func(j *job) { j.base.init["w"][1] = 3 },
		"settings":     func(j *job) { j.Settings.Seed = 1 },
		"LoRA dropout": func(j *job) { j.Settings.LoRADropout = .1 },
		"text":         func(j *job) { j.data.train[0].Text = "c" },
		"entity":       func(j *job) { j.data.train[0].Entity = "" },
		"label":        func(j *job) { j.data.train[0].Labels[0] = 2 },
		"weight":       func(j *job) { j.data.train[0].Weights[0] = .5 },
		"teacher":      func(j *job) { j.data.train[0].taught[0][2] = .1 },
		"validation":   func(j *job) { j.data.valid = nil },
	} {
		if fingerprint(change) == same {
			t.Errorf("a run that differs in its %s could be gone on from", name)
		}
	}
}

// TestCopiesOfValidationTextsAreNotTrainedOn: figures on texts that were learnt say nothing.
func TestCopiesOfValidationTextsAreNotTrainedOn(t *testing.T) {
	j := &job{Config: tinyConfig(t, pairs(0, 40, sentiment.Labels...), pairs(30, 52, sentiment.Labels...))}
	if err := j.prepare(); err != nil {
		t.Fatal(err)
	}
	if s := j.summary; s.Train != 30 || s.Valid != 22 || s.Findings.Copies != 10 {
		t.Errorf("%d texts to train on, %d for validation, %d copies; want 30, 22, 10", s.Train, s.Valid, s.Findings.Copies)
	}
	for _, e := range j.data.train {
		if slices.ContainsFunc(j.data.valid, func(v *Example) bool { return v.Text == e.Text }) {
			t.Errorf("%q is trained on and validated with", e.Text)
		}
	}
}

// TestABaseSaysHowItPools: a base whose config.json has a section "barograph" with the pooling alone is pooled so,
// and the card does not take it for a bundle.
func TestABaseSaysHowItPools(t *testing.T) {
	c := tinyConfig(t, pairs(0, 48, "negative", "neutral", "positive"), pairs(48, 72, "negative", "neutral", "positive"))
	path := filepath.Join(c.Base, "config.json")
	raw, err := os.ReadFile(path)
	config := map[string]any{}
	if err = errors.Join(err, json.Unmarshal(raw, &config)); err != nil {
		t.Fatal(err)
	}
	config["barograph"] = map[string]string{"pooling": "mean"}
	if raw, err = json.Marshal(config); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if got := bundleConfig(t, c.Out).Pooling; got != bert.PoolMean {
		t.Errorf("the bundle pools by %s", got)
	}
	card, err := os.ReadFile(filepath.Join(c.Out, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(card), "went on from") || !strings.Contains(string(card), "pooling (mean)") {
		t.Errorf("the card says\n%s", card)
	}
}
