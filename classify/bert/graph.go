package bert

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/barograph/barograph/classify/onnx/kernels"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// Precision is the number format of a graph's weights and arithmetic.
type Precision string

const (
	// FP32 is exact to float32 rounding.
	FP32 Precision = "fp32"
	// FP16 is for CUDA: half the memory, tensor cores. Layer normalisation and softmax
	// keep their sums in float32 there; the heads run in float32.
	FP16 Precision = "fp16"
	// INT8 is for the CPU: weights in int8 with a scale for each output, activations with
	// one for each token. Embeddings, normalisation, attention and heads stay float32;
	// GELU, in either form, is exact to less than the rounding.
	INT8 Precision = "int8"
	// INT8VNNI is INT8 with the products of classify/onnx/kernels, for processors of which kernels.FastBytes
	// is true. Its logits are INT8's. Where a width is no multiple of kernels.BytesDepth it is INT8.
	INT8VNNI Precision = "int8.vnni"
)

const opset = 17

// Graph serialises the checkpoint's inference graph as an ONNX model. Its inputs are
// input_ids, attention_mask and token_type_ids, int64 [batch, seq]; its outputs are one
// float32 [batch, labels] of raw logits for each head, named by the head's task.
// Masked positions do not change the logits of the others. INT8 needs ranges, see
// MeasureRanges; the others don't read them. It runs on ONNX Runtime only: the graph uses
// fused operators of com.microsoft, which its CPU and CUDA providers have, and in INT8
// those of classify/onnx/kernels.
func (c *Checkpoint) Graph(p Precision, ranges Ranges) ([]byte, error) {
	if len(c.heads) == 0 {
		return nil, fmt.Errorf("%w: it has no head (classifier.weight): it is a base to train on", ErrCheckpoint)
	}
	g := c.newGraph(p)
	g.ranges = ranges
	pooled := g.pool(g.encode(c.Config.Pooling() != PoolMean))
	if c.Config.Pooling() == PoolPooler {
		pooled = g.op("Tanh", g.linear(pooled, poolerName))
	}
	pooled = g.toFloat(pooled)
	var tasks []string
	for _, h := range c.heads {
		g.head(pooled, h)
		tasks = append(tasks, h.Task)
	}
	g.b.Metadata(onnxpb.MetaHeads, strings.Join(tasks, ","))
	return g.model()
}

// graph emits a checkpoint's operators. Activations are [batch, seq, hidden].
type graph struct {
	b         *onnxpb.Builder
	c         *Checkpoint
	precision Precision
	vnni      bool  // of INT8
	err       error // the first one; the rest of the graph is then moot

	ids, mask, types string // the inputs
	mask32           string // the mask as int32, as attention wants it; not in INT8

	ranges   Ranges   // for INT8
	measured []string // the normalisations whose ranges are outputs; nil in a graph of classifiers
}

func (c *Checkpoint) newGraph(p Precision) *graph {
	g := &graph{b: onnxpb.NewBuilder("bert", opset), c: c, precision: p}
	if p == INT8VNNI {
		own := c.Config.HiddenSize%kernels.BytesDepth == 0 && c.Config.IntermediateSize%kernels.BytesDepth == 0
		g.precision, g.vnni = INT8, own
	}
	if g.precision != FP32 && g.precision != FP16 && g.precision != INT8 {
		g.err = fmt.Errorf("precision %q: want fp32, fp16 or int8", p)
	}
	shape := []onnxpb.Dim{{Name: "batch"}, {Name: "seq"}}
	g.ids = g.b.Input("input_ids", onnxpb.Int64, shape...)
	g.mask = g.b.Input("attention_mask", onnxpb.Int64, shape...)
	g.types = g.b.Input("token_type_ids", onnxpb.Int64, shape...)
	if g.precision != INT8 {
		g.mask32 = g.op("Cast", g.mask, onnxpb.Int("to", int(onnxpb.Int32)))
	}
	// What classify/onnx checks before a run.
	g.b.Metadata(onnxpb.MetaVocab, strconv.Itoa(c.Config.VocabSize))
	g.b.Metadata(onnxpb.MetaPositions, strconv.Itoa(c.Config.MaxPositions))
	if _, ok := c.weights.tensors[typeEmbeddings]; ok {
		g.b.Metadata(onnxpb.MetaTypes, strconv.Itoa(c.Config.TypeVocabSize))
	}
	return g
}

func (g *graph) model() ([]byte, error) {
	if g.err != nil {
		return nil, g.err
	}
	return g.b.Model()
}

// encode is the embeddings and all layers. With firstOnly, the result is [batch, 1,
// hidden]: a pooling that reads the first token needs no other of the last layer, which
// saves three quarters of that layer and changes no number.
func (g *graph) encode(firstOnly bool) string {
	if g.precision == INT8 {
		return g.encodeInt8(firstOnly)
	}
	x, norm := g.embed(), embeddingsNorm
	x = g.b.Op("LayerNormalization", []string{x, g.weight(norm + ".weight"), g.weight(norm + ".bias")},
		onnxpb.Int("axis", -1), g.epsilon())
	for i := range g.c.Config.Layers {
		g.measure(x, norm)
		queries := x
		if firstOnly && i == g.c.Config.Layers-1 {
			queries = g.first(x)
		}
		x = g.layer(layerName(i), queries, x)
		norm = layerName(i) + outputNorm
	}
	return x
}

// first is the first token of each text.
func (g *graph) first(x string) string {
	return g.op3("Slice", x, g.b.Int64s(0), g.b.Int64s(1), g.b.Int64s(1))
}

