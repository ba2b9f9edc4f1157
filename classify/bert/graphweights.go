package bert

import (
	"fmt"
	"math"
	"strings"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// How a graph holds a checkpoint's weights in each precision.

// constant adds floats in the graph's own format.
func (g *graph) constant(name string, shape []int, data []float32) string {
	if g.precision != FP16 {
		return g.b.Floats(name, shape, data)
	}
	for _, v := range data {
		if !(v >= -65504 && v <= 65504) && g.err == nil {
			g.err = fmt.Errorf("%w: tensor %q holds %v, which fp16 cannot", ErrCheckpoint, name, v)
		}
	}
	return g.b.Tensor(onnxpb.Tensor{Name: name, Type: onnxpb.Float16, Dims: shape, Raw: toHalf(data)})
}

// weight adds a weight as the checkpoint has it.
func (g *graph) weight(name string) string {
	t := g.c.weights.tensors[name]
	return g.constant(name, t.shape, t.data)
}

// bias adds the biases of one or more linear layers as one.
func (g *graph) bias(linears ...string) string {
	if len(linears) == 1 {
		return g.weight(linears[0] + ".bias")
	}
	var data []float32
	for _, l := range linears {
		data = append(data, g.c.weights.tensors[l+".bias"].data...)
	}
	return g.constant(strings.Join(linears, "+")+".bias", []int{len(data)}, data)
}

// gather looks rows of an embedding up.
func (g *graph) gather(table, ids string) string { return g.op2("Gather", g.weight(table), ids) }

// product multiplies x, [..., in], with a linear layer's weight, without the bias.
func (g *graph) product(x, linear string) string {
	w, err := g.c.weights.tensors[linear+".weight"].transpose() // [in, out], which ONNX Runtime packs
	if err != nil && g.err == nil {
		g.err = err
	}
	if g.precision != INT8 {
		return g.op2("MatMul", x, g.constant(linear+".weight", w.shape, w.data))
	}
	q, scale := quantise(w)
	outs := w.shape[1]
	return g.microsoft("DynamicQuantizeMatMul", []string{x,
		g.b.Tensor(onnxpb.Tensor{Name: linear + ".int8", Type: onnxpb.Int8, Dims: w.shape, Raw: q}),
		g.b.Floats(linear+".scale", []int{outs}, scale),
		g.b.Tensor(onnxpb.Tensor{Name: linear + ".zero", Type: onnxpb.Int8, Dims: []int{outs}, Raw: make([]byte, outs)}),
	})
}

// linear is a whole linear layer on [batch, in], in floating point.
func (g *graph) linear(x, name string) string {
	return g.b.Op("Gemm", []string{x, g.weight(name + ".weight"), g.weight(name + ".bias")}, onnxpb.Int("transB", 1))
}

// toFloat leaves half precision.
func (g *graph) toFloat(x string) string {
	if g.precision != FP16 {
		return x
	}
	return g.op("Cast", x, onnxpb.Int("to", int(onnxpb.Float32)))
}

// quantise turns [in, out] into int8, symmetric, with one scale for each output:
// weight = scale * int8. Per tensor, logits would move five times as far.
func quantise(w tensor) (raw []byte, scale []float32) {
	outs := w.shape[1]
	largest := make([]float32, outs)
	for i, v := range w.data {
		largest[i%outs] = max(largest[i%outs], float32(math.Abs(float64(v))))
	}
	scale = make([]float32, outs)
	for o, v := range largest {
		scale[o] = max(v/127, 1e-12)
	}
	raw = make([]byte, len(w.data))
	for i, v := range w.data {
		q := math.RoundToEven(float64(v / scale[i%outs]))
		raw[i] = byte(int8(max(-127, min(127, q))))
	}
	return raw, scale
}
