// Package finetune trains a bundle on labelled rows, and proves it.
//
//	sources ─► examples ─► split ─► step.Trainer ─► best epoch ─► bundle ─► temperatures,
//	           (checked)            (an epoch, a                            figures in fp32,
//	                                 checkpoint)                            int8, fp16; card
//
// The training step itself is package step's.
package finetune

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/finetune/step"
)

// Config says what to train, on what, and where the bundle goes.
type Config struct {
	Base  string   // a folder in Hugging Face's layout, or a bundle, which is continued
	Bases []string // folders that hold the bases of adapters, by name
	Out   string   // the bundle's folder; checkpoints lie in it until it is done

	// Teachers are bundles whose answers soften the labels: a row's target is partly what they
	// say of its text on average. Each has a head for one of the tasks at least.
	Teachers []string

	Train []Source // at least one
	Valid []Source // none: Settings.Split takes validation rows out of Train

	Settings Settings
	Sweep    []Settings // tried instead, each from the start; the best by validation is kept
	// Asked are settings that somebody chose, by their flags' names ("rank"), those that Sweep
	// varies included: one that the mode, the base or another makes useless is refused.
	Asked   []string
	Budget  time.Duration // of training, what was trained before a kill included: no further one of Sweep begins after it; 0 = no limit
	SkipBad bool          // rows that cannot be used are counted, not an error
	Resume  bool          // goes on from the last checkpoint in Out, if there is one

	Name      string   // the bundle's; "" = Out's last element
	Version   string   // "" = 1
	Languages []string // ISO 639-1; nil = those of the bundle that is continued

	Library    string        // ONNX Runtime's shared library; "" asks onnx.Find
	Device     onnx.Device   // Auto is CUDA where it works, else CPU
	Threads    int           // on the CPU; 0 is one a core
	Checkpoint time.Duration // between checkpoints within an epoch; 0 = 5 min

	OnData   func(Summary) // told of what was read; nil as for the others
	OnTrial  func(Trial)   // of each setting of Sweep that begins
	OnUpdate func(Update)
	OnEpoch  func(Epoch)
	OnStage  func(string) // of what is done before training, and after it
	Log      *slog.Logger // nil is slog.Default()
}

// Summary is what there is to train on.
type Summary struct {
	Heads    []bert.Head
	Train    int
	Valid    int
	Kept     []string // tasks of the base that no row has a label for
	Untaught []string // labels that no training row has: "neutral of sentiment"
	Findings Findings
	Sources  []SourceRows
	Resumed  int // update that training goes on from; 0 = the start
}

// SourceRows are what was taken of a source.
type SourceRows struct {
	Name, Task, SHA256 string
	Weight             float64
	Train, Valid       int
}

// Trial is one setting of a sweep.
type Trial struct {
	N, Of    int
	Settings Settings
	Epoch    int     // the best
	Score    float64 // its mean macro-F1
	Seconds  float64 // of training, those before a kill too
	Err      error   // why it has no score: it diverged, or was not begun
}

// Report is what a run did.
type Report struct {
	Summary
	Name     string
	Base     string // name and digest
	BaseDir  string // its folder, which has another name where it is a promoted bundle's
	BaseSHA  string
	Settings Settings
	Epochs   []Epoch
	Best     int // epoch
	Trained  int // weights
	Trials   []Trial
	Teachers []string // name, version and digest
	Measures []Measure
	Costs    []Cost // of int8 and fp16, for each head with validation rows
	// Precision is what the bundle is to run in on the CPU: "" is int8, FP32 where that
	// costs too much. PrecisionCUDA is the same of fp16, and FP32 where that could not be measured.
	Precision, PrecisionCUDA bert.Precision
	Seconds                  float64
	Out                      string
}

// Run trains, writes the bundle, fits its temperatures and measures it. When the context
// ends it leaves a checkpoint, and its error wraps the context's. Errors wrap ErrSettings,
// ErrBase, ErrRows, ErrResume, or are of classify, bert, onnx and step.
func Run(ctx context.Context, c Config) (_ Report, err error) {
	j := &job{Config: c, began: time.Now()}
	if err := j.prepare(); err != nil {
		return Report{}, err
	}
	runtime, err := j.openRuntime()
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, runtime.Close()) }()
	j.runtime = runtime
	defer j.close()
	if err := j.train(ctx); err != nil {
		return Report{}, err
	}
	return j.finish(ctx)
}

