package bert

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify/onnx/kernels"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// smoothing is the alpha of SmoothQuant (Xiao et al. 2022, section 4): how much of a channel's
// range is taken out of what leaves a normalisation, and put into the weights. A few channels
// are so wide that they make the rest coarse. Of .5, .75 and 1, logits move least from fp32's with .75.
const smoothing = .75

// rounded is an activation in uint8: value = scale * (bytes - zero), with a scale for each
// token, [..., 1].
type rounded struct {
	bytes, scale string
	zero         byte
	spread       []float32 // what a channel was divided by; nil for nothing
}

// normed is what leaves a normalisation: as it is, and for products.
type normed struct {
	rounded
	value string
}

func (g *graph) encodeInt8(firstOnly bool) string {
	x := g.normed(embeddingsNorm, "AddNormQuantize", []string{g.embed(), "", "", ""}, nil)
	for i := range g.c.Config.Layers {
		queries := x
		if firstOnly && i == g.c.Config.Layers-1 {
			queries.value, queries.bytes, queries.scale = g.first(x.value), g.first(x.bytes), g.first(x.scale)
		}
		x = g.layerInt8(layerName(i), queries, x)
	}
	return x.value
}

// layerInt8 is layer in INT8.
func (g *graph) layerInt8(name string, queries, x normed) normed {
	self := name + selfAttention
	var q, kv string
	if queries.bytes == x.bytes {
		q = g.productInt8(x.rounded, self+"query", self+"key", self+"value")
		kv = q
	} else {
		q, kv = g.productInt8(queries.rounded, self+"query"), g.productInt8(x.rounded, self+"key", self+"value")
	}
	attended := g.kernel("AttentionQuantize", 2, []string{q, queries.scale, kv, x.scale, g.attentionBias(self), g.mask},
		onnxpb.Int("num_heads", g.c.Config.AttentionHeads))
	a := g.addNormInt8(rounded{bytes: attended[0], scale: attended[1], zero: kernels.Zero}, queries, name+attentionOutput, name+attentionNorm)
	op, product, weights := g.productFor("GeluQuantize", a.rounded, name+intermediate)
	h := g.kernel(op, 2, append([]string{product, a.scale, g.bias(name + intermediate)}, weights...))
	return g.addNormInt8(rounded{bytes: h[0], scale: h[1], zero: kernels.GeluZero}, a, name+output, name+outputNorm)
}

// addNormInt8 is LayerNorm(the linear layer of x + residual).
func (g *graph) addNormInt8(x rounded, residual normed, linear, norm string) normed {
	op, product, weights := g.productFor("AddNormQuantize", x, linear)
	return g.normed(norm, op, []string{product, x.scale, g.bias(linear), residual.value}, weights)
}

// normed is an AddNormQuantize, whose inputs of the normalisation come between the others.
func (g *graph) normed(norm, op string, first, last []string) normed {
	spread := g.spread(norm)
	inverse := make([]float32, len(spread))
	for i, v := range spread {
		inverse[i] = 1 / v
	}
	inputs := slices.Concat(first, []string{g.weight(norm + ".weight"), g.weight(norm + ".bias"),
		g.b.Floats(norm+".inverse_range", []int{len(inverse)}, inverse)}, last)
	out := g.kernel(op, 3, inputs, g.epsilon())
	return normed{value: out[0], rounded: rounded{bytes: out[1], scale: out[2], zero: kernels.Zero, spread: spread}}
}

// spread is what the channels that leave norm are divided by: 1 behind the last layer,
// whose channels no product reads.
func (g *graph) spread(norm string) []float32 {
	spread := make([]float32, g.c.Config.HiddenSize)
	if norm == layerName(g.c.Config.Layers-1)+outputNorm {
		for i := range spread {
			spread[i] = 1
		}
		return spread
	}
	ranges := g.ranges[norm]
	if len(ranges) != len(spread) {
		g.fail(fmt.Errorf("int8 wants the ranges of %d channels behind %s and has %d", len(spread), norm, len(ranges)))
		return nil
	}
	for i, v := range ranges {
		spread[i] = float32(math.Pow(max(float64(v), 1e-6), smoothing))
	}
	return spread
}

