package classify

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
)

// ErrTooLong says that a text has more tokens than ModelConfig.MaxTextTokens.
var ErrTooLong = errors.New("text is too long to classify")

// ErrPanic is wrapped by the error of an item whose text made a stage panic.
var ErrPanic = errors.New("panic")

// ModelConfig says how a bundle is run. The zero value runs on the GPU where it works, on
// all cores else.
type ModelConfig struct {
	Bases         []string       // folders that hold the bases of adapters, by name
	Library       string         // ONNX Runtime's shared library; "" asks onnx.Find
	Device        onnx.Device    // onnx.Auto is CUDA where it works, else the CPU
	Precision     bert.Precision // "" is the bundle's, or INT8, on the CPU and FP16 on CUDA
	Threads       int            // cores that models take on the CPU; 0 is GOMAXPROCS
	BatchThreads  int            // of them for one batch, so that several run at once; 0 is 1
	TokenBudget   int            // tokens in a batch, padding included; 0 is 192 on the CPU and 8,192 on CUDA
	Calibrate     bool           // chooses what is 0 of the two above, and a shorter wait, by measuring at the first start
	MaxTextTokens int            // longer texts are refused with ErrTooLong; 0 is 32,768
	Log           *slog.Logger   // nil is slog.Default()

	CalibrationFolder string             // keeps what Calibrate chose, for the next start; "" is in the user's cache folder
	OnCalibrate       func(done, of int) // told how far Calibrate's measurement of a bundle is; nil: nobody is
}

func (c ModelConfig) withDefaults() ModelConfig {
	c.Threads = cmp.Or(max(c.Threads, 0), runtime.GOMAXPROCS(0))
	c.BatchThreads = min(max(c.BatchThreads, 0), c.Threads)
	c.MaxTextTokens = cmp.Or(c.MaxTextTokens, 32768)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.OnCalibrate == nil {
		c.OnCalibrate = func(int, int) {}
	}
	return c
}

// What suits a device. Texts for each CPU second by tokens in a batch (bundle en, int8, tweets,
// one thread): 1 text: 165, 64: 205, 128: 240, 256: 250, 384: 250, 512: 235, 1,024: 230, 2,048: 215. 192
// tokens take no more for each than 384 do, and half the time.
var (
	precisions   = map[onnx.Device]bert.Precision{onnx.CPU: bert.INT8, onnx.CUDA: bert.FP16}
	tokenBudgets = map[onnx.Device]int{onnx.CPU: 192, onnx.CUDA: 8192}
)

// session is what a Model needs of an *onnx.Session.
type session interface {
	Run(onnx.Batch) ([]onnx.Logits, error)
	Outputs() []string
	Close() error
}

// Model is a bundle with its weights, ready to read texts. Its methods may be called by any
// goroutine, but for Close, which must come last.
type Model struct {
	Bundle    *Bundle
	Device    onnx.Device
	Precision bert.Precision // "" for a user's own model.onnx

	tokenizer *tokenizer
	session   session
	runtime   *onnx.Runtime
	outputs   []int // by head: which of the session's outputs
	config    ModelConfig
	maxWait   time.Duration  // from calibration; 0 is the stage's
	buffers   sync.Pool      // of *onnx.Batch, reused from batch to batch
	onRun     func(batchRun) // told of each run; may be nil
	busy      *busy          // may be nil
}

// atOnce is how many batches of so many threads run at once.
func (m *Model) atOnce(threads int) int {
	if m.Device == onnx.CUDA {
		return 1
	}
	return max(1, m.config.Threads/threads)
}

// cores are what one batch takes of its lane's.
func (m *Model) cores() int {
	if m.Device == onnx.CUDA {
		return 1
	}
	return m.config.BatchThreads
}

