package finetune

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"image/png"
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/finetune/step"
	"github.com/barograph/barograph/internal/testenv"
)

// tweets are the sample's rows from first to before last.
func tweets(t testing.TB, first, last int) Source {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", "tweets.csv"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []Row
	for i, r := range records[1:] {
		all = append(all, Row{At: "line " + strconv.Itoa(i+2), Fields: map[string]string{"text": r[0], "sentiment": r[1]}})
	}
	return Source{Task: "sentiment", Name: "tweets.csv", Rows: slices.Values(all[first:last])}
}

// sampleConfig trains MiniLM on one core, on so many of the sample's first rows, and
// validates on some of the rest.
func sampleConfig(t testing.TB, train, valid int) Config {
	deps := testenv.Deps(t)
	s := Defaults(step.LoRA)
	s.Epochs, s.Batch, s.Rate, s.MaxTokens = 4, 16, 2e-3, 64
	return Config{
		Base: filepath.Join(deps, "bases", "all-minilm-l6-v2"), Out: filepath.Join(t.TempDir(), "bundle"),
		Train: []Source{tweets(t, 0, train)}, Valid: []Source{tweets(t, train, train+valid)}, Settings: s, Languages: []string{"en"},
		Library: filepath.Join(deps, "onnxruntime", "libonnxruntime.so"), Device: onnx.CPU, Threads: 1, Log: slog.New(slog.DiscardHandler),
	}
}

