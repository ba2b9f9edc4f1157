package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/internal/plain"
)

// promotion is what `barograph model promote` is asked for.
type promotion struct {
	config  string
	slot    string          // "" finds it
	data    []string        // FILE or TASK=FILE
	source  finetune.Source // columns
	split   string
	skipBad bool // as for evaluate
	force   bool
}

// errNotBetter says that a bundle does not beat the one that serves.
var errNotBetter = errors.New("the new bundle does not beat the live one")

func newModelPromote() *cobra.Command {
	var p promotion
	cmd := &cobra.Command{
		Use:   "promote FOLDER --data FILE",
		Short: "Put a bundle live if it beats the one that serves",
		Long: "Reads labelled rows with the bundle and with the one that serves in its place, and puts it live if it is\n" +
			"better on one head, worse on none, each beyond chance (in 95 % of resamples of the rows), and has the other's\n" +
			"heads, labels and languages; each head needs rows. Rows that it was trained on prove nothing and are refused:\n" +
			"give others, or train with --split hash and compare on --split validation. --force puts it live all the same.\n" +
			"It takes the place of the configured bundle of its name or, if there is none, the only one of its languages and kind (for texts, or for companies).\n" +
			"Running monitors notice within two looks (classify.reload), load it beside the old one and switch between two\n" +
			"batches; no item is lost or read twice.",
		Example: `  barograph model promote models/mine --data held-out.csv
  barograph model promote models/mine --to models/en --data held-out.csv --data topic=news.csv
  barograph model promote .deps/bases/finbert --to models/en --force`,
		Args: arguments(1, 1, "a bundle's folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(p.data) == 0 && !p.force {
				return usageError{errors.New("--data is needed to compare the bundles, or --force; see barograph model promote -h")}
			}
			if !slices.Contains([]string{"all", "train", "validation"}, p.split) {
				return usageError{fmt.Errorf("--split %q: it is all, train or validation", p.split)}
			}
			return p.run(cmd, args[0])
		},
	}
	configFlags(cmd, &p.config)
	cmd.Flags().StringVar(&p.slot, "to", "", "folder of the configured bundle whose place it takes")
	cmd.Flags().StringArrayVar(&p.data, "data", nil, "labelled rows (.csv, .tsv or JSON lines) for every head that one has a label of; TASK=FILE for one head; labels is the corrections topic")
	cmd.Flags().StringVar(&p.source.Text, "text-column", "", "column with the text; text or title without it")
	cmd.Flags().StringVar(&p.source.Label, "label-column", "", "column with the label; the task's name without it")
	cmd.Flags().StringVar(&p.source.Entity, "entity-column", "", "column with the company that the label is about, or a JSON object of company and label")
	cmd.Flags().StringVar(&p.split, "split", "all", "rows to compare on, as for evaluate: all, train or validation")
	cmd.Flags().BoolVar(&p.skipBad, "skip-bad", false, "leave out rows that cannot be used, and say how many")
	cmd.Flags().BoolVar(&p.force, "force", false, "put it live whatever the comparison says")
	return cmd
}

