package grad

import (
	"slices"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// LayerNorm normalises over the last dimension, with a weight and a bias of its size (Ba
// et al. 2016, "Layer Normalization").
func (t *Tape) LayerNorm(x, weight, bias *Value, epsilon float64) *Value {
	if t.Kernels {
		return t.addNormKernel(x, nil, nil, 0, weight, bias, epsilon)
	}
	last := len(x.shape) - 1
	narrow := append(append(Shape{}, x.shape[:last]...), N(1))
	names := t.b.Add(onnxpb.Node{Op: "LayerNormalization", Inputs: []string{x.name, weight.name, bias.name},
		Attrs: []onnxpb.Attr{onnxpb.Int("axis", -1), onnxpb.Float("epsilon", epsilon)}}, 3)
	y, mean, inverse := &Value{names[0], x.shape}, &Value{names[1], narrow}, &Value{names[2], narrow}
	if t.float != onnxpb.Float32 { // which the other two results always are
		mean, inverse = t.Float(mean), t.Float(inverse)
	}
	return t.record(y, []*Value{x, weight, bias}, func(b *backward, dy *Value) {
		unit := t.Mul(t.Sub(x, mean), inverse) // x̂ = (x - mean) / σ
		b.add(x, func() *Value {               // (h - mean h - x̂ mean(h x̂)) / σ with h = dy weight
			h := t.Mul(dy, weight)
			rest := t.Sub(h, t.Mean(h, true, last))
			return t.Mul(t.Sub(rest, t.Mul(unit, t.Mean(t.Mul(h, unit), true, last))), inverse)
		})
		b.add(weight, func() *Value { return t.Mul(dy, unit) })
		b.add(bias, func() *Value { return dy })
	})
}

// AddNorm is LayerNorm of x + residual, with Dropout of x unless keep is nil.
func (t *Tape) AddNorm(x, residual, keep *Value, p float64, weight, bias *Value, epsilon float64) *Value {
	mustf(slices.Equal(x.shape, residual.shape), "%s added to %s", x.shape, residual.shape)
	if t.Kernels {
		return t.addNormKernel(x, residual, keep, p, weight, bias, epsilon)
	}
	if keep != nil {
		x = t.Dropout(x, keep, p)
	}
	return t.LayerNorm(t.Add(x, residual), weight, bias, epsilon)
}

// addNormKernel is AddNorm, or LayerNorm where residual is nil.
func (t *Tape) addNormKernel(x, residual, keep *Value, p float64, weight, bias *Value, epsilon float64) *Value {
	scale := onnxpb.Float("scale", 1/(1-p))
	shapes, ins := []Shape{x.shape, {Named("rows"), N(2)}}, []*Value{x, weight, bias}
	if residual != nil {
		shapes, ins = append(shapes, x.shape), append(ins, residual)
	}
	y := t.kernel("AddNorm", shapes, []*Value{x, keep, residual, weight, bias}, onnxpb.Float("epsilon", epsilon), scale)
	sum := x
	if residual != nil {
		sum = y[2]
	}
	return t.record(y[0], ins, func(b *backward, dy *Value) {
		shapes := []Shape{x.shape, weight.shape, weight.shape, weight.shape, x.shape}
		if keep == nil {
			shapes = shapes[:4]
		}
		d := t.kernel("AddNormGrad", shapes, []*Value{dy, sum, y[1], weight, keep}, scale)
		dx := d[0]
		if keep != nil {
			dx = d[4]
		}
		b.sums[dx] = d[3]
		b.add(x, func() *Value { return dx })
		if residual != nil {
			b.add(residual, func() *Value { return d[0] })
		}
		b.add(weight, func() *Value { return d[1] })
		b.add(bias, func() *Value { return d[2] })
	})
}
