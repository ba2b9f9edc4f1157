package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/news"
)

// evaluation is what `barograph evaluate` is asked for.
type evaluation struct {
	model  classifyConfig
	source finetune.Source // columns
	data   string
	task   string
	split  string // all, train or validation
	other  string // bundle to hold it against
	asJSON bool
	path   string // configuration, for the bases

	skipBad bool // rows that cannot be used are left out, and their number is said

	rows []finetune.Row // of data, where they were read before: standard input and pipes can be read once
}

func newEvaluate() *cobra.Command {
	e := evaluation{model: defaults().Classify}
	e.model.Bundles = nil
	cmd := &cobra.Command{
		Use:   "evaluate --model DIR --data FILE",
		Short: "Measure a bundle on labelled rows",
		Long: "Reads labelled rows (CSV with a header, TSV or JSON lines) and prints accuracy, macro-F1, calibration, and\n" +
			"precision, recall and F1 for each class, with the confusion matrix, of each head that rows have a label of (or\n" +
			"that of --task). Rows with a text seen before are left out, and counted. A bundle that reads a company reads\n" +
			"those of a column entities_json. --split validation keeps the tenth of the rows whose text's SHA-256 begins\n" +
			"with a byte below 26: the shipped bundles never trained on those, nor does finetune --split hash. Of a file\n" +
			"that a bundle was trained on in another way it is refused. --against says whether another bundle is worse by\n" +
			"more than chance.",
		Example: `  barograph evaluate --model models/en --data tweets.csv --label-column sentiment --split validation
  barograph evaluate --model models/en --data tweets.csv --task topic --precision fp32
  barograph evaluate --model models/mine --against models/en --data held-out.csv
  barograph evaluate --model models/by-entity --data sentfin.csv --entity-column entities_json`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(e.model.Bundles) != 1 || e.data == "" {
				return usageError{errors.New("one --model and --data are needed; see barograph evaluate -h")}
			}
			if !slices.Contains([]string{"all", "train", "validation"}, e.split) {
				return usageError{fmt.Errorf("--split %q: it is all, train or validation", e.split)}
			}
			cfg, err := readConfig(e.path)
			if err != nil {
				return err
			}
			if !cmd.Flags().Changed("bases") {
				e.model.Bases = cfg.Classify.Bases
			}
			return e.run(cmd)
		},
	}
	modelFlags(cmd, &e.model)
	cmd.Flags().Lookup("model").Usage = "the bundle"
	configFlags(cmd, &e.path)
	cmd.Flags().StringVar(&e.data, "data", "", "labelled rows: .csv or .tsv with a header, or JSON lines; - is standard input; labels is the corrections topic")
	cmd.Flags().StringVar(&e.task, "task", "", "head to measure: sentiment or topic; without it each that rows have a label of, or sentiment with --label-column")
	cmd.Flags().StringVar(&e.source.Text, "text-column", "", "column with the text; text or title without it")
	cmd.Flags().StringVar(&e.source.Label, "label-column", "", "column with the label; the task's name without it")
	cmd.Flags().StringVar(&e.source.Entity, "entity-column", "", "column with the company that the label is about, or a JSON object of company and label")
	cmd.Flags().StringVar(&e.split, "split", "all", "all, train or validation")
	cmd.Flags().BoolVar(&e.skipBad, "skip-bad", false, "leave out rows that cannot be used, and say how many")
	cmd.Flags().StringVar(&e.other, "against", "", "another bundle, read on the same rows: McNemar's test and a bootstrap of the difference")
	cmd.Flags().BoolVar(&e.asJSON, "json", false, "print JSON, a line for each head")
	return cmd
}

// judged is a bundle's readings of the rows, and what they are worth.
type judged struct {
	Bundle        string `json:"bundle"` // name, version, digest and what it ran on
	labels        []string
	examples      []*finetune.Example
	truth         []int // of each, an index into labels
	probabilities [][]float64
	classify.Evaluation
}

