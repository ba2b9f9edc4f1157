package finetune

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/finetune/step"
	"github.com/barograph/barograph/internal/testenv"
)

// peerAsks is what testdata/peer.py reads with, and peerSays what it gives.
type (
	peerAsks struct {
		Bundle string      `json:"bundle"`
		Base   string      `json:"base"`
		Texts  [][2]string `json:"texts"` // and entities
	}
	peerSays struct {
		Labels []string      `json:"labels"` // of the first head
		Logits [][][]float64 `json:"logits"` // [head][text][label]
	}
)

// TestTransformersAndPeftSayTheSame of a bundle's folder as the trainer whose weights it has, of
// each head, and call the labels by their names: adapters, one that reads an entity, one with two
// heads and what was trained further from it, whole checkpoints, and one of which only the heads
// were trained.
func TestTransformersAndPeftSayTheSame(t *testing.T) {
	python := testenv.Python(t)
	var (
		names  []string
		jobs   []*job
		logits [][][][]float32
		asked  []peerAsks
	)
	trained := func(name string, change func(*Config)) string {
		t.Helper()
		c := sampleConfig(t, 48, 16)
		c.Settings.Updates = 3
		change(&c)
		j := &job{Config: c}
		names, jobs, logits = append(names, name), append(jobs, j), append(logits, trainJob(t, j))
		if err := errors.Join(os.MkdirAll(j.Out, 0o755), j.writeBundle(j.Out)); err != nil {
			t.Fatal(err)
		}
		compareLogits(t, j, logits[len(logits)-1])
		ask := peerAsks{Bundle: j.Out, Base: j.base.dir}
		for _, e := range j.data.valid {
			ask.Texts = append(ask.Texts, [2]string{classify.StripURLs(e.Text), e.Entity})
		}
		asked = append(asked, ask)
		return j.Out
	}
	whole := func(c *Config) { c.Settings.Mode, c.Settings.Rate = step.Full, 5e-5 }
	trained("adapter", func(*Config) {})
	trained("adapter by entity", func(c *Config) {
		for _, s := range []*Source{&c.Train[0], &c.Valid[0]} {
			s.Entity = "entity"
			s.Rows = withEntity(s.Rows)
		}
	})
	two := trained("adapter with two heads", func(c *Config) { withTopics(t, c) })
	trained("trained further", func(c *Config) { c.Base, c.Bases, c.Valid[0].SHA256 = two, []string{filepath.Dir(c.Base)}, "others" })
	trained("whole", whole)
	trained("whole with two heads", func(c *Config) { whole(c); withTopics(t, c) })
	trained("heads only", func(c *Config) { c.Settings.Mode = step.HeadOnly })
	for n, said := range askPeer(t, python, asked) {
		if j := jobs[n]; !slices.Equal(said.Labels, j.heads[0].Labels) || len(said.Logits) != len(j.heads) {
			t.Errorf("%s: %d heads with the labels %q, of %d with %q", names[n], len(said.Logits), said.Labels, len(j.heads), j.heads[0].Labels)
			continue
		}
		for h, head := range said.Logits {
			for i, got := range head {
				if !slices.EqualFunc(got, logits[n][h][i], near) {
					t.Fatalf("%s: %.40q: %v by Python, %v by the trainer", names[n], asked[n].Texts[i][0], got, logits[n][h][i])
				}
			}
		}
	}
}

// TestTransformersAndPeftReadTheShippedBundles: the folders are whole, tokenizer and labels
// included, and each head says what serving says in fp32.
func TestTransformersAndPeftReadTheShippedBundles(t *testing.T) {
	python, deps := testenv.Python(t), testenv.Deps(t)
	bases := filepath.Join(deps, "bases")
	texts := [][2]string{{"Nokia falls as Ericsson wins order", "Nokia"}, {"Nokia falls as Ericsson wins order", "Ericsson"}, {"$BA deliveries halved in 2019", ""}, {"茅台一季度净利润大增，股价涨停", ""}}
	var asked []peerAsks
	var models []*classify.Model
	for name, base := range map[string]string{"en": "bge-small-en-v1.5", "en-company": "bge-small-en-v1.5", "zh": "bge-small-zh-v1.5"} {
		dir := filepath.Join(testenv.Root(t), "models", name)
		m, err := classify.OpenModel(dir, classify.ModelConfig{Bases: []string{bases}, Library: filepath.Join(deps, "onnxruntime", "libonnxruntime.so"),
			Device: onnx.CPU, Precision: bert.FP32, Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		ask := peerAsks{Bundle: dir, Base: filepath.Join(bases, base)}
		for _, text := range texts {
			if !m.Bundle.EntitySegment {
				text[1] = ""
			}
			ask.Texts = append(ask.Texts, text)
		}
		asked, models = append(asked, ask), append(models, m)
	}
	for n, said := range askPeer(t, python, asked) {
		b := models[n].Bundle
		if !slices.Equal(said.Labels, b.Heads[0].Labels) || len(said.Logits) != len(b.Heads) {
			t.Errorf("%s: %d heads with the labels %q", b.Name, len(said.Logits), said.Labels)
			continue
		}
		for i, text := range asked[n].Texts {
			want, errs := models[n].PredictFor([]string{text[0]}, []string{text[1]})
			if errs[0] != nil {
				t.Fatal(errs[0])
			}
			for h, head := range b.Heads {
				got, err := classify.Softmax(float32s(said.Logits[h][i]), head.Temperature)
				if err != nil || !slices.EqualFunc(got, want[0][h], func(a, b float64) bool { return math.Abs(a-b) < 1e-4 }) {
					t.Errorf("%s: %s of %q: %v by Python (%v), %v by Barograph", b.Name, head.Task, text, got, err, want[0][h])
				}
			}
		}
	}
}

func near(a float64, b float32) bool { return a-float64(b) < 1e-4 && float64(b)-a < 1e-4 }

func float32s(row []float64) (out []float32) {
	for _, x := range row {
		out = append(out, float32(x))
	}
	return out
}

func withEntity(rows func(func(Row) bool)) func(func(Row) bool) {
	return func(yield func(Row) bool) {
		rows(func(r Row) bool {
			r.Fields["entity"] = "Boeing Co"
			return yield(r)
		})
	}
}

// withTopics gives the rows that are trained on a second label: whether a text begins with a ticker.
func withTopics(t *testing.T, c *Config) {
	topics := tweets(t, 0, 48)
	rows := topics.Rows
	topics.Task, topics.Name = "topic", "topics.csv"
	topics.Rows = func(yield func(Row) bool) {
		rows(func(r Row) bool {
			label := "Other"
			if r.Fields["text"][0] == '$' {
				label = "Ticker"
			}
			r.Fields["topic"] = label
			return yield(r)
		})
	}
	c.Train, c.Valid = append(c.Train, topics), nil
}

func askPeer(t *testing.T, python string, asked []peerAsks) (said []peerSays) {
	t.Helper()
	in, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "peer.py"))
	var log bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(in), &log
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &said)
	}
	if err != nil || len(said) != len(asked) {
		t.Fatalf("%d of %d bundles: %v\n%s", len(said), len(asked), err, log.String())
	}
	return said
}
