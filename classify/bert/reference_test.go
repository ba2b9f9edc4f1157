package bert

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/internal/testenv/runtimetest"
)

// ortSession opens a model on the ONNX Runtime that `make deps` fetched, on the CPU.
func ortSession(t testing.TB, c onnx.SessionConfig) *onnx.Session {
	t.Helper()
	c.Device = onnx.CPU
	s, err := runtimetest.Open(t).NewSession(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// tokenised is a text of testdata and its token ids as Hugging Face's tokenizers makes
// them, and, in the logits files, what another implementation says of it.
type tokenised struct {
	Text      string    `json:"text"`
	IDs       []int64   `json:"ids"`
	Sentiment []float32 `json:"sentiment"`
	Topic     []float32 `json:"topic"`
}

func readTexts(t testing.TB, file string) []tokenised {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		t.Fatal(err)
	}
	var texts []tokenised
	if err := json.Unmarshal(raw, &texts); err != nil {
		t.Fatal(err)
	}
	return texts
}

// batchOf pads texts to the longest and by extra tokens more.
func batchOf(texts []tokenised, extra int) onnx.Batch {
	b := onnx.Batch{Rows: len(texts)}
	for _, x := range texts {
		b.Cols = max(b.Cols, len(x.IDs)+extra)
	}
	b.IDs = make([]int64, b.Rows*b.Cols)
	b.Mask = make([]int64, b.Rows*b.Cols)
	for i, x := range texts {
		copy(b.IDs[i*b.Cols:], x.IDs)
		for j := range x.IDs {
			b.Mask[i*b.Cols+j] = 1
		}
	}
	return b
}

// rangesOf measures what INT8 asks for; the other precisions need none.
func rangesOf(t testing.TB, c *Checkpoint, p Precision) Ranges {
	t.Helper()
	if p != INT8 && p != INT8VNNI {
		return nil
	}
	graph, err := c.RangesGraph()
	if err != nil {
		t.Fatal(err)
	}
	ranges, err := c.MeasureRanges(ortSession(t, onnx.SessionConfig{Model: graph}),
		[]int32{int32(min(101, c.Config.VocabSize-2))}, []int32{int32(min(102, c.Config.VocabSize-1))})
	if err != nil {
		t.Fatal(err)
	}
	return ranges
}

// embeddingGraph is the checkpoint's graph up to the pooled vector, for bases, which
// have no heads.
func embeddingGraph(t testing.TB, c *Checkpoint, p Precision) []byte {
	t.Helper()
	g := c.newGraph(p)
	g.ranges = rangesOf(t, c, p)
	pooled := g.toFloat(g.pool(g.encode(c.Config.Pooling() != PoolMean)))
	g.b.Add(onnxpb.Node{Op: "Identity", Inputs: []string{pooled}, Outputs: []string{"embedding"}}, 1)
	g.b.Output("embedding", onnxpb.Float32, onnxpb.Dim{Name: "batch"}, onnxpb.Dim{Size: c.Config.HiddenSize})
	model, err := g.model()
	if err != nil {
		t.Fatal(err)
	}
	return model
}

func largestDifference(a, b []float32) float64 {
	if len(a) != len(b) {
		return math.Inf(1)
	}
	d := 0.0
	for i := range a {
		if x := math.Abs(float64(a[i] - b[i])); !(x <= d) {
			d = x
		}
	}
	return d
}

// The exports were made by PyTorch from the original checkpoints: they are a reference
// for the graph that has nothing in common with this package.
func TestBasesEqualTheirExports(t *testing.T) {
	deps := testenv.Deps(t)
	for _, base := range []struct{ name, texts string }{
		{"bge-small-en-v1.5", "ids-en.json"},
		{"all-minilm-l6-v2", "ids-en.json"},
		{"bge-small-zh-v1.5", "ids-zh.json"},
	} {
		t.Run(base.name, func(t *testing.T) {
			c, err := Open(filepath.Join(deps, "bases", base.name), nil)
			if err != nil {
				t.Fatal(err)
			}
			texts := readTexts(t, base.texts)
			texts = texts[:min(len(texts), 16)]
			export := ortSession(t, onnx.SessionConfig{Model: testenv.BaseExport(t, base.name)})
			want, err := export.Run(batchOf(texts, 0))
			if err != nil {
				t.Fatal(err)
			}
			hidden := c.Config.HiddenSize
			for _, pooling := range []Pooling{PoolCLS, PoolMean} {
				c.Config.Barograph = &Bundle{Pooling: pooling}
				got, err := ortSession(t, onnx.SessionConfig{Model: embeddingGraph(t, c, FP32)}).Run(batchOf(texts, 0))
				if err != nil {
					t.Fatal(err)
				}
				for i, x := range texts {
					if d := largestDifference(got[0].Row(i), poolTokens(want[0].Row(i), len(x.IDs), hidden, pooling)); !(d < 1e-4) {
						t.Errorf("%s pooling of %q: differs from the export by %g", pooling, x.Text, d)
					}
				}
			}
		})
	}
}

// poolTokens pools one text's token vectors, [seq, hidden], of which the first n are real.
func poolTokens(tokens []float32, n, hidden int, p Pooling) []float32 {
	out := slices.Clone(tokens[:hidden])
	if p == PoolCLS {
		return out
	}
	for i := range out {
		sum := 0.0
		for t := range n {
			sum += float64(tokens[t*hidden+i])
		}
		out[i] = float32(sum / float64(n))
	}
	return out
}
