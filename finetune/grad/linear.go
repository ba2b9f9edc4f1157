package grad

import "github.com/barograph/barograph/classify/onnx/onnxpb"

// Linear is alpha x Wᵀ + c: x [n, in], w [out, in] as transformers keeps it, and c
// [out], [n, out] or nil.
func (t *Tape) Linear(x, w, c *Value, alpha float64) *Value {
	y := t.product(x, w, c, alpha, false)
	ins := []*Value{x, w}
	if c != nil {
		ins = append(ins, c)
	}
	return t.record(y, ins, func(b *backward, dy *Value) {
		if b.need[x] { // what is known of dx is added inside the product
			b.grads[x] = t.product(dy, w, b.take(x), alpha, true)
		}
		b.add(w, func() *Value { return t.weightGradient(x, dy, alpha) })
		if c != nil {
			b.add(c, func() *Value { return dy })
		}
	})
}

// Adapted is Linear of w + scale b a, for a pair of LoRA's (Hu et al. 2021, "LoRA: Low-Rank
// Adaptation of Large Language Models", section 4.1): a [rank, in], b [out, rank].
func (t *Tape) Adapted(x, w, c, a, b *Value, alpha, scale float64) *Value {
	if !t.Products {
		return t.Linear(t.Linear(x, a, nil, 1), b, t.Linear(x, w, c, alpha), alpha*scale)
	}
	mustf(a.shape[1] == w.shape[1] && b.shape[0] == w.shape[0] && a.shape[0] == b.shape[1], "%s times %s beside %s", b.shape, a.shape, w.shape)
	y := t.productKernel(x, w, c, a, b, alpha, scale, false)
	return t.record(y, []*Value{x, w, c, a, b}, func(back *backward, dy *Value) {
		mustf(!back.need[w], "a gradient of the weights %s beside a pair", w.name)
		if back.need[x] { // what is known of dx is added inside the product
			back.grads[x] = t.productKernel(dy, w, back.take(x), a, b, alpha, scale, true)
		}
		back.add(c, func() *Value { return dy })
		d := t.kernel("AdapterGrad", []Shape{a.shape, b.shape}, []*Value{x, dy, a, b}, onnxpb.Float("scale", alpha*scale))
		back.add(a, func() *Value { return d[0] })
		back.add(b, func() *Value { return d[1] })
	})
}

// product is alpha x wᵀ + c, without the transposition where turned; c may be nil.
func (t *Tape) product(x, w, c *Value, alpha float64, turned bool) *Value {
	if t.Products {
		return t.productKernel(x, w, c, nil, nil, alpha, 0, turned)
	}
	return t.gemm(x, w, c, false, !turned, alpha)
}

// productKernel is product of w + scale b a, where a and b are not nil.
func (t *Tape) productKernel(x, w, c, a, b *Value, alpha, scale float64, turned bool) *Value {
	depth, columns, flag := w.shape[1], w.shape[0], 0
	if turned {
		depth, columns, flag = columns, depth, 1
	}
	mustf(len(x.shape) == 2 && x.shape[1] == depth, "a product of %s and %s", x.shape, w.shape)
	return t.kernel("Product", []Shape{{x.shape[0], columns}}, []*Value{x, w, c, a, b},
		onnxpb.Float("alpha", alpha), onnxpb.Float("scale", scale), onnxpb.Int("turned", flag))[0]
}

// weightGradient is alpha dyᵀ x. A narrow x, as LoRA's, is the left factor of a product
// that is turned afterwards: kernels are slow at results of few columns.
func (t *Tape) weightGradient(x, dy *Value, alpha float64) *Value {
	in, out := x.shape[1], dy.shape[1]
	if t.WeightGrads {
		return t.kernel("WeightGrad", []Shape{{out, in}}, []*Value{x, dy}, onnxpb.Float("alpha", alpha))[0]
	}
	if in.Size == 0 || in.Size >= 64 || out.Size <= in.Size {
		return t.gemm(dy, x, nil, true, false, alpha)
	}
	// ONNX Runtime would put a turned product right back into the slow order; it does
	// not see through a third dimension.
	y := t.Reshape(t.gemm(x, dy, nil, true, false, alpha), N(1), in, out)
	return t.Reshape(t.Transpose(y, 0, 2, 1), out, in)
}

