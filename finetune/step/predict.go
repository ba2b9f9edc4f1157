package step

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
)

// Predict gives the raw logits [Rows, labels] of every head, without dropout. The first
// call after an Update merges the weights and opens them for inference, about a second's
// work: evaluate many batches in a row. Targets are not looked at.
func (t *Trainer) Predict(b Batch) (map[string][]float32, error) {
	if err := t.openInference(); err != nil {
		return nil, err
	}
	logits, err := t.infer.Run(onnx.Batch{Rows: b.Rows, Cols: b.Cols, IDs: b.IDs, Mask: b.Mask, Types: b.Types})
	if errors.Is(err, onnx.ErrBatch) {
		return nil, fmt.Errorf("%w: %w", ErrBatch, err)
	}
	if err != nil {
		return nil, err
	}
	out := map[string][]float32{}
	for _, l := range logits {
		out[l.Name] = l.Data
	}
	return out, nil
}

func (t *Trainer) openInference() error {
	if t.infer != nil {
		return nil
	}
	heads := make([]bert.Head, len(t.c.Heads))
	for i, h := range t.c.Heads {
		heads[i].Task = h.Task
		for l := range h.Labels {
			heads[i].Labels = append(heads[i].Labels, strconv.Itoa(l))
		}
	}
	c, err := t.Checkpoint(heads)
	if err != nil {
		return err
	}
	model, err := c.Graph(bert.FP32, nil)
	if err != nil {
		return err
	}
	t.infer, err = t.c.Runtime.NewSession(onnx.SessionConfig{Model: model, Device: t.c.Device, Threads: t.c.Threads})
	if err != nil {
		return fmt.Errorf("open the trained weights: %w", err)
	}
	return nil
}

func (t *Trainer) closeInference() error {
	if t.infer == nil {
		return nil
	}
	s := t.infer
	t.infer = nil
	return s.Close()
}
