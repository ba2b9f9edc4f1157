package onnx

import (
	"fmt"

	ort "github.com/yalue/onnxruntime_go"
)

// Batch is tokenised texts, row major [Rows, Cols], shorter ones padded at the end.
type Batch struct {
	Rows, Cols int
	IDs        []int64 // token ids
	Mask       []int64 // 1 for a token, 0 for padding
	Types      []int64 // token types; nil is all 0
}

// Logits is one output of one Run.
type Logits struct {
	Name   string
	Labels int       // numbers a row
	Data   []float32 // [rows, Labels], raw: no temperature, no softmax
}

// Row is the logits of one text.
func (l Logits) Row(i int) []float32 { return l.Data[i*l.Labels : (i+1)*l.Labels] }

// Run classifies a batch and returns the outputs in the order of Outputs. A batch that
// does not fit (ErrBatch) is refused before the model sees it, because ONNX Runtime
// takes negative ids without a word. A run cannot be cancelled once it has begun. The
// batch's slices must not change until Run returns; they are not kept.
func (s *Session) Run(b Batch) ([]Logits, error) {
	if err := s.limits.check(b); err != nil {
		return nil, err
	}
	if b.Types == nil {
		b.Types = make([]int64, len(b.IDs))
	}
	inputs := make([]ort.Value, 0, len(s.inputs))
	defer func() {
		for _, v := range inputs {
			v.Destroy()
		}
	}()
	for _, name := range s.inputs {
		data := map[string][]int64{"input_ids": b.IDs, "attention_mask": b.Mask, "token_type_ids": b.Types}[name]
		v, err := ort.NewTensor(ort.NewShape(int64(b.Rows), int64(b.Cols)), data)
		if err != nil {
			return nil, fmt.Errorf("input %s of %d x %d: %w", name, b.Rows, b.Cols, err)
		}
		inputs = append(inputs, v)
	}
	outputs := make([]ort.Value, len(s.outputs))
	err := s.session.Run(inputs, outputs)
	defer func() {
		for _, v := range outputs {
			if v != nil {
				v.Destroy()
			}
		}
	}()
	if err != nil {
		return nil, fmt.Errorf("run %d x %d on %s: %w", b.Rows, b.Cols, s.device, err)
	}
	return s.collect(b, outputs)
}

func (s *Session) collect(b Batch, outputs []ort.Value) ([]Logits, error) {
	out := make([]Logits, len(outputs))
	for i, v := range outputs {
		t, ok := v.(*ort.Tensor[float32])
		if !ok || len(t.GetShape()) < 2 || t.GetShape()[0] != int64(b.Rows) {
			return nil, fmt.Errorf("%w: output %s of %d x %d has shape %v, not a row of numbers for each text",
				ErrModel, s.outputs[i], b.Rows, b.Cols, v.GetShape())
		}
		data := t.GetData() // the wrapper's own copy, in Go's memory
		out[i] = Logits{Name: s.outputs[i], Labels: len(data) / b.Rows, Data: data}
	}
	return out, nil
}

func (l limits) check(b Batch) error {
	n := b.Rows * b.Cols
	if b.Rows < 1 || b.Cols < 1 || len(b.IDs) != n || len(b.Mask) != n || (b.Types != nil && len(b.Types) != n) {
		return fmt.Errorf("%w: %d x %d with %d ids, %d mask, %d types", ErrBatch, b.Rows, b.Cols, len(b.IDs), len(b.Mask), len(b.Types))
	}
	if l.positions > 0 && b.Cols > l.positions {
		return fmt.Errorf("%w: %d x %d: texts may have %d tokens", ErrBatch, b.Rows, b.Cols, l.positions)
	}
	for _, c := range []struct {
		name  string
		ids   []int64
		limit int
	}{{"id", b.IDs, l.vocab}, {"mask", b.Mask, 2}, {"token type", b.Types, l.types}} {
		for i, id := range c.ids {
			if id < 0 || (c.limit > 0 && id >= int64(c.limit)) {
				return fmt.Errorf("%w: %d x %d: %s %d at row %d, column %d is negative or not under the model's %d",
					ErrBatch, b.Rows, b.Cols, c.name, id, i/b.Cols, i%b.Cols, c.limit)
			}
		}
	}
	return nil
}
