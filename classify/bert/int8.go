package bert

import (
	"fmt"
	"math"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// An activation is quantised with one scale for the whole batch, which a few large values
// make coarse. Two things before it halve the error:
//
//   - A channel that leaves a layer normalisation is divided by a power of its range, and
//     the weight's row multiplied by it (Xiao et al. 2022, "SmoothQuant", section 4). As
//     the ranges are known, so is the scale: it is the same for every batch, and found as
//     the activation comes elsewhere.
//   - What leaves a GELU has other large channels in each token: there each token's vector
//     is divided by its largest value, and the product multiplied by it. Elsewhere that
//     gains nothing, and costs a tenth of the time.

// smoothing is SmoothQuant's alpha: how much of a channel's range is taken out of the
// activation. Of .5, .75 and 1, logits move least from fp32's with .75.
const smoothing = .75

// beyond is how many times the measured range a value may go before it is cut off.
const beyond = 1.2

// operand is the left side of a product: in INT8 quantised as said above, else as it is.
type operand struct {
	value       string
	scale, zero string    // value = scale * (uint8 - zero)
	largest     string    // [..., 1], what a token's vector was divided by; "" for nothing
	spread      []float32 // what a channel was divided by; nil for nothing
}

// biased says that products of x add their layer's bias themselves, which is free: those
// in INT8 that need no multiplication afterwards.
func (x operand) biased() bool { return x.scale != "" && x.largest == "" }

// operand prepares x, [..., in], for products. norm names the layer normalisation that
// x comes out of, "" for another value.
func (g *graph) operand(x, norm string) operand {
	g.measure(x, norm)
	if g.precision != INT8 {
		return operand{value: x}
	}
	if norm == "" {
		return g.rounded(x)
	}
	ranges := g.ranges[norm]
	if len(ranges) != g.c.Config.HiddenSize {
		g.fail(fmt.Errorf("int8 wants the ranges of %d channels behind %s and has %d", g.c.Config.HiddenSize, norm, len(ranges)))
		return operand{}
	}
	spread, inverse, widest := make([]float32, len(ranges)), make([]float32, len(ranges)), 0.0
	for i, v := range ranges {
		widest = max(widest, float64(v))
		spread[i] = float32(math.Pow(max(float64(v), 1e-6), smoothing))
		inverse[i] = 1 / spread[i]
	}
	o := operand{spread: spread}
	o.scale = g.b.Floats(norm+".scale", nil, []float32{float32(math.Pow(max(widest, 1e-6), 1-smoothing) * beyond / 127)})
	o.zero = g.b.Tensor(onnxpb.Tensor{Name: norm + ".zero", Type: onnxpb.Uint8, Raw: []byte{128}})
	x = g.op2("Mul", x, g.b.Floats(norm+".inverse_range", []int{len(inverse)}, inverse))
	o.value = g.b.Op("QuantizeLinear", []string{x, o.scale, o.zero})
	return o
}

// activated is operand for the output of a GELU, which is never under -0.17: its maximum
// is its largest magnitude, or that is under 0.17.
func (g *graph) activated(x string) operand {
	if g.precision != INT8 {
		return operand{value: x}
	}
	largest := g.b.Op("ReduceMax", []string{x}, onnxpb.Ints("axes", -1), onnxpb.Int("keepdims", 1))
	largest = g.op2("Max", largest, g.b.Floats("gelu.least", nil, []float32{0.17}))
	o := g.rounded(g.op2("Mul", x, g.op("Reciprocal", largest))) // a division of all of x takes three times as long
	o.largest = largest
	return o
}

// rounded quantises x with the batch's own scale.
func (g *graph) rounded(x string) operand {
	out := g.b.Add(onnxpb.Node{Op: "DynamicQuantizeLinear", Inputs: []string{x}}, 3)
	return operand{value: out[0], scale: out[1], zero: out[2]}
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
	in := []string{
		x.value, g.b.Tensor(onnxpb.Tensor{Name: linear + ".int8", Type: onnxpb.Int8, Dims: w.shape, Raw: q}),
		x.scale, g.b.Floats(linear+".scale", []int{outs}, scale),
		x.zero, g.b.Tensor(onnxpb.Tensor{Name: linear + ".zero", Type: onnxpb.Int8, Dims: []int{outs}, Raw: make([]byte, outs)}),
	}
	if x.biased() {
		return g.microsoft("MatMulIntegerToFloat", append(in, g.weight(linear+".bias")))
	}
	return g.op2("Mul", g.microsoft("MatMulIntegerToFloat", in), x.largest)
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
