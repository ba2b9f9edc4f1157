package step

import (
	"fmt"
	"math"

	"github.com/barograph/barograph/classify/onnx"
)

// Accumulate runs forward and backward pass of a batch, with dropout, and adds its
// gradients to those since the last Update. It returns the batch's loss. A loss that is
// infinite or not a number is ErrDiverged, and the gradients since the last Update are
// then void: call Update next, which clears them.
func (t *Trainer) Accumulate(b Batch) (loss float64, err error) {
	if err := t.check(b); err != nil {
		return 0, err
	}
	in, err := t.inputs(b)
	if err != nil {
		return 0, err
	}
	to := t.grads
	if t.pending > 0 {
		if t.scratch == nil {
			t.scratch = make([]float32, len(t.grads))
		}
		to = t.scratch
	}
	into := map[string]onnx.Tensor{}
	for _, w := range t.weights {
		if isTable(w.name) {
			clear(w.of(to))
		} else {
			into[gradientOutput(w.name)] = onnx.Tensor{Shape: w.shape, Data: w.of(to)}
		}
	}
	out, err := t.graph.Run(in, into)
	if err != nil {
		return 0, fmt.Errorf("training step of %d x %d: %w", b.Rows, b.Cols, err)
	}
	if t.c.Embeddings {
		t.scatter(b, out[outputEmbeddings].Data.([]float32), to)
	}
	if t.pending > 0 {
		for i, v := range to {
			t.grads[i] += v
		}
	}
	t.pending++
	t.batches++
	loss = float64(out[outputLoss].Data.([]float32)[0])
	if loss-loss != 0 {
		t.void = true
		return loss, fmt.Errorf("%w: the loss is %v", ErrDiverged, loss)
	}
	return loss, nil
}

// inputs is all that the graph wants for a batch: ids, targets, weights and masks.
func (t *Trainer) inputs(b Batch) (map[string]onnx.Tensor, error) {
	shape := []int{b.Rows, b.Cols}
	in := map[string]onnx.Tensor{
		inputIDs:  {Shape: shape, Data: b.IDs},
		inputMask: {Shape: shape, Data: b.Mask},
	}
	types := b.Types
	if types == nil {
		types = make([]int64, len(b.IDs))
	}
	in[inputTypes] = onnx.Tensor{Shape: shape, Data: types}
	for _, h := range t.c.Heads {
		target := b.Targets[h.Task]
		if target == nil {
			target = make([]float32, b.Rows*h.Labels)
		}
		in[targetInput(h.Task)] = onnx.Tensor{Shape: []int{b.Rows, h.Labels}, Data: target}
	}
	for _, w := range t.weights {
		in[weightInput(w.name)] = onnx.Tensor{Shape: w.shape, Data: w.of(t.values)}
	}
	for i, m := range t.masks {
		shape, err := size(m.shape, b.Rows, b.Cols)
		if err != nil {
			return nil, err
		}
		n := 1
		for _, d := range shape {
			n *= d
		}
		if cap(t.keep[i]) < n {
			t.keep[i] = make([]uint8, n)
		}
		t.keep[i] = t.keep[i][:n]
		drawMask(t.keep[i], m.drop, t.c.Seed, t.batches, i, t.c.Threads)
		in[m.name] = onnx.Tensor{Shape: shape, Data: t.keep[i]}
	}
	return in, nil
}

// scatter adds the gradient of the embeddings' sum, [tokens, hidden], to the rows of the
// tables that were summed.
func (t *Trainer) scatter(b Batch, d, grads []float32) {
	hidden := t.c.Base.Config.HiddenSize
	for _, w := range t.weights {
		if !isTable(w.name) {
			continue
		}
		table := w.of(grads)
		for i := range b.IDs {
			row := i % b.Cols
			switch {
			case w.name == wordTable:
				row = int(b.IDs[i])
			case w.name == typeTable && b.Types == nil:
				row = 0
			case w.name == typeTable:
				row = int(b.Types[i])
			}
			to := table[row*hidden : (row+1)*hidden]
			for k, v := range d[i*hidden : (i+1)*hidden] {
				to[k] += v
			}
		}
	}
}

// Update clips the gradients, moves the weights by one step of AdamW at that learning
// rate and clears the gradients. It returns the global norm before clipping. If a
// gradient is infinite or not a number, that is ErrDiverged: the gradients are cleared,
// weights and moments stay.
func (t *Trainer) Update(rate float64) (gradientNorm float64, err error) {
	if t.pending == 0 {
		return 0, fmt.Errorf("%w: no gradients to update with", ErrBatch)
	}
	length := norm(t.grads, t.c.Threads)
	void := t.void
	t.pending, t.void = 0, false
	if void || math.IsNaN(length) || math.IsInf(length, 0) {
		return length, fmt.Errorf("%w: the gradient's norm is %v", ErrDiverged, length)
	}
	s := adamStep{rate: rate, beta1: t.c.Beta1, beta2: t.c.Beta2, epsilon: t.c.Epsilon, scale: 1, time: t.updates + 1}
	if t.c.ClipNorm > 0 {
		s.scale = min(1, t.c.ClipNorm/(length+1e-6)) // as PyTorch's clip_grad_norm_
	}
	for _, w := range t.weights {
		decay := 0.0
		if w.decay {
			decay = t.c.WeightDecay
		}
		s.move(w.of(t.values), w.of(t.grads), w.of(t.first), w.of(t.second), decay, t.c.Threads)
	}
	t.updates++
	return length, t.closeInference()
}

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