// gemm is alpha op(a) op(b) + c on matrices.
func (t *Tape) gemm(a, b, c *Value, transA, transB bool, alpha float64) *Value {
	mustf(len(a.shape) == 2 && len(b.shape) == 2, "a product of %s and %s", a.shape, b.shape)
	m, k := a.shape[0], a.shape[1]
	if transA {
		m, k = k, m
	}
	k2, n := b.shape[0], b.shape[1]
	if transB {
		k2, n = n, k2
	}
	mustf(k == k2, "a product of %s and %s", a.shape, b.shape)
	ins, attrs := []*Value{a, b}, []onnxpb.Attr{}
	if c != nil {
		ins = append(ins, c)
		mustf(len(broadcast(Shape{m, n}, c.shape)) == 2, "%s added to a product", c.shape)
	}
	if transA {
		attrs = append(attrs, onnxpb.Int("transA", 1))
	}
	if transB {
		attrs = append(attrs, onnxpb.Int("transB", 1))
	}
	if alpha != 1 {
		attrs = append(attrs, onnxpb.Float("alpha", alpha))
	}
	return t.node("Gemm", Shape{m, n}, ins, attrs...)
}

// MatMul multiplies stacks of matrices: a [..., n, k] and b [..., k, m] with the same
// leading dimensions.
func (t *Tape) MatMul(a, b *Value) *Value {
	y := t.matMul(a, b, false, false)
	return t.record(y, []*Value{a, b}, func(w *backward, dy *Value) {
		w.add(a, func() *Value { return t.matMul(dy, b, false, true) })
		w.add(b, func() *Value { return t.matMul(a, dy, true, false) })
	})
}

// MatMulT is MatMul of a [..., n, k] and the transposes of b [..., m, k].
func (t *Tape) MatMulT(a, b *Value) *Value {
	y := t.matMul(a, b, false, true)
	return t.record(y, []*Value{a, b}, func(w *backward, dy *Value) {
		w.add(a, func() *Value { return t.matMul(dy, b, false, false) })
		w.add(b, func() *Value { return t.matMul(dy, a, true, false) })
	})
}

// matMul is op(a) op(b) on stacks of matrices. The kernel of ONNX Runtime's own operator
// reads a matrix the other way round for less than a turned copy of it takes.
func (t *Tape) matMul(a, b *Value, transA, transB bool) *Value {
	rank := len(a.shape)
	mustf(rank >= 2 && rank == len(b.shape), "a product of %s and %s", a.shape, b.shape)
	for i := range rank - 2 {
		mustf(a.shape[i] == b.shape[i], "a product of %s and %s", a.shape, b.shape)
	}
	n, k := a.shape[rank-2], a.shape[rank-1]
	if transA {
		n, k = k, n
	}
	k2, m := b.shape[rank-2], b.shape[rank-1]
	if transB {
		k2, m = m, k2
	}
	mustf(k == k2, "a product of %s and %s", a.shape, b.shape)
	shape := append(append(Shape{}, a.shape[:rank-2]...), n, m)
	if !transA && !transB {
		return t.node("MatMul", shape, []*Value{a, b})
	}
	node := onnxpb.Node{Op: "FusedMatMul", Domain: onnxpb.Microsoft, Inputs: []string{a.name, b.name}}
	if transA {
		node.Attrs = append(node.Attrs, onnxpb.Int("transA", 1))
	}
	if transB {
		node.Attrs = append(node.Attrs, onnxpb.Int("transB", 1))
	}
	return &Value{t.b.Add(node, 1)[0], shape}
}