// TestTrainingTeaches: on 330 tweets, macro-F1 of three equally frequent labels rises from
// that of the untrained heads by 0.2 at least.
func TestTrainingTeaches(t *testing.T) {
	c, untrained := sampleConfig(t, 330, 120), sampleConfig(t, 16, 120)
	untrained.Valid = []Source{tweets(t, 330, 450)}
	untrained.Settings.Updates, untrained.Settings.Rate = 1, 1e-12
	before, err := Run(t.Context(), untrained)
	if err != nil {
		t.Fatal(err)
	}
	after, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	was, is := before.Measures[0].Evaluation, after.Measures[0].Evaluation
	t.Logf("macro-F1 %.3f before, %.3f after training (%s)", was.MacroF1, is.MacroF1, after.Measures[0].Precision)
	if is.MacroF1 < was.MacroF1+0.2 {
		t.Errorf("macro-F1 is %.3f after training, %.3f before", is.MacroF1, was.MacroF1)
	}
	card, err := os.ReadFile(filepath.Join(c.Out, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"tweets.csv", "all-minilm-l6-v2", "| sentiment | int8 |", "330", "language: [en]"} {
		if !strings.Contains(string(card), want) {
			t.Errorf("the card does not have %q:\n%s", want, card)
		}
	}
	for _, name := range []string{"metrics.csv", "metrics.png", "tokenizer.json", "adapter_model.safetensors", "config.json"} {
		if _, err := os.Stat(filepath.Join(c.Out, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(c.Out, checkpointsName)); err == nil {
		t.Error("checkpoints are left after the end")
	}
}

// TestTheFolderSaysWhatTheTrainerSaid, in each mode: the bundle that classify/bert reads
// back has the trainer's logits.
func TestTheFolderSaysWhatTheTrainerSaid(t *testing.T) {
	for name, mode := range map[string]step.Mode{"LoRA": step.LoRA, "full": step.Full, "heads": step.HeadOnly} {
		t.Run(name, func(t *testing.T) {
			c := sampleConfig(t, 64, 32)
			rate := c.Settings.Rate
			c.Settings.Mode, c.Settings.Updates = mode, 4
			if mode == step.Full {
				rate = 5e-5
			}
			c.Settings.Rate = rate
			j := &job{Config: c}
			logits := trainJob(t, j)
			if err := os.MkdirAll(c.Out, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := j.writeBundle(c.Out); err != nil {
				t.Fatal(err)
			}
			compareLogits(t, j, logits)
		})
	}
}

// trainJob trains and gives the trainer's logits of the validation rows.
func trainJob(t *testing.T, j *job) [][][]float32 {
	t.Helper()
	if err := j.prepare(); err != nil {
		t.Fatal(err)
	}
	runtime, err := j.openRuntime()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { runtime.Close() })
	j.runtime = runtime
	if err := j.train(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.trainer.Close() })
	logits, err := predict(j.trainer, j.heads, j.data.valid)
	if err != nil {
		t.Fatal(err)
	}
	return logits
}

func compareLogits(t *testing.T, j *job, want [][][]float32) {
	t.Helper()
	checkpoint, err := bert.Open(j.Out, []string{filepath.Dir(j.base.dir)})
	if err != nil {
		t.Fatal(err)
	}
	graph, err := checkpoint.Graph(bert.FP32, nil)
	if err != nil {
		t.Fatal(err)
	}
	session, err := j.runtime.NewSession(onnx.SessionConfig{Model: graph, Device: onnx.CPU, Threads: 1, Log: j.Log})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	for i, e := range j.data.valid {
		b := layOut([]*Example{e})
		got, err := session.Run(onnx.Batch{Rows: 1, Cols: b.Cols, IDs: b.IDs, Mask: b.Mask, Types: b.Types})
		if err != nil {
			t.Fatal(err)
		}
		for h := range j.heads {
			for k, x := range got[h].Row(0) {
				if math.Abs(float64(x-want[h][i][k])) > 1e-4 {
					t.Fatalf("%.40q: the folder's logits are %v, the trainer's %v", e.Text, got[h].Row(0), want[h][i])
				}
			}
		}
	}
}

// TestABundleIsTrainedFurther from the adapter and heads of what is live in its place: with no
// update to speak of, it says what it said.
func TestABundleIsTrainedFurther(t *testing.T) {
	c := sampleConfig(t, 64, 32)
	c.Settings.Updates, c.Settings.Rank, c.Settings.LoRADropout = 6, 4, 0.05
	first := &job{Config: c}
	want := trainJob(t, first)
	if err := errors.Join(os.MkdirAll(c.Out, 0o755), first.writeBundle(c.Out)); err != nil {
		t.Fatal(err)
	}
	next := sampleConfig(t, 64, 32)
	next.Base, next.Bases = filepath.Join(t.TempDir(), "slot"), []string{filepath.Dir(c.Base)}
	live, err := classify.OpenBundle(c.Out, next.Bases)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := classify.Promote(next.Base, live, time.Now(), func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	next.Valid[0].SHA256 = "others"
	next.Settings.Updates, next.Settings.Rate = 1, 1e-9
	second := &job{Config: next}
	got := trainJob(t, second)
	if s := second.Settings; s.Rank != 4 || s.LoRADropout != 0.05 || second.base.name != "all-minilm-l6-v2" {
		t.Errorf("rank %d and dropout %g on %s; the bundle's are 4, 0.05 and all-minilm-l6-v2", s.Rank, s.LoRADropout, second.base.name)
	}
	for i := range want[0] {
		for k := range want[0][i] {
			if math.Abs(float64(want[0][i][k]-got[0][i][k])) > 1e-4 {
				t.Fatalf("row %d: logits %v, the bundle's are %v", i, got[0][i], want[0][i])
			}
		}
	}
}

// TestAPromotedBundleKeepsItsNameAsABase: it lies in a folder that is named by its digest, which
// says nothing to who reads the card or looks for the base.
func TestAPromotedBundleKeepsItsNameAsABase(t *testing.T) {
	c := sampleConfig(t, 1, 1)
	whole := filepath.Join(t.TempDir(), "whole")
	words, lines := []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]"}, []string(nil)
	for i := range 36 {
		words = append(words, fmt.Sprint("w", i))
		lines = append(lines, fmt.Sprintf("w%d w%d|%s", i, i*7%36, sentiment.Labels[i%3]))
	}
	err := errors.Join(os.CopyFS(whole, os.DirFS(filepath.Join("..", "classify", "bert", "testdata", "tiny", "brain-cls"))),
		os.WriteFile(filepath.Join(whole, "vocab.txt"), []byte(strings.Join(words, "\n")), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	b, err := classify.OpenBundle(whole, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Base = filepath.Join(t.TempDir(), "slot")
	if _, err := classify.Promote(c.Base, b, time.Now(), func(string) error { return nil }); err != nil {
		t.Fatal(err)
	}
	c.Train, c.Valid = []Source{{Task: "sentiment", Name: "a.csv", Rows: rows(lines[:30]...)}}, []Source{{Task: "sentiment", Name: "b.csv", Rows: rows(lines[30:]...)}}
	c.Settings.Updates = 1
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	card, err := os.ReadFile(filepath.Join(c.Out, "README.md"))
	if r.Base != b.Name || err != nil || !strings.Contains(string(card), "base_model: "+b.Name+"\n") || strings.Contains(string(card), b.Digest[:16]) {
		t.Errorf("the base of %s is called %q (%v):\n%s", b.Name, r.Base, err, card)
	}
	bases := t.TempDir() // where the base is put for serving, by that name
	if err := os.CopyFS(filepath.Join(bases, b.Name), os.DirFS(r.BaseDir)); err != nil {
		t.Fatal(err)
	}
	if _, err := bert.Open(c.Out, []string{bases}); err != nil {
		t.Error(err)
	}
}

// TestAStudentHearsWhatItsTeacherSays of each training text, however the teacher was trained.
func TestAStudentHearsWhatItsTeacherSays(t *testing.T) {
	for name, mode := range map[string]step.Mode{"LoRA": step.LoRA, "full": step.Full, "heads": step.HeadOnly} {
		t.Run(name, func(t *testing.T) {
			c := tinyConfig(t, pairs(0, 40, sentiment.Labels...), pairs(40, 52, sentiment.Labels...))
			c.Settings.Mode, c.Settings.Rate = mode, 2e-2
			teacher := &job{Config: c}
			said := trainJob(t, teacher)
			if err := errors.Join(os.MkdirAll(c.Out, 0o755), teacher.writeBundle(c.Out)); err != nil {
				t.Fatal(err)
			}
			next := tinyConfig(t, c.Valid[0], c.Train[0]) // trained on those that the teacher was asked about above
			next.Teachers, next.Bases, next.Settings.Updates = []string{c.Out}, []string{filepath.Dir(c.Base)}, 1
			student := &job{Config: next}
			trainJob(t, student)
			for i, e := range student.data.train {
				at := slices.IndexFunc(teacher.data.valid, func(v *Example) bool { return v.Text == e.Text })
				want, err := classify.Softmax(said[0][at], 1)
				if err != nil {
					t.Fatal(err)
				}
				for k, p := range e.taught[0] {
					if math.Abs(p-want[k]) > 1e-4 {
						t.Fatalf("row %d is taught %v, the teacher says %v", i, e.taught[0], want)
					}
				}
			}
			if len(student.teachers) != 1 {
				t.Errorf("teachers: %q", student.teachers)
			}
			next = tinyConfig(t, c.Valid[0], c.Train[0])
			next.Teachers, next.Bases = []string{c.Out}, []string{filepath.Dir(c.Base)}
			next.Train[0].Entity, next.Train[0].Rows = "entity", rows("w5 w6|negative|w3", "w6 w5|positive|w3")
			if _, err := Run(t.Context(), next); !errors.Is(err, ErrBase) || !strings.Contains(err.Error(), "teacher "+c.Out+": ") || !strings.Contains(err.Error(), "it reads texts as a whole") {
				t.Errorf("asked toward companies: %v", err)
			}
		})
	}
}

// TestAHeadWithoutRowsIsKept: sentiment is trained on a bundle with two heads, and topic
// goes on saying what it said, on texts that it is held to.
func TestAHeadWithoutRowsIsKept(t *testing.T) {
	c := sampleConfig(t, 64, 32)
	topic := c.Train[0]
	topic.Task, topic.Name = "topic", "topics.csv"
	topic.Rows = func(yield func(Row) bool) {
		tweets(t, 0, 96).Rows(func(r Row) bool {
			label := "Other"
			if strings.HasPrefix(r.Fields["text"], "$") {
				label = "Ticker"
			}
			return yield(Row{At: r.At, Fields: map[string]string{"text": r.Fields["text"], "topic": label}})
		})
	}
	c.Train, c.Valid = append(c.Train, topic), nil
	first := &job{Config: c}
	trainJob(t, first)
	if err := errors.Join(os.MkdirAll(c.Out, 0o755), first.writeBundle(c.Out)); err != nil {
		t.Fatal(err)
	}
	next := sampleConfig(t, 64, 32)
	next.Base, next.Bases, next.Valid[0].SHA256 = c.Out, []string{filepath.Dir(c.Base)}, "others"
	var kept []string
	next.OnData = func(s Summary) { kept = s.Kept }
	second := &job{Config: next}
	logits := trainJob(t, second)
	if !slices.Equal(kept, []string{"topic"}) || len(logits) != 2 {
		t.Fatalf("kept %q of %d heads", kept, len(logits))
	}
	after, err := predict(second.trainer, second.heads, second.data.train)
	if err != nil {
		t.Fatal(err)
	}
	off := 0.0
	for i, e := range second.data.train {
		p, err := classify.Softmax(after[1][i], 1)
		if err != nil {
			t.Fatal(err)
		}
		off += math.Abs(p[0]-e.soft[1][0]) / float64(len(after[1]))
	}
	t.Logf("the topic's probabilities moved by %.3f on average", off)
	if off > 0.05 {
		t.Errorf("the topic's probabilities moved by %.3f on average", off)
	}
}

// TestAKeptHeadSaysWhatItSaidOfTheText: its base never read a company after a text, and what it
// would say of that is nothing to be held to.
func TestAKeptHeadSaysWhatItSaidOfTheText(t *testing.T) {
	c := tinyConfig(t, pairs(0, 40, sentiment.Labels...), pairs(40, 52, sentiment.Labels...))
	for _, of := range []*[]Source{&c.Train, &c.Valid} {
		topic := (*of)[0]
		topic.Task, topic.Label = "topic", "sentiment"
		*of = append(*of, topic)
	}
	c.Settings.Rate = 2e-2
	first := &job{Config: c}
	trainJob(t, first)
	if err := errors.Join(os.MkdirAll(c.Out, 0o755), first.writeBundle(c.Out)); err != nil {
		t.Fatal(err)
	}
	texts := rows("w5 w6|negative|w30", "w6 w5|positive|w31")
	logits, err := predict(first.trainer, first.heads, encoded(t, first, "w5 w6", "w6 w5"))
	if err != nil {
		t.Fatal(err)
	}
	next := tinyConfig(t, Source{Task: "sentiment", Name: "a.csv", Entity: "entity", Rows: texts}, c.Valid[0])
	next.Base, next.Bases, next.Valid[0].SHA256 = c.Out, []string{filepath.Dir(c.Base)}, "others"
	second := &job{Config: next}
	trainJob(t, second)
	for i, e := range second.data.train {
		want, err := classify.Softmax(logits[1][i], 1)
		if err != nil {
			t.Fatal(err)
		}
		for k, p := range e.soft[1] {
			if math.Abs(p-want[k]) > 1e-4 {
				t.Fatalf("%s toward %s is held to the topics %v, the base says %v of the text", e.Text, e.Entity, e.soft[1], want)
			}
		}
	}
}

// encoded are texts as the job's base reads them, alone.
func encoded(t *testing.T, j *job, texts ...string) (out []*Example) {
	t.Helper()
	for _, text := range texts {
		ids, types, _, err := j.base.tokenizer.Pair(text, "", 8)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, &Example{ids: ids, types: types})
	}
	return out
}

// TestTheAverageIsWhatIsKept: training takes the same course with it, and ends in other weights;
// the card says so.
func TestTheAverageIsWhatIsKept(t *testing.T) {
	c := sampleConfig(t, 64, 32)
	c.Settings.Updates = 4
	last, average := &job{Config: c}, &job{Config: c}
	average.Settings.Average, average.Out = 0.9, filepath.Join(t.TempDir(), "average")
	trainJob(t, last)
	trainJob(t, average)
	if !slices.Equal(last.best.state.Points, average.best.state.Points) {
		t.Error("training took another course")
	}
	const head = "base_model.model.classifier.weight"
	if a, b := last.trainer.Weights()[head].Data, average.trainer.Weights()[head].Data; slices.Equal(a, b) {
		t.Error("the last weights were kept")
	}
	const says = "The weights are a moving average over the updates, of decay 0.9."
	if strings.Contains(last.card(last.report()), says) || !strings.Contains(average.card(average.report()), says) {
		t.Error("the card does not tell which weights they are")
	}
}

// TestStoppingLeavesACheckpoint that another run goes on from, to the same weights as one
// that was never stopped.
func TestStoppingLeavesACheckpoint(t *testing.T) {
	c := sampleConfig(t, 64, 32)
	c.Settings.Epochs = 2
	whole := &job{Config: c}
	trainJob(t, whole)

	stopped := sampleConfig(t, 64, 32)
	stopped.Settings.Epochs = 2
	ctx, cancel := context.WithCancel(t.Context())
	stopped.OnUpdate = func(u Update) {
		if u.N == 6 { // in the second epoch
			cancel()
		}
	}
	if _, err := Run(ctx, stopped); !errors.Is(err, context.Canceled) {
		t.Fatalf("a stopped run: %v", err)
	}
	resumed := 0
	again := sampleConfig(t, 64, 32)
	again.Out, again.Settings.Epochs, again.Resume = stopped.Out, 2, true
	again.OnData = func(s Summary) { resumed = max(resumed, s.Resumed) }
	rest := &job{Config: again}
	trainJob(t, rest)
	if resumed != 6 {
		t.Errorf("went on after update %d, want 6", resumed)
	}
	want, got := whole.trainer.Weights(), rest.trainer.Weights()
	for name, w := range want {
		if !slices.Equal(w.Data, got[name].Data) {
			t.Errorf("%s is not what it is without the stop", name)
		}
	}
	if a, b := whole.best.state.Points, rest.best.state.Points; !slices.Equal(a, b) {
		t.Errorf("%d and %d updates on the curves, or unequal ones", len(a), len(b))
	}
	other := sampleConfig(t, 64, 32)
	other.Out, other.Resume, other.Settings.Rate = stopped.Out, true, 1e-3
	if _, err := Run(t.Context(), other); !errors.Is(err, ErrResume) {
		t.Errorf("resumed with another rate: %v", err)
	}
}

// TestASweepKeepsTheBest: the setting with the highest score, and its weights.
func TestASweepKeepsTheBest(t *testing.T) {
	c := sampleConfig(t, 64, 32)
	c.Settings.Epochs = 1
	dull, other, more := c.Settings, c.Settings, c.Settings
	dull.Rate, other.Seed, more.Epochs = 1e-9, 7, 3
	c.Sweep = []Settings{dull, more, other}
	report, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Trials) != 3 {
		t.Fatalf("%d settings were tried", len(report.Trials))
	}
	best := report.Trials[0]
	for _, trial := range report.Trials {
		if trial.Err != nil {
			t.Fatal(trial.Err)
		}
		if trial.Score > best.Score {
			best = trial
		}
	}
	if got := report.Measures[0].Evaluation.MacroF1; got != best.Score || report.Settings.Rate != best.Settings.Rate || report.Settings.Epochs != best.Settings.Epochs {
		t.Errorf("the bundle's macro-F1 is %v, with %+v; the best setting's is %v, with %+v", got, report.Settings, best.Score, best.Settings)
	}
}

// TestASweepStopsWhenASettingEnds: a stop that is noticed only after a setting's last update is
// one, too. What is left is gone on from.
func TestASweepStopsWhenASettingEnds(t *testing.T) {
	c := sampleConfig(t, 32, 16)
	c.Settings.Epochs = 1
	c.Sweep = []Settings{c.Settings}
	ctx, cancel := context.WithCancel(t.Context())
	c.OnEpoch = func(Epoch) { cancel() }
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("a stopped sweep: %v", err)
	}
	c.Train, c.Valid = []Source{tweets(t, 0, 32)}, []Source{tweets(t, 32, 48)}
	c.Resume, c.OnEpoch = true, func(Epoch) { t.Error("trained again") }
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// TestCurvesAreThereWhileItTrains: after each epoch, of the run or of the setting of a sweep.
func TestCurvesAreThereWhileItTrains(t *testing.T) {
	for name, folder := range map[string]string{"a run": "", "a sweep": filepath.Join(checkpointsName, "trial-001")} {
		c := sampleConfig(t, 32, 16)
		c.Settings.Epochs = 2
		if folder != "" {
			c.Sweep = []Settings{c.Settings}
		}
		seen := 0
		c.OnEpoch = func(e Epoch) {
			seen++
			numbers, err := os.ReadFile(filepath.Join(c.Out, folder, metricsName))
			if rows := strings.Count(string(numbers), "\n"); err != nil || rows != 1+e.Updates {
				t.Errorf("%s: %d lines of numbers after update %d (%v)", name, rows, e.Updates, err)
			}
			file, err := os.Open(filepath.Join(c.Out, folder, curvesName))
			if err != nil {
				t.Error(err)
				return
			}
			defer file.Close()
			if _, err := png.Decode(file); err != nil {
				t.Errorf("%s: the curves: %v", name, err)
			}
		}
		trainJob(t, &job{Config: c})
		if seen != 2 {
			t.Errorf("%s: %d epochs", name, seen)
		}
	}
}

// TestResumingOtherwiseIsSaid: with other threads the last digits differ, and without a checkpoint
// it begins at the start.
func TestResumingOtherwiseIsSaid(t *testing.T) {
	var said bytes.Buffer
	c := sampleConfig(t, 32, 16)
	c.Settings.Epochs, c.Resume, c.Log = 2, true, slog.New(slog.NewTextHandler(&said, nil))
	ctx, cancel := context.WithCancel(t.Context())
	c.OnEpoch = func(Epoch) { cancel() }
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "no checkpoint to go on from") {
		t.Errorf("without a checkpoint it says %q", said.String())
	}
	said.Reset()
	c.Train, c.Valid = []Source{tweets(t, 0, 32)}, []Source{tweets(t, 32, 48)}
	c.OnEpoch, c.Threads = nil, 2
	trainJob(t, &job{Config: c})
	if s := said.String(); !strings.Contains(s, `before="cpu, 1 thread" now="cpu, 2 threads"`) || strings.Contains(s, "no checkpoint") {
		t.Errorf("with another thread it says %q", s)
	}
}

// TestADeviceThatIsNotThereIsFoundFirst, before the rows are read.
func TestADeviceThatIsNotThereIsFoundFirst(t *testing.T) {
	c := sampleConfig(t, 32, 16)
	c.Device = onnx.CUDA
	read := false
	c.Train[0].Rows = func(func(Row) bool) { read = true }
	_, err := Run(t.Context(), c)
	if !errors.Is(err, onnx.ErrDevice) {
		t.Skipf("CUDA runs here: %v", err)
	}
	if read {
		t.Error("the rows were read first")
	}
}

// TestASettingThatDoesNothingIsRefused: who chose it would believe that it was trained with.
func TestASettingThatDoesNothingIsRefused(t *testing.T) {
	tiny := filepath.Join("..", "classify", "bert", "testdata", "tiny")
	adapter := filepath.Join(t.TempDir(), "adapter")
	err := errors.Join(os.CopyFS(adapter, os.DirFS(filepath.Join(tiny, "lora-list"))),
		os.WriteFile(filepath.Join(adapter, "vocab.txt"), []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\nup\ndown"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	further := func(c *Config) {
		c.Base, c.Bases, c.Asked = adapter, []string{filepath.Join(tiny, "bases")}, []string{"rank"}
	}
	for said, change := range map[string]func(*Config){
		"rank is of LoRA":           func(c *Config) { c.Settings.Mode, c.Asked = step.HeadOnly, []string{"lr", "rank"} },
		"targets is of LoRA":        func(c *Config) { c.Settings.Mode, c.Asked = step.Full, []string{"targets"} },
		"rank is that of the adapt": further,
		"lora-dropout is of LoRA":   func(c *Config) { c.Settings.Mode, c.Asked = step.Full, []string{"lora-dropout"} },
		"alpha 16, lora-dropout 0.1": func(c *Config) { // as its adapter_config.json says
			further(c)
			c.Asked = []string{"lora-dropout"}
		},
		"steps and epochs both":  func(c *Config) { c.Settings.Updates, c.Asked = 3, []string{"steps", "epochs"} },
		"split takes validation": func(c *Config) { c.Asked = []string{"split"} },
		"settings 1 and 3 of the s": func(c *Config) {
			other := c.Settings
			other.Seed++
			c.Sweep = []Settings{c.Settings, other, c.Settings}
		},
		"settings 1 and 2 of the s": func(c *Config) { // the adapter's rank takes the place of both
			further(c)
			other := c.Settings
			other.Rank = 2 * other.Rank
			c.Asked, c.Sweep = nil, []Settings{c.Settings, other}
		},
	} {
		c := sampleConfig(t, 32, 16)
		change(&c)
		j := &job{Config: c}
		if err := j.prepare(); !errors.Is(err, ErrSettings) || !strings.Contains(err.Error(), said) {
			t.Errorf("%q is wanted: %v", said, err)
		}
	}
	c := sampleConfig(t, 32, 16)
	c.Asked = []string{"rank", "alpha", "lora-dropout", "epochs", "lr"}
	if err := (&job{Config: c}).prepare(); err != nil {
		t.Error(err)
	}
}

// TestASweepGoesOnAfterAKill: what was trained counts with the time it took, and with other
// settings it ends, as a single run does. The card says what came to its end.
func TestASweepGoesOnAfterAKill(t *testing.T) {
	c := sampleConfig(t, 32, 16)
	c.Settings.Epochs = 1
	other := c.Settings
	other.Seed = 7
	c.Sweep = []Settings{c.Settings, other, other}
	c.Sweep[2].Seed = 8
	var first float64
	ctx, cancel := context.WithCancel(t.Context())
	c.OnEpoch = func(e Epoch) {
		if first > 0 {
			cancel()
		}
		first = cmp.Or(first, e.Seconds)
	}
	if _, err := Run(ctx, c); !errors.Is(err, context.Canceled) {
		t.Fatalf("a stopped sweep: %v", err)
	}
	again := func(change func(*Config)) (Report, error) {
		next := sampleConfig(t, 32, 16)
		next.Out, next.Sweep, next.Resume = c.Out, slices.Clone(c.Sweep), true
		change(&next)
		return Run(t.Context(), next)
	}
	if _, err := again(func(c *Config) { c.Sweep[1].Rate = 1e-3 }); !errors.Is(err, ErrResume) {
		t.Errorf("resumed with another rate in the second setting: %v", err)
	}
	r, err := again(func(c *Config) { c.Budget = seconds(first) })
	if err != nil {
		t.Fatal(err)
	}
	if r.Trials[0].Seconds != first || r.Trials[0].Err != nil || r.Trials[1].Err == nil || r.Trials[2].Err == nil {
		t.Errorf("the first setting took %v s, which is the budget; the trials are %+v", first, r.Trials)
	}
	card, err := os.ReadFile(filepath.Join(c.Out, "README.md"))
	for _, want := range []string{"1 of 3 settings were trained to their end", fmt.Sprintf("seed 0 | %.4f | 1 |", r.Trials[0].Score), "seed 8 | not begun: the budget was spent | |"} {
		if err != nil || !strings.Contains(string(card), want) {
			t.Errorf("the card does not say %q (%v):\n%s", want, err, card)
		}
	}
}

// TestOutIsNotWrittenOver: a bundle, or a run that could be resumed, is not lost by mistake.
func TestOutIsNotWrittenOver(t *testing.T) {
	for name, file := range map[string]string{"a bundle": "config.json", "a run": checkpointsName + "/update-0000001/state.json"} {
		c := sampleConfig(t, 64, 32)
		path := filepath.Join(c.Out, file)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte("{}"), 0o644)); err != nil {
			t.Fatal(err)
		}
		if _, err := Run(t.Context(), c); !errors.Is(err, ErrSettings) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAFolderThatCannotBeWrittenToIsFoundFirst, before the base and the rows are read; and one that
// was made for a run that does not begin goes again.
func TestAFolderThatCannotBeWrittenToIsFoundFirst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	c := sampleConfig(t, 1, 1)
	c.Base, c.Out = "nothing", filepath.Join(file, "bundle")
	if _, err := Run(t.Context(), c); err == nil || !strings.Contains(err.Error(), "--out") || !strings.Contains(err.Error(), file) {
		t.Errorf("below a file: %v", err)
	}
	c.Out = filepath.Join(t.TempDir(), "bundle")
	if _, err := Run(t.Context(), c); !errors.Is(err, ErrBase) {
		t.Errorf("without a base: %v", err)
	}
	if _, err := os.Stat(c.Out); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the empty folder is left (%v)", err)
	}
}

func TestABaseThatIsNotThereIsNamed(t *testing.T) {
	c := sampleConfig(t, 1, 1)
	c.Base = filepath.Join(t.TempDir(), "nothing")
	if _, err := Run(t.Context(), c); !errors.Is(err, ErrBase) || !strings.Contains(err.Error(), c.Base) {
		t.Errorf("got %v", err)
	}
	c.Base = filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(c.Base, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), c); !errors.Is(err, ErrBase) || !strings.Contains(err.Error(), c.Base+" is a file") {
		t.Errorf("a file: %v", err)
	}
}

