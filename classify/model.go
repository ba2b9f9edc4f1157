package classify

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
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
	Precision     bert.Precision // "" is INT8 on the CPU and FP16 on CUDA
	Threads       int            // for one batch on the CPU; 0 is one a core
	TokenBudget   int            // tokens in a batch, padding included; 0 is 1,024 on the CPU and 8,192 on CUDA
	MaxTextTokens int            // longer texts are refused with ErrTooLong; 0 is 32,768
	Log           *slog.Logger   // nil is slog.Default()
}

func (c ModelConfig) withDefaults() ModelConfig {
	c.MaxTextTokens = either(c.MaxTextTokens, 32768)
	c.Log = either(c.Log, slog.Default())
	return c
}

// What suits a device. Texts for each CPU second by tokens in a batch (bundle zh, int8,
// investors' comments): 512: 580, 1,024: 550, 2,048: 505, 4,096: 420.
var (
	precisions   = map[onnx.Device]bert.Precision{onnx.CPU: bert.INT8, onnx.CUDA: bert.FP16}
	tokenBudgets = map[onnx.Device]int{onnx.CPU: 1024, onnx.CUDA: 8192}
)

// session is what a Model needs of an *onnx.Session.
type session interface {
	Run(onnx.Batch) ([]onnx.Logits, error)
	Outputs() []string
	Close() error
}

// Model is a bundle with its weights, ready to read texts. One goroutine uses it at a
// time, but encode may run in others meanwhile.
type Model struct {
	Bundle    *Bundle
	Device    onnx.Device
	Precision bert.Precision // "" for a user's own model.onnx

	tokenizer *tokenizer
	session   session
	runtime   *onnx.Runtime
	outputs   []int // by head: which of the session's outputs
	config    ModelConfig
	batch     onnx.Batch     // reused from batch to batch
	onRun     func(batchRun) // told of each run; may be nil
}

