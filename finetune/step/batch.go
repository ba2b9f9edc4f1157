package step

import (
	"fmt"
	"math"
)

// Batch is tokenised texts with what the heads should say of them.
type Batch struct {
	Rows, Cols int     // texts, and tokens of each with padding; Cols in multiples of 8 keep memory steady
	IDs        []int64 // [Rows, Cols] token ids
	Mask       []int64 // [Rows, Cols] 1 for a token, 0 for padding
	Types      []int64 // [Rows, Cols] token types; nil is all 0

	// Targets are [Rows, labels] by task. The loss is the sum over heads and rows of
	// -target * log softmax(logits): a row's target is its label's distribution (with
	// smoothing) times its weight, divided by the rows of the whole update. A row of
	// zeros, or a task left out, does not count.
	Targets map[string][]float32
}

// check refuses what ONNX Runtime would take without a word.
func (t *Trainer) check(b Batch) error {
	n := b.Rows * b.Cols
	if b.Rows < 1 || b.Cols < 1 || len(b.IDs) != n || len(b.Mask) != n || (b.Types != nil && len(b.Types) != n) {
		return fmt.Errorf("%w: %d x %d with %d ids, %d mask, %d types", ErrBatch, b.Rows, b.Cols, len(b.IDs), len(b.Mask), len(b.Types))
	}
	model := t.c.Base.Config
	if b.Cols > model.MaxPositions {
		return fmt.Errorf("%w: %d tokens; the base reads %d", ErrBatch, b.Cols, model.MaxPositions)
	}
	for _, c := range []struct {
		name  string
		ids   []int64
		limit int
	}{{"id", b.IDs, model.VocabSize}, {"mask", b.Mask, 2}, {"token type", b.Types, model.TypeVocabSize}} {
		for i, id := range c.ids {
			if id < 0 || id >= int64(c.limit) {
				return fmt.Errorf("%w: %s %d in row %d, column %d is not 0 to %d", ErrBatch, c.name, id, i/b.Cols, i%b.Cols, c.limit-1)
			}
		}
	}
	for task, target := range b.Targets {
		labels := 0
		for _, h := range t.c.Heads {
			if h.Task == task {
				labels = h.Labels
			}
		}
		if labels == 0 || len(target) != b.Rows*labels {
			return fmt.Errorf("%w: %d targets of %q, which has %d labels, for %d rows", ErrBatch, len(target), task, labels, b.Rows)
		}
		for i, v := range target {
			if !(v >= 0) || math.IsInf(float64(v), 1) {
				return fmt.Errorf("%w: target %v of %q in row %d", ErrBatch, v, task, i/labels)
			}
		}
	}
	return nil
}
