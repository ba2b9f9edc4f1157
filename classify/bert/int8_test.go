package bert

import (
	"encoding/csv"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/wordpiece"
	"github.com/barograph/barograph/internal/testenv"
)

// chineseTexts are texts of the shared data, which may not be copied here.
func chineseTexts(t testing.TB, set string, n int) []tokenised {
	t.Helper()
	f, err := os.Open(filepath.Join(testenv.Data(t), set, "train.csv"))
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
	for i := 1; i < len(rows); i += len(rows) / n { // spread over the file, which is ordered
		x := tokenised{Text: rows[i][0], IDs: []int64{101}}
		for _, id := range tokenizer.Encode(nil, rows[i][0]) {
			x.IDs = append(x.IDs, int64(id))
		}
		x.IDs = append(x.IDs[:min(len(x.IDs), 127)], 102)
		texts = append(texts, x)
	}
	return texts
}

// int8 may change few labels of real texts: what accuracy that costs is for the model
// cards. Each head reads texts of the kind that it was trained on.
func TestInt8AgreesWithFloat(t *testing.T) {
	for _, x := range []struct {
		lang, task string
		texts      func() []tokenised
	}{
		{"en", "sentiment", func() []tokenised { return readTexts(t, "ids-en.json") }},
		{"en", "topic", func() []tokenised { return readTexts(t, "ids-en.json") }},
		{"zh", "sentiment", func() []tokenised { return chineseTexts(t, "finfe-zh-sentiment", 240) }},
		{"zh", "topic", func() []tokenised { return chineseTexts(t, "finnl-zh-topic", 240) }},
	} {
		t.Run(x.lang+"/"+x.task, func(t *testing.T) {
			c, texts := openModel(t, x.lang), x.texts()
			labels := map[Precision][]int{}
			for _, p := range []Precision{FP32, INT8} {
				model, err := c.Graph(p)
				if err != nil {
					t.Fatal(err)
				}
				labels[p] = classify(t, ortSession(t, onnx.SessionConfig{Model: model}), texts, x.task)
			}
			same := 0
			for i, label := range labels[INT8] {
				if label == labels[FP32][i] {
					same++
				}
			}
			t.Logf("%d of %d labels agree", same, len(texts))
			if float64(same) < 0.98*float64(len(texts)) {
				t.Errorf("only %d of %d labels agree", same, len(texts))
			}
		})
	}
}

// classify labels texts in batches of 32.
func classify(t testing.TB, s *onnx.Session, texts []tokenised, task string) (labels []int) {
	t.Helper()
	head := slices.Index(s.Outputs(), task)
	for from := 0; from < len(texts); from += 32 {
		batch := batchOf(texts[from:min(from+32, len(texts))], 0)
		out, err := s.Run(batch)
		if err != nil {
			t.Fatal(err)
		}
		for i := range batch.Rows {
			labels = append(labels, argmax(out[head].Row(i)))
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
