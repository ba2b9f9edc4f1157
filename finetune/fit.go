package finetune

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune/step"
)

// Update is what one update of the weights did.
type Update struct {
	N, Of         int
	Epoch, Epochs int // Epoch counts from 1
	Loss          float64
	Rate          float64       // learning rate
	Norm          float64       // of the gradients, before clipping
	Left          time.Duration // till the last update, at the speed so far; 0 while unknown
}

// Epoch is how the model does after an epoch.
type Epoch struct {
	N       int         `json:"epoch"`   // from 1
	Updates int         `json:"updates"` // so far
	Loss    float64     `json:"loss"`    // mean of the epoch's updates
	Rate    float64     `json:"lr"`      // of its last update
	Heads   []HeadScore `json:"heads"`   // those that have validation rows
	Score   float64     `json:"score"`   // mean of the heads' macro-F1: what is best by
	Seconds float64     `json:"seconds"` // since training began, pauses between runs left out
	Best    bool        `json:"best"`    // so far
}

// HeadScore is one head on the validation rows, texts cut off as in training.
type HeadScore struct {
	Task     string  `json:"task"`
	Loss     float64 `json:"loss"` // mean cross-entropy, without weights and smoothing
	Accuracy float64 `json:"accuracy"`
	MacroF1  float64 `json:"macro_f1"`
}

// maxDiverged is how many updates in a row may be lost to a loss that is not finite.
const maxDiverged = 5

// fit is one training run.
type fit struct {
	settings     Settings
	plan         plan
	heads        []bert.Head
	train, valid []*Example
	classWeights [][]float32
	trainer      *step.Trainer
	checkpoints  checkpoints
	curves       string        // folder of the curves, drawn after each epoch
	every        time.Duration // between checkpoints within an epoch
	onUpdate     func(Update)
	onEpoch      func(Epoch)

	state    state
	began    time.Time // of this process
	diverged int       // updates in a row
}

// state is where training stands; with the trainer's own state it is all of a checkpoint.
type state struct {
	Fingerprint string  `json:"fingerprint"` // of settings, base and data
	Update      int     `json:"update"`      // done
	InEpoch     int     `json:"in_epoch"`    // of them in the present epoch
	Points      []point `json:"points"`      // of all updates
	Epochs      []Epoch `json:"epochs"`      // done
	Seconds     float64 `json:"seconds"`     // of training, in earlier processes too
	Best        int     `json:"best"`        // the update after which the model was best; 0 = none yet
	Runs        string  `json:"runs"`        // what it was trained on: "cpu, 2 threads"
}

// run trains to the end, or until the context ends: then a checkpoint is left, to go on
// from. When it returns, the trainer has the best epoch's weights.
func (f *fit) run(ctx context.Context) error {
	f.began = time.Now().Add(-seconds(f.state.Seconds))
	saved := time.Now()
	for !f.done() {
		batches := order(f.train, f.settings.Batch, f.settings.Seed, len(f.state.Epochs))
		for f.state.InEpoch < f.plan.perEpoch && f.state.Update < f.plan.updates {
			if ctx.Err() != nil {
				return errors.Join(f.save(), ctx.Err())
			}
			if f.every > 0 && time.Since(saved) > f.every {
				if err := f.save(); err != nil {
					return err
				}
				saved = time.Now()
			}
			from := f.state.InEpoch * f.settings.Accumulate
			if err := f.update(batches[from:min(from+f.settings.Accumulate, len(batches))]); err != nil {
				return err
			}
		}
		if err := f.endEpoch(); err != nil {
			return err
		}
		saved = time.Now()
	}
	return f.takeBest()
}

// done says that all updates are made, or that no epoch of late was better than one before.
func (f *fit) done() bool {
	s := f.state
	if s.Update >= f.plan.updates {
		return true
	}
	since := 0
	for i := len(s.Epochs) - 1; i >= 0 && !s.Epochs[i].Best; i-- {
		since++
	}
	return f.settings.Patience > 0 && since >= f.settings.Patience
}

