package step

import (
	"fmt"
	"math"
	"strings"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/kernels"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
	"github.com/barograph/barograph/finetune/grad"
)

// Names of the graph's inputs and outputs.
const (
	inputIDs   = "input_ids"
	inputMask  = "attention_mask"
	inputTypes = "token_type_ids"

	outputLoss       = "loss"
	outputEmbeddings = "gradient:embeddings" // of the sum of the three tables, [tokens, hidden]
)

func weightInput(name string) string    { return "weight:" + name }
func targetInput(task string) string    { return "target:" + task }
func gradientOutput(name string) string { return "gradient:" + name }

// The named dimensions: tokens is batch * seq.
var (
	batch  = grad.Named("batch")
	seq    = grad.Named("seq")
	tokens = grad.Named("tokens")
	one    = grad.N(1)
)

// graph emits a training step. Activations are [tokens, hidden], so that every linear
// layer is one product in transformers' own layout of the weights.
type graph struct {
	*grad.Tape
	c       Config
	model   bert.Config
	trained map[string]*grad.Value // by the weight's name
	inner   float64                // dropout inside of the encoder
	masks   []maskInput
	mask    *grad.Value // attention mask, int64 [batch, seq]
}

// maskInput is a dropout mask to be drawn for each run.
type maskInput struct {
	name  string
	shape grad.Shape
	drop  float64
}

// operators are those of package kernels that a graph has in place of ONNX's.
type operators struct{ kernels, products, weightGrads bool }

// operatorsOf are those of a graph for that device, CPU or CUDA.
func operatorsOf(device onnx.Device) operators {
	if device != onnx.CPU {
		return operators{}
	}
	return operators{kernels: true, products: kernels.FastProducts(), weightGrads: kernels.FastProducts()}
}

// buildGraph makes the ONNX model of one step of training those weights by those operators, and
// lists the dropout masks that it wants.
func buildGraph(c Config, weights []weight, by operators) ([]byte, []maskInput, error) {
	g := &graph{Tape: grad.New("step", onnxpb.Float32), c: c, model: c.Base.Config, trained: map[string]*grad.Value{}, inner: c.Dropout}
	g.Kernels, g.Products, g.WeightGrads = by.kernels, by.products, by.weightGrads
	if c.Mode == HeadOnly {
		g.inner = 0 // what is not trained need not be disturbed
	}
	var wrt []*grad.Value
	var names []string
	for _, w := range weights {
		shape := make(grad.Shape, len(w.shape))
		for i, n := range w.shape {
			shape[i] = grad.N(n)
		}
		g.trained[w.name] = g.Input(weightInput(w.name), shape...)
		if !isTable(w.name) {
			wrt, names = append(wrt, g.trained[w.name]), append(names, gradientOutput(w.name))
		}
	}
	sum := g.embed()
	if c.Embeddings {
		wrt, names = append(wrt, sum), append(names, outputEmbeddings)
	}
	loss := g.loss(g.pool(g.encode(sum)))
	for i, d := range g.Gradients(loss, wrt...) {
		g.Output(names[i], d)
	}
	g.Output(outputLoss, g.Reshape(loss, one))
	model, err := g.Model()
	return model, g.masks, err
}

// weight is a trained weight's input, or else a constant of the base.
func (g *graph) weight(name string) *grad.Value {
	if v, ok := g.trained[name]; ok {
		return v
	}
	t, _ := g.c.Base.Tensor(name)
	return g.Constant(name, t.Data, t.Shape...)
}

// embed is the sum of the embeddings, [tokens, hidden], before its normalisation.
func (g *graph) embed() *grad.Value {
	ids := g.Ints(inputIDs, batch, seq)
	g.mask = g.Ints(inputMask, batch, seq)
	x := g.Lookup(g.weight(wordTable), ids)
	if _, ok := g.c.Base.Tensor(typeTable); ok {
		x = g.Add(x, g.Lookup(g.weight(typeTable), g.Ints(inputTypes, batch, seq)))
	}
	x = g.Add(x, g.FirstRows(g.weight(positionTable), seq))
	return g.Reshape(x, tokens, grad.N(g.model.HiddenSize))
}

