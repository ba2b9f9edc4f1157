package step

import (
	"encoding/json"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/internal/testenv/runtimetest"
)

// reference is testdata/reference.json, made by reference.py beside it.
type reference struct {
	Rate, Decay, Clip, Alpha float64
	Rank, Rows, Cols         int
	Targets                  []string
	IDs, Mask, Types         []int64
	Sentiment, Topic         []float32
	Cases                    []referenceCase
}

type referenceCase struct {
	Name, Base, Mode, Pooling string
	Init, Gradients, After    map[string][]float32
	Losses, Norms             []float64
}

func readReference(t testing.TB) reference {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	var r reference
	if err := json.Unmarshal(raw, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r reference) batch() Batch {
	return Batch{Rows: r.Rows, Cols: r.Cols, IDs: r.IDs, Mask: r.Mask, Types: r.Types,
		Targets: map[string][]float32{"sentiment": r.Sentiment, "topic": r.Topic}}
}

func (r reference) config(t testing.TB, c referenceCase) Config {
	t.Helper()
	base, err := bert.Open(filepath.Join("testdata", c.Base), nil)
	if err != nil {
		t.Fatal(err)
	}
	base.Config.Barograph = &bert.Bundle{Pooling: bert.Pooling(c.Pooling)}
	return Config{
		Base: base, Runtime: runtimetest.Open(t), Device: onnx.CPU, Threads: 1,
		Mode: map[string]Mode{"lora": LoRA, "full": Full, "head": HeadOnly}[c.Mode], Embeddings: c.Mode == "full",
		Rank: r.Rank, Alpha: r.Alpha, Targets: r.Targets,
		Heads: []Head{{"sentiment", 3}, {"topic", 4}}, Init: c.Init,
		ClipNorm: r.Clip, WeightDecay: r.Decay,
	}
}

func newTrainer(t testing.TB, c Config) *Trainer {
	t.Helper()
	tr, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(); err != nil {
			t.Error(err)
		}
	})
	return tr
}

// Loss and gradients against PyTorch's autograd in float64, to 1e-4 of each tensor's own
// norm (of a thousandth of the largest for those that are zero but for rounding, such as
// the keys' biases, which a softmax does not see).
func TestGradientsEqualAutograd(t *testing.T) {
	r := readReference(t)
	for _, c := range r.Cases {
		t.Run(c.Name, func(t *testing.T) {
			tr := newTrainer(t, r.config(t, c))
			loss, err := tr.Accumulate(r.batch())
			if err != nil {
				t.Fatal(err)
			}
			if d := math.Abs(loss - c.Losses[0]); !(d < 1e-5) {
				t.Errorf("the loss is %v, want %v", loss, c.Losses[0])
			}
			sameNames(t, tr, c.Gradients)
			largest := 0.0
			for _, want := range c.Gradients {
				largest = max(largest, norm(want, 1))
			}
			worst := 0.0
			for _, w := range tr.weights {
				want := c.Gradients[w.file]
				part := distance(w.of(tr.grads), want) / max(norm(want, 1), 1e-3*largest)
				if !(part < 1e-4) {
					t.Errorf("the gradient of %s is off by %g of its norm", w.file, part)
				}
				worst = max(worst, part)
			}
			t.Logf("at most %.2g of a tensor's norm", worst)
		})
	}
}

// Five steps of clipped AdamW against PyTorch's.
func TestUpdatesEqualAdamW(t *testing.T) {
	r := readReference(t)
	for _, c := range r.Cases {
		t.Run(c.Name, func(t *testing.T) {
			tr := newTrainer(t, r.config(t, c))
			for i := range c.Losses {
				loss, err := tr.Accumulate(r.batch())
				if err != nil {
					t.Fatal(err)
				}
				length, err := tr.Update(r.Rate)
				if err != nil {
					t.Fatal(err)
				}
				if math.Abs(loss-c.Losses[i]) > 1e-4 || math.Abs(length-c.Norms[i]) > 1e-4*c.Norms[i] {
					t.Errorf("step %d: loss %v, norm %v; want %v, %v", i+1, loss, length, c.Losses[i], c.Norms[i])
				}
			}
			weights := tr.Weights()
			for name, want := range c.After {
				// Adam moves a weight without a gradient by rounding's sign: not those.
				if d := distance(weights[name].Data, want); !(d < 1e-4*norm(want, 1)) && norm(c.Gradients[name], 1) > 1e-9 {
					t.Errorf("%s is off by %g of %g", name, d, norm(want, 1))
				}
			}
		})
	}
}

func sameNames(t *testing.T, tr *Trainer, want map[string][]float32) {
	t.Helper()
	got := slices.Sorted(maps.Keys(tr.Weights()))
	if want := slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
		t.Errorf("trained are\n%q, want\n%q", got, want)
	}
}

// distance is the Euclidean distance.
func distance(a, b []float32) float64 {
	d := make([]float32, len(a))
	for i := range a {
		d[i] = a[i] - b[i]
	}
	return norm(d, 1)
}