func (e evaluation) run(cmd *cobra.Command) error {
	var bundles []*classify.Bundle
	for _, dir := range []string{e.model.Bundles[0], e.other} {
		if dir == "" {
			continue
		}
		if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: there is no such folder: --model and --against are bundles' folders; see barograph model list", dir)
		}
		b, err := classify.OpenBundle(dir, e.model.Bases)
		if err != nil {
			return err
		}
		bundles = append(bundles, b)
	}
	tasks, err := e.tasks(cmd.Context(), bundles)
	if err != nil {
		return err
	}
	for _, b := range bundles {
		if err := e.checkHeld(cmd.ErrOrStderr(), b); err != nil {
			return err
		}
	}
	for i, task := range tasks {
		if i > 0 && !e.asJSON {
			fmt.Fprintln(cmd.OutOrStdout())
		}
		e.task = task
		if err := e.measure(cmd); err != nil {
			if len(tasks) > 1 && errors.Is(err, finetune.ErrRows) {
				return fmt.Errorf("%w; --task measures one head alone", err)
			}
			return err
		}
	}
	return nil
}

// tasks are the heads to measure: that of --task, or each that all bundles have and a row has a
// label of.
func (e *evaluation) tasks(ctx context.Context, bundles []*classify.Bundle) ([]string, error) {
	shared := tasksOf(bundles[0])
	for _, b := range bundles {
		tasks := tasksOf(b)
		if e.task != "" && !slices.Contains(tasks, e.task) {
			return nil, fmt.Errorf("%s has no head for %s: --task is one of %s", b.Dir, e.task, strings.Join(tasks, ", "))
		}
		shared = slices.DeleteFunc(shared, func(task string) bool { return !slices.Contains(tasks, task) })
	}
	switch {
	case e.task != "":
		return []string{e.task}, nil
	case len(shared) == 0:
		return nil, fmt.Errorf("%s and %s have no head of one task to compare", bundles[0].Dir, bundles[1].Dir)
	}
	first := []string{shared[max(0, slices.Index(shared, news.TaskSentiment))]}
	if e.source.Label != "" {
		return first, nil
	}
	labelled, err := e.labelled(ctx, bundles[0], shared)
	if len(labelled) > 0 || err != nil && !errors.Is(err, finetune.ErrRows) {
		return labelled, err
	}
	return first, nil // reading says all that is wrong
}

// measure prints what the head of e.task is worth.
func (e evaluation) measure(cmd *cobra.Command) error {
	first, err := e.judge(cmd, e.model.Bundles[0], judged{})
	if err != nil {
		return err
	}
	if column := e.source.Entity; column != "" && e.data != labelsSource && !slices.ContainsFunc(first.examples, func(x *finetune.Example) bool { return x.Entity != "" }) {
		return fmt.Errorf("%s: no row has a company in a column %s, which --entity-column names", e.data, column)
	}
	if e.other == "" {
		if e.asJSON {
			return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
				Task string `json:"task"`
				classify.Evaluation
			}{e.task, first.Evaluation})
		}
		return e.write(cmd.OutOrStdout(), first)
	}
	other, err := e.judge(cmd, e.other, first)
	if err != nil {
		return err
	}
	c, err := classify.Compare(first.labels, first.truth, first.probabilities, other.probabilities)
	if err != nil {
		return err
	}
	if e.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
			Task string `json:"task"`
			judged
			Against judged              `json:"against"`
			Compare classify.Comparison `json:"comparison"`
		}{e.task, first, other, c})
	}
	if err := e.write(cmd.OutOrStdout(), first); err != nil {
		return err
	}
	return writeComparison(cmd.OutOrStdout(), first, other, c)
}

// judge reads the rows with one bundle, those of first where it has any. Classes are in the order
// of first's labels then: two bundles may order theirs differently.
func (e evaluation) judge(cmd *cobra.Command, dir string, first judged) (judged, error) {
	config, err := modelConfig(e.model, newLogger(logConfig{Level: slog.LevelWarn}))
	if err != nil {
		return judged{}, usageError{err}
	}
	model, err := classify.OpenModel(dir, config)
	if err != nil {
		return judged{}, err
	}
	defer model.Close()
	head := slices.IndexFunc(model.Bundle.Heads, func(h bert.Head) bool { return h.Task == e.task })
	if head < 0 {
		return judged{}, fmt.Errorf("%s has no head for %s", model.Bundle.Dir, e.task)
	}
	own := model.Bundle.Heads[head].Labels
	b := model.Bundle
	j := judged{labels: first.labels, examples: first.examples, Bundle: fmt.Sprintf("%s %s, digest %.12s, %s on %s", b.Name, b.Version, b.Digest,
		cmp.Or(string(model.Precision), "as exported"), model.Device)}
	if j.labels == nil {
		j.labels = own
	}
	order := make([]int, len(j.labels))
	for i, l := range j.labels {
		if order[i] = slices.Index(own, l); order[i] < 0 || len(own) != len(j.labels) {
			return judged{}, fmt.Errorf("%s has other labels for %s than the first bundle: %q and %q", dir, e.task, own, j.labels)
		}
	}
	if j.examples == nil {
		if j.examples, err = e.examples(cmd, b, j.labels); err != nil {
			return judged{}, err
		}
	}
	for _, x := range j.examples {
		j.truth = append(j.truth, x.Labels[0])
	}
	said, err := predict(cmd, model, j.examples, head)
	if err != nil {
		return judged{}, fmt.Errorf("%s: %w", e.data, err)
	}
	for _, p := range said {
		row := make([]float64, len(order))
		for i, at := range order {
			row[i] = p[at]
		}
		j.probabilities = append(j.probabilities, row)
	}
	j.Evaluation, err = classify.Evaluate(j.labels, j.truth, j.probabilities)
	return j, err
}

