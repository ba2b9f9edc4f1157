package finetune

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
)

// Measure is one head of the finished bundle on validation rows, read as it is when it
// serves: whole texts, temperatures applied.
type Measure struct {
	Precision  bert.Precision
	Task       string
	Source     string // "" = all of the head's rows
	Evaluation classify.Evaluation
	Err        error // why this precision could not be measured here
}

// finish writes the bundle beside, fits its temperatures, measures it and moves it into
// its place.
func (j *job) finish(ctx context.Context) (Report, error) {
	if err := os.MkdirAll(j.Out, 0o755); err != nil {
		return Report{}, err
	}
	if old, err := filepath.Glob(filepath.Join(j.Out, ".bundle-*")); err == nil { // of a run that was killed here
		for _, dir := range old {
			os.RemoveAll(dir)
		}
	}
	dir, err := os.MkdirTemp(j.Out, ".bundle-*")
	if err != nil {
		return Report{}, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		return Report{}, err
	}
	if err := j.writeBundle(dir); err != nil {
		return Report{}, err
	}
	r := j.report()
	if err := j.trainer.Close(); err != nil { // its memory is the finished model's now
		return Report{}, err
	}
	if err := j.calibrate(ctx, dir); err != nil {
		return Report{}, err
	}
	if err := j.measureAll(ctx, dir, &r); err != nil {
		return r, err
	}
	if err := j.writeConfig(dir, r.Precision, r.PrecisionCUDA); err != nil {
		return r, err
	}
	if err := j.describe(dir, r); err != nil {
		return r, err
	}
	if err := publish(dir, j.Out); err != nil {
		return r, fmt.Errorf("moving the bundle to %s: %w", j.Out, err)
	}
	return r, j.tidy()
}

// calibrate fits a temperature for each head that has validation rows, and writes
// config.json again.
func (j *job) calibrate(ctx context.Context, dir string) error {
	for i := range j.heads {
		if slices.ContainsFunc(j.data.valid, func(e *Example) bool { return e.Labels[i] >= 0 }) {
			j.heads[i].Temperature = 1
		}
	}
	if err := j.writeConfig(dir, "", ""); err != nil {
		return err
	}
	j.stage("fitting temperatures")
	predictions, err := j.readAll(ctx, dir, bert.FP32)
	if err != nil {
		return err
	}
	for h := range j.heads {
		truth, rows := labelledRows(j.data.valid, h, all, predictions)
		logits := make([][]float64, len(rows)) // up to a constant in each
		for i, row := range rows {
			for _, p := range row {
				logits[i] = append(logits[i], math.Log(math.Max(p, 1e-12)))
			}
		}
		if len(truth) > 0 {
			j.heads[h].Temperature = fitTemperature(truth, logits)
		}
	}
	return j.writeConfig(dir, "", "")
}

func all(*Example) bool { return true }

// readAll reads the validation texts with the bundle in one precision.
func (j *job) readAll(ctx context.Context, dir string, p bert.Precision) ([]classify.Prediction, error) {
	// The CPU's int8 and fp32 are what most serve with; fp16 is tried where training runs.
	device := onnx.CPU
	if p == bert.FP16 {
		device = j.Device
	}
	bases, err := j.basesHere()
	if err != nil {
		return nil, err
	}
	model, err := classify.OpenModel(dir, classify.ModelConfig{Bases: bases, Library: j.Library, Device: device,
		Precision: p, Threads: j.Threads, Log: j.Log})
	if err != nil {
		return nil, err
	}
	defer model.Close()
	out := make([]classify.Prediction, 0, len(j.data.valid))
	const chunk = 256
	for from := 0; from < len(j.data.valid); from += chunk {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		examples := j.data.valid[from:min(from+chunk, len(j.data.valid))]
		texts, entities := make([]string, len(examples)), make([]string, len(examples))
		for i, e := range examples {
			texts[i], entities[i] = e.Text, e.Entity
		}
		predictions, errs := model.PredictFor(texts, entities)
		for i, err := range errs {
			if err != nil {
				return nil, fmt.Errorf("%s: %s: %w", j.data.sources[examples[i].first].Name, examples[i].At, err)
			}
		}
		out = append(out, predictions...)
	}
	return out, nil
}

