package grad

import (
	"slices"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// Reshape keeps the numbers and their order. At most one dimension of a shape may have a
// name that no input has, such as the product of two others.
func (t *Tape) Reshape(x *Value, shape ...Dim) *Value {
	if slices.Equal(x.shape, shape) {
		return x
	}
	y := t.node("Reshape", shape, []*Value{x, t.dims(shape)})
	return t.record(y, []*Value{x}, func(b *backward, dy *Value) {
		b.add(x, func() *Value { return t.Reshape(dy, x.shape...) })
	})
}

// dims is a shape as an int64 list in the graph.
func (t *Tape) dims(shape Shape) *Value {
	named, free := 0, 0 // dimensions, and those of them that no input has
	sizes := make([]int, len(shape))
	for i, d := range shape {
		if sizes[i] = d.Size; d.Name != "" {
			named, sizes[i] = named+1, -1
		}
	}
	if named <= 1 {
		return t.int64s(sizes...)
	}
	parts := make([]*Value, len(shape))
	for i, d := range shape {
		if parts[i] = t.int64s(sizes[i]); d.Name == "" {
			continue
		}
		if _, ok := t.sizes[d.Name]; ok {
			parts[i] = t.size(d)
		} else {
			free++
		}
	}
	mustf(free <= 1, "the sizes of %s are not known", shape)
	return t.node("Concat", Shape{N(len(shape))}, parts, onnxpb.Int("axis", 0))
}

// size is a dimension's size, int64 [1].
func (t *Tape) size(d Dim) *Value {
	if d.Name == "" {
		return t.int64s(d.Size)
	}
	name, ok := t.sizes[d.Name]
	mustf(ok, "no input has the dimension %q", d.Name)
	return &Value{name, Shape{N(1)}}
}

// Transpose reorders the dimensions: the result's i-th is x's order[i]-th.
func (t *Tape) Transpose(x *Value, order ...int) *Value {
	mustf(len(order) == len(x.shape), "order %v of %s", order, x.shape)
	shape, perm, inverse := make(Shape, len(order)), make([]int64, len(order)), make([]int, len(order))
	for i, o := range order {
		shape[i], perm[i], inverse[o] = x.shape[o], int64(o), i
	}
	y := t.node("Transpose", shape, []*Value{x}, onnxpb.Ints("perm", perm...))
	return t.record(y, []*Value{x}, func(b *backward, dy *Value) {
		b.add(x, func() *Value { return t.Transpose(dy, inverse...) })
	})
}

// First is x[:, 0]: of [batch, n, ...] the first along the second dimension, which is
// gone from the result.
func (t *Tape) First(x *Value) *Value {
	n := x.shape[1]
	one := append(Shape{x.shape[0], N(1)}, x.shape[2:]...)
	slice := t.node("Slice", one, []*Value{x, t.int64s(0), t.int64s(1), t.int64s(1)})
	shape := append(Shape{x.shape[0]}, x.shape[2:]...)
	y := t.node("Reshape", shape, []*Value{slice, t.dims(shape)})
	return t.record(y, []*Value{x}, func(b *backward, dy *Value) {
		b.add(x, func() *Value { // zeros after it
			rest := t.node("Sub", Shape{N(1)}, []*Value{t.size(n), t.int64s(1)})
			pads := t.node("Concat", Shape{N(2)}, []*Value{t.int64s(0), rest}, onnxpb.Int("axis", 0))
			wide := t.node("Reshape", one, []*Value{dy, t.dims(one)})
			return t.node("Pad", x.shape, []*Value{wide, pads, t.number(0), t.int64s(1)})
		})
	})
}

// Lookup takes rows of a table [rows, width] by ids, int64 of any shape. It has no rule:
// a caller that trains the table asks for the gradient of the rows and scatters it, which
// is cheaper than a gradient of the table's size and the same in each run.
func (t *Tape) Lookup(table, ids *Value) *Value {
	return t.node("Gather", append(slices.Clone(ids.shape), table.shape[1:]...), []*Value{table, ids})
}

// FirstRows is the first rows of a constant table, as many as the named dimension has.
// It has no rule.
func (t *Tape) FirstRows(table *Value, n Dim) *Value {
	shape := append(Shape{n}, table.shape[1:]...)
	return t.node("Slice", shape, []*Value{table, t.int64s(0), t.size(n), t.int64s(0)})
}
