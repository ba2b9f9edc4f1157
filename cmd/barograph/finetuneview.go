package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/internal/plain"
)

// lineEvery is how many updates a line of progress stands for, where there is no terminal.
const lineEvery = 50

// trainingView shows how training goes: a bar in place on a terminal, lines elsewhere.
type trainingView struct {
	w    io.Writer
	bar  *progressbar.ProgressBar // nil: lines
	term bool
	loss float64 // of the updates since the last line, or of late
	n    int
}

func newTrainingView(w io.Writer) *trainingView {
	file, ok := w.(*os.File)
	return &trainingView{w: w, term: ok && term.IsTerminal(int(file.Fd()))}
}

func (v *trainingView) end() {
	if v.bar != nil {
		_ = v.bar.Clear()
		v.bar = nil
	}
	v.loss, v.n = 0, 0
}

func (v *trainingView) say(format string, args ...any) {
	v.end()
	fmt.Fprintf(v.w, format+"\n", args...)
}

func (v *trainingView) data(s finetune.Summary) {
	if s.Resumed > 0 {
		v.say("going on after update %d", s.Resumed)
		return
	}
	f := s.Findings
	v.say("%d rows: %d texts to train on, %d for validation", f.Rows, s.Train, s.Valid)
	for _, from := range s.Sources {
		taken := fmt.Sprintf("%d to train on, %d for validation", from.Train, from.Valid)
		if from.Train+from.Valid == 0 {
			taken = "nothing is taken of it"
		}
		v.say("  %s of %s: %s", from.Task, plain.Line(from.Name, 120), taken)
	}
	for _, line := range leftOut(f) {
		v.say("%s", line)
	}
	if f.Truncated > 0 {
		v.say("%d texts are longer than --max-tokens and are cut off in training", f.Truncated)
	}
	for _, label := range s.Untaught {
		v.say("no training row is %s: the head learns never to say it", label)
	}
	for _, task := range s.Kept {
		v.say("no row is for %s: its head is held to what it says now on these texts; give it rows by --tasks to be sure", task)
	}
}

// leftOut says how many rows are not used and why, and names the first of them.
func leftOut(f finetune.Findings) (lines []string) {
	for _, found := range []struct {
		n    int
		what string
	}{
		{f.Duplicates, "repeat a text before them with the same label"},
		{f.Conflicts, "repeat a text before them with another label; the first stays"},
		{f.Mixed, "have entities of several sentiments"},
		{f.Bad, "cannot be used"},
		{f.Copies, "training texts copy a validation text"},
	} {
		if found.n > 0 {
			lines = append(lines, fmt.Sprintf("left out: %d %s", found.n, found.what))
		}
	}
	for _, first := range f.First {
		lines = append(lines, "  "+plain.Line(first, 240))
	}
	return lines
}

func (v *trainingView) trial(t finetune.Trial) {
	v.say("setting %d of %d: %s", t.N, t.Of, t.Settings.InWords())
}

func (v *trainingView) update(u finetune.Update) {
	if !v.term {
		v.loss, v.n = v.loss+u.Loss, v.n+1
		if u.N%lineEvery == 0 || u.N == u.Of {
			v.say("update %d of %d, epoch %d of %d: loss %.4f, rate %.3g, %s left", u.N, u.Of, u.Epoch, u.Epochs, v.loss/float64(v.n), u.Rate, minutes(u.Left))
		}
		return
	}
	if v.bar == nil {
		v.bar = progressbar.NewOptions(u.Of, progressbar.OptionSetWriter(v.w), progressbar.OptionSetWidth(24),
			progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionSetPredictTime(false), progressbar.OptionClearOnFinish())
		v.loss = u.Loss
	}
	v.loss += (u.Loss - v.loss) / 20
	v.bar.Describe(fmt.Sprintf("epoch %d of %d  loss %.4f  rate %.3g  %s left", u.Epoch, u.Epochs, v.loss, u.Rate, minutes(u.Left)))
	_ = v.bar.Set(u.N)
}

func (v *trainingView) epoch(e finetune.Epoch) {
	var heads []string
	for _, h := range e.Heads {
		heads = append(heads, fmt.Sprintf("%s accuracy %.4f, macro-F1 %.4f", h.Task, h.Accuracy, h.MacroF1))
	}
	best := ""
	if e.Best {
		best = " (best so far)"
	}
	v.say("epoch %d after %s: loss %.4f; %s%s", e.N, minutes(time.Duration(e.Seconds*float64(time.Second))), e.Loss, strings.Join(heads, "; "), best)
}

func (v *trainingView) stage(what string) { v.say("%s", what) }

// writeReport prints what was trained, in tables.
func writeReport(w io.Writer, r finetune.Report) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	if len(r.Trials) > 0 {
		fmt.Fprintln(table, "setting\tmacro-F1\tbest epoch\tseconds\t")
		words := finetune.TrialsInWords(r.Trials)
		for i, t := range r.Trials {
			if t.Err != nil {
				fmt.Fprintf(table, "%s\t-\t%s\t%.0f\t\n", words[i], plain.Line(t.Err.Error(), 60), t.Seconds)
				continue
			}
			fmt.Fprintf(table, "%s\t%.4f\t%d\t%.0f\t\n", words[i], t.Score, t.Epoch, t.Seconds)
		}
		if err := table.Flush(); err != nil {
			return err
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(table, "head\trows\tprecision\taccuracy\tmacro-F1\tcalibration error\t")
	for _, m := range r.Measures {
		name := m.Task
		if m.Source != "" {
			name += " on " + plain.Line(m.Source, 40)
		}
		if m.Err != nil {
			fmt.Fprintf(table, "all\t\t%s\tfailed\t\t\t\n", m.Precision)
			continue
		}
		e := m.Evaluation
		fmt.Fprintf(table, "%s\t%d\t%s\t%.4f\t%.4f\t%.4f\t\n", name, e.Rows, m.Precision, e.Accuracy, e.MacroF1, e.ECE)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, m := range r.Measures {
		if m.Err != nil {
			fmt.Fprintf(w, "%s was not measured, so that the bundle asks for fp32 on CUDA: %s\n", m.Precision, plain.Line(m.Err.Error(), 500))
		}
	}
	for _, cost := range r.Costs {
		fmt.Fprintln(w, cost)
	}
	if r.Precision == bert.FP32 {
		fmt.Fprintln(w, "int8 costs more than half a point of macro-F1: the bundle asks for fp32 on the CPU.")
	}
	if r.PrecisionCUDA == bert.FP32 && slices.ContainsFunc(r.Costs, func(c finetune.Cost) bool { return c.Precision == bert.FP16 }) {
		fmt.Fprintln(w, "fp16 costs more than half a point of macro-F1: the bundle asks for fp32 on CUDA.")
	}
	_, err := fmt.Fprintf(w, "\n%s: %d values trained in %s, best epoch %d of %d\n", r.Out, r.Trained,
		minutes(time.Duration(r.Seconds*float64(time.Second))), r.Best, len(r.Epochs))
	return err
}