// predict reads the texts a few thousand at once, for the progress bar's sake. A bundle
// that reads no entity reads the text alone.
func predict(cmd *cobra.Command, model *classify.Model, examples []*finetune.Example, head int) ([][]float64, error) {
	bar := progressOf(cmd.ErrOrStderr(), int64(len(examples)), "evaluate", false)
	defer bar.Close()
	probabilities := make([][]float64, 0, len(examples))
	for chunk := range slices.Chunk(examples, 1024) {
		if err := cmd.Context().Err(); err != nil {
			return nil, err
		}
		texts, entities := make([]string, len(chunk)), make([]string, len(chunk))
		for i, x := range chunk {
			texts[i] = x.Text
			if model.Bundle.EntitySegment {
				entities[i] = x.Entity
			}
		}
		predictions, faults := model.PredictFor(texts, entities)
		for i, p := range predictions {
			if faults[i] != nil {
				return nil, fmt.Errorf("%s: %w", chunk[i].At, faults[i])
			}
			probabilities = append(probabilities, p[head])
		}
		_ = bar.Add(len(chunk))
	}
	return probabilities, nil
}

func (e evaluation) write(w io.Writer, j judged) error {
	fmt.Fprintf(w, "%s; %s of %s\n\n", j.Bundle, e.split, e.data)
	return writeEvaluation(w, e.task, j.Evaluation)
}

func writeEvaluation(w io.Writer, task string, e classify.Evaluation) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s on %d rows: accuracy %.4f, macro-F1 %.4f, expected calibration error %.4f\n\n", task, e.Rows, e.Accuracy, e.MacroF1, e.ECE)
	fmt.Fprintln(table, "class\tprecision\trecall\tF1\trows\t")
	for _, c := range e.Classes {
		fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%.3f\t%d\t\n", c.Label, c.Precision, c.Recall, c.F1, c.Support)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nConfusion: a row for each true class, a column for each said class, in the order above.")
	for i, counts := range e.Confusion {
		fmt.Fprintf(table, "%s\t", e.Labels[i])
		for _, n := range counts {
			fmt.Fprintf(table, "%d\t", n)
		}
		fmt.Fprintln(table)
	}
	return table.Flush()
}

func writeComparison(w io.Writer, first, other judged, c classify.Comparison) error {
	fmt.Fprintf(w, "\nAgainst %s:\n\n", other.Bundle)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\taccuracy\tmacro-F1\tcalibration error\tright alone\t")
	fmt.Fprintf(table, "this\t%.4f\t%.4f\t%.4f\t%d\t\n", first.Accuracy, first.MacroF1, first.ECE, c.OnlyFirst)
	fmt.Fprintf(table, "the other\t%.4f\t%.4f\t%.4f\t%d\t\n", other.Accuracy, other.MacroF1, other.ECE, c.OnlyOther)
	if err := table.Flush(); err != nil {
		return err
	}
	verdict := "no difference beyond chance"
	switch {
	case c.Low > 0:
		verdict = "better beyond chance"
	case c.High < 0:
		verdict = "worse beyond chance"
	}
	_, err := fmt.Fprintf(w, "\nmacro-F1 %+.4f, in 95 %% of resamples %+.4f to %+.4f: %s. McNemar's exact test: p = %.3g.\n",
		c.Gain, c.Low, c.High, verdict, c.McNemar)
	return err
}
