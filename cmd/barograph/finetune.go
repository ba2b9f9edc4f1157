package main

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/text/language"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/finetune/step"
	"github.com/barograph/barograph/news"
)

// training is what `barograph finetune` is asked for.
type training struct {
	config finetune.Config

	task         string
	train, valid []string // files of --task
	tasks        []string // TASK=FILE, instead

	text, label, entity string // columns
	full, headOnly      bool
	decay, split        string
	device              string
	sweep               string
	path                string // configuration, for the labels topic and the bases
}

func newFinetune() *cobra.Command {
	t := training{config: finetune.Config{Bases: defaults().Classify.Bases, Settings: finetune.Defaults(step.LoRA)}}
	cmd := &cobra.Command{
		Use:   "finetune --task TASK --train FILE --base DIR --out DIR",
		Short: "Train a bundle on labelled rows, and prove it",
		Long: "Trains a LoRA adapter and heads (or with --full all layers) on labelled rows: CSV with a header, TSV, JSON\n" +
			"lines, or the corrections people made (labels). --base is a base model's folder, or a bundle, which is then\n" +
			"trained further. Without --valid a tenth of the rows is kept for validation. The bundle of the best epoch\n" +
			"goes to --out with its model card, temperatures, curves, and its figures in fp32, int8 and fp16.",
		Example: `  barograph finetune --task sentiment --train tweets.csv --base .deps/bases/bge-small-en-v1.5 --out models/mine
  barograph finetune --tasks sentiment=tweets.csv,sentiment=headlines.csv:0.7,topic=topics.csv \
      --base .deps/bases/bge-small-en-v1.5 --out models/mine           # one encoder, two heads; a file of less weight
  barograph finetune --task sentiment --train tweets.csv,labels -c barograph.yaml --base models/en --out models/en-2
  barograph finetune --task sentiment --train sentfin.csv --entity-column entities_json \
      --base .deps/bases/bge-small-en-v1.5 --out models/by-entity      # sentiment toward each company
  barograph finetune … --sweep "lr=5e-4,1.5e-3 rank=8,16" --budget 2h  # the best of four
  barograph finetune … --resume                                        # after a kill, to the same end`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := t.prepare(cmd); err != nil {
				return usageError{fmt.Errorf("%w; see %s -h", err, cmd.CommandPath())}
			}
			return t.run(cmd)
		},
	}
	t.dataFlags(cmd)
	t.settingsFlags(cmd)
	return cmd
}

func (t *training) dataFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&t.task, "task", "", "head to train: sentiment or topic")
	f.StringSliceVar(&t.train, "train", nil, "rows of --task: files, or labels for the corrections topic; FILE:0.7 counts less")
	f.StringSliceVar(&t.tasks, "tasks", nil, "TASK=FILE,… instead of --task and --train: several heads at once; of a file given for two, a row has one label or both")
	f.StringSliceVar(&t.valid, "valid", nil, "validation rows, written as --train or --tasks is, but without a weight; without it a tenth of the rows")
	f.StringVar(&t.text, "text-column", "", "column with the text; text or title without it")
	f.StringVar(&t.label, "label-column", "", "column with the label; the task's name without it")
	f.StringVar(&t.entity, "entity-column", "", "column with the company that the label is about, or a JSON object of company and label: trains a bundle that reads the company after the text; rows and files without it are texts as a whole")
	f.BoolVar(&t.config.SkipBad, "skip-bad", false, "leave out rows that cannot be used, and count them")
	f.StringVar(&t.config.Base, "base", "", "folder of a base model in Hugging Face's layout, or a bundle to train further")
	basesFlag(cmd, &t.config.Bases)
	f.StringSliceVar(&t.config.Teachers, "teachers", nil, "bundles whose answers soften the labels: several, trained with other seeds, take out noise")
	f.StringVar(&t.config.Out, "out", "", "folder of the new bundle")
	f.StringVar(&t.config.Name, "name", "", "the bundle's name; --out's last element without it")
	f.StringVar(&t.config.Version, "bundle-version", "1", "the bundle's version")
	f.StringSliceVar(&t.config.Languages, "languages", nil, "languages that the bundle reads (en, zh); those of the bundle trained further without it")
	configFlags(cmd, &t.path)
	f.StringVar(&t.split, "split", "stratified", "how validation rows are chosen: stratified (a tenth of each label) or hash (as evaluate --split validation); on rows that the bundle of --base was trained on, as then")
}

