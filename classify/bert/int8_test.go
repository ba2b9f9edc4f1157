package bert

import (
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/wordpiece"
	"github.com/barograph/barograph/internal/testenv"
)

// dataTexts are some n texts of the shared data, which may not all be copied here.
func dataTexts(t testing.TB, base, set string, n int) []tokenised {
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
	raw, err := os.ReadFile(filepath.Join(testenv.Deps(t), "bases", base, "tokenizer.json"))
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
	for lang, tasks := range map[string]map[string]func(*testing.T) []tokenised{
		"en": {
			"sentiment": func(t *testing.T) []tokenised { return readTexts(t, "ids-en.json") },
			"topic":     func(t *testing.T) []tokenised { return dataTexts(t, "bge-small-en-v1.5", "tfn-topic", 200) },
		},
		"zh": {
			"sentiment": func(t *testing.T) []tokenised { return dataTexts(t, "bge-small-zh-v1.5", "finfe-zh-sentiment", 200) },
			"topic":     func(t *testing.T) []tokenised { return dataTexts(t, "bge-small-zh-v1.5", "finnl-zh-topic", 200) },
		},
	} {
		c := openModel(t, lang)
		sessions := map[Precision]*onnx.Session{}
		for _, p := range []Precision{FP32, INT8} {
			model, err := c.Graph(p, rangesOf(t, c, p))
			if err != nil {
				t.Fatal(err)
			}
			sessions[p] = ortSession(t, onnx.SessionConfig{Model: model})
		}
		for task, texts := range tasks {
			t.Run(lang+"/"+task, func(t *testing.T) {
				texts := texts(t)
				want, got := classify(t, sessions[FP32], texts, task), classify(t, sessions[INT8], texts, task)
				same := 0
				for i := range want {
					if got[i] == want[i] {
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
}

// Own products change no bit: the sums are of whole numbers, and what follows is the same.
func TestOwnProductsChangeNoLogit(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		c := openModel(t, lang)
		ranges, texts := rangesOf(t, c, INT8), readTexts(t, "ids-"+lang+".json")
		var logits [2][]float32
		for i, p := range []Precision{INT8, INT8VNNI} {
			model, err := c.Graph(p, ranges)
			if err != nil {
				t.Fatal(err)
			}
			s := ortSession(t, onnx.SessionConfig{Model: model})
			for batch := range slices.Chunk(texts, 50) {
				out, err := s.Run(batchOf(batch, 0))
				if err != nil {
					t.Fatal(err)
				}
				for _, head := range out {
					logits[i] = append(logits[i], head.Data...)
				}
			}
		}
		if !slices.Equal(logits[0], logits[1]) {
			t.Errorf("%s: logits of %d texts are others with own products", lang, len(texts))
		}
	}
	odd := openTiny(t, "hub")
	odd.Config.IntermediateSize = 26
	if odd.newGraph(INT8VNNI).vnni {
		t.Error("own products of 26 numbers, which read four at a time")
	}
}

// Without the ranges of the channels, int8's logits are half as far again from fp32's, over all texts, heads and
// both bundles: those of 64 texts and a head stray by a third from one kind of processor to another.
func TestRangesSteadyTheRounding(t *testing.T) {
	var all [2]float64 // with and without, of both bundles
	for _, lang := range []string{"en", "zh"} {
		c := openModel(t, lang)
		if _, err := c.Graph(INT8, nil); err == nil || !strings.Contains(err.Error(), embeddingsNorm) {
			t.Errorf("int8 without ranges: error %v, want one that names the first of them", err)
		}
		measured, flat := rangesOf(t, c, INT8), Ranges{}
		for norm, channels := range measured {
			flat[norm] = slices.Repeat([]float32{1}, len(channels))
		}
		texts := readTexts(t, "ids-"+lang+".json")
		slices.SortStableFunc(texts, func(a, b tokenised) int { return len(a.IDs) - len(b.IDs) })
		logits := func(p Precision, ranges Ranges) (all []float32) {
			model, err := c.Graph(p, ranges)
			if err != nil {
				t.Fatal(err)
			}
			s := ortSession(t, onnx.SessionConfig{Model: model})
			for batch := range slices.Chunk(texts, 64) {
				out, err := s.Run(batchOf(batch, 0))
				if err != nil {
					t.Fatal(err)
				}
				for _, head := range out {
					all = append(all, head.Data...)
				}
			}
			return all
		}
		want := logits(FP32, nil)
		apart := func(ranges Ranges) (sum float64) {
			for i, v := range logits(INT8, ranges) {
				sum += math.Pow(float64(v-want[i]), 2)
			}
			return math.Sqrt(sum / float64(len(want)))
		}
		with, without := apart(measured), apart(flat)
		t.Logf("%s: logits move by %.4f with ranges, %.4f without", lang, with, without)
		if !(with < .8*without) {
			t.Errorf("%s: logits move by %.4f with ranges and %.4f without", lang, with, without)
		}
		all[0], all[1] = all[0]+with*with, all[1]+without*without
	}
	if with, without := math.Sqrt(all[0]/2), math.Sqrt(all[1]/2); !(with < .7*without) {
		t.Errorf("both bundles' logits move by %.4f with ranges and %.4f without", with, without)
	}
}

// classify labels texts in batches of 32 of a length. It sorts them.
func classify(t testing.TB, s *onnx.Session, texts []tokenised, task string) (labels []int) {
	t.Helper()
	slices.SortStableFunc(texts, func(a, b tokenised) int { return len(a.IDs) - len(b.IDs) })
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

// Graphs of today are read from the files of .compiled by the version in their names: it is to be
// raised (classify/compile.go, graphVersion) when this graph changes, or what its operators make of it.
func TestTheGraphOfThisVersion(t *testing.T) {
	c := openTiny(t, "hub")
	ranges := Ranges{}
	for norm, channels := range rangesOf(t, c, INT8) {
		ranges[norm] = slices.Repeat([]float32{1}, len(channels)) // measured ones differ by processor
	}
	for p, want := range map[Precision]string{FP32: "dbfa20b3292661c8", FP16: "8916a307eb833976", INT8: "dfd49632b5314ca8", INT8VNNI: "58437936bae188e5"} {
		model, err := c.Graph(p, ranges)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(model))[:16]; got != want {
			t.Errorf("%s: graph %s, where version 4 was %s: raise graphVersion in classify/compile.go", p, got, want)
		}
	}
}
