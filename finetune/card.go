package finetune

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune/step"
)

// describe writes the model card, the curves and their numbers.
func (j *job) describe(dir string, r Report) error {
	var tasks []string
	for _, h := range r.Heads {
		tasks = append(tasks, h.Task)
	}
	points := j.best.state.Points
	for name, write := range map[string]writer{
		"README.md": func(w io.Writer) error { _, err := io.WriteString(w, j.card(r)); return err },
		metricsName: func(w io.Writer) error { return writeMetrics(w, tasks, points, r.Epochs) },
		curvesName:  func(w io.Writer) error { return writeCurves(w, tasks, points, r.Epochs) },
	} {
		if err := writeFile(filepath.Join(dir, name), write); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// card is the bundle's README.md. It names no machine and no time: equal runs give equal
// cards.
func (j *job) card(r Report) string {
	c := &strings.Builder{}
	j.cardHeader(c, r)
	cardFigures(c, r)
	cardPrecisions(c, r)
	j.cardBase(c, r)
	j.cardSources(c, r)
	cardTraining(c, r)
	cardDetails(c, r)
	return c.String()
}

func (j *job) cardHeader(c *strings.Builder, r Report) {
	section := j.section(r.Precision, r.PrecisionCUDA)
	fmt.Fprintln(c, "---")
	if len(section.Languages) > 0 {
		fmt.Fprintf(c, "language: [%s]\n", strings.Join(section.Languages, ", "))
	}
	library, kind := "transformers", "The whole of"
	if r.Settings.Mode == step.LoRA {
		library, kind = "peft", "A LoRA adapter on"
	}
	fmt.Fprintf(c, "base_model: %s\nlibrary_name: %s\npipeline_tag: text-classification\n---\n\n", r.Base, library)
	fmt.Fprintf(c, "# %s %s\n\n%s %s with %s, made by `barograph finetune`. ", r.Name, j.Version, kind, r.Base, headsInWords(r.Heads))
	fmt.Fprintf(c, "`%s` opens the folder as a `BertForSequenceClassification` (head %s)", library, r.Heads[0].Task)
	if len(r.Heads) > 1 {
		fmt.Fprint(c, "; the other heads lie in `heads.safetensors`, on the same pooled vector")
	}
	fmt.Fprint(c, ".\n\n")
	if section.EntitySegment {
		fmt.Fprint(c, "It reads an entity after the text (`[CLS] text [SEP] entity [SEP]`, token types 0 and 1), and says the sentiment toward it.\n\n")
	}
}

func headsInWords(heads []bert.Head) string {
	var parts []string
	for _, h := range heads {
		parts = append(parts, fmt.Sprintf("a head for %s (%d labels)", h.Task, len(h.Labels)))
	}
	return strings.Join(parts, " and ")
}

func cardFigures(c *strings.Builder, r Report) {
	fmt.Fprint(c, "| head | validation rows | of | accuracy | macro-F1 | calibration error |\n|---|---|---|---|---|---|\n")
	for _, m := range r.Measures {
		if m.Precision == bert.FP32 {
			e := m.Evaluation
			fmt.Fprintf(c, "| %s | %d | %s | %.3f | %.3f | %.3f |\n", m.Task, e.Rows, cell(cmp.Or(m.Source, "all")), e.Accuracy, e.MacroF1, e.ECE)
		}
	}
	fmt.Fprintf(c, "\nOf this folder, in fp32, texts read whole. The epoch (%d) was chosen and the temperatures were fitted on the same rows, so the figures lean to the bright side. One run, one seed.\n\n", r.Best)
	for _, task := range r.Kept {
		fmt.Fprintf(c, "The head for %s had no rows: it was trained to say, on the training texts, what the base's says, and was not measured.\n\n", task)
	}
}

func cardPrecisions(c *strings.Builder, r Report) {
	fmt.Fprint(c, "## Precisions\n\n| head | precision | accuracy | macro-F1 | calibration error |\n|---|---|---|---|---|\n")
	for _, m := range r.Measures {
		switch {
		case m.Err != nil:
			fmt.Fprintf(c, "| all | %s | not measured: reading the validation rows failed | | |\n", m.Precision)
		case m.Source == "":
			e := m.Evaluation
			fmt.Fprintf(c, "| %s | %s | %.4f | %.4f | %.4f |\n", m.Task, m.Precision, e.Accuracy, e.MacroF1, e.ECE)
		}
	}
	fmt.Fprintln(c)
	cardCost(c, r, bert.INT8, "CPU", r.Precision)
	cardCost(c, r, bert.FP16, "GPU", r.PrecisionCUDA)
	for _, cost := range r.Costs {
		fmt.Fprintf(c, "- %s\n", cost)
	}
	fmt.Fprintln(c)
}

// cardCost says what a device runs, and why.
func cardCost(c *strings.Builder, r Report, p bert.Precision, device string, instead bert.Precision) {
	costs := slices.DeleteFunc(slices.Clone(r.Costs), func(cost Cost) bool { return cost.Precision != p })
	doubt := ""
	if slices.ContainsFunc(costs, Cost.Unsure) {
		doubt = ", which are too few to be sure"
	}
	switch {
	case len(costs) == 0 && instead == bert.FP32:
		fmt.Fprintf(c, "What %s costs is not known: `config.json` asks for fp32 on the %s.\n\n", p, device)
	case len(costs) == 0:
	case instead == bert.FP32:
		fmt.Fprintf(c, "%s costs more than %.1f points of macro-F1 on these rows%s: `config.json` asks for fp32 on the %s.\n\n", p, 100*maxLoss, doubt, device)
	default:
		fmt.Fprintf(c, "%s costs at most %.1f points of macro-F1 on these rows%s: it is what the %s runs.\n\n", p, 100*maxLoss, doubt, device)
	}
}

func (j *job) cardBase(c *strings.Builder, r Report) {
	fmt.Fprintf(c, "## Base\n\n%s, `model.safetensors` with sha256 `%s`.", r.Base, r.BaseSHA)
	if o := j.base.pulled; o.Commit != "" {
		fmt.Fprintf(c, " It was pulled from %s at commit %s.", cell(o.Repo), cell(o.Commit))
	}
	if k := j.base.kept; k != nil && k.Name != "" { // a base may have no more than its pooling there
		fmt.Fprintf(c, " Training went on from the bundle %s %s.", k.Name, k.Version)
	}
	fmt.Fprintf(c, " Text → links (`https?://\\S+`) removed → tokenizer → encoder → pooling (%s) → head → softmax of logits / temperature.\n\n", j.section("", "").Pooling)
}

func (j *job) cardSources(c *strings.Builder, r Report) {
	fmt.Fprint(c, "## Data\n\n| source | for | training rows | validation rows | weight | sha256 |\n|---|---|---|---|---|---|\n")
	for _, s := range r.Sources {
		sum := ""
		if s.SHA256 != "" {
			sum = "`" + s.SHA256 + "`"
		}
		fmt.Fprintf(c, "| %s | %s | %d | %d | %g | %s |\n", cell(s.Name), s.Task, s.Train, s.Valid, cmp.Or(s.Weight, 1), sum)
	}
	f := r.Findings
	fmt.Fprintf(c, "\n%d rows read; left out: %d that repeat one before, %d that contradict one before (the first stays)", f.Rows, f.Duplicates, f.Conflicts)
	if f.Mixed > 0 {
		fmt.Fprintf(c, ", %d headlines whose entities differ in sentiment", f.Mixed)
	}
	if f.Bad > 0 {
		fmt.Fprintf(c, ", %d that could not be used", f.Bad)
	}
	fmt.Fprintf(c, ", %d training texts that copy a validation text. ", f.Copies)
	switch {
	case len(j.Valid) > 0:
		fmt.Fprint(c, "Validation rows were given.\n\n")
	case j.Settings.Split == Hashed:
		fmt.Fprint(c, "Validation rows are those whose text's SHA-256 begins with a byte below 26, which `barograph evaluate --split validation` takes.\n\n")
	default:
		fmt.Fprintf(c, "Validation rows are a tenth of each label's texts, by seed %d (--split stratified): `barograph evaluate --split validation` takes others, so measure on other files.\n\n", j.Settings.Seed)
	}
}

func cardTraining(c *strings.Builder, r Report) {
	s := r.Settings
	how := map[step.Mode]string{step.Full: "All layers", step.HeadOnly: "Pooler and heads only"}[s.Mode]
	if s.Mode == step.Full && !s.Embeddings {
		how += " but the embeddings"
	}
	if s.Mode == step.LoRA {
		how = fmt.Sprintf("LoRA r=%d, alpha=%g on %d kinds of linear layers; pooler and heads in full", s.Rank, cmp.Or(s.Alpha, float64(2*s.Rank)), kinds(s.Targets))
		if s.LoRADropout > 0 {
			how += fmt.Sprintf("; dropout %g of what its matrices A read", s.LoRADropout)
		}
	}
	length := fmt.Sprintf("%d epochs", s.Epochs)
	if s.Updates > 0 {
		length = fmt.Sprintf("%d updates", s.Updates)
	}
	fmt.Fprintf(c, "## Training\n\n%s: %d trained values. AdamW, learning rate %g, %.0f %% warm-up, then %s to 0 over %s; epoch %d was the best. ",
		how, r.Trained, s.Rate, 100*s.Warmup, s.Decay, length, r.Best)
	fmt.Fprintf(c, "Batches of %d × %d in length buckets, at most %d tokens (%d texts cut off), weight decay %g, gradient norm clipped at %g, dropout %g, label smoothing %g, class weights (1/frequency)^%g, seed %d.\n\n",
		s.Batch, s.Accumulate, s.MaxTokens, r.Findings.Truncated, s.WeightDecay, s.ClipNorm, s.Dropout, s.Smoothing, s.ClassWeights, s.Seed)
	if len(r.Teachers) > 0 {
		fmt.Fprintf(c, "%.0f %% of each row's target is what these bundles say of it on average, the rest its label: %s.\n\n",
			100*teacherShare, strings.Join(r.Teachers, ", "))
	}
	if s.Average > 0 {
		fmt.Fprintf(c, "The weights are a moving average over the updates, of decay %g.\n\n", s.Average)
	}
	fmt.Fprint(c, "| epoch | loss | head | validation loss | accuracy | macro-F1 |\n|---|---|---|---|---|---|\n")
	for _, e := range r.Epochs {
		for _, h := range e.Heads {
			fmt.Fprintf(c, "| %d | %.4f | %s | %.4f | %.4f | %.4f |\n", e.N, e.Loss, h.Task, h.Loss, h.Accuracy, h.MacroF1)
		}
	}
	fmt.Fprint(c, "\n![loss and macro-F1](metrics.png)\n")
	cardTrials(c, r.Trials)
}

// cardTrials has the sweep without its times, which the same sweep does not have twice.
func cardTrials(c *strings.Builder, trials []Trial) {
	if len(trials) == 0 {
		return
	}
	ended := 0
	for _, t := range trials {
		if t.Err == nil {
			ended++
		}
	}
	fmt.Fprintf(c, "\n%d of %d settings were trained to their end; this is the best of those by macro-F1 on the validation rows.\n\n", ended, len(trials))
	fmt.Fprint(c, "| setting | macro-F1 | best epoch |\n|---|---|---|\n")
	words := TrialsInWords(trials)
	for i, t := range trials {
		if t.Err != nil {
			fmt.Fprintf(c, "| %s | %s | |\n", words[i], cell(t.Err.Error()))
			continue
		}
		fmt.Fprintf(c, "| %s | %.4f | %d |\n", words[i], t.Score, t.Epoch)
	}
}

// kinds counts the kinds of linear layers among targets.
func kinds(targets []string) int {
	if targets == nil {
		return len(allLinears)
	}
	found := map[string]bool{}
	for _, t := range targets {
		found[kindOf(t)] = true
	}
	return len(found)
}

func cardDetails(c *strings.Builder, r Report) {
	for _, m := range r.Measures {
		if m.Precision != bert.FP32 || m.Source != "" {
			continue
		}
		e := m.Evaluation
		fmt.Fprintf(c, "\n## %s\n\n| class | precision | recall | F1 | rows |\n|---|---|---|---|---|\n", m.Task)
		for _, k := range e.Classes {
			fmt.Fprintf(c, "| %s | %.3f | %.3f | %.3f | %d |\n", cell(k.Label), k.Precision, k.Recall, k.F1, k.Support)
		}
		if len(e.Labels) > 5 {
			continue // too wide for a table
		}
		fmt.Fprint(c, "\n| true \\ said |")
		for _, l := range e.Labels {
			fmt.Fprintf(c, " %s |", cell(l))
		}
		fmt.Fprintf(c, "\n|%s\n", strings.Repeat("---|", len(e.Labels)+1))
		for i, row := range e.Confusion {
			fmt.Fprintf(c, "| %s |", cell(e.Labels[i]))
			for _, n := range row {
				fmt.Fprintf(c, " %d |", n)
			}
			fmt.Fprintln(c)
		}
	}
}

// cell keeps a foreign text inside its cell of a table.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "\r", " ").Replace(s)
}
