package grad

import "github.com/barograph/barograph/classify/onnx/onnxpb"

// Attention is multi-head attention of texts' queries to their keys (Vaswani et al. 2017,
// "Attention Is All You Need", section 3.2): q [batch*n, width], scaled already, k and v
// [batch*seq, width], mask int64 [batch, seq], with Dropout after the softmax unless keep
// [batch, heads, n, seq] is nil. It is [batch*n, width].
func (t *Tape) Attention(q, k, v, mask *Value, n Dim, heads int, keep *Value, p float64) *Value {
	mustf(len(q.shape) == 2 && len(mask.shape) == 2 && q.shape[1].Size%heads == 0, "%d heads of %s with a mask %s", heads, q.shape, mask.shape)
	if t.Kernels {
		return t.attentionKernel(q, k, v, mask, n, heads, keep, p)
	}
	batch, seq, width := mask.shape[0], mask.shape[1], q.shape[1]
	split := func(x *Value, n Dim) *Value {
		return t.Transpose(t.Reshape(x, batch, n, N(heads), N(width.Size/heads)), 0, 2, 1, 3)
	}
	s := t.Add(t.MatMulT(split(q, n), split(k, seq)), t.Reshape(t.MaskScores(mask), batch, N(1), N(1), seq))
	o := t.Transpose(t.MatMul(t.Softmax(s, keep, p), split(v, seq)), 0, 2, 1, 3)
	return t.Reshape(o, q.shape...)
}

// MaskScores is what a mask, int64 of 1 for a token and 0 for padding, adds to the scores
// of keys: nothing, or so much less that a softmax makes 0 of it.
func (t *Tape) MaskScores(mask *Value) *Value {
	return t.Scale(t.Sub(t.number(1), t.Float(mask)), -1e9)
}

func (t *Tape) attentionKernel(q, k, v, mask *Value, n Dim, heads int, keep *Value, p float64) *Value {
	attrs := []onnxpb.Attr{onnxpb.Int("num_heads", heads), onnxpb.Float("scale", 1/(1-p))}
	batch, row := mask.shape[0], Shape{q.shape[1]}
	y := t.kernel("SelfAttention", []Shape{q.shape, {batch, N(heads), n, N(2)}}, []*Value{q, k, v, mask, keep}, attrs...)
	return t.record(y[0], []*Value{q, k, v}, func(b *backward, dy *Value) {
		d := t.kernel("SelfAttentionGrad", []Shape{q.shape, k.shape, v.shape, row, row, row},
			[]*Value{dy, q, k, v, y[0], y[1], mask, keep}, attrs...)
		for i, x := range []*Value{q, k, v} {
			b.sums[d[i]] = d[3+i]
			b.add(x, func() *Value { return d[i] })
		}
	})
}
