package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
)

// evaluation is what `barograph evaluate` is asked for.
type evaluation struct {
	model       classifyConfig
	data        string
	task        string
	text, label string // columns
	split       string // all, train or validation
	asJSON      bool
}

func newEvaluate() *cobra.Command {
	e := evaluation{model: defaults().Classify}
	e.model.Bundles = nil
	cmd := &cobra.Command{
		Use:   "evaluate --model DIR --data FILE",
		Short: "Measure a bundle on labelled rows",
		Long: "Reads labelled rows (CSV with a header, TSV or JSON lines) and prints accuracy, macro-F1, calibration, and\n" +
			"precision, recall and F1 for each class, with the confusion matrix. Rows with a text seen before are left\n" +
			"out. --split validation keeps the tenth of the rows whose text's SHA-256 begins with a byte below 26: the\n" +
			"shipped bundles never trained on those.",
		Example: `  barograph evaluate --model models/en --data tweets.csv --label sentiment --split validation
  barograph evaluate --model models/en --data tweets.csv --task topic --label topic --precision fp32`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(e.model.Bundles) != 1 || e.data == "" {
				return usageError{errors.New("one --model and --data are needed; see barograph evaluate -h")}
			}
			if !slices.Contains([]string{"all", "train", "validation"}, e.split) {
				return usageError{fmt.Errorf("--split %q: it is all, train or validation", e.split)}
			}
			return e.run(cmd)
		},
	}
	modelFlags(cmd, &e.model)
	cmd.Flags().StringVar(&e.data, "data", "", "labelled rows: .csv or .tsv with a header, or JSON lines")
	cmd.Flags().StringVar(&e.task, "task", "sentiment", "head to measure: sentiment or topic")
	cmd.Flags().StringVar(&e.text, "text", "text", "column with the text")
	cmd.Flags().StringVar(&e.label, "label", "", "column with the label; the task's name without it")
	cmd.Flags().StringVar(&e.split, "split", "all", "all, train or validation")
	cmd.Flags().BoolVar(&e.asJSON, "json", false, "print JSON")
	return cmd
}

func (e evaluation) run(cmd *cobra.Command) error {
	config, err := modelConfig(e.model, newLogger(logConfig{Level: slog.LevelWarn}))
	if err != nil {
		return usageError{err}
	}
	model, err := classify.OpenModel(e.model.Bundles[0], config)
	if err != nil {
		return err
	}
	defer model.Close()
	head := slices.IndexFunc(model.Bundle.Heads, func(h bert.Head) bool { return h.Task == e.task })
	if head < 0 {
		return fmt.Errorf("%s has no head for %s", model.Bundle.Dir, e.task)
	}
	labels := model.Bundle.Heads[head].Labels
	texts, truth, err := e.rows(labels)
	if err != nil {
		return err
	}
	probabilities, err := predict(cmd, model, texts, head)
	if err != nil {
		return err
	}
	result, err := classify.Evaluate(labels, truth, probabilities)
	if err != nil {
		return err
	}
	if e.asJSON {
		return json.NewEncoder(cmd.OutOrStdout()).Encode(result)
	}
	b := model.Bundle
	fmt.Fprintf(cmd.OutOrStdout(), "%s %s, digest %.12s, %s on %s; %s of %s\n\n", b.Name, b.Version, b.Digest,
		cmp.Or(string(model.Precision), "as exported"), model.Device, e.split, e.data)
	return writeEvaluation(cmd.OutOrStdout(), result)
}

// rows reads the texts of the split and the index of each one's label.
func (e evaluation) rows(labels []string) (texts []string, truth []int, err error) {
	input, _, err := openInput(e.data)
	if err != nil {
		return nil, nil, err
	}
	defer input.Close()
	column := cmp.Or(e.label, e.task)
	seen := map[string]bool{}
	for r := range rowsOf(input, e.data) {
		if r.err != nil {
			return nil, nil, fmt.Errorf("%s: line %d: %w", e.data, r.line, r.err)
		}
		text, ok := r.fields[e.text]
		label, labelled := r.fields[column]
		if !ok || !labelled {
			return nil, nil, fmt.Errorf("%s: line %d has no column %s and %s; name the columns with --text and --label", e.data, r.line, e.text, column)
		}
		if seen[text] || e.split != "all" && validation(text) != (e.split == "validation") {
			continue
		}
		seen[text] = true
		class := slices.Index(labels, label)
		if class < 0 {
			return nil, nil, fmt.Errorf("%s: line %d: label %q is none of the bundle's: %s", e.data, r.line, label, strings.Join(labels, ", "))
		}
		texts, truth = append(texts, text), append(truth, class)
	}
	if len(texts) == 0 {
		return nil, nil, fmt.Errorf("%s: no rows in the split %s", e.data, e.split)
	}
	return texts, truth, nil
}

// validation tells the rows that the shipped bundles were not trained on, by their text
// alone: the same text is on the same side in every file.
func validation(text string) bool { return sha256.Sum256([]byte(text))[0] < 26 }

// predict reads the texts a few thousand at once, for the progress bar's sake.
func predict(cmd *cobra.Command, model *classify.Model, texts []string, head int) ([][]float64, error) {
	bar := newProgress(cmd.ErrOrStderr(), int64(len(texts)), "evaluate")
	defer bar.Close()
	probabilities := make([][]float64, 0, len(texts))
	for chunk := range slices.Chunk(texts, 1024) {
		if err := cmd.Context().Err(); err != nil {
			return nil, err
		}
		predictions, faults := model.Predict(chunk)
		for i, p := range predictions {
			if faults[i] != nil {
				return nil, fmt.Errorf("reading %q: %w", chunk[i], faults[i])
			}
			probabilities = append(probabilities, p[head])
		}
		_ = bar.Add(len(chunk))
	}
	return probabilities, nil
}

func writeEvaluation(w io.Writer, e classify.Evaluation) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d rows: accuracy %.4f, macro-F1 %.4f, expected calibration error %.4f\n\n", e.Rows, e.Accuracy, e.MacroF1, e.ECE)
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