// job is one Run.
type job struct {
	Config
	began   time.Time
	base    *base
	heads   []bert.Head
	data    dataset
	summary Summary
	runtime *onnx.Runtime

	trainer *step.Trainer // of the best setting, with the best epoch's weights
	best    *fit
	trials  []Trial

	teachers []string // as a Report names them
}

// close frees the best trainer, which a sweep that is broken off has, too.
func (j *job) close() {
	if j.trainer != nil {
		_ = j.trainer.Close()
	}
}

func (j *job) prepare() (err error) {
	j.Log = cmp.Or(j.Log, slog.Default())
	j.Checkpoint = cmp.Or(j.Checkpoint, 5*time.Minute)
	if abs, err := filepath.Abs(j.Out); err == nil {
		j.Name = cmp.Or(j.Name, filepath.Base(abs))
	}
	j.Version = cmp.Or(j.Version, "1")
	for _, s := range append([]Settings{j.Settings}, j.Sweep...) {
		if err := s.check(); err != nil {
			return err
		}
	}
	if j.Threads < 0 {
		return fmt.Errorf("%w: threads is %d; it must be 1 or more, or 0 for one a core", ErrSettings, j.Threads)
	}
	if err := j.checkOut(); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(j.Out) // where nothing is in it
		}
	}()
	if j.base, err = openBase(j.Base, j.Bases, &j.Settings); err != nil {
		return err
	}
	for i := range j.Sweep {
		if j.base.adapter {
			s := &j.Sweep[i]
			s.Rank, s.Alpha, s.Targets, s.LoRADropout = j.Settings.Rank, j.Settings.Alpha, j.Settings.Targets, j.Settings.LoRADropout
		}
	}
	if err := errors.Join(j.checkAsked(), j.checkDevice()); err != nil {
		return err
	}
	return j.read()
}

// checkOut refuses to write over what is there: a bundle, or a run's checkpoints. It makes the
// folder and writes to it: a run that cannot should not train for an hour first.
func (j *job) checkOut() error {
	if _, err := os.Stat(filepath.Join(j.Out, "config.json")); err == nil {
		return fmt.Errorf("%w: %s is a bundle already: choose another --out", ErrSettings, j.Out)
	}
	if _, err := os.Stat(filepath.Join(j.Out, checkpointsName)); err == nil && !j.Resume {
		return fmt.Errorf("%w: %s has the checkpoints of a run: go on with --resume, or choose another --out", ErrSettings, j.Out)
	} else if errors.Is(err, fs.ErrNotExist) && j.Resume {
		j.Log.Warn("there is no checkpoint to go on from: training begins at the start", "folder", j.Out)
	}
	if err := os.MkdirAll(j.Out, 0o755); err != nil {
		return fmt.Errorf("--out cannot be made: %w", err)
	}
	probe, err := os.CreateTemp(j.Out, ".probe-*")
	if err != nil {
		return fmt.Errorf("--out cannot be written to: %w", err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// checkDevice finds before the rows are read that a device that was demanded cannot be used.
func (j *job) checkDevice() error {
	if j.Device != onnx.CUDA {
		return nil
	}
	runtime, err := j.openRuntime()
	if err != nil {
		return err
	}
	_, err = runtime.Resolve(j.Device, j.Log)
	return errors.Join(err, runtime.Close())
}

func (j *job) openRuntime() (*onnx.Runtime, error) {
	library := j.Library
	if library == "" {
		var err error
		if library, err = onnx.Find(); err != nil {
			return nil, err
		}
	}
	return onnx.Open(library)
}

// fingerprint names what decides the outcome: a checkpoint of another is not gone on from.
func (j *job) fingerprint(s Settings) string {
	h := sha256.New()
	e := json.NewEncoder(h)
	_ = e.Encode(s)
	_ = e.Encode([]any{j.base.sha256, j.heads})
	for _, name := range slices.Sorted(maps.Keys(j.base.init)) {
		_ = e.Encode([]any{name, j.base.init[name]})
	}
	for _, examples := range [][]*Example{j.data.train, j.data.valid} {
		for _, x := range examples {
			_ = e.Encode([]any{x.Text, x.Entity, x.Labels, x.Weights, x.taught})
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