func (t *training) settingsFlags(cmd *cobra.Command) {
	f, s := cmd.Flags(), &t.config.Settings
	f.BoolVar(&t.full, "full", false, "train all layers")
	f.BoolVar(&s.Embeddings, "embeddings", false, "with --full, train the embeddings, too")
	f.BoolVar(&t.headOnly, "head-only", false, "train the pooler and the heads only")
	f.IntVar(&s.Rank, "rank", s.Rank, "of LoRA")
	f.Float64Var(&s.Alpha, "alpha", 0, "of LoRA; twice the rank without it")
	f.StringSliceVar(&s.Targets, "targets", nil, "linear layers that LoRA adapts, such as query,value; all without it")
	f.Float64Var(&s.LoRADropout, "lora-dropout", 0, "of LoRA: share of what its matrices A read that is left out in training, as in PEFT; 0 = none")
	f.Float64Var(&s.Rate, "lr", 0, "highest learning rate; 1.5e-3 with LoRA, 5e-5 with --full, 2e-3 with --head-only without it")
	f.Float64Var(&s.Warmup, "warmup", s.Warmup, "share of the updates over which the rate rises")
	f.StringVar(&t.decay, "decay", string(s.Decay), "of the rate: linear or cosine")
	f.IntVar(&s.Epochs, "epochs", s.Epochs, "times that each row is read")
	f.IntVar(&s.Updates, "steps", 0, "updates, instead of --epochs")
	f.IntVar(&s.Patience, "patience", 0, "epochs without a better macro-F1 after which it stops; 0 = never")
	f.IntVar(&s.Batch, "batch", s.Batch, "texts in a batch")
	f.IntVar(&s.Accumulate, "accumulate", s.Accumulate, "batches in an update")
	f.IntVar(&s.MaxTokens, "max-tokens", s.MaxTokens, "texts are cut off there in training, not when serving")
	f.Float64Var(&s.Dropout, "dropout", s.Dropout, "of hidden states, attention and the pooled vector")
	f.Float64Var(&s.WeightDecay, "weight-decay", s.WeightDecay, "of AdamW")
	f.Float64Var(&s.ClipNorm, "clip-norm", s.ClipNorm, "gradients are scaled down to this norm; 0 = not")
	f.Float64Var(&s.ClassWeights, "class-weights", s.ClassWeights, "rare labels count more: 0 = not, 1 = all labels alike")
	f.Float64Var(&s.Smoothing, "smoothing", s.Smoothing, "of labels")
	f.Float64Var(&s.Average, "average", s.Average, "decay of a moving average of the weights, which is what is kept (0.995: of some 200 updates); 0 = the last weights")
	f.Uint64Var(&s.Seed, "seed", 0, "same seed, same bundle (on the CPU, with as many threads)")
	f.StringVar(&t.sweep, "sweep", "", `settings to try, such as "lr=1e-4,3e-4 rank=8,16"; the best by validation is kept`)
	f.DurationVar(&t.config.Budget, "budget", 0, "no further setting of --sweep begins after so much training, that before --resume included")
	f.BoolVar(&t.config.Resume, "resume", false, "go on from the last checkpoint in --out, to the same end")
	f.StringVar(&t.device, "device", "auto", "auto, cpu or cuda")
	f.IntVar(&t.config.Threads, "threads", 0, "on the CPU; 0 = one for each core")
}