func (p promotion) run(cmd *cobra.Command, dir string) error {
	cfg, err := readConfig(p.config)
	if err != nil {
		return err
	}
	candidate, err := classify.OpenBundle(dir, cfg.Classify.Bases)
	if err != nil {
		return err
	}
	slot, err := p.place(cfg.Classify, candidate)
	if err != nil {
		return err
	}
	serving, err := classify.OpenBundle(slot, cfg.Classify.Bases)
	if err != nil {
		if holdsBundle(slot) && !p.force {
			return fmt.Errorf("what serves in %s cannot be compared with: %w", slot, err)
		}
		serving = nil
	}
	var files map[string]string
	if serving != nil && len(p.data) > 0 { // all that can be known before rows are read
		files, err = p.files(cmd.Context(), serving, candidate)
		err = errors.Join(misfit(cfg.Classify.Bundles, slot, serving, candidate), err, p.checkHeld(cmd.ErrOrStderr(), files, serving, candidate))
		if err = p.forced(cmd, err); err != nil {
			return err
		}
	}
	v, err := classify.Promote(slot, candidate, time.Now(), func(copied string) error {
		if err := p.opens(cfg.Classify, copied); err != nil {
			return err
		}
		if len(files) == 0 {
			return nil
		}
		return p.forced(cmd, p.compare(cmd, cfg.Classify, files, serving, candidate, slot, copied))
	})
	if err != nil {
		return err
	}
	back := ""
	if s, err := classify.OpenSlot(slot); err == nil && s.Live > 0 {
		back = fmt.Sprintf("; `barograph model rollback %s` puts back what served before", slot)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s serves in %s now%s\n", describe(v), slot, back)
	return nil
}

// forced lets an error pass with --force, and says it. Else it says that there is --force where
// that is a way.
func (p promotion) forced(cmd *cobra.Command, err error) error {
	switch {
	case err != nil && p.force && cmd.Context().Err() == nil:
		fmt.Fprintf(cmd.OutOrStdout(), "forced, though %v\n", err)
		return nil
	case errors.Is(err, errNotBetter) || errors.Is(err, errMisfit) || errors.Is(err, finetune.ErrTrainedOn):
		return fmt.Errorf("%w (--force puts it live all the same)", err)
	}
	return err
}

// holdsBundle tells a folder with a bundle from one that is to get its first.
func holdsBundle(dir string) bool {
	if s, err := classify.OpenSlot(dir); err != nil || len(s.Versions) > 0 {
		return true
	}
	_, err := os.Stat(filepath.Join(dir, "config.json"))
	return err == nil
}

// place finds the configured bundle whose place a bundle takes.
func (p promotion) place(cfg classifyConfig, candidate *classify.Bundle) (string, error) {
	if p.slot != "" {
		for _, dir := range cfg.Bundles {
			if samePath(p.slot, dir) {
				return dir, nil
			}
		}
		if _, err := os.Stat(p.slot); err != nil {
			return "", fmt.Errorf("--to %s: there is no such folder, and the configuration names none", p.slot)
		}
		return p.slot, nil
	}
	var named, alike []string
	for _, dir := range cfg.Bundles {
		b, err := classify.OpenBundle(dir, cfg.Bases)
		if err != nil {
			continue
		}
		if b.Name == candidate.Name {
			named = append(named, dir)
		}
		if slices.Equal(b.Languages, candidate.Languages) && b.EntitySegment == candidate.EntitySegment {
			alike = append(alike, dir)
		}
	}
	for _, found := range [][]string{named, alike} {
		if len(found) == 1 {
			return found[0], nil
		}
	}
	return "", usageError{fmt.Errorf("%s could take the place of several bundles, or of none: say --to FOLDER, one of %s", candidate.Name, strings.Join(cfg.Bundles, ", "))}
}

// samePath tells whether two paths are one, however they are written.
func samePath(a, b string) bool {
	wholeA, errA := filepath.Abs(a)
	wholeB, errB := filepath.Abs(b)
	return errA == nil && errB == nil && wholeA == wholeB
}

// opens makes sure that the bundle runs here and has what a monitor needs; the compiled
// graph stays beside it.
func (p promotion) opens(cfg classifyConfig, dir string) error {
	config, err := modelConfig(cfg, newLogger(logConfig{Level: slog.LevelWarn}))
	if err != nil {
		return err
	}
	stage, err := classify.New(classify.Config{Bundles: []string{dir}, Model: config})
	if err != nil {
		return err
	}
	return stage.Close()
}

// compare measures the heads that both bundles have on the files, by task, prints the table, and
// gives errNotBetter with the reason.
func (p promotion) compare(cmd *cobra.Command, cfg classifyConfig, files map[string]string, serving, candidate *classify.Bundle, slot, copied string) error {
	var err error
	fmt.Fprintf(cmd.OutOrStdout(), "live: %s in %s\nnew:  %s\n\n", describeBundle(serving), slot, describeBundle(candidate))
	var rows []compared
	for _, task := range tasksOf(serving) {
		row := compared{task: task}
		if file := files[task]; file != "" {
			if row, err = p.measure(cmd, cfg, task, file, slot, copied); err != nil {
				return err
			}
		}
		rows = append(rows, row)
	}
	if err := writeCompared(cmd.OutOrStdout(), rows); err != nil {
		return err
	}
	if why := verdict(rows, tasksOf(candidate)); why != "" {
		return fmt.Errorf("%w: %s", errNotBetter, why)
	}
	return nil
}

// compared is a head of the live bundle, and how the new one's holds against it.
type compared struct {
	task      string
	live, new judged // no rows: not measured
	classify.Comparison
}

func (p promotion) measure(cmd *cobra.Command, cfg classifyConfig, task, file, slot, copied string) (c compared, err error) {
	e := evaluation{model: cfg, source: p.source, data: file, task: task, split: p.split, skipBad: p.skipBad, path: p.config}
	c.task = task
	if c.new, err = e.judge(cmd, copied, judged{}); err != nil {
		return c, err
	}
	if c.live, err = e.judge(cmd, slot, c.new); err != nil {
		return c, err
	}
	c.Comparison, err = classify.Compare(c.new.labels, c.new.truth, c.new.probabilities, c.live.probabilities)
	return c, err
}

// verdict is why a bundle with the tasks does not beat the live one; "" if it does.
func verdict(rows []compared, tasks []string) string {
	better := false
	for _, row := range rows {
		switch {
		case !slices.Contains(tasks, row.task):
			return "it has no head for " + row.task
		case row.Rows == 0:
			return "it was not measured on " + row.task
		case row.High < 0:
			return "it is worse on " + row.task
		}
		better = better || row.Low > 0
	}
	if !better {
		return "it is better on no head beyond chance"
	}
	return ""
}

func writeCompared(w io.Writer, rows []compared) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "head\trows\tmacro-F1 live\tnew\tdifference\t95 % of resamples\taccuracy live\tnew\tMcNemar p\t")
	for _, r := range rows {
		if r.Rows == 0 {
			fmt.Fprintf(table, "%s\t0\t-\t-\t-\tnot measured\t-\t-\t-\t\n", plain.Line(r.task, 30))
			continue
		}
		fmt.Fprintf(table, "%s\t%d\t%.4f\t%.4f\t%+.4f\t%+.4f to %+.4f\t%.4f\t%.4f\t%.3g\t\n", plain.Line(r.task, 30), r.Rows,
			r.live.MacroF1, r.new.MacroF1, r.Gain, r.Low, r.High, r.live.Accuracy, r.new.Accuracy, r.McNemar)
	}
	fmt.Fprintln(table)
	return table.Flush()
}

