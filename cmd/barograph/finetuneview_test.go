package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/finetune/step"
)

// TestTheViewSaysHowTrainingGoes: the loss of a line is the mean of the updates since the one
// before it, which may be fewer than a line stands for.
func TestTheViewSaysHowTrainingGoes(t *testing.T) {
	var said bytes.Buffer
	v := newTrainingView(&said)
	v.data(finetune.Summary{Resumed: 2})
	for n := 3; n <= 60; n++ {
		v.update(finetune.Update{N: n, Of: 60, Epoch: 1 + n/51, Epochs: 2, Loss: float64(n), Rate: 1.25e-3, Left: time.Duration(60-n) * 7 * time.Second})
	}
	v.epoch(finetune.Epoch{N: 2, Loss: 0.51234, Seconds: 83.4, Best: true, Heads: []finetune.HeadScore{
		{Task: "sentiment", Accuracy: .75, MacroF1: .7}, {Task: "topic", Accuracy: .5, MacroF1: .25}}})
	v.epoch(finetune.Epoch{N: 3, Loss: 0.5, Seconds: 90, Heads: []finetune.HeadScore{{Task: "topic", Accuracy: .5, MacroF1: .2}}})
	want := `going on after update 2
update 50 of 60, epoch 1 of 2: loss 26.5000, rate 0.00125, 1m10s left
update 60 of 60, epoch 2 of 2: loss 55.5000, rate 0.00125, 0s left
epoch 2 after 1m23s: loss 0.5123; sentiment accuracy 0.7500, macro-F1 0.7000; topic accuracy 0.5000, macro-F1 0.2500 (best so far)
epoch 3 after 1m30s: loss 0.5000; topic accuracy 0.5000, macro-F1 0.2000
`
	if said.String() != want {
		t.Errorf("it says\n%s, want\n%s", said.String(), want)
	}
}

// TestTheBarSaysHowTrainingGoes on a terminal, in place: nothing of it is left beside the line of
// the epoch. Its loss is a moving average.
func TestTheBarSaysHowTrainingGoes(t *testing.T) {
	var said bytes.Buffer
	v := newTrainingView(&said)
	v.term = true
	v.update(finetune.Update{N: 1, Of: 4, Epoch: 1, Epochs: 2, Loss: 2, Rate: 1e-3, Left: 90 * time.Second})
	if want := "epoch 1 of 2  loss 2.0000  rate 0.001  1m30s left"; !strings.Contains(said.String(), want) || strings.Contains(said.String(), "\n") {
		t.Errorf("the bar says %q, want %q on one line", said.String(), want)
	}
	v.update(finetune.Update{N: 2, Of: 4, Epoch: 1, Epochs: 2, Loss: 1, Rate: 2e-3})
	if v.loss != 1.95 {
		t.Errorf("losses of 2 and 1 are shown as %v, want 1.95", v.loss)
	}
	v.epoch(finetune.Epoch{N: 1})
	if _, last, _ := strings.Cut(said.String(), " \r"); !strings.HasPrefix(last[strings.LastIndexByte(last, '\r')+1:], "epoch 1 after 0s") {
		t.Errorf("the epoch's line is not alone: %q", said.String())
	}
}

// TestTheReportIsInTables: the settings of a sweep, each head's figures in each precision, and what
// int8 costs.
func TestTheReportIsInTables(t *testing.T) {
	first := finetune.Defaults(step.LoRA)
	second := first
	second.Rank, second.Seed = 16, 3
	r := finetune.Report{
		Out: "models/mine", Trained: 1234, Seconds: 75, Best: 2, Epochs: make([]finetune.Epoch, 3), Precision: bert.FP32,
		Trials: []finetune.Trial{
			{Settings: first, Score: .81234, Epoch: 2, Seconds: 75.4}, {Settings: second, Err: errors.New("not begun: the budget was spent")},
		},
		Measures: []finetune.Measure{
			{Precision: bert.FP32, Task: "sentiment", Evaluation: classify.Evaluation{Rows: 200, Accuracy: .8375, MacroF1: .81234, ECE: .0321}},
			{Precision: bert.INT8, Task: "sentiment", Source: "tweets.csv", Evaluation: classify.Evaluation{Rows: 20, Accuracy: .8, MacroF1: .79, ECE: .04}},
		},
		Costs: []finetune.Cost{{Precision: bert.INT8, Task: "sentiment", Comparison: classify.Comparison{Rows: 200, OnlyOther: 4, Gain: -.02, Low: -.04, High: .001}}},
	}
	var said bytes.Buffer
	if err := writeReport(&said, r); err != nil {
		t.Fatal(err)
	}
	var got []string // columns apart by two spaces, whatever their width
	for line := range strings.Lines(said.String()) {
		cells := strings.FieldsFunc(strings.ReplaceAll(strings.TrimSpace(line), "  ", "\t"), func(r rune) bool { return r == '\t' })
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		got = append(got, strings.Join(cells, " | "))
	}
	want := []string{
		"setting | macro-F1 | best epoch | seconds",
		"rank 8, alpha 16, seed 0 | 0.8123 | 2 | 75",
		"rank 16, alpha 32, seed 3 | - | not begun: the budget was spent | 0",
		"",
		"head | rows | precision | accuracy | macro-F1 | calibration error",
		"sentiment | 200 | fp32 | 0.8375 | 0.8123 | 0.0321",
		"sentiment on tweets.csv | 20 | int8 | 0.8000 | 0.7900 | 0.0400",
		"",
		"sentiment: -2.0 points of macro-F1 by int8, in 95 % of resamples of the 200 rows -4.0 to +0.1: too few rows to tell whether it costs more than 0.5",
		"int8 costs more than half a point of macro-F1: the bundle asks for fp32 on the CPU.",
		"",
		"models/mine: 1234 values trained in 1m15s, best epoch 2 of 3",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("it says\n%s\n\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestTheEvaluationIsInTables: the calibration error, each class, and the confusion matrix with the
// true classes down and the said ones across.
func TestTheEvaluationIsInTables(t *testing.T) {
	e, err := classify.Evaluate([]string{"negative", "neutral", "positive"}, []int{0, 0, 0, 1, 2, 2}, [][]float64{
		{.8, .1, .1}, {.1, .8, .1}, {.1, .8, .1}, {.1, .8, .1}, {.1, .1, .8}, {.8, .1, .1}})
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	if err := writeEvaluation(&said, "sentiment", e); err != nil {
		t.Fatal(err)
	}
	const want = `sentiment on 6 rows: accuracy 0.5000, macro-F1 0.5222, expected calibration error 0.3000

     class  precision  recall     F1  rows
  negative      0.500   0.333  0.400     3
   neutral      0.333   1.000  0.500     1
  positive      1.000   0.500  0.667     2

Confusion: a row for each true class, a column for each said class, in the order above.
  negative  1  2  0
   neutral  0  1  0
  positive  1  0  1
`
	if said.String() != want {
		t.Errorf("it says\n%s, want\n%s", said.String(), want)
	}
}
