package bert

import (
	"fmt"
	"strings"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// How a graph holds a checkpoint's weights in each precision.

func (g *graph) fail(err error) {
	if g.err == nil {
		g.err = err
	}
}

// constant adds floats in the graph's own format.
func (g *graph) constant(name string, shape []int, data []float32) string {
	if g.precision != FP16 {
		return g.b.Floats(name, shape, data)
	}
	for _, v := range data {
		if !(v >= -65504 && v <= 65504) {
			g.fail(fmt.Errorf("%w: tensor %q holds %v, which fp16 cannot", ErrCheckpoint, name, v))
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

// product multiplies x, [..., in], with a linear layer's weight, without its bias.
func (g *graph) product(x, linear string) string {
	w := g.transposed(linear)
	return g.op2("MatMul", x, g.constant(linear+".weight", w.shape, w.data))
}

// transposed is a copy of a linear layer's weight as [in, out], which ONNX Runtime packs.
func (g *graph) transposed(linear string) tensor {
	w, err := g.c.weights.tensors[linear+".weight"].transpose()
	if err != nil {
		g.fail(err)
	}
	return w
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