// batchRun is what one pass through the model took.
type batchRun struct {
	rows, tokens, padding int
	seconds               float64
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
	m.config.TokenBudget = either(c.TokenBudget, tokenBudgets[m.Device])
	if b.export == "" {
		m.Precision = c.Precision
		if m.Precision == "" {
			m.Precision = precisions[m.Device]
		}
	}
	open := compiler{m.runtime, c.Bases, m.Device, m.Precision, c.Threads, c.Log}
	s, err := open.open(b)
	if err != nil {
		return nil, err
	}
	m.session = s
	if err = m.matchHeads(); err != nil {
		return nil, err
	}
	return m, m.warmUp()
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

// Close frees the model's memory.
func (m *Model) Close() error {
	var err error
	if m.session != nil {
		err = m.session.Close()
	}
	if m.runtime != nil {
		err = errors.Join(err, m.runtime.Close())
	}
	return err
}

// Prediction is the calibrated probabilities of a text, [head][label] in the order of
// Bundle.Heads and their Labels.
type Prediction [][]float64

// Predict reads texts, links stripped, in the order given. errs[i] is nil where
// predictions[i] is set: one text's trouble is not the others'.
func (m *Model) Predict(texts []string) (predictions []Prediction, errs []error) {
	predictions, errs = make([]Prediction, len(texts)), make([]error, len(texts))
	pool := batcher{budget: m.config.TokenBudget}
	jobs := make([]*job, len(texts))
	for i, text := range texts {
		jobs[i] = &job{text: StripURLs(text)}
		if err := m.prepare(jobs[i]); err != nil {
			errs[i] = err
			continue
		}
		for _, r := range jobs[i].rows {
			pool.Add(r, time.Time{})
		}
	}
	for batch := pool.Next(); batch != nil; batch = pool.Next() {
		m.read(batch)
	}
	for i, j := range jobs {
		if errs[i] == nil {
			predictions[i], errs[i] = j.prediction, j.err
		}
	}
	return predictions, errs
}

// prepare cuts a job's text into rows. A panic becomes the job's error.
func (m *Model) prepare(j *job) (err error) {
	defer catch(&err, m.config.Log, "tokenising")
	if blank(j.text) {
		return ErrNoText
	}
	ids, err := m.tokenizer.Encode(make([]int32, 0, 16+len(j.text)/3), j.text)
	if err != nil {
		return err
	}
	switch {
	case len(ids) == 0:
		return ErrNoText
	case len(ids) > m.config.MaxTextTokens:
		return fmt.Errorf("%w: it has %d tokens, the most is %d", ErrTooLong, len(ids), m.config.MaxTextTokens)
	}
	before, after := m.tokenizer.before, m.tokenizer.after
	cuts := windows(len(ids), m.Bundle.MaxTokens-len(before)-len(after), overlap)
	j.weights = weights(cuts)
	j.left = len(cuts)
	for i, w := range cuts {
		j.rows = append(j.rows, &row{job: j, window: i, ids: slices.Concat(before, ids[w.start:w.end], after)})
	}
	return nil
}

// read runs a batch and hands each row's logits to its job. Where the batch fails, each
// row runs alone, so that only the text at fault fails.
func (m *Model) read(batch []*row) {
	logits, err := m.run(batch)
	if err != nil && len(batch) > 1 {
		m.config.Log.Warn("a batch failed, its texts are read one by one", "model", m.Bundle.Name, "rows", len(batch), "error", err)
		for _, r := range batch {
			m.read([]*row{r})
		}
		return
	}
	for i, r := range batch {
		if err != nil {
			r.job.fail(err)
			continue
		}
		p, err := m.probabilities(logits, i)
		if err != nil {
			r.job.fail(err)
			continue
		}
		r.job.take(r.window, p)
	}
}

// run makes one pass through the model. A panic becomes an error.
func (m *Model) run(batch []*row) (_ []onnx.Logits, err error) {
	defer catch(&err, m.config.Log, "inference")
	tokens := m.fill(batch)
	start := time.Now()
	logits, err := m.session.Run(m.batch)
	if err != nil {
		return nil, fmt.Errorf("reading %d texts with %s: %w", len(batch), m.Bundle.Name, err)
	}
	if m.onRun != nil {
		m.onRun(batchRun{len(batch), tokens, len(m.batch.IDs) - tokens, time.Since(start).Seconds()})
	}
	for h, at := range m.outputs {
		if head := m.Bundle.Heads[h]; at >= len(logits) || logits[at].Labels != len(head.Labels) || len(logits[at].Data) != len(batch)*len(head.Labels) {
			return nil, fmt.Errorf("%w: %s does not give %d logits for each text", ErrModel, m.Bundle.Name, len(head.Labels))
		}
	}
	return logits, nil
}

// fill lays the rows into the batch, padded to the longest, and counts their tokens.
func (m *Model) fill(batch []*row) (tokens int) {
	cols := 0
	for _, r := range batch {
		cols = max(cols, len(r.ids))
	}
	n := len(batch) * cols
	b := &m.batch
	b.Rows, b.Cols = len(batch), cols
	b.IDs, b.Mask, b.Types = zeros(b.IDs, n), zeros(b.Mask, n), zeros(b.Types, n)
	for i, r := range batch {
		for j, id := range r.ids {
			b.IDs[i*cols+j], b.Mask[i*cols+j] = int64(id), 1
		}
		tokens += len(r.ids)
	}
	return tokens
}

func zeros(s []int64, n int) []int64 {
	s = slices.Grow(s[:0], n)[:n]
	clear(s)
	return s
}

func (m *Model) probabilities(logits []onnx.Logits, row int) (Prediction, error) {
	p := make(Prediction, len(m.outputs))
	for h, at := range m.outputs {
		var err error
		if p[h], err = Softmax(logits[at].Row(row), m.Bundle.Heads[h].Temperature); err != nil {
			return nil, fmt.Errorf("head %s of %s: %w", m.Bundle.Heads[h].Task, m.Bundle.Name, err)
		}
	}
	return p, nil
}

// catch turns a panic into an error; the stack goes to the log.
func catch(err *error, log *slog.Logger, doing string) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w while %s: %v", ErrPanic, doing, p)
		log.Error("a panic was caught", "while", doing, "panic", p, "stack", string(debug.Stack()))
	}
}
