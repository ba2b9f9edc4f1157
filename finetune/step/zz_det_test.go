package step
import ("testing";"math/rand/v2";"slices";"github.com/barograph/barograph/classify/bert";"github.com/barograph/barograph/classify/onnx")
func TestDet(t *testing.T) {
	base, err := bert.Open("../../.deps/bases/all-minilm-l6-v2", nil)
	if err != nil { t.Fatal(err) }
	for _, mode := range []Mode{LoRA, Full} {
		var last []float32
		for range 2 {
			tr := newTrainer(t, Config{Base: base, Runtime: openRuntime(t), Device: onnx.CPU, Threads: 2, Mode: mode, Embeddings: true, Dropout: 0.1, Heads: []Head{{"sentiment", 3}, {"topic", 20}}, ClipNorm: 1})
			rows, cols := 16, 32
			x := Batch{Rows: rows, Cols: cols, Targets: map[string][]float32{"sentiment": make([]float32, 3*rows)}}
			r := rand.New(rand.NewPCG(1,1))
			for range rows*cols { x.IDs = append(x.IDs, r.Int64N(20000)); x.Mask = append(x.Mask, 1) }
			for i := range rows { x.Targets["sentiment"][3*i] = 1/float32(rows) }
			for range 4 { if _, err := tr.Accumulate(x); err != nil { t.Fatal(err) }; tr.Update(1e-3) }
			t.Log(mode, last != nil && slices.Equal(last, tr.values))
			last = tr.values
		}
	}
}