// update makes one update out of some batches. One whose loss or gradient is not finite is
// left out; several in a row are an error.
func (f *fit) update(batches [][]*Example) error {
	rows, loss := 0, 0.0
	for _, b := range batches {
		rows += len(b)
	}
	rate := f.settings.rate(f.state.Update+1, f.plan.updates)
	var fault error
	for _, examples := range batches {
		b := layOut(examples)
		b.Targets = targets(examples, f.heads, f.classWeights, f.settings.Smoothing, rows)
		part, err := f.trainer.Accumulate(b)
		if err != nil {
			fault = fmt.Errorf("update %d: %w", f.state.Update+1, err)
			break
		}
		loss += part
	}
	norm, err := f.trainer.Update(rate)
	if fault == nil && err != nil {
		fault = fmt.Errorf("update %d: %w", f.state.Update+1, err)
	}
	if fault != nil && !errors.Is(fault, step.ErrDiverged) {
		return fault
	}
	f.state.Update++
	f.state.InEpoch++
	f.state.Points = append(f.state.Points, point{Epoch: len(f.state.Epochs) + 1, Rate: rate})
	if fault != nil {
		if f.diverged++; f.diverged >= maxDiverged {
			return fmt.Errorf("%w, %d times in a row: a lower learning rate (--lr) or a longer warm-up (--warmup) may help", fault, maxDiverged)
		}
		return nil
	}
	f.diverged = 0
	f.state.Points[len(f.state.Points)-1] = point{len(f.state.Epochs) + 1, loss, rate, norm}
	if f.onUpdate != nil {
		f.onUpdate(Update{N: f.state.Update, Of: f.plan.updates, Epoch: len(f.state.Epochs) + 1, Epochs: f.plan.epochs,
			Loss: loss, Rate: rate, Norm: norm, Left: f.left()})
	}
	return nil
}

func (f *fit) left() time.Duration {
	took := time.Since(f.began)
	return time.Duration(float64(took) / float64(f.state.Update) * float64(f.plan.updates-f.state.Update))
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

func (f *fit) endEpoch() error {
	scores, score, err := f.validate()
	if err != nil {
		return err
	}
	e := Epoch{N: len(f.state.Epochs) + 1, Updates: f.state.Update, Loss: f.state.meanLoss(),
		Rate: f.settings.rate(f.state.Update, f.plan.updates), Heads: scores, Score: score, Seconds: time.Since(f.began).Seconds(), Best: true}
	for _, before := range f.state.Epochs {
		e.Best = e.Best && e.Score > before.Score
	}
	if e.Best {
		f.state.Best = f.state.Update
	}
	f.state.Epochs = append(f.state.Epochs, e)
	f.state.InEpoch = 0
	if err := errors.Join(f.save(), f.draw()); err != nil {
		return err
	}
	if f.onEpoch != nil {
		f.onEpoch(e)
	}
	return nil
}

// meanLoss is that of the present epoch's updates.
func (s state) meanLoss() float64 {
	sum := 0.0
	for _, p := range s.Points[len(s.Points)-s.InEpoch:] {
		sum += p.Loss
	}
	return sum / float64(max(1, s.InEpoch))
}

// validate scores the heads that have validation rows.
func (f *fit) validate() (scores []HeadScore, score float64, err error) {
	logits, err := predict(f.trainer, f.heads, f.valid)
	if err != nil {
		return nil, 0, err
	}
	for h, head := range f.heads {
		truth, rows := labelledLogits(f.valid, h, logits)
		if len(truth) == 0 {
			continue
		}
		s, err := scoreOf(head, truth, rows)
		if err != nil {
			return nil, 0, err
		}
		scores = append(scores, s)
		score += s.MacroF1
	}
	return scores, score / float64(len(scores)), nil
}

func (f *fit) save() error {
	s := f.state
	s.Seconds = time.Since(f.began).Seconds()
	return f.checkpoints.save(s, f.trainer)
}

// takeBest goes back to the best epoch's weights.
func (f *fit) takeBest() error {
	if f.state.Best == 0 || f.state.Best == f.state.Update {
		return nil
	}
	return f.checkpoints.restore(filepath.Join(string(f.checkpoints), folderOf(f.state.Best)), f.trainer)
}