// TestATeacherWithOtherLabelsReadsNothing: it is refused before it is asked.
func TestATeacherWithOtherLabelsReadsNothing(t *testing.T) {
	topics := func(labels ...string) Config {
		train, valid := pairs(0, 16, labels...), pairs(40, 48, labels...)
		train.Task, train.Label, valid.Task, valid.Label = "topic", "sentiment", "topic", "sentiment"
		c := tinyConfig(t, train, valid)
		c.Settings.Updates = 1
		return c
	}
	c, next := topics("a", "b"), topics("a", "c")
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	next.Teachers, next.Bases = []string{c.Out}, []string{filepath.Dir(c.Base)}
	next.OnStage = func(what string) {
		if strings.Contains(what, "teacher") {
			t.Error(what)
		}
	}
	if _, err := Run(t.Context(), next); !errors.Is(err, ErrBase) || !strings.Contains(err.Error(), "its labels of topic are [a b], not [a c]") {
		t.Errorf("got %v", err)
	}
}

// TestATeacherReadsWhatItTeaches: of rows for two heads, those that have a label for its own.
func TestATeacherReadsWhatItTeaches(t *testing.T) {
	c := tinyConfig(t, pairs(0, 16, sentiment.Labels...), pairs(40, 48, sentiment.Labels...))
	c.Settings.Updates = 1
	if _, err := Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	topics := func(s Source) Source { s.Task = "topic"; s.Label = "sentiment"; return s }
	next := tinyConfig(t, pairs(48, 60, sentiment.Labels...), pairs(60, 68, sentiment.Labels...))
	next.Train, next.Valid = append(next.Train, topics(pairs(70, 90, "x", "y"))), append(next.Valid, topics(pairs(90, 98, "x", "y")))
	next.Settings.Updates = 1
	next.Teachers, next.Bases = []string{c.Out}, []string{filepath.Dir(c.Base)}
	var asked []string
	next.OnStage = func(what string) {
		if strings.HasPrefix(what, "asking") {
			asked = append(asked, what)
		}
	}
	student := &job{Config: next}
	trainJob(t, student)
	taught := 0
	for _, e := range student.data.train {
		if e.taught != nil {
			taught++
		}
	}
	if want := []string{fmt.Sprintf("asking the teacher %s about 12 texts", c.Out)}; !slices.Equal(asked, want) || taught != 12 {
		t.Errorf("%q, and %d rows are taught; want %q and 12", asked, taught, want)
	}
}

func TestATeacherWithoutAHeadIsNamed(t *testing.T) {
	c := sampleConfig(t, 64, 32)
	c.Teachers = []string{c.Base}
	if _, err := Run(t.Context(), c); !errors.Is(err, ErrBase) || !strings.Contains(err.Error(), c.Base+": ") || !strings.Contains(err.Error(), "it has no head") {
		t.Errorf("got %v", err)
	}
}