// productFor is the product of x with a linear layer's weights for an operator: this reads it first or, by another
// name, x first and the weights last.
func (g *graph) productFor(op string, x rounded, linear string) (name, first string, last []string) {
	if g.vnni {
		return "Product" + op, x.bytes, g.packed(x, linear)
	}
	return op, g.productInt8(x, linear), nil
}

// productInt8 multiplies x, [..., in], with the weights of linear layers, [..., sum of
// their outs], raw: each token's row is still to be multiplied by x.scale.
func (g *graph) productInt8(x rounded, linears ...string) string {
	if g.vnni {
		return g.kernel("ProductOfBytes", 1, append([]string{x.bytes}, g.packed(x, linears...)...))[0]
	}
	w, scale := g.quantised(x, linears)
	if g.err != nil {
		return ""
	}
	name, outs := strings.Join(linears, "+"), len(scale)
	return g.microsoft("MatMulIntegerToFloat", []string{
		x.bytes, g.b.Tensor(onnxpb.Tensor{Name: name + ".int8", Type: onnxpb.Int8, Dims: []int{len(w) / outs, outs}, Raw: w}),
		g.b.Floats("one", nil, []float32{1}), g.b.Floats(name+".scale", []int{outs}, scale),
		g.b.Tensor(onnxpb.Tensor{Name: fmt.Sprintf("zero.%d", x.zero), Type: onnxpb.Uint8, Raw: []byte{x.zero}}),
		g.b.Tensor(onnxpb.Tensor{Name: name + ".zero", Type: onnxpb.Int8, Dims: []int{outs}, Raw: make([]byte, outs)}),
	})
}

// packed is what the products of classify/onnx/kernels read of the weights of linear layers: these, packed, the
// offset that x's zero point makes, and the scale.
func (g *graph) packed(x rounded, linears ...string) []string {
	w, scale := g.quantised(x, linears)
	if g.err != nil {
		return make([]string, 3)
	}
	name, outs := strings.Join(linears, "+"), len(scale)
	packed, sums := kernels.Pack(w, outs)
	var offset []byte
	for _, sum := range sums {
		offset = binary.LittleEndian.AppendUint32(offset, uint32(-int32(x.zero)*sum))
	}
	return []string{
		g.b.Tensor(onnxpb.Tensor{Name: name + ".packed", Type: onnxpb.Int8, Dims: []int{len(packed)}, Raw: packed}),
		g.b.Tensor(onnxpb.Tensor{Name: name + ".offset", Type: onnxpb.Int32, Dims: []int{outs}, Raw: offset}),
		g.b.Floats(name+".scale", []int{outs}, scale),
	}
}

// quantised is the weights of linear layers beside each other, for products of x: int8 [in, sum of their outs], and
// the scale of each out.
func (g *graph) quantised(x rounded, linears []string) (raw []byte, scale []float32) {
	w := g.transposed(linears[0])
	for _, l := range linears[1:] {
		w = beside(w, g.transposed(l))
	}
	if g.err != nil {
		return nil, nil
	}
	if x.spread != nil {
		for i := range w.data {
			w.data[i] *= x.spread[i/w.shape[1]]
		}
	}
	return quantise(w)
}

// beside is the matrix [a b], of as many rows as each has.
func beside(a, b tensor) tensor {
	rows, left, right := a.shape[0], a.shape[1], b.shape[1]
	c := tensor{shape: []int{rows, left + right}}
	for i := range rows {
		c.data = append(append(c.data, a.data[i*left:(i+1)*left]...), b.data[i*right:(i+1)*right]...)
	}
	return c
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

// kernel is an operator of classify/onnx/kernels.
func (g *graph) kernel(op string, outputs int, in []string, attrs ...onnxpb.Attr) []string {
	return g.b.Add(onnxpb.Node{Op: op, Domain: kernels.Domain, Inputs: in, Attrs: attrs}, outputs)
}
