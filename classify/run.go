package classify

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/barograph/barograph/classify/onnx"
)

// batchRun is what one pass through the model took.
type batchRun struct {
	rows, tokens, padding int
	seconds               float64
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
	if len(j.entities) == 0 {
		j.cut(ids, m.tokenizer.frame, nil, m.Bundle.MaxTokens)
		return nil
	}
	if !m.Bundle.EntitySegment || m.tokenizer.pair == nil {
		return fmt.Errorf("%w: %s does not read a text for an entity", ErrBundle, m.Bundle.Name)
	}
	for _, name := range j.entities {
		entity, err := m.tokenizer.Encode(nil, name)
		if err != nil {
			return err
		}
		entity = entity[:min(len(entity), m.Bundle.MaxTokens/longestEntity)]
		j.cut(ids, *m.tokenizer.pair, entity, m.Bundle.MaxTokens)
	}
	return nil
}

// longestEntity: an entity takes a quarter of a window at most.
const longestEntity = 4

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
		r.job.take(r.part, r.window, p)
	}
}

// run makes one pass through the model. A panic becomes an error.
func (m *Model) run(batch []*row) (_ []onnx.Logits, err error) {
	defer catch(&err, m.config.Log, "inference")
	input, _ := m.buffers.Get().(*onnx.Batch)
	if input == nil {
		input = &onnx.Batch{}
	}
	defer m.buffers.Put(input)
	tokens := fill(input, batch)
	start := time.Now()
	if m.busy != nil {
		m.busy.begin(start)
		defer func() { m.busy.end(time.Now()) }() // also where it panics
	}
	logits, err := m.session.Run(*input)
	if err != nil {
		return nil, fmt.Errorf("reading %d texts with %s: %w", len(batch), m.Bundle.Name, err)
	}
	if m.onRun != nil {
		m.onRun(batchRun{len(batch), tokens, len(input.IDs) - tokens, time.Since(start).Seconds()})
	}
	for h, at := range m.outputs {
		if head := m.Bundle.Heads[h]; at >= len(logits) || logits[at].Labels != len(head.Labels) || len(logits[at].Data) != len(batch)*len(head.Labels) {
			return nil, fmt.Errorf("%w: %s does not give %d logits for each text", ErrModel, m.Bundle.Name, len(head.Labels))
		}
	}
	return logits, nil
}

// fill lays the rows into b, padded to the longest, and counts their tokens.
func fill(b *onnx.Batch, batch []*row) (tokens int) {
	cols := 0
	for _, r := range batch {
		cols = max(cols, len(r.ids))
	}
	n := len(batch) * cols
	b.Rows, b.Cols = len(batch), cols
	b.IDs, b.Mask, b.Types = zeros(b.IDs, n), zeros(b.Mask, n), zeros(b.Types, n)
	for i, r := range batch {
		for j, id := range r.ids {
			b.IDs[i*cols+j], b.Mask[i*cols+j] = int64(id), 1
		}
		for j := r.second; j < len(r.ids); j++ {
			b.Types[i*cols+j] = 1
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
