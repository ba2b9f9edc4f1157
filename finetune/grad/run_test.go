package grad

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

func open(t testing.TB, r *onnx.Runtime, g *Tape) *onnx.Graph {
	t.Helper()
	model, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	graph, err := r.NewGraph(onnx.GraphConfig{Model: model, Device: onnx.CPU, Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { graph.Close() })
	return graph
}

func run(t testing.TB, g *onnx.Graph, in map[string]onnx.Tensor) map[string]onnx.Tensor {
	t.Helper()
	out, err := g.Run(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// opened is a check's graph: the loss and its gradient by every input.
type opened struct {
	check
	graph *onnx.Graph
	float onnxpb.Type
	fixed map[string]onnx.Tensor // inputs that are not differentiated
}

func (c check) graph(t *testing.T, r *onnx.Runtime, float onnxpb.Type) opened {
	t.Helper()
	g := New("check", float)
	g.Kernels, g.Products, g.WeightGrads = c.kernels, c.kernels, c.kernels
	var in []*Value
	for i, shape := range c.shapes {
		var dims Shape
		for _, n := range shape {
			if n == 5 {
				dims = append(dims, Named("n"))
			} else {
				dims = append(dims, N(n))
			}
		}
		in = append(in, g.Input(fmt.Sprint("in", i), dims...))
	}
	y := c.build(g, in)
	if len(y.shape) == 0 {
		y = g.Reshape(y, N(1)) // an input of ONNX Runtime's wrapper has a dimension
	}
	weigh := onnx.Tensor{}
	for _, d := range y.shape {
		weigh.Shape = append(weigh.Shape, map[string]int{"": d.Size, "n": 5, "others": 15}[d.Name])
	}
	numbers, random := make([]float64, count(weigh.Shape)), rand.New(rand.NewPCG(3, 4))
	for i := range numbers {
		numbers[i] = random.NormFloat64()
	}
	loss := g.Sum(g.Mul(y, g.Input("weigh", y.shape...)), false)
	for i, d := range g.Gradients(loss, in...) {
		if d.shape.String() != in[i].shape.String() {
			t.Errorf("the gradient of %s has shape %s", in[i].shape, d.shape)
		}
		g.Output(fmt.Sprint("d", i), d)
	}
	g.Output("loss", g.Reshape(loss, N(1)))
	o := opened{check: c, graph: open(t, r, g), float: float}
	o.fixed = map[string]onnx.Tensor{
		"weigh":  o.tensor(weigh.Shape, numbers),
		"mask":   {Shape: []int{5, 3}, Data: []uint8{1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 0}},
		"tokens": {Shape: []int{2, 3}, Data: []int64{1, 1, 0, 1, 1, 1}},
		"kept": {Shape: []int{2, 2, 3, 3}, Data: []uint8{1, 0, 1, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 1, 0, 1, 1, 1,
			0, 1, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 0, 1}},
	}
	return o
}

func (c check) inputs(random *rand.Rand) [][]float64 {
	draw := c.input
	if draw == nil {
		draw = (*rand.Rand).NormFloat64
	}
	var in [][]float64
	for _, shape := range c.shapes {
		data := make([]float64, count(shape))
		for i := range data {
			data[i] = draw(random)
		}
		in = append(in, data)
	}
	return in
}

func count(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

func (o opened) run(t *testing.T, in [][]float64) (loss float64, grads [][]float64) {
	t.Helper()
	feed := maps.Clone(o.fixed)
	for i, data := range in {
		feed[fmt.Sprint("in", i)] = o.tensor(o.shapes[i], data)
	}
	out := run(t, o.graph, feed)
	for i := range in {
		grads = append(grads, wide(out[fmt.Sprint("d", i)]))
	}
	return wide(out["loss"])[0], grads
}

func (o opened) tensor(shape []int, data []float64) onnx.Tensor {
	if o.float == onnxpb.Float64 {
		return onnx.Tensor{Shape: shape, Data: data}
	}
	narrow := make([]float32, len(data))
	for i, v := range data {
		narrow[i] = float32(v)
	}
	return onnx.Tensor{Shape: shape, Data: narrow}
}

func wide(t onnx.Tensor) []float64 {
	narrow, ok := t.Data.([]float32)
	if !ok {
		return t.Data.([]float64)
	}
	out := make([]float64, len(narrow))
	for i, v := range narrow {
		out[i] = float64(v)
	}
	return out
}