// embed is the sum of the embeddings, before its normalisation.
func (g *graph) embed() string {
	x := g.gather(wordEmbeddings, g.ids)
	if _, ok := g.c.weights.tensors[typeEmbeddings]; ok {
		x = g.op2("Add", x, g.gather(typeEmbeddings, g.types))
	}
	length := g.op("Shape", g.ids, onnxpb.Int("start", 1), onnxpb.Int("end", 2))
	positions := g.op3("Slice", g.weight(positionEmbeddings), g.b.Int64s(0), length, g.b.Int64s(0))
	return g.op2("Add", x, positions)
}

// The parts of a layer, behind layerName.
const (
	selfAttention   = "attention.self."
	attentionOutput = "attention.output.dense"
	attentionNorm   = "attention.output.LayerNorm"
	intermediate    = "intermediate.dense"
	output          = "output.dense"
	outputNorm      = "output.LayerNorm"
)

// layer is one transformer layer for the positions in queries, [batch, n, hidden], which
// attend to all of x, [batch, seq, hidden].
func (g *graph) layer(name, queries, x string) string {
	attended := g.attend(name+selfAttention, queries, x)
	a := g.addNorm(g.product(attended, name+attentionOutput), queries, name+attentionOutput, name+attentionNorm)
	g.measure(a, name+attentionNorm)
	h := g.activate(g.product(a, name+intermediate), name+intermediate)
	return g.addNorm(g.product(h, name+output), a, name+output, name+outputNorm)
}

// attend is multi-head attention. Masked keys get a score of mask_filter_value more,
// which leaves them a weight of exactly 0 after the softmax, in half precision too.
func (g *graph) attend(name, queries, x string) string {
	q, k, v := g.product(queries, name+"query"), g.product(x, name+"key"), g.product(x, name+"value")
	return g.microsoft("MultiHeadAttention", []string{q, k, v, g.attentionBias(name), g.mask32},
		onnxpb.Int("num_heads", g.c.Config.AttentionHeads), onnxpb.Float("mask_filter_value", -10000))
}

// attentionBias is the biases of query, key and value.
func (g *graph) attentionBias(name string) string {
	return g.bias(name+"query", name+"key", name+"value")
}

// addNorm is LayerNorm(x + residual + the bias of linear).
func (g *graph) addNorm(x, residual, linear, norm string) string {
	return g.microsoft("SkipLayerNormalization",
		[]string{x, residual, g.weight(norm + ".weight"), g.weight(norm + ".bias"), g.bias(linear)}, g.epsilon())
}

// activate is GELU(product + bias), by erf or in its tanh form (Hendrycks and Gimpel 2016,
// "Gaussian Error Linear Units", section 2).
func (g *graph) activate(x, linear string) string {
	op := "FastGelu"
	if g.c.Config.HiddenAct == "gelu" {
		op = "BiasGelu"
	}
	return g.microsoft(op, []string{x, g.bias(linear)})
}

// pool makes one vector [batch, hidden] of a text's tokens.
func (g *graph) pool(x string) string {
	if g.c.Config.Pooling() != PoolMean {
		return g.op2("Squeeze", x, g.b.Int64s(1))
	}
	x = g.toFloat(x)
	mask := g.op2("Unsqueeze", g.op("Cast", g.mask, onnxpb.Int("to", int(onnxpb.Float32))), g.b.Int64s(2))
	sum := g.b.Op("ReduceSum", []string{g.op2("Mul", x, mask), g.b.Int64s(1)}, onnxpb.Int("keepdims", 0))
	count := g.b.Op("ReduceSum", []string{mask, g.b.Int64s(1)}, onnxpb.Int("keepdims", 0))
	// A text without a token has the mean 0, as sentence-transformers makes it.
	one := g.b.Floats("one", nil, []float32{1})
	return g.op2("Div", sum, g.op2("Max", count, one))
}

func (g *graph) head(pooled string, h loadedHead) {
	w := g.b.Floats("head."+h.Task+".weight", h.weight.shape, h.weight.data)
	b := g.b.Floats("head."+h.Task+".bias", h.bias.shape, h.bias.data)
	g.b.Add(onnxpb.Node{Op: "Gemm", Inputs: []string{pooled, w, b}, Outputs: []string{h.Task},
		Attrs: []onnxpb.Attr{onnxpb.Int("transB", 1)}}, 1)
	g.b.Output(h.Task, onnxpb.Float32, onnxpb.Dim{Name: "batch"}, onnxpb.Dim{Size: len(h.Labels)})
}

func (g *graph) epsilon() onnxpb.Attr {
	eps := g.c.Config.LayerNormEps
	if g.precision == FP16 {
		eps = max(eps, 1e-6) // a smaller one is 0 in half precision
	}
	return onnxpb.Float("epsilon", eps)
}

func (g *graph) op(op, in string, attrs ...onnxpb.Attr) string {
	return g.b.Op(op, []string{in}, attrs...)
}

func (g *graph) op2(op, a, b string) string { return g.b.Op(op, []string{a, b}) }

// op3 is an operator of a value and three constants, such as Slice's starts, ends, axes.
func (g *graph) op3(op, in, a, b, c string) string { return g.b.Op(op, []string{in, a, b, c}) }

func (g *graph) microsoft(op string, in []string, attrs ...onnxpb.Attr) string {
	return g.b.Add(onnxpb.Node{Op: op, Domain: onnxpb.Microsoft, Inputs: in, Attrs: attrs}, 1)[0]
}
