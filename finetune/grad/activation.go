package grad

import (
	"math"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// Softmax is over the last dimension, with Dropout after it unless keep is nil.
func (t *Tape) Softmax(x, keep *Value, p float64) *Value {
	y := t.node("Softmax", x.shape, []*Value{x}, onnxpb.Int("axis", -1))
	z := y
	if keep != nil {
		z = t.node("Mul", x.shape, []*Value{y, t.dropFactor(keep, p)})
	}
	return t.record(z, []*Value{x}, func(b *backward, dz *Value) {
		b.add(x, func() *Value { // y (dy - Σ dy y), where dropout makes dy y the same as dz z
			each := t.Mul(dz, z)
			return t.Sub(each, t.Mul(y, t.Sum(each, true, len(x.shape)-1)))
		})
	})
}

// LogSoftmax is over the last dimension.
func (t *Tape) LogSoftmax(x *Value) *Value {
	y := t.node("LogSoftmax", x.shape, []*Value{x}, onnxpb.Int("axis", -1))
	return t.record(y, []*Value{x}, func(b *backward, dy *Value) {
		b.add(x, func() *Value { // dy - e^y Σ dy
			return t.Sub(dy, t.Mul(t.node("Exp", y.shape, []*Value{y}), t.Sum(dy, true, len(x.shape)-1)))
		})
	})
}

// Tanh is the hyperbolic tangent.
func (t *Tape) Tanh(x *Value) *Value {
	y := t.node("Tanh", x.shape, []*Value{x})
	return t.record(y, []*Value{x}, func(b *backward, dy *Value) {
		b.add(x, func() *Value { return t.Mul(dy, t.Sub(t.number(1), t.Mul(y, y))) })
	})
}

// GeluErf is u (1 + erf u), which is √2 GELU(√2 u) (Hendrycks and Gimpel 2016, "Gaussian
// Error Linear Units", section 2): a product before it and one after it can scale by √½
// for nothing, and a pass over a tensor of this width is dear.
func (t *Tape) GeluErf(u *Value) *Value {
	if t.Kernels {
		y := t.kernel("ScaledGelu", []Shape{u.shape}, []*Value{u})[0]
		return t.record(y, []*Value{u}, func(b *backward, dy *Value) {
			d := t.kernel("ScaledGeluGrad", []Shape{u.shape, u.shape[len(u.shape)-1:]}, []*Value{dy, u})
			b.sums[d[0]] = d[1]
			b.add(u, func() *Value { return d[0] })
		})
	}
	gate := t.node("Add", u.shape, []*Value{t.node("Erf", u.shape, []*Value{u}), t.number(1)})
	y := t.node("Mul", u.shape, []*Value{u, gate})
	return t.record(y, []*Value{u}, func(b *backward, dy *Value) {
		b.add(u, func() *Value { // 1 + erf u + u 2/√π e^{-u²}, the factor in the exponent
			bell := t.node("Exp", u.shape, []*Value{t.Sub(t.number(math.Log(2/math.Sqrt(math.Pi))), t.Mul(u, u))})
			return t.Mul(dy, t.Add(gate, t.Mul(u, bell)))
		})
	})
}

// GeluTanh is GELU in its approximate form, ½ x (1 + tanh(√(2/π) (x + 0.044715 x³))), of
// the same section.
func (t *Tape) GeluTanh(x *Value) *Value {
	y := t.node("Gelu", x.shape, []*Value{x}, onnxpb.Text("approximate", "tanh"))
	return t.record(y, []*Value{x}, func(b *backward, dy *Value) {
		b.add(x, func() *Value {
			// ½ (1 + th + x (1 - th²) u'), u = k x (1 + c x²), u' = k (1 + 3 c x²)
			const c = 0.044715
			k, one := math.Sqrt(2/math.Pi), t.number(1)
			square := t.Mul(x, x)
			th := t.node("Tanh", x.shape, []*Value{t.Mul(x, t.Add(t.Scale(square, k*c), t.number(k)))})
			inner := t.Add(t.Scale(square, 3*k*c), t.number(k))
			slope := t.Mul(t.Mul(x, inner), t.Sub(one, t.Mul(th, th)))
			return t.Mul(dy, t.Scale(t.Add(t.Add(one, th), slope), 0.5))
		})
	})
}
