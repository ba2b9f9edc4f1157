package bert

import (
	"fmt"
	"math"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// Dynamic int8: ONNX Runtime's DynamicQuantizeMatMul quantises its input with one scale
// for the whole batch, which a few large values make coarse. Two multiplications before
// it and one behind it halve the error, for a tenth of the time:
//
//   - A channel that leaves a layer normalisation has a range known from the weights,
//     about 3|gamma| + |beta|. It is divided by that, and the weight's row multiplied
//     (Xiao et al. 2022, "SmoothQuant", section 4, with alpha = 1 and no calibration).
//   - Each token's vector is divided by its largest magnitude, and the product
//     multiplied by it.

// operand is the left side of a product: in INT8 scaled as said above, else as it is.
type operand struct {
	value   string
	largest string    // [..., 1], a token's largest magnitude
	spread  []float32 // a channel's range, nil where it is not known
}

// operand prepares x, [..., in], for products. norm names the layer normalisation that
// x comes out of, "" for another value.
func (g *graph) operand(x, norm string) operand {
	if g.precision != INT8 {
		return operand{value: x}
	}
	var o operand
	if norm != "" {
		gamma, beta := g.c.weights.tensors[norm+".weight"].data, g.c.weights.tensors[norm+".bias"].data
		inverse := make([]float32, len(gamma))
		o.spread = make([]float32, len(gamma))
		for i := range gamma {
			o.spread[i] = max(float32(3*math.Abs(float64(gamma[i]))+math.Abs(float64(beta[i]))), 1e-6)
			inverse[i] = 1 / o.spread[i]
		}
		x = g.op2("Mul", x, g.b.Floats(norm+".inverse_range", []int{len(inverse)}, inverse))
	}
	return g.scaled(o, x, g.op("Abs", x), 1e-9) // a vector may be 0
}

// activated is operand for the output of a GELU, which is never under -0.17: its maximum
// is its largest magnitude, or that is under 0.17, and its absolute need not be computed.
func (g *graph) activated(x string) operand {
	if g.precision != INT8 {
		return operand{value: x}
	}
	return g.scaled(operand{}, x, x, 0.17)
}

// scaled divides each token's vector in x by the maximum of its magnitudes, least or more.
func (g *graph) scaled(o operand, x, magnitudes string, least float32) operand {
	largest := g.b.Op("ReduceMax", []string{magnitudes}, onnxpb.Ints("axes", -1), onnxpb.Int("keepdims", 1))
	o.largest = g.op2("Max", largest, g.b.Floats(fmt.Sprint(least), nil, []float32{least}))
	o.value = g.op2("Div", x, o.largest)
	return o
}

// quantised is the product with w, [in, out], in int8.
func (g *graph) quantised(x operand, linear string, w tensor) string {
	outs := w.shape[1]
	if x.spread != nil {
		for i := range w.data { // transpose made a copy for us
			w.data[i] *= x.spread[i/outs]
		}
	}
	q, scale := quantise(w)
	product := g.microsoft("DynamicQuantizeMatMul", []string{x.value,
		g.b.Tensor(onnxpb.Tensor{Name: linear + ".int8", Type: onnxpb.Int8, Dims: w.shape, Raw: q}),
		g.b.Floats(linear+".scale", []int{outs}, scale),
		g.b.Tensor(onnxpb.Tensor{Name: linear + ".zero", Type: onnxpb.Int8, Dims: []int{outs}, Raw: make([]byte, outs)}),
	})
	return g.op2("Mul", product, x.largest)
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