// encode is all layers: [tokens, hidden], or [batch, hidden] of the first token where
// pooling reads no other. The last layer then computes no other either.
func (g *graph) encode(x *grad.Value) *grad.Value {
	x = g.dropout("embeddings", g.norm(x, "embeddings.LayerNorm"), g.inner)
	for i := range g.model.Layers {
		queries, n := x, seq
		if i == g.model.Layers-1 && g.model.Pooling() != bert.PoolMean {
			queries, n = g.First(g.Reshape(x, batch, seq, grad.N(g.model.HiddenSize))), one
		}
		x = g.layer(bert.LayerName(i), queries, x, n)
	}
	return x
}

// layer is one transformer layer for queries, [batch*n, hidden], which attend to all of
// x, [tokens, hidden].
func (g *graph) layer(name string, queries, x *grad.Value, n grad.Dim) *grad.Value {
	a := g.linear(g.attend(name+"attention.self.", queries, x, n), name+"attention.output.dense")
	a = g.addNorm(name+"attention.output", a, queries)
	var h *grad.Value
	if g.model.HiddenAct == "gelu" {
		h = g.GeluErf(g.scaled(a, name+"intermediate.dense", math.Sqrt2/2, math.Sqrt2/2))
		h = g.scaled(h, name+"output.dense", math.Sqrt2/2, 1)
	} else {
		h = g.GeluTanh(g.linear(a, name+"intermediate.dense"))
		h = g.linear(h, name+"output.dense")
	}
	return g.addNorm(name+"output", h, a)
}

// attend is multi-head attention (Vaswani et al. 2017, "Attention Is All You Need",
// section 3.2).
func (g *graph) attend(name string, queries, x *grad.Value, n grad.Dim) *grad.Value {
	_, key := g.trained[name+"key"+loraA]
	_, value := g.trained[name+"value"+loraA]
	if n == one && !key && !value {
		return g.attendOnce(name, queries, x)
	}
	heads := g.model.AttentionHeads
	scale := 1 / math.Sqrt(float64(g.model.HiddenSize/heads))
	q, k, v := g.scaled(queries, name+"query", scale, scale), g.linear(x, name+"key"), g.linear(x, name+"value")
	keep := g.keep(name+"probabilities", grad.Shape{batch, grad.N(heads), n, seq}, g.inner)
	return g.Attention(q, k, v, g.mask, n, heads, keep, g.inner)
}

// attendOnce is attend for one query a text, without a key or a value of every token: a
// query's product with x Wᵀ + b is that of x with query W, plus a number, and what is seen
// through the scores is turned into values afterwards.
func (g *graph) attendOnce(name string, query, x *grad.Value) *grad.Value {
	heads, hidden := grad.N(g.model.AttentionHeads), grad.N(g.model.HiddenSize)
	width := grad.N(hidden.Size / heads.Size)
	weight := func(layer string) *grad.Value {
		return g.Reshape(g.weight(name+layer+".weight"), heads, width, hidden)
	}
	swap := func(v *grad.Value) *grad.Value { return g.Transpose(v, 1, 0, 2) } // texts and heads
	scale := 1 / math.Sqrt(float64(width.Size))
	q, rows := g.scaled(query, name+"query", scale, scale), g.Reshape(x, batch, seq, hidden)
	looks := swap(g.MatMul(swap(g.Reshape(q, batch, heads, width)), weight("key")))
	same := g.Sum(g.Reshape(g.Mul(q, g.weight(name+"key.bias")), batch, heads, width), true, 2)
	s := g.Add(g.Add(g.MatMulT(looks, rows), same), g.Reshape(g.MaskScores(g.mask), batch, one, seq))
	p := g.Softmax(s, g.keep(name+"probabilities", s.Shape(), g.inner), g.inner)
	o := swap(g.MatMulT(swap(g.MatMul(p, rows)), weight("value")))
	bias := g.Reshape(g.weight(name+"value.bias"), heads, width)
	return g.Reshape(g.Add(o, g.Mul(g.Sum(p, true, 2), bias)), query.Shape()...)
}

// linear is a linear layer with the adapter beside it, if there is one: x Wᵀ + bias +
// alpha/r dropout(x) Aᵀ Bᵀ.
func (g *graph) linear(x *grad.Value, name string) *grad.Value { return g.scaled(x, name, 1, 1) }

