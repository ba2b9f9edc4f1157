package bert

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/wordpiece"
	"github.com/barograph/barograph/internal/testenv"
)

// chineseTexts are investors' comments of the shared data, which may not be copied here.
func chineseTexts(t testing.TB, n int) []tokenised {
	t.Helper()
	f, err := os.Open(filepath.Join(testenv.Data(t), "finfe-zh-sentiment", "train.csv"))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(testenv.Deps(t), "bases", "bge-small-zh-v1.5", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := wordpiece.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	var texts []tokenised
	for i := 1; i < len(rows) && len(texts) < n; i += 41 { // spread over the file, which is ordered
		x := tokenised{Text: rows[i][0], IDs: []int64{101}}
		for _, id := range tokenizer.Encode(nil, rows[i][0]) {
			x.IDs = append(x.IDs, int64(id))
		}
		x.IDs = append(x.IDs[:min(len(x.IDs), 127)], 102)
		texts = append(texts, x)
	}
	return texts
}

// int8 may change few labels of real texts: the accuracy it costs is in the model cards.
func TestInt8AgreesWithFloat(t *testing.T) {
	for lang, texts := range map[string]func() []tokenised{
		"en": func() []tokenised { return readTexts(t, "ids-en.json") },
		"zh": func() []tokenised { return chineseTexts(t, 240) },
	} {
		t.Run(lang, func(t *testing.T) {
			c := openModel(t, lang)
			texts := texts()
			labels := map[Precision][][]int{}
			for _, p := range []Precision{FP32, INT8} {
				model, err := c.Graph(p)
				if err != nil {
					t.Fatal(err)
				}
				labels[p] = classify(t, ortSession(t, onnx.SessionConfig{Model: model}), texts)
			}
			for head, want := range labels[FP32] {
				same := 0
				for i, label := range labels[INT8][head] {
					if label == want[i] {
						same++
					}
				}
				share := float64(same) / float64(len(want))
				t.Logf("%s: %.1f %% of %d labels agree", c.Heads()[head].Task, 100*share, len(want))
				if share < 0.98 {
					t.Errorf("%s: only %d of %d labels agree", c.Heads()[head].Task, same, len(want))
				}
			}
		})
	}
}

// classify labels texts in batches of 32, by head and text.
func classify(t testing.TB, s *onnx.Session, texts []tokenised) [][]int {
	t.Helper()
	labels := make([][]int, len(s.Outputs()))
	for from := 0; from < len(texts); from += 32 {
		batch := batchOf(texts[from:min(from+32, len(texts))], 0)
		out, err := s.Run(batch)
		if err != nil {
			t.Fatal(err)
		}
		for o, logits := range out {
			for i := range batch.Rows {
				labels[o] = append(labels[o], argmax(logits.Row(i)))
			}
		}
	}
	return labels
}

func argmax(logits []float32) int {
	best := 0
	for i, v := range logits {
		if v > logits[best] {
			best = i
		}
	}
	return best
}
