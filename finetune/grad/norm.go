package grad

import "github.com/barograph/barograph/classify/onnx/onnxpb"

// LayerNorm normalises over the last dimension, with a weight and a bias of its size (Ba
// et al. 2016, "Layer Normalization").
func (t *Tape) LayerNorm(x, weight, bias *Value, epsilon float64) *Value {
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
