package grad

import (
	"math"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// Softmax is over the last dimension.
func (t *Tape) Softmax(x *Value) *Value {
	y := t.node("Softmax", x.shape, []*Value{x}, onnxpb.Int("axis", -1))
	return t.record(y, []*Value{x}, func(b *backward, dy *Value) {
		b.add(x, func() *Value { // y (dy - Σ dy y)
			return t.Mul(y, t.Sub(dy, t.Sum(t.Mul(dy, y), true, len(x.shape)-1)))
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

// Gelu is x Φ(x) by the error function (Hendrycks and Gimpel 2016, "Gaussian Error
// Linear Units", section 2).
func (t *Tape) Gelu(x *Value) *Value {
	y := t.node("Gelu", x.shape, []*Value{x})
	return t.record(y, []*Value{x}, func(b *backward, dy *Value) {
		b.add(x, func() *Value {
			// Φ(x) + x φ(x) = ½ (1 + erf u + 2/√π u e^{-u²}) with u = x/√2.
			u := t.Scale(x, math.Sqrt2/2)
			erf := t.node("Erf", x.shape, []*Value{u})
			bell := t.node("Exp", x.shape, []*Value{t.Neg(t.Mul(u, u))})
			slope := t.Add(erf, t.Mul(t.Scale(u, 2/math.Sqrt(math.Pi)), bell))
			return t.Mul(dy, t.Add(t.Scale(slope, 0.5), t.number(0.5)))
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
