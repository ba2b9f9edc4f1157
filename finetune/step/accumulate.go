package step

import (
	"fmt"

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
