package classify

import (
	"context"
	"crypto/sha256"
	"encoding/csv"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// realConfig runs the repository's own bundles on the CPU.
func realConfig(t testing.TB, precision bert.Precision) ModelConfig {
	deps := testenv.Deps(t)
	return ModelConfig{Bases: []string{filepath.Join(deps, "bases")}, Library: filepath.Join(deps, "onnxruntime", "libonnxruntime.so"),
		Device: onnx.CPU, Precision: precision, Threads: 1, Log: slog.New(slog.DiscardHandler)}
}

func bundle(t testing.TB, lang string) string {
	return filepath.Join(testenv.Root(t), "models", lang)
}

func openReal(t testing.TB, lang string, precision bert.Precision) *Model {
	t.Helper()
	m, err := OpenModel(bundle(t, lang), realConfig(t, precision))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestTheBundlesReadBothLanguages(t *testing.T) {
	s, err := New(Config{Bundles: []string{bundle(t, "en"), bundle(t, "zh")}, Model: realConfig(t, "")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for text, want := range map[string][3]string{
		"Tesla shares plunge after massive recall and profit warning https://t.co/x": {"en", "negative", "en"},
		"Nvidia beats estimates, raises guidance, stock jumps to record high":        {"en", "positive", "en"},
		"$AAPL: price target cut at Morgan Stanley, downgraded to underweight":       {"en", "negative", "en"},
		"Board of directors to meet on Tuesday":                                      {"en", "neutral", "en"},
		"这票没救了，主力出货，明天跌停":                                                            {"zh", "negative", "zh"},
		"$BABA 大跌，散户亏惨了":                                                             {"zh", "negative", "zh"},
		"业绩大增，强势涨停，明天继续大涨":                                                           {"zh", "positive", "zh"},
	} {
		readings, errs := read(t, s, news.Item{ID: "1", Text: text})
		if errs[0] != nil {
			t.Errorf("%s: %v", text, errs[0])
			continue
		}
		r := readings[0]
		if got := [3]string{r.Lang, r.Sentiment.Label(), r.Model.Name}; got != want {
			t.Errorf("%s: got %v %v, want %v", text, got, r.Sentiment, want)
		}
		if sum := r.Sentiment.Negative + r.Sentiment.Neutral + r.Sentiment.Positive; math.Abs(sum-1) > 1e-9 {
			t.Errorf("%s: probabilities sum to %v", text, sum)
		}
		if r.Topic.Label == "" || r.Topic.Probability <= 0 || len(r.Model.Digest) != 64 {
			t.Errorf("%s: %+v", text, r)
		}
	}
}

// TestCompaniesAreReadEachByItself by the bundle that is for that: what is bad for one is not bad for
// the other.
func TestCompaniesAreReadEachByItself(t *testing.T) {
	m := openReal(t, "en-company", bert.INT8)
	for text, want := range map[string]map[string]string{
		"Nokia falls as Ericsson wins order":                      {"Nokia": "negative", "Ericsson": "positive"},
		"Ericsson wins order as Nokia falls":                      {"Nokia": "negative", "Ericsson": "positive"},
		"Infosys shares surge while Wipro slumps on weak results": {"Infosys": "positive", "Wipro": "negative"},
	} {
		for company, label := range want {
			predictions, errs := m.PredictFor([]string{text}, []string{company})
			if errs[0] != nil {
				t.Fatal(errs[0])
			}
			if got := m.Bundle.Heads[0].Labels[argmax(predictions[0][0])]; got != label {
				t.Errorf("%s: %s for %s, want %s", text, got, company, label)
			}
		}
	}
}

// TestHeadlinesOfSeveralCompanies by the bundles that serve by default: each company has its sentiment, and
// the topic is the text's.
func TestHeadlinesOfSeveralCompanies(t *testing.T) {
	s, err := New(Config{Bundles: []string{bundle(t, "en"), bundle(t, "zh"), bundle(t, "en-company")}, Model: realConfig(t, "")})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	text := "Nokia falls as Ericsson wins order"
	readings, errs := readAll(t, s, news.Item{ID: "1", Text: text}, news.Item{ID: "2", Text: text, Entities: []string{"Nokia"}},
		news.Item{ID: "3", Text: text, Entities: []string{"Nokia", "Ericsson"}})
	for i, want := range [][]string{{"en negative"}, {"en negative"}, {"en negative", "en-company negative", "en-company positive"}} {
		var got []string
		for _, r := range readings[i] {
			got = append(got, r.Model.Name+" "+r.Sentiment.Label())
			if r.Topic != readings[0][0].Topic || r.Topic.Label == "" {
				t.Errorf("item %d, %v: topic %v, want that of the text, %v", i, r.Entities, r.Topic, readings[0][0].Topic)
			}
		}
		if errs[i] != nil || !slices.Equal(got, want) {
			t.Errorf("item %d: %q, %v, want %q", i, got, errs[i], want)
		}
	}
}

// validation is the rows of a data set that the bundles were not trained on: the first
// byte of the SHA-256 of the raw text is below 26.
func validation(t testing.TB, set string, most int) (texts, labels []string) {
	f, err := os.Open(filepath.Join(testenv.Data(t), set, "train.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	rows = rows[1:]
	for i, row := range rows {
		held := sha256.Sum256([]byte(row[0]))[0] < 26
		if set == "finfe-zh-sentiment" {
			held = i >= len(rows)-len(rows)/10
		}
		if held && len(texts) < most && !slices.Contains(texts, row[0]) {
			texts, labels = append(texts, row[0]), append(labels, row[1])
		}
	}
	return texts, labels
}

// TestInt8CostsLittle: on validation rows int8 says what fp32 says, nearly always.
func TestInt8CostsLittle(t *testing.T) {
	for lang, c := range map[string]struct {
		set      string
		accuracy float64
	}{"en": {"tfns-sentiment", .82}, "zh": {"finfe-zh-sentiment", .65}} {
		texts, labels := validation(t, c.set, 300)
		var evaluations []Evaluation
		var said [][]int
		for _, precision := range []bert.Precision{bert.FP32, bert.INT8} {
			m := openReal(t, lang, precision)
			head := m.Bundle.Heads[m.Bundle.head(taskSentiment)]
			predictions, errs := m.Predict(texts)
			var truth []int
			var p [][]float64
			var classes []int
			for i := range texts {
				if errs[i] != nil {
					t.Fatalf("%q: %v", texts[i], errs[i])
				}
				truth = append(truth, slices.Index(head.Labels, labels[i]))
				p = append(p, predictions[i][m.Bundle.head(taskSentiment)])
				classes = append(classes, argmax(p[i]))
			}
			e, err := Evaluate(head.Labels, truth, p)
			if err != nil {
				t.Fatal(err)
			}
			evaluations, said = append(evaluations, e), append(said, classes)
		}
		same := 0
		for i := range texts {
			if said[0][i] == said[1][i] {
				same++
			}
		}
		agreement := float64(same) / float64(len(texts))
		t.Logf("%s, %d rows: accuracy fp32 %.3f, int8 %.3f; macro-F1 %.3f, %.3f; ECE %.3f, %.3f; same label %.3f", lang, len(texts),
			evaluations[0].Accuracy, evaluations[1].Accuracy, evaluations[0].MacroF1, evaluations[1].MacroF1, evaluations[0].ECE, evaluations[1].ECE, agreement)
		if evaluations[0].Accuracy < c.accuracy {
			t.Errorf("%s: accuracy %.3f is below %.2f", lang, evaluations[0].Accuracy, c.accuracy)
		}
		if agreement < .98 || evaluations[1].Accuracy < evaluations[0].Accuracy-.02 {
			t.Errorf("%s: int8 agrees with fp32 on %.3f, accuracy %.3f against %.3f", lang, agreement, evaluations[1].Accuracy, evaluations[0].Accuracy)
		}
	}
}

// A text's probabilities are the same alone and in a batch, in int8 too, where each token
// is rounded by a scale of its own.
func TestAReadingDoesNotDependOnItsCompany(t *testing.T) {
	const most = 1e-4
	for _, precision := range []bert.Precision{bert.FP32, bert.INT8} {
		for lang, set := range map[string]string{"en": "tfns-sentiment", "zh": "finfe-zh-sentiment"} {
			texts, _ := validation(t, set, 64)
			m := openReal(t, lang, precision)
			together, _ := m.Predict(texts)
			worst, sum, turned := 0.0, 0.0, 0
			for i, text := range texts {
				alone, errs := m.Predict([]string{text})
				if errs[0] != nil {
					t.Fatal(errs[0])
				}
				apart := 0.0
				for c := range alone[0][0] {
					apart = max(apart, math.Abs(alone[0][0][c]-together[i][0][c]))
				}
				worst, sum = max(worst, apart), sum+apart
				if argmax(alone[0][0]) != argmax(together[i][0]) {
					turned++
				}
			}
			t.Logf("%s %s: alone and in company a probability differs by %.6f at most, %.6f in the mean; %d of %d labels turn",
				lang, precision, worst, sum/float64(len(texts)), turned, len(texts))
			if worst > most {
				t.Errorf("%s %s: a probability moves by %.4f with the text's company, more than %g", lang, precision, worst, most)
			}
		}
	}
}

func TestLongRealTextsAreReadWhole(t *testing.T) {
	m := openReal(t, "en", bert.FP32)
	calm := strings.Repeat("The company held its annual meeting on Tuesday and published the minutes. ", 60)
	bad := strings.Repeat("Shares plunge after a profit warning and a massive recall. ", 60)
	predictions, errs := m.Predict([]string{calm, calm + bad, bad})
	for i, err := range errs {
		if err != nil {
			t.Fatal(i, err)
		}
	}
	negative := slices.Index(m.Bundle.Heads[0].Labels, "negative")
	a, b, c := predictions[0][0][negative], predictions[1][0][negative], predictions[2][0][negative]
	if !(a < b && b < c && b > .2) {
		t.Errorf("negative: calm %.3f, calm then bad %.3f, bad %.3f: the end was not read", a, b, c)
	}
}

// TestACompiledFileIsKeptAndMended: the second start uses the first's file, and a broken
// one is built again.
func TestACompiledFileIsKeptAndMended(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(bundle(t, "zh"))); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(dir, ".compiled")); err != nil {
		t.Fatal(err)
	}
	open := func() []string {
		t.Helper()
		m, err := OpenModel(dir, realConfig(t, bert.INT8))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		files, _ := filepath.Glob(filepath.Join(dir, ".compiled", "*"))
		return files
	}
	files := open()
	if len(files) != 1 {
		t.Fatalf("compiled files: %v", files)
	}
	first, _ := os.Stat(files[0])
	open()
	if second, _ := os.Stat(files[0]); !os.SameFile(first, second) || !first.ModTime().Equal(second.ModTime()) {
		t.Error("the file was written again")
	}
	if err := os.Truncate(files[0], first.Size()/2); err != nil {
		t.Fatal(err)
	}
	open()
	if mended, _ := os.Stat(files[0]); mended.Size() != first.Size() {
		t.Errorf("the broken file has %d bytes after another start, want %d", mended.Size(), first.Size())
	}
	// Where the folder does not take it, the user's cache folder does.
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	if err := os.RemoveAll(filepath.Join(dir, ".compiled")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".compiled", "a file in the way")
	open()
	if kept, _ := filepath.Glob(filepath.Join(cache, "barograph", "compiled", "*", "*.onnx")); len(kept) != 1 {
		t.Errorf("in the user's cache folder are %v", kept)
	}
	// And where neither does, the bundle still opens.
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, ".compiled"))
	open()
}

// TestAnExportRunsAsItIs: a compiled graph with config and tokenizer beside it is a user's
// own classifier, and reads as the checkpoint does.
func TestAnExportRunsAsItIs(t *testing.T) {
	checkpoint, err := bert.Open(bundle(t, "zh"), realConfig(t, "").Bases)
	if err != nil {
		t.Fatal(err)
	}
	graph, err := checkpoint.Graph(bert.FP32, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, dir, "model.onnx", string(graph))
	write(t, dir, "config.json", fmt.Sprintf(`{"barograph":{"heads":[{"task":"sentiment","labels":["Negative","Neutral","Positive"],"temperature":%v}]}}`,
		checkpoint.Heads()[0].Temperature))
	tokenizer, err := os.ReadFile(filepath.Join(testenv.Deps(t), "bases", "bge-small-zh-v1.5", "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "tokenizer.json", string(tokenizer))
	own, err := OpenModel(dir, realConfig(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	if _, err := os.Stat(filepath.Join(dir, ".compiled")); err == nil {
		t.Error("an export was compiled")
	}
	text := []string{"这票没救了，主力出货，明天跌停"}
	got, errs := own.Predict(text)
	want, _ := openReal(t, "zh", bert.FP32).Predict(text)
	if errs[0] != nil || fmt.Sprintf("%.4f", got[0][0]) != fmt.Sprintf("%.4f", want[0][0]) {
		t.Errorf("the export reads %.4f (%v), the checkpoint %.4f", got, errs[0], want[0][0])
	}
}

// BenchmarkStage is the whole stage on real tweets, one thread.
func BenchmarkStage(b *testing.B) {
	texts, _ := validation(b, "tfns-sentiment", 512)
	for _, precision := range []bert.Precision{bert.FP32, bert.INT8} {
		b.Run(string(precision), func(b *testing.B) {
			s, err := New(Config{Bundles: []string{bundle(b, "en")}, Model: realConfig(b, precision), Copies: -1})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			n := 0
			for b.Loop() {
				for _, err := range s.Classify(context.Background(), items(texts)) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "texts/s")
		})
	}
}

func items(texts []string) func(func(news.Item) bool) {
	return func(yield func(news.Item) bool) {
		for i, text := range texts {
			if !yield(news.Item{ID: fmt.Sprint(i), Text: text}) {
				return
			}
		}
	}
}
