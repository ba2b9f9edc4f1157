package grad

import (
	"slices"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// Sum is over those dimensions, which stay as 1 with keep, or else are gone; without
// axes it is over all.
func (t *Tape) Sum(x *Value, keep bool, axes ...int) *Value {
	y, narrow := t.reduce("ReduceSum", x, keep, axes)
	return t.record(y, []*Value{x}, func(b *backward, dy *Value) {
		b.add(x, func() *Value { return t.expand(t.Reshape(dy, narrow...), x) })
	})
}

// Mean is Sum over dimensions of fixed size, divided by how many numbers there were.
func (t *Tape) Mean(x *Value, keep bool, axes ...int) *Value {
	y, narrow := t.reduce("ReduceMean", x, keep, axes)
	count := 1
	for i, d := range x.shape {
		if narrow[i] != d {
			mustf(d.Size > 0, "a mean over %q", d.Name)
			count *= d.Size
		}
	}
	return t.record(y, []*Value{x}, func(b *backward, dy *Value) {
		b.add(x, func() *Value { return t.expand(t.Scale(t.Reshape(dy, narrow...), 1/float64(count)), x) })
	})
}

// reduce also gives the shape with the summed dimensions as 1.
func (t *Tape) reduce(op string, x *Value, keep bool, axes []int) (y *Value, narrow Shape) {
	if len(axes) == 0 {
		for i := range x.shape {
			axes = append(axes, i)
		}
	}
	var shape Shape
	for i, d := range x.shape {
		if !slices.Contains(axes, i) {
			shape, narrow = append(shape, d), append(narrow, d)
			continue
		}
		narrow = append(narrow, N(1))
		if keep {
			shape = append(shape, N(1))
		}
	}
	kept := 0
	if keep {
		kept = 1
	}
	return t.node(op, shape, []*Value{x, t.int64s(axes...)}, onnxpb.Int("keepdims", kept)), narrow
}

// expand repeats v to x's shape along the dimensions where v has 1, without a rule: it
// only stands in backward passes.
func (t *Tape) expand(v, x *Value) *Value {
	if slices.Equal(v.shape, x.shape) {
		return v
	}
	shape := t.node("Shape", Shape{N(len(x.shape))}, []*Value{x})
	return t.node("Expand", x.shape, []*Value{v, shape})
}
