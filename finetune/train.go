package finetune

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/finetune/step"
	"github.com/barograph/barograph/news"
)

const checkpointsName = "checkpoints"

// ErrNoTrial says that no setting of a sweep came to an end within the budget.
var ErrNoTrial = errors.New("no setting of the sweep was trained to its end")

// train trains with the settings, or with each of the sweep.
func (j *job) train(ctx context.Context) error {
	j.told(0)
	if err := j.askTeachers(); err != nil {
		return err
	}
	if len(j.Sweep) == 0 {
		f, err := j.fit(ctx, j.Settings, checkpoints(filepath.Join(j.Out, checkpointsName)), j.Out)
		if err != nil {
			return err
		}
		j.best, j.trainer = f, f.trainer
		return nil
	}
	return j.sweep(ctx)
}

func (j *job) told(resumed int) {
	if j.OnData != nil {
		j.summary.Resumed = resumed
		j.OnData(j.summary)
	}
}

// fit trains with one setting, from the start or from its last checkpoint, and draws the curves
// in a folder.
func (j *job) fit(ctx context.Context, s Settings, at checkpoints, curves string) (_ *fit, err error) {
	weights := make([][]float32, len(j.heads))
	for i, h := range j.heads {
		weights[i] = classWeights(counts(j.data.train, i, len(h.Labels)), s.ClassWeights)
	}
	trainer, err := step.New(step.Config{
		Base: j.base.checkpoint, Runtime: j.runtime, Device: j.Device, Threads: j.Threads,
		Mode: s.Mode, Rank: s.Rank, Alpha: s.Alpha, Targets: s.Targets, Embeddings: s.Embeddings, Dropout: s.Dropout, LoRADropout: s.LoRADropout,
		Heads: trainerHeads(j.heads), Seed: s.Seed,
		ClipNorm: s.ClipNorm, WeightDecay: s.WeightDecay, Average: s.Average, Init: j.base.init,
	})
	if err != nil {
		return nil, err
	}
	f := &fit{settings: s, plan: s.plan(len(j.data.train)), heads: j.heads, train: j.data.train, valid: j.data.valid,
		classWeights: weights, trainer: trainer, checkpoints: at, curves: curves, every: j.Checkpoint, onUpdate: j.OnUpdate, onEpoch: j.OnEpoch}
	defer func() {
		if err != nil {
			err = errors.Join(err, trainer.Close())
		}
	}()
	if err := j.keepHeads(trainer); err != nil {
		return nil, err
	}
	fingerprint := j.fingerprint(s)
	if j.Resume {
		if f.state, _, err = at.resume(fingerprint, trainer); err != nil {
			return nil, err
		}
	}
	runs := j.runs()
	if before := f.state.Runs; before != "" && before != runs {
		j.Log.Warn("what was trained before ran on something else: the weights may differ from those of a run that was left alone", "before", before, "now", runs)
	}
	f.state.Fingerprint, f.state.Runs = fingerprint, runs
	if f.state.Update > 0 {
		j.told(f.state.Update)
	}
	return f, f.run(ctx)
}

// runs names what decides the last digits of the weights beside the fingerprint. A graphics card
// that is there is what Auto takes.
func (j *job) runs() string {
	if device, err := j.runtime.Resolve(j.Device, j.Log); err == nil && device != onnx.CPU {
		return device.String()
	}
	return fmt.Sprintf("%s, %s", onnx.CPU, news.Counted(cmp.Or(j.Threads, runtime.NumCPU()), "thread"))
}

// keepHeads lets heads of the base that no row has a label for learn, on the training
// texts, to say what they say now, while the encoder changes below them (Li and Hoiem
// 2016, "Learning without Forgetting").
func (j *job) keepHeads(untrained *step.Trainer) error {
	if len(j.summary.Kept) == 0 || j.data.train[0].soft != nil {
		return nil
	}
	texts, err := j.base.inTokens(j.data.train, j.Settings.MaxTokens)
	if err != nil {
		return err
	}
	logits, err := predict(untrained, j.heads, texts)
	if err != nil {
		return err
	}
	for i, e := range j.data.train {
		e.soft = make([][]float64, len(j.heads))
		for h, head := range j.heads {
			if !slices.Contains(j.summary.Kept, head.Task) {
				continue
			}
			if e.soft[h], err = classify.Softmax(logits[h][i], 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// sweep trains with each setting until the budget is spent, and keeps the best. Settings
// that came to an end before a kill are not trained again, and what they took counts. A setting
// that diverges is one of the results; any other error is the sweep's.
func (j *job) sweep(ctx context.Context) error {
	spent := 0.0 // seconds of training, those before a kill too
	for i, s := range j.Sweep {
		if j.Budget > 0 && spent >= j.Budget.Seconds() && len(j.trials) > 0 {
			j.trials = append(j.trials, Trial{N: i + 1, Of: len(j.Sweep), Settings: s, Err: errors.New("not begun: the budget was spent")})
			continue
		}
		t := Trial{N: i + 1, Of: len(j.Sweep), Settings: s}
		if j.OnTrial != nil {
			j.OnTrial(t)
		}
		began := time.Now()
		folder := filepath.Join(j.Out, checkpointsName, fmt.Sprintf("trial-%03d", i+1))
		f, err := j.fit(ctx, s, checkpoints(folder), folder)
		if ctx.Err() != nil { // also where this setting came to its end before it was noticed
			if err == nil {
				err = f.trainer.Close()
			}
			return cmp.Or(err, ctx.Err())
		}
		switch {
		case err == nil:
			t.Epoch, t.Score = f.best()
			t.Seconds = f.state.seconds()
			err = j.keep(f)
		case errors.Is(err, step.ErrDiverged):
			t.Seconds, t.Err, err = time.Since(began).Seconds(), err, nil
		}
		if err != nil {
			return fmt.Errorf("setting %d of %d (%s): %w", t.N, t.Of, s.InWords(), err)
		}
		spent += t.Seconds
		j.trials = append(j.trials, t)
	}
	if j.best == nil {
		errs := []error{ErrNoTrial}
		for _, t := range j.trials {
			errs = append(errs, t.Err)
		}
		return errors.Join(errs...)
	}
	return nil
}

// keep takes the fit if it is better than the best so far, and closes the other.
func (j *job) keep(f *fit) error {
	_, score := f.best()
	if j.best == nil {
		j.best, j.trainer = f, f.trainer
		return nil
	}
	if _, before := j.best.best(); score > before {
		f, j.best, j.trainer = j.best, f, f.trainer
	}
	return f.trainer.Close()
}

// best is the epoch that was best, and its score.
func (f *fit) best() (epoch int, score float64) {
	for _, e := range f.state.Epochs {
		if e.Best {
			epoch, score = e.N, e.Score
		}
	}
	return epoch, score
}

// tidy removes what only a resumed run would need.
func (j *job) tidy() error { return os.RemoveAll(filepath.Join(j.Out, checkpointsName)) }
