package bert

import (
	"path/filepath"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/internal/testenv"
)

// openModel opens one of the repository's own bundles on the imported bases.
func openModel(t testing.TB, lang string) *Checkpoint {
	t.Helper()
	dir := filepath.Join(testenv.Root(t), "models", lang)
	c, err := Open(dir, []string{filepath.Join(testenv.Deps(t), "bases")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The logits files were computed by transformers and peft from the same adapters: real
// weights, real text, another implementation. An adapter that is trained again needs new
// ones.
func TestModelsGiveTheirTrainersLogits(t *testing.T) {
	within := map[Precision]float64{FP32: 1e-4, FP16: 0.02}
	for _, lang := range []string{"en", "zh"} {
		for p, limit := range within {
			t.Run(lang+"/"+string(p), func(t *testing.T) {
				model, err := openModel(t, lang).Graph(p, nil)
				if err != nil {
					t.Fatal(err)
				}
				s := ortSession(t, onnx.SessionConfig{Model: model})
				texts := readTexts(t, "logits-"+lang+".json")
				got, err := s.Run(batchOf(texts, 0))
				if err != nil {
					t.Fatal(err)
				}
				for i, x := range texts {
					if d := largestDifference(got[0].Row(i), x.Sentiment); !(d < limit) {
						t.Errorf("sentiment of %q differs by %g: %v, want %v", x.Text, d, got[0].Row(i), x.Sentiment)
					}
					if d := largestDifference(got[1].Row(i), x.Topic); !(d < limit) {
						t.Errorf("topic of %q differs by %g", x.Text, d)
					}
				}
			})
		}
	}
}