func tasksOf(b *classify.Bundle) (tasks []string) {
	for _, head := range b.Heads {
		tasks = append(tasks, head.Task)
	}
	return tasks
}

func describeBundle(b *classify.Bundle) string {
	return describe(classify.Version{Name: b.Name, Version: b.Version, Digest: b.Digest})
}

func describe(v classify.Version) string {
	name := strings.TrimSpace(plain.Line(v.Name, 60) + " " + plain.Line(v.Version, 30))
	return strings.TrimSpace(fmt.Sprintf("%s (%.12s)", name, v.Digest))
}

func newModelRollback() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "rollback [FOLDER]",
		Short: "Put the bundle live again that served before",
		Long: "Puts the bundle live again that served before the last promotion. FOLDER is the configured bundle's, or its\n" +
			"name; it may be left out where only one has an earlier bundle.",
		Example: "  barograph model rollback models/en",
		Args:    arguments(0, 1, "one folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := readConfig(path)
			if err != nil {
				return err
			}
			slot, err := toRollBack(cfg.Classify.Bundles, args)
			if err != nil {
				return err
			}
			v, err := classify.Rollback(slot)
			if err != nil {
				return err
			}
			b, err := classify.OpenBundle(slot, cfg.Classify.Bases)
			if err != nil {
				return fmt.Errorf("%s is live in %s again, but does not open: %w", describe(v), slot, err)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s serves in %s again\n", describeBundle(b), slot)
			return nil
		},
	}
	configFlags(cmd, &path)
	return cmd
}

// toRollBack finds the folder: the one given, the configured one of that name, or the only
// one that has an earlier bundle.
func toRollBack(bundles, args []string) (string, error) {
	var found []string
	for _, dir := range bundles {
		s, err := classify.OpenSlot(dir)
		switch {
		case len(args) == 1 && (samePath(args[0], dir) || args[0] == filepath.Base(dir)):
			return dir, nil
		case err == nil && s.Live > 0:
			found = append(found, dir)
		}
	}
	switch {
	case len(args) == 1:
		return args[0], nil
	case len(found) == 1:
		return found[0], nil
	}
	return "", usageError{fmt.Errorf("%d of the bundles %s have an earlier one: name the one to roll back", len(found), strings.Join(bundles, ", "))}
}