// prepare checks the command line and turns it into the configuration.
func (t *training) prepare(cmd *cobra.Command) error {
	c, s := &t.config, &t.config.Settings
	switch {
	case c.Base == "" || c.Out == "":
		return errors.New("--base and --out are needed")
	case t.full && t.headOnly:
		return errors.New("--full and --head-only are two ways")
	case (len(t.tasks) > 0) == (t.task != "" || len(t.train) > 0):
		return errors.New("either --task and --train, or --tasks")
	case len(t.tasks) == 0 && (t.task == "" || len(t.train) == 0):
		return errors.New("--task and --train go together")
	}
	if len(t.tasks) == 0 {
		for _, file := range slices.Concat(t.train, t.valid) {
			if task, _, named := strings.Cut(file, "="); named && checkTask(task) == nil {
				return fmt.Errorf("%s: a file's task is named where --tasks is; --task says it of all files", file)
			}
		}
	}
	for _, file := range t.valid {
		if rows, weight := cutWeight(file); weight != 0 {
			return fmt.Errorf("--valid %s: a weight is for rows to train on: give --valid %s", file, rows)
		}
	}
	switch {
	case t.full:
		s.Mode = step.Full
	case t.headOnly:
		s.Mode = step.HeadOnly
	}
	defaults := finetune.Defaults(s.Mode)
	if !cmd.Flags().Changed("lr") {
		s.Rate = defaults.Rate
	}
	s.Decay, s.Split = finetune.Decay(t.decay), finetune.Split(t.split)
	for _, code := range c.Languages {
		if !isLanguage(code) {
			return fmt.Errorf("--languages %q: texts are routed by the codes of ISO 639-1, such as en and zh", code)
		}
	}
	if err := c.Device.UnmarshalText([]byte(t.device)); err != nil {
		return err
	}
	cmd.Flags().Visit(func(f *pflag.Flag) { c.Asked = append(c.Asked, f.Name) })
	for _, part := range strings.Fields(t.sweep) {
		name, _, _ := strings.Cut(part, "=")
		c.Asked = append(c.Asked, name)
	}
	var err error
	c.Sweep, err = parseSweep(*s, t.sweep)
	switch {
	case err != nil:
	case c.Budget < 0:
		err = fmt.Errorf("--budget %v: it is a time to train, such as 2h", c.Budget)
	case c.Budget != 0 && c.Sweep == nil:
		err = errors.New("--budget is for --sweep")
	}
	return err
}

func (t *training) run(cmd *cobra.Command) error {
	cfg, err := readConfig(t.path)
	if err != nil {
		return err
	}
	if !cmd.Flags().Changed("bases") {
		t.config.Bases = cfg.Classify.Bases
	}
	sources, err := t.sources(cmd.Context(), t.train, t.tasks)
	if err != nil {
		return err
	}
	defer sources.close()
	valid := &sourceSet{}
	if len(t.tasks) > 0 {
		valid, err = t.sources(cmd.Context(), nil, t.valid)
	} else {
		valid, err = t.sources(cmd.Context(), t.valid, nil)
	}
	if err != nil {
		return err
	}
	defer valid.close()
	tellApart(sources.list, valid.list)
	t.config.Train, t.config.Valid = sources.list, valid.list
	t.config.Log = newLogger(logConfig{Level: slog.LevelWarn})
	view := newTrainingView(cmd.ErrOrStderr())
	for _, set := range []*sourceSet{sources, valid} {
		for _, unused := range set.unusedInWords(t.entity != "") {
			view.say("left out: %s", unused)
		}
	}
	t.config.OnData, t.config.OnTrial, t.config.OnUpdate = view.data, view.trial, view.update
	t.config.OnEpoch, t.config.OnStage = view.epoch, view.stage
	report, err := finetune.Run(cmd.Context(), t.config)
	view.end()
	switch {
	case err != nil && cmd.Context().Err() != nil:
		return fmt.Errorf("stopped; --resume goes on from the last checkpoint in %s: %w", t.config.Out, cmd.Context().Err())
	case errors.Is(err, finetune.ErrSettings):
		return usageError{err}
	case err != nil:
		return err
	}
	if err := writeReport(cmd.OutOrStdout(), report); err != nil {
		return err
	}
	if _, err := bert.FindBase(report.Base, cfg.Classify.Bases); err != nil && report.Settings.Mode == step.LoRA {
		needs := "name the folder that holds that in classify.bases, or by --bases"
		if filepath.Base(report.BaseDir) != report.Base {
			needs = fmt.Sprintf("copy %s into a folder of classify.bases, under that name", report.BaseDir)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "It needs %s when it serves: %s.\n", report.Base, needs)
	}
	return nil
}

// parseTask reads TASK=FILE.
func parseTask(s string) (task, file string, err error) {
	task, file, ok := strings.Cut(s, "=")
	if !ok || file == "" {
		return "", "", fmt.Errorf("%q is not TASK=FILE, such as topic=topics.csv", s)
	}
	return task, file, checkTask(task)
}

func checkTask(task string) error {
	if task != news.TaskSentiment && task != news.TaskTopic {
		return fmt.Errorf("task %q: there are %s and %s", task, news.TaskSentiment, news.TaskTopic)
	}
	return nil
}

// isLanguage tells a code of ISO 639-1: routing compares the first subtag of an item's language,
// in small letters, with those of the bundles.
func isLanguage(code string) bool {
	base, err := language.ParseBase(code)
	return err == nil && len(code) == 2 && base.String() == code
}

// minutes writes a time as people count it.
func minutes(d time.Duration) string { return d.Round(time.Second).String() }