func (j *job) stage(what string) {
	if j.OnStage != nil {
		j.OnStage(what)
	}
}

// basesHere are folders that hold the base under its name, as those of classify.bases do: a
// promoted bundle lies under its digest, so that a link stands for it until the run is done.
func (j *job) basesHere() ([]string, error) {
	if filepath.Base(j.base.dir) == j.base.name {
		return append([]string{filepath.Dir(j.base.dir)}, j.Bases...), nil
	}
	folder := filepath.Join(j.Out, checkpointsName, "bases")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return nil, err
	}
	if err := os.Symlink(j.base.dir, filepath.Join(folder, j.base.name)); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return append([]string{folder}, j.Bases...), nil
}

// measureAll measures the bundle in each precision, what int8 and fp16 cost each head, and what it
// is to run in then. fp16 that fails is no reason not to have a bundle for the CPU.
func (j *job) measureAll(ctx context.Context, dir string, r *Report) error {
	var exact []classify.Prediction
	for _, p := range []bert.Precision{bert.FP32, bert.INT8, bert.FP16} {
		j.stage("measuring in " + string(p))
		said, err := j.readAll(ctx, dir, p)
		if err != nil && p == bert.FP16 && ctx.Err() == nil {
			r.Measures, r.PrecisionCUDA = append(r.Measures, Measure{Precision: p, Err: err}), bert.FP32
			return nil
		}
		if err != nil {
			return err
		}
		own, err := j.measure(p, said)
		if err != nil {
			return err
		}
		r.Measures = append(r.Measures, own...)
		if p == bert.FP32 {
			exact = said
			continue
		}
		costs, err := j.costs(p, exact, said)
		if err != nil {
			return err
		}
		r.Costs = append(r.Costs, costs...)
		if p == bert.INT8 {
			r.Precision = instead(costs)
		} else {
			r.PrecisionCUDA = instead(costs)
		}
	}
	return nil
}

// measure evaluates each head on all of its rows and, where they are of several sources,
// on each source's.
func (j *job) measure(p bert.Precision, predictions []classify.Prediction) (out []Measure, err error) {
	for h, head := range j.heads {
		var sources []int // that have rows for the head
		for s := range j.data.sources {
			if slices.ContainsFunc(j.data.valid, func(e *Example) bool { return e.Sources[h] == s }) {
				sources = append(sources, s)
			}
		}
		if len(sources) == 0 {
			continue
		}
		if len(sources) > 1 {
			sources = append([]int{-1}, sources...)
		} else {
			sources[0] = -1
		}
		for _, s := range sources {
			m := Measure{Precision: p, Task: head.Task}
			if s >= 0 {
				m.Source = j.summary.Sources[s].Name
			}
			truth, probabilities := labelledRows(j.data.valid, h, func(e *Example) bool { return s < 0 || e.Sources[h] == s }, predictions)
			if m.Evaluation, err = classify.Evaluate(head.Labels, truth, probabilities); err != nil {
				return nil, err
			}
			out = append(out, m)
		}
	}
	return out, nil
}

// labelledRows are the true labels and the probabilities of those examples that the head
// has labels for.
func labelledRows(examples []*Example, head int, which func(*Example) bool, predictions []classify.Prediction) (truth []int, probabilities [][]float64) {
	for i, e := range examples {
		if l := e.Labels[head]; l >= 0 && which(e) {
			truth, probabilities = append(truth, l), append(probabilities, predictions[i][head])
		}
	}
	return truth, probabilities
}

func (j *job) report() Report {
	epoch, _ := j.best.best()
	r := Report{Summary: j.summary, Name: j.Name, Base: j.base.name, BaseDir: j.base.dir, BaseSHA: j.base.sha256, Settings: j.best.settings, Teachers: j.teachers,
		Epochs: j.best.state.Epochs, Best: epoch, Trials: j.trials, Seconds: j.best.state.seconds(), Out: j.Out}
	for _, t := range j.trainer.Weights() {
		r.Trained += len(t.Data)
	}
	return r
}

// seconds is how long training took, to the last epoch's end.
func (s state) seconds() float64 { return s.Epochs[len(s.Epochs)-1].Seconds }