// scaled is linear with the products times by and the bias times byBias, which costs no
// pass over the result.
func (g *graph) scaled(x *grad.Value, name string, by, byBias float64) *grad.Value {
	bias := g.weight(name + ".bias")
	if byBias != 1 {
		bias = g.Scale(bias, byBias)
	}
	w, a, b, scale := g.weight(name+".weight"), g.trained[name+loraA], g.trained[name+loraB], g.c.Alpha/float64(g.c.Rank)
	switch {
	case a == nil:
		return g.Linear(x, w, bias, by)
	case g.c.LoRADropout == 0:
		return g.Adapted(x, w, bias, a, b, by, scale)
	}
	y := g.Linear(x, w, bias, by)
	return g.Linear(g.Linear(g.dropout(name+".lora_A", x, g.c.LoRADropout), a, nil, 1), b, y, by*scale)
}

func (g *graph) norm(x *grad.Value, name string) *grad.Value {
	return g.LayerNorm(x, g.weight(name+".weight"), g.weight(name+".bias"), g.model.LayerNormEps)
}

// addNorm is the normalisation that ends a part of a layer, of dropout(x) + residual.
func (g *graph) addNorm(name string, x, residual *grad.Value) *grad.Value {
	keep, norm := g.keep(name, x.Shape(), g.inner), name+".LayerNorm"
	return g.AddNorm(x, residual, keep, g.inner, g.weight(norm+".weight"), g.weight(norm+".bias"), g.model.LayerNormEps)
}

func (g *graph) dropout(name string, x *grad.Value, p float64) *grad.Value {
	if p == 0 {
		return x
	}
	return g.Dropout(x, g.keep(name, x.Shape(), p), p)
}

// keep is a dropout mask of that shape, or nil where nothing is dropped.
func (g *graph) keep(name string, shape grad.Shape, p float64) *grad.Value {
	if p == 0 {
		return nil
	}
	m := maskInput{"keep:" + name, shape, p}
	g.masks = append(g.masks, m)
	return g.Bytes(m.name, m.shape...)
}

// pool makes one vector [batch, hidden] of a text.
func (g *graph) pool(x *grad.Value) *grad.Value {
	switch g.model.Pooling() {
	case bert.PoolPooler:
		x = g.Tanh(g.linear(x, poolerName))
	case bert.PoolMean:
		mask := g.Float(g.mask)
		count := g.Max(g.Sum(mask, true, 1), g.Constant("one", []float32{1}))
		x = g.Reshape(x, batch, seq, grad.N(g.model.HiddenSize))
		x = g.Div(g.Sum(g.Mul(x, g.Reshape(mask, batch, seq, one)), false, 1), count)
	}
	return g.dropout("pooled", x, g.c.Dropout)
}

// loss is the sum over heads and rows of -target * log softmax(logits).
func (g *graph) loss(pooled *grad.Value) *grad.Value {
	var total *grad.Value
	for _, h := range g.c.Heads {
		logits := g.Linear(pooled, g.weight(h.Task+".weight"), g.weight(h.Task+".bias"), 1)
		target := g.Input(targetInput(h.Task), batch, grad.N(h.Labels))
		x := g.Neg(g.Sum(g.Mul(g.LogSoftmax(logits), target), false))
		if total != nil {
			x = g.Add(total, x)
		}
		total = x
	}
	return total
}

const (
	wordTable     = "embeddings.word_embeddings.weight"
	positionTable = "embeddings.position_embeddings.weight"
	typeTable     = "embeddings.token_type_embeddings.weight"
	poolerName    = "pooler.dense"
	loraA         = ".lora_A.weight"
	loraB         = ".lora_B.weight"
)

// isTable tells the embeddings' tables, whose gradients are scattered in Go.
func isTable(name string) bool { return strings.HasSuffix(name, "_embeddings.weight") }

// size resolves a shape for a batch.
func size(shape grad.Shape, rows, cols int) ([]int, error) {
	out := make([]int, len(shape))
	for i, d := range shape {
		switch d {
		case batch:
			out[i] = rows
		case seq:
			out[i] = cols
		case tokens:
			out[i] = rows * cols
		default:
			out[i] = d.Size
		}
		if out[i] < 1 {
			return nil, fmt.Errorf("shape %s for %d x %d", shape, rows, cols)
		}
	}
	return out, nil
}