// OpenModel opens the bundle in dir and compiles it if no compiled file is there yet.
// Errors are OpenBundle's, and onnx.ErrRuntime, onnx.ErrDevice and onnx.ErrModel.
func OpenModel(dir string, c ModelConfig) (_ *Model, err error) {
	c = c.withDefaults()
	b, err := OpenBundle(dir, c.Bases)
	if err != nil {
		return nil, err
	}
	m := &Model{Bundle: b, config: c}
	if m.tokenizer, err = openTokenizer(tokenizerFolders(b)...); err != nil {
		return nil, err
	}
	if c.Library == "" {
		if c.Library, err = onnx.Find(); err != nil {
			return nil, err
		}
	}
	if m.runtime, err = onnx.Open(c.Library); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	if m.Device, err = m.runtime.Resolve(c.Device, c.Log); err != nil {
		return nil, err
	}
	m.config.BatchThreads = cmp.Or(c.BatchThreads, 1)
	m.config.TokenBudget = cmp.Or(c.TokenBudget, tokenBudgets[m.Device])
	if b.export == "" {
		m.Precision = b.runsIn(m.Device, c.Precision)
	}
	if m.Device == onnx.CUDA && m.Precision == bert.INT8 && b.export == "" {
		return nil, fmt.Errorf("%w: %s: int8 is for the CPU: set precision to auto or fp16, or device to cpu", ErrBundle, b.Dir)
	}
	open := compiler{m.runtime, c.Bases, m.Device, m.Precision, m.config.BatchThreads, c.Log}
	s, err := open.open(b)
	if err != nil {
		return nil, err
	}
	m.session = s
	if err = m.matchHeads(); err != nil {
		return nil, err
	}
	if c.Calibrate {
		if err = m.calibrate(open, c); err != nil {
			return nil, err
		}
	}
	if err = m.warmUp(); err != nil {
		return nil, err
	}
	return m, nil
}

// runsIn is the precision on a device: the one asked for, else the bundle's own wish, else what
// suits the device.
func (b *Bundle) runsIn(device onnx.Device, asked bert.Precision) bert.Precision {
	return cmp.Or(asked, b.precision[device], precisions[device])
}

func tokenizerFolders(b *Bundle) []string {
	if b.base == "" {
		return []string{b.Dir}
	}
	return []string{b.Dir, b.base}
}

// matchHeads finds each head's output: by name, or the only one of a user's own export.
func (m *Model) matchHeads() error {
	outputs := m.session.Outputs()
	for _, h := range m.Bundle.Heads {
		at := slices.Index(outputs, h.Task)
		if at < 0 && m.Bundle.export != "" {
			at = 0
		}
		if at < 0 {
			return fmt.Errorf("%w: %s: head %s is not among the outputs %q", ErrBundle, m.Bundle.Dir, h.Task, outputs)
		}
		m.outputs = append(m.outputs, at)
	}
	return nil
}

// warmUp reads a text once, so that the first item does not pay for what is done once and
// a model that cannot run is found at the start.
func (m *Model) warmUp() error {
	_, errs := m.Predict([]string{"Shares fall after a profit warning. 股价下跌"})
	if errs[0] != nil {
		return fmt.Errorf("trying out %s: %w", m.Bundle.Dir, errs[0])
	}
	return nil
}

// Close frees the model's memory. Closing twice is fine.
func (m *Model) Close() error {
	var err error
	if m.session != nil {
		err = m.session.Close()
	}
	if m.runtime != nil {
		err = errors.Join(err, m.runtime.Close())
	}
	m.session, m.runtime = nil, nil
	return err
}

// Prediction is the calibrated probabilities of a text, [head][label] in the order of
// Bundle.Heads and their Labels.
type Prediction [][]float64

// Predict reads texts, links stripped, in the order given. errs[i] is nil where
// predictions[i] is set: one text's trouble is not the others'.
func (m *Model) Predict(texts []string) (predictions []Prediction, errs []error) {
	return m.PredictFor(texts, make([]string, len(texts)))
}

// readAll reads a pool on all cores.
func (m *Model) readAll(pool *batcher) {
	atOnce := m.atOnce(m.config.BatchThreads)
	cores := turns{free: atOnce}
	var readers sync.WaitGroup
	for batch := pool.Next(atOnce); batch != nil; batch = pool.Next(atOnce) {
		cores.take(1, time.Time{})
		readers.Go(func() {
			defer cores.give(1)
			m.read(batch)
		})
	}
	readers.Wait()
}

// PredictFor is Predict toward entities[i], as the bundle's EntitySegment says; "" is the
// text alone.
func (m *Model) PredictFor(texts, entities []string) (predictions []Prediction, errs []error) {
	predictions, errs = make([]Prediction, len(texts)), make([]error, len(texts))
	pool := batcher{budget: m.config.TokenBudget}
	jobs := make([]*job, len(texts))
	for i, text := range texts {
		jobs[i] = &job{text: StripURLs(text)}
		if entities[i] != "" {
			jobs[i].entities = entities[i : i+1]
		}
		if err := m.prepare(jobs[i]); err != nil {
			errs[i] = err
			continue
		}
		for _, r := range jobs[i].rows {
			pool.Add(r, time.Time{})
		}
	}
	m.readAll(&pool)
	for i, j := range jobs {
		if errs[i] = cmp.Or(errs[i], j.err); errs[i] == nil {
			predictions[i] = j.parts[0].prediction
		}
	}
	return predictions, errs
}
