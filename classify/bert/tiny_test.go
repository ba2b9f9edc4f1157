package bert

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
)

// tinyLogits is testdata/tiny.json, made by testdata/tiny.py: what its own numpy forward
// pass in float64 says of a batch, each text without its padding.
type tinyLogits struct {
	Rows, Cols       int
	IDs, Mask, Types []int64
	Checkpoints      map[string]struct {
		OneType bool `json:"one_type"`
		Logits  map[string][]float32
	}
}

func readTiny(t testing.TB) tinyLogits {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "tiny.json"))
	if err != nil {
		t.Fatal(err)
	}
	var out tinyLogits
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func (x tinyLogits) batch(oneType bool) onnx.Batch {
	b := onnx.Batch{Rows: x.Rows, Cols: x.Cols, IDs: x.IDs, Mask: x.Mask, Types: x.Types}
	if oneType {
		b.Types = nil
	}
	return b
}

func openTiny(t testing.TB, name string) *Checkpoint {
	t.Helper()
	c, err := Open(filepath.Join("testdata", "tiny", name), []string{filepath.Join("testdata", "tiny", "bases")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Every kind of checkpoint against the numpy reference, in every precision. FP16 runs on
// the CPU here, which computes in float32 on weights and activations rounded to half.
// The limits are parts of the largest logit: int8's shows a wrong scale; its rounding is
// judged on real weights below.
func TestCheckpointsEqualReference(t *testing.T) {
	tiny := readTiny(t)
	within := map[Precision]float64{FP32: 1e-5, FP16: 0.02, INT8: 0.1, INT8VNNI: 0.1}
	for _, name := range slices.Sorted(maps.Keys(tiny.Checkpoints)) {
		want := tiny.Checkpoints[name]
		c := openTiny(t, name)
		for p, limit := range within {
			t.Run(name+"/"+string(p), func(t *testing.T) {
				model, err := c.Graph(p, rangesOf(t, c, p))
				if err != nil {
					t.Fatal(err)
				}
				got, err := ortSession(t, onnx.SessionConfig{Model: model}).Run(tiny.batch(want.OneType))
				if err != nil {
					t.Fatal(err)
				}
				if len(got) != len(want.Logits) {
					t.Fatalf("%d outputs, want %d", len(got), len(want.Logits))
				}
				for _, out := range got {
					largest := largestDifference(want.Logits[out.Name], make([]float32, len(out.Data)))
					d := largestDifference(out.Data, want.Logits[out.Name]) / largest
					if !(d < limit) {
						t.Errorf("%s differs by %g of the largest logit", out.Name, d)
					}
					t.Logf("%s differs by %.2g", out.Name, d)
				}
			})
		}
	}
}

// A text's logits are the same alone and padded in company.
func TestLogitsDoNotDependOnPadding(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		t.Run(lang, func(t *testing.T) {
			model, err := openModel(t, lang).Graph(FP32, nil)
			if err != nil {
				t.Fatal(err)
			}
			s := ortSession(t, onnx.SessionConfig{Model: model})
			texts := readTexts(t, "ids-"+lang+".json")[:8]
			together, err := s.Run(batchOf(texts, 40))
			if err != nil {
				t.Fatal(err)
			}
			for i, x := range texts {
				alone, err := s.Run(batchOf([]tokenised{x}, 0))
				if err != nil {
					t.Fatal(err)
				}
				for o := range alone {
					if d := largestDifference(alone[o].Row(0), together[o].Row(i)); !(d < 1e-4) {
						t.Errorf("%s of %q differs by %g with padding", alone[o].Name, x.Text, d)
					}
				}
			}
		})
	}
}
