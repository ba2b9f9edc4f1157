package grad

import "github.com/barograph/barograph/classify/onnx/onnxpb"

// Add is a + b, with broadcasting.
func (t *Tape) Add(a, b *Value) *Value {
	y := t.node("Add", broadcast(a.shape, b.shape), []*Value{a, b})
	return t.record(y, []*Value{a, b}, func(w *backward, dy *Value) {
		w.add(a, func() *Value { return dy })
		w.add(b, func() *Value { return dy })
	})
}

// Sub is a - b, with broadcasting.
func (t *Tape) Sub(a, b *Value) *Value {
	y := t.node("Sub", broadcast(a.shape, b.shape), []*Value{a, b})
	return t.record(y, []*Value{a, b}, func(w *backward, dy *Value) {
		w.add(a, func() *Value { return dy })
		w.add(b, func() *Value { return t.Neg(dy) })
	})
}

// Mul is a times b element by element, with broadcasting.
func (t *Tape) Mul(a, b *Value) *Value {
	y := t.node("Mul", broadcast(a.shape, b.shape), []*Value{a, b})
	return t.record(y, []*Value{a, b}, func(w *backward, dy *Value) {
		w.add(a, func() *Value { return t.Mul(dy, b) })
		w.add(b, func() *Value { return t.Mul(dy, a) })
	})
}

// Scale is x times a number.
func (t *Tape) Scale(x *Value, by float64) *Value { return t.Mul(x, t.number(by)) }

// Div is a / b element by element, with broadcasting.
func (t *Tape) Div(a, b *Value) *Value {
	y := t.node("Div", broadcast(a.shape, b.shape), []*Value{a, b})
	return t.record(y, []*Value{a, b}, func(w *backward, dy *Value) {
		w.add(a, func() *Value { return t.Div(dy, b) })
		w.add(b, func() *Value { return t.Neg(t.Mul(t.Div(dy, b), y)) })
	})
}

// Neg is -x.
func (t *Tape) Neg(x *Value) *Value {
	y := t.node("Neg", x.shape, []*Value{x})
	return t.record(y, []*Value{x}, func(w *backward, dy *Value) {
		w.add(x, func() *Value { return t.Neg(dy) })
	})
}

// broadcast is the shape of an operator on two tensors, by NumPy's rules. A named
// dimension goes with itself and with 1.
func broadcast(a, b Shape) Shape {
	if len(a) < len(b) {
		a, b = b, a
	}
	out := append(Shape{}, a...)
	lead := len(a) - len(b)
	for i, d := range b {
		switch {
		case a[lead+i] == N(1):
			out[lead+i] = d
		default:
			mustf(d == N(1) || d == a[lead+i], "%s does not go with %s", a, b)
		}
	}
	return out
}

// Max is the larger of a and b, without a rule: for constants of the batch, such as
// counts.
func (t *Tape) Max(a, b *Value) *Value {
	return t.node("Max", broadcast(a.shape, b.shape), []*Value{a, b})
}

// Float is x, of any type, as the tape's real numbers, without a rule.
func (t *Tape) Float(x *Value) *Value {
	return t.node("Cast", x.shape, []*Value{x}, onnxpb.Int("to", int(t.float)))
}
