package grad

import "slices"

// backward is the backward pass while it is built.
type backward struct {
	t     *Tape
	need  map[*Value]bool
	grads map[*Value]*Value // complete for a value once all its readers were walked
	sums  map[*Value]*Value // of a gradient's rows, where its operator gives them, too
}

// Gradients emits the backward pass and returns d loss / d v for each of those values,
// in its shape: the loss is one number (no dimensions). A value that the loss does not
// depend on panics.
func (t *Tape) Gradients(loss *Value, values ...*Value) []*Value {
	mustf(len(loss.shape) == 0, "the loss has shape %s, not one number", loss.shape)
	b := &backward{t, map[*Value]bool{}, map[*Value]*Value{loss: t.number(1)}, map[*Value]*Value{}}
	for _, v := range values {
		b.need[v] = true
	}
	records := slices.Clone(t.records) // rules emit operators too
	for _, r := range records {
		if slices.ContainsFunc(r.ins, func(v *Value) bool { return b.need[v] }) {
			for _, v := range r.outs {
				b.need[v] = true
			}
		}
	}
	for _, r := range slices.Backward(records) {
		b.walk(r)
	}
	out := make([]*Value, len(values))
	for i, v := range values {
		out[i] = b.grads[v]
		mustf(out[i] != nil, "the loss does not depend on %s", v.name)
	}
	return out
}

func (b *backward) walk(r record) {
	dy := make([]*Value, len(r.outs))
	some := false
	for i, v := range r.outs {
		dy[i] = b.grads[v]
		some = some || dy[i] != nil
	}
	if some && slices.ContainsFunc(r.ins, func(v *Value) bool { return b.need[v] }) {
		r.rule(b, dy)
	}
}

// add adds to the gradient of v, if it is needed, a tensor that broadcasting made of v's
// shape: it is summed back down.
func (b *backward) add(v *Value, d func() *Value) {
	if !b.need[v] {
		return
	}
	x := d()
	if sums := b.sums[x]; sums != nil && slices.Equal(sums.shape, v.shape) {
		x = sums
	} else {
		x = b.t.sumTo(x, v.shape)
	}
	if old := b.grads[v]; old != nil {
		x = b.t.Add(old, x)
	}
	b.grads[v] = x
}

// take removes and returns what is known of v's gradient so far, or nil, for a rule that
// can add to it for nothing.
func (b *backward) take(v *Value) *Value {
	d := b.grads[v]
	delete(b.grads, v)
	return d
}

// sumTo sums x over the dimensions that shape lacks or has as 1.
func (t *Tape) sumTo(x *Value, shape Shape) *Value {
	lead := len(x.shape) - len(shape)
	var axes []int
	for i, d := range x.shape {
		if i < lead || (shape[i-lead] == N(1) && d != N(1)) {
			axes = append(axes, i)
		}
	}
	if len(axes) == 0 {
		return x
	}
	if len(axes) == lead {
		return t.Sum(x, false, axes...)
	}
	return t.Reshape(t.Sum(x, true, axes...), shape...)
}
