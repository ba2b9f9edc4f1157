package step

import (
	"testing"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
)

func runtimeOf(t testing.TB) *onnx.Runtime {
	t.Helper()
	library, err := onnx.Find()
	if err != nil {
		t.Fatal(err)
	}
	r, err := onnx.Open(library)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestSmoke(t *testing.T) {
	base, err := bert.Open("../../classify/bert/testdata/tiny/bases/base", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, mode := range []Mode{LoRA, Full, HeadOnly} {
		tr, err := New(Config{Base: base, Runtime: runtimeOf(t), Device: onnx.CPU, Mode: mode, Dropout: 0.1, Embeddings: true, Heads: []Head{{"sentiment", 3}, {"topic", 5}}, ClipNorm: 1})
		if err != nil {
			t.Fatal(err)
		}
		b := Batch{Rows: 2, Cols: 8, IDs: make([]int64, 16), Mask: make([]int64, 16), Targets: map[string][]float32{"sentiment": {1, 0, 0, 0, 1, 0}}}
		for i := range b.IDs {
			b.IDs[i] = int64(i)
			b.Mask[i] = 1
		}
		for range 30 {
			loss, err := tr.Accumulate(b)
			if err != nil {
				t.Fatal(err)
			}
			n, err := tr.Update(1e-2)
			t.Log(loss, n, err)
		}
		p, err := tr.Predict(b)
		t.Log(p, err)
		if err := tr.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
