package grad

// Where is a where the mask is true and b elsewhere, with broadcasting of a and b to the
// mask's shape.
func (t *Tape) Where(mask, a, b *Value) *Value {
	y := t.node("Where", broadcast(broadcast(mask.shape, a.shape), b.shape), []*Value{mask, a, b})
	return t.record(y, []*Value{a, b}, func(w *backward, dy *Value) {
		w.add(a, func() *Value { return t.Where(mask, dy, t.number(0)) })
		w.add(b, func() *Value { return t.Where(mask, t.number(0), dy) })
	})
}

// Dropout is x/(1-p) where keep is true and 0 elsewhere (Srivastava et al. 2014,
// "Dropout"). The mask is an input, which the caller draws: ONNX's own Dropout draws from
// a generator in the session, whose state can be neither saved nor moved to another
// device, and drops out of the graph where an optimiser thinks it idle.
func (t *Tape) Dropout(x, keep *Value, p float64) *Value {
	return t.Where(keep, t.Scale(x, 1/(1-p)), t.number(0))
}
