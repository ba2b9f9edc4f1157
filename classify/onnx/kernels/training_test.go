package kernels_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/kernels"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
	"github.com/barograph/barograph/finetune/grad"
	"github.com/barograph/barograph/internal/testenv/runtimetest"
)

// rule is an operator of training with its gradients, on inputs of those shapes.
type rule struct {
	name   string
	shapes [][]int
	build  func(t *grad.Tape, in []*grad.Value) *grad.Value
	fixed  map[string]onnx.Tensor // inputs that build declares and that are not differentiated
	// double is build where the plain graph has kernels of double precision for it; nil is build.
	double func(t *grad.Tape, in []*grad.Value) *grad.Value
	// The plain graph of float32 gives something else.
	notPlain bool
}

func dims(shape []int) grad.Shape {
	var out grad.Shape
	for _, n := range shape {
		out = append(out, grad.N(n))
	}
	return out
}

// run gives the operator's result and its gradients by each input, where the result's numbers have
// random weights in the loss.
func (c rule) run(t *testing.T, r *onnx.Runtime, float onnxpb.Type, native bool, threads int) [][]float64 {
	t.Helper()
	g, random := grad.New("rule", float), rand.New(rand.NewPCG(4, 2))
	g.Kernels, g.Products, g.WeightGrads = native, native, native
	tensor := func(shape []int) onnx.Tensor {
		x := random32(random, shape)
		if float == onnxpb.Float64 {
			return onnx.Tensor{Shape: shape, Data: wide(x)}
		}
		return x
	}
	feed := map[string]onnx.Tensor{}
	var in []*grad.Value
	for i, shape := range c.shapes {
		name := fmt.Sprint("in", i)
		in = append(in, g.Input(name, dims(shape)...))
		feed[name] = tensor(shape)
	}
	build := c.build
	if float == onnxpb.Float64 && c.double != nil {
		build = c.double
	}
	y := build(g, in)
	var shape []int
	for _, d := range y.Shape() {
		shape = append(shape, d.Size)
	}
	feed["weigh"] = tensor(shape)
	for name, x := range c.fixed {
		feed[name] = x
	}
	names := []string{"y"}
	g.Output("y", y)
	for i, d := range g.Gradients(g.Sum(g.Mul(y, g.Input("weigh", y.Shape()...)), false), in...) {
		names = append(names, fmt.Sprint("d", i))
		g.Output(names[i+1], d)
	}
	model, err := g.Model()
	if err != nil {
		t.Fatal(err)
	}
	graph, err := r.NewGraph(onnx.GraphConfig{Model: model, Device: onnx.CPU, Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	defer graph.Close()
	out, err := graph.Run(feed, nil)
	if err != nil {
		t.Fatal(err)
	}
	var results [][]float64
	for _, name := range names {
		results = append(results, wide(out[name]))
	}
	return results
}

func random32(r *rand.Rand, shape []int) onnx.Tensor { return random(r, 1, shape...) }

func wide(x onnx.Tensor) []float64 {
	narrow, ok := x.Data.([]float32)
	if !ok {
		return x.Data.([]float64)
	}
	out := make([]float64, len(narrow))
	for i, v := range narrow {
		out[i] = float64(v)
	}
	return out
}

// near fails unless all results are, to so much of each tensor's largest number or of 1: gradients
// of the keys' bias are 0 but for rounding.
func near(t *testing.T, what string, got, want [][]float64, within float64) {
	t.Helper()
	for i := range want {
		largest := 1.0
		for _, v := range want[i] {
			largest = max(largest, math.Abs(v))
		}
		if len(got[i]) != len(want[i]) {
			t.Fatalf("%s: result %d has %d numbers, not %d", what, i, len(got[i]), len(want[i]))
		}
		for j, v := range want[i] {
			if !(math.Abs(got[i][j]-v) <= within*largest) {
				t.Fatalf("%s: result %d, number %d: %g, want %g", what, i, j, got[i][j], v)
			}
		}
	}
}

// Every operator, at every level, against the plain graph in double and in single precision; the
// number of threads changes nothing.
func TestTrainingOperatorsEqualThePlainGraph(t *testing.T) {
	r := runtimetest.Open(t)
	for _, c := range slices.Concat(products(), norms(), attentions()) {
		t.Run(c.name, func(t *testing.T) {
			double := c.run(t, r, onnxpb.Float64, false, 1)
			plain := c.run(t, r, onnxpb.Float32, false, 1)
			levels(t, func(t *testing.T, r *onnx.Runtime) {
				got := c.run(t, r, onnxpb.Float32, true, 1)
				near(t, "double", got, double, 1e-5)
				if !c.notPlain {
					near(t, "single", got, plain, 2e-5)
				}
				if again := c.run(t, r, onnxpb.Float32, true, 3); !slices.EqualFunc(got, again, slices.Equal) {
					t.Error("three threads give other numbers than one")
				}
			})
		})
	}
}

func products() []rule {
	var out []rule
	for _, s := range []struct{ rows, in, out, rank int }{
		{1, 1, 1, 1}, {5, 3, 4, 2}, {70, 33, 50, 3}, {130, 48, 17, 8}, {65, 96, 200, 17}, {300, 20, 49, 8}, {9, 700, 600, 8}, {7, 64, 144, 16}, {400, 390, 200, 8},
	} {
		x, w, bias := []int{s.rows, s.in}, []int{s.out, s.in}, []int{s.out}
		out = append(out, rule{
			name: fmt.Sprint("Linear ", s), shapes: [][]int{x, w, bias, {s.rank, s.in}, {s.out, s.rank}},
			build: func(t *grad.Tape, in []*grad.Value) *grad.Value { // x is read twice, and a product is added to another
				return t.Linear(t.Linear(in[0], in[3], nil, 1), in[4], t.Linear(in[0], in[1], in[2], -.7), 1.5)
			},
		})
		// Of w there is no gradient.
		random := rand.New(rand.NewPCG(5, uint64(s.rows)))
		fixed := random32(random, w)
		out = append(out, rule{
			name: fmt.Sprint("Adapted ", s), shapes: [][]int{x, bias, {s.rank, s.in}, {s.out, s.rank}},
			build: func(t *grad.Tape, in []*grad.Value) *grad.Value {
				w := t.Constant("w", fixed.Data.([]float32), fixed.Shape...)
				y := t.Adapted(in[0], w, in[1], in[2], in[3], .6, 1.7)
				return t.Add(y, t.Sum(t.Scale(in[0], .5), true, 1))
			},
		})
	}
	return out
}

// drop is a mask of dropout.
func drop(shape ...int) onnx.Tensor {
	random, n := rand.New(rand.NewPCG(6, 6)), 1
	for _, d := range shape {
		n *= d
	}
	keep := make([]uint8, n)
	for i := range keep {
		keep[i] = uint8(min(random.IntN(4), 1)) // a quarter is dropped
	}
	return onnx.Tensor{Shape: shape, Data: keep}
}

func norms() []rule {
	var out []rule
	for _, s := range []struct{ rows, width int }{{1, 2}, {5, 7}, {64, 16}, {70, 33}, {130, 384}, {3, 500}} {
		x, weight := []int{s.rows, s.width}, []int{s.width}
		out = append(out, rule{name: fmt.Sprint("LayerNorm ", s), shapes: [][]int{x, weight, weight}, build: func(t *grad.Tape, in []*grad.Value) *grad.Value {
			return t.LayerNorm(in[0], in[1], in[2], 1e-2)
		}})
		// The bias of what is normalised has the gradient that comes with x's.
		for _, p := range []float64{0, .25} {
			c := rule{name: fmt.Sprint("AddNorm ", s, " dropout ", p), shapes: [][]int{x, x, weight, weight, {s.width, s.width}, weight}}
			if p > 0 {
				c.fixed = map[string]onnx.Tensor{"keep": drop(x...)}
			}
			c.build = func(t *grad.Tape, in []*grad.Value) *grad.Value {
				var keep *grad.Value
				if p > 0 {
					keep = t.Bytes("keep", dims(x)...)
				}
				y := t.Linear(in[0], in[4], in[5], 1/math.Sqrt(float64(s.width)))
				return t.AddNorm(y, in[1], keep, p, in[2], in[3], 1e-2)
			}
			out = append(out, c)
		}
	}
	return out
}

func attentions() []rule {
	var out []rule
	for i, s := range []struct{ heads, size, texts, queries, keys int }{
		{1, 1, 1, 1, 1}, {12, 32, 3, 20, 20}, {2, 64, 2, 50, 50}, {3, 5, 4, 17, 17}, {4, 16, 2, 1, 33}, {2, 40, 1, 130, 130}, {1, 100, 2, 9, 9}, {2, 20, 3, 70, 70},
	} {
		for _, masked := range []string{"nothing", "padding", "holes", "all of a text"} {
			p := float64(i%2) * .25
			if masked == "holes" {
				p = .25 - p
			}
			mask := make([]int64, s.texts*s.keys)
			for j := range mask {
				text, key := j/s.keys, j%s.keys
				switch {
				case masked == "padding" && key > s.keys*(text+1)/(s.texts+1):
				case masked == "holes" && key%3 == 1:
				case masked == "all of a text" && text == 0:
				default:
					mask[j] = 1
				}
			}
			weights := []int{s.texts, s.heads, s.queries, s.keys}
			c := rule{name: fmt.Sprint("Attention ", s, " masked ", masked, " dropout ", p), notPlain: masked == "all of a text",
				fixed: map[string]onnx.Tensor{"mask": {Shape: []int{s.texts, s.keys}, Data: mask}}}
			if p > 0 {
				c.fixed["keep"] = drop(weights...)
			}
			x, width := []int{s.texts * s.queries, s.heads * s.size}, s.heads*s.size
			keys := []int{s.texts * s.keys, width}
			bias := []int{width} // with the gradient that comes with the queries', keys' and values'
			c.shapes = [][]int{x, keys, keys, bias, bias, bias}
			with := func(attend func(t *grad.Tape, q, k, v, mask, keep *grad.Value) *grad.Value) func(t *grad.Tape, in []*grad.Value) *grad.Value {
				return func(t *grad.Tape, in []*grad.Value) *grad.Value {
					mask := t.Ints("mask", grad.N(s.texts), grad.N(s.keys))
					var keep *grad.Value
					if p > 0 {
						keep = t.Bytes("keep", dims(weights)...)
					}
					q := t.Scale(in[0], 1/math.Sqrt(float64(s.size)))
					bias := func(x, b *grad.Value) *grad.Value { return t.Add(x, t.Scale(b, .1)) }
					return attend(t, bias(q, in[3]), bias(in[1], in[4]), bias(in[2], in[5]), mask, keep)
				}
			}
			c.build = with(func(t *grad.Tape, q, k, v, mask, keep *grad.Value) *grad.Value {
				return t.Attention(q, k, v, mask, grad.N(s.queries), s.heads, keep, p)
			})
			// Products of double precision are sums of each number times each.
			c.double = with(func(t *grad.Tape, q, k, v, mask, keep *grad.Value) *grad.Value {
				split := func(x *grad.Value, n int, at ...int) *grad.Value {
					x = t.Transpose(t.Reshape(x, grad.N(s.texts), grad.N(n), grad.N(s.heads), grad.N(s.size)), 0, 2, 1, 3)
					return t.Reshape(x, dims(at)...)
				}
				queries, all := split(q, s.queries, s.texts, s.heads, s.queries, 1, s.size), []int{s.texts, s.heads, 1, s.keys, s.size}
				scores := t.Sum(t.Mul(queries, split(k, s.keys, all...)), false, 4)
				scores = t.Add(scores, t.Reshape(t.MaskScores(mask), grad.N(s.texts), grad.N(1), grad.N(1), grad.N(s.keys)))
				weigh := t.Reshape(t.Softmax(scores, keep, p), append(dims(weights), grad.N(1))...)
				y := t.Transpose(t.Sum(t.Mul(weigh, split(v, s.keys, all...)), false, 3), 0, 2, 1, 3)
				return t.Reshape(y, dims(x)...)
			})
			out = append(out, c)
		}
	}
	return out
}

// A softmax is of what scores are apart, wherever they are: e to the power of these is no float32.
func TestAttentionOfFarScores(t *testing.T) {
	levels(t, func(t *testing.T, runtime *onnx.Runtime) {
		for _, far := range []float32{200, -200} {
			in := map[string]onnx.Tensor{
				"q":    {Shape: []int{1, 2}, Data: []float32{1, 1}},
				"k":    {Shape: []int{2, 2}, Data: []float32{far, 0, far, 1}},
				"v":    {Shape: []int{2, 2}, Data: []float32{1, 0, 0, 1}},
				"mask": {Shape: []int{1, 2}, Data: []int64{1, 1}},
			}
			out, err := node(t, runtime, 1, "SelfAttention", []string{"q", "k", "v", "mask"}, in, []string{"y", "softmax"}, onnxpb.Int("num_heads", 1), onnxpb.Float("scale", 1))
			if err != nil {
				t.Fatal(err)
			}
			near(t, fmt.Sprint("scores of ", far), [][]float64{wide(out["y"])}, [][]float64{{1 / (1 + math.E), math.E / (1 + math.E)}}, 1e-4)
		}
	})
}

// GELU has no kernel of double precision: Go's own stands in.
func TestScaledGelu(t *testing.T) {
	levels(t, func(t *testing.T, runtime *onnx.Runtime) {
		r := rand.New(rand.NewPCG(1, 5))
		for _, s := range []struct{ rows, width int }{{1, 1}, {3, 16}, {70, 45}, {130, 200}} {
			u, dy := random(r, 2, s.rows, s.width), random(r, 1, s.rows, s.width)
			for i, far := range []float32{0, -30, 30, -1e4, 1e4} {
				if i < len(floats(u)) {
					floats(u)[i] = far
				}
			}
			y, err := node(t, runtime, 2, "ScaledGelu", []string{"u"}, map[string]onnx.Tensor{"u": u}, []string{"y"})
			if err != nil {
				t.Fatal(err)
			}
			d, err := node(t, runtime, 2, "ScaledGeluGrad", []string{"dy", "u"}, map[string]onnx.Tensor{"u": u, "dy": dy}, []string{"du", "sum"})
			if err != nil {
				t.Fatal(err)
			}
			sums := make([]float64, s.width)
			for i, v := range wide(u) {
				want := v * math.Erfc(-v)
				if got := float64(floats(y["y"])[i]); !(math.Abs(got-want) <= 4e-7*(1+math.Abs(want))) {
					t.Fatalf("u (1 + erf u) of %g is %g, not %g", v, got, want)
				}
				want = wide(dy)[i] * (math.Erfc(-v) + 2/math.Sqrt(math.Pi)*v*math.Exp(-v*v))
				if got := float64(floats(d["du"])[i]); !(math.Abs(got-want) <= 1e-6*(1+math.Abs(want))) {
					t.Fatalf("the gradient at %g is %g, not %g", v, got, want)
				}
				sums[i%s.width] += want
			}
			near(t, "sums", [][]float64{wide(d["sum"])}, [][]float64{sums}, 1e-5)
		}
	})
}

// Steps of AdamW against the same in double precision; where a vector is cut changes nothing.
func TestAdamW(t *testing.T) {
	levels(t, func(t *testing.T, _ *onnx.Runtime) {
		r := rand.New(rand.NewPCG(1, 8))
		for _, n := range []int{1, 15, 16, 37, 1000} {
			w, m, v := random(r, 1, n), random(r, 1e-2, n), make([]float32, n)
			got := [][]float32{floats(w), floats(m), v}
			var moved, want [][]float64
			var again [][]float32
			for _, x := range got {
				want, again = append(want, wide(onnx.Tensor{Data: x})), append(again, slices.Clone(x))
			}
			for time := range 3 {
				g := floats(random(r, math.Pow(10, float64(2-2*time)), n))
				s := kernels.AdamW{Scale: .3, Beta1: .9, Rest1: .1, Beta2: .999, Rest2: 1e-3, Keep: .9999, Rate: 1e-2, Root: 5, Epsilon: 1e-8}
				s.Move(got[0], g, got[1], got[2])
				s.Move(again[0][:n/3], g[:n/3], again[1][:n/3], again[2][:n/3])
				s.Move(again[0][n/3:], g[n/3:], again[1][n/3:], again[2][n/3:])
				for i := range n {
					d := float64(s.Scale) * float64(g[i])
					want[1][i] = float64(s.Beta1)*want[1][i] + float64(s.Rest1)*d
					want[2][i] = float64(s.Beta2)*want[2][i] + float64(s.Rest2)*d*d
					want[0][i] = float64(s.Keep)*want[0][i] - float64(s.Rate)*want[1][i]/(math.Sqrt(want[2][i])*float64(s.Root)+float64(s.Epsilon))
				}
			}
			for i, x := range got {
				moved = append(moved, wide(onnx.Tensor{Data: x}))
				if !slices.Equal(x, again[i]) {
					t.Errorf("%d numbers: vector %d is another where it is cut", n, i)
				}
			}
			near(t, fmt.Sprint(n, " numbers"), moved, want, 2e-6)
		}
	})
}

// What is not a number must reach the loss, which is how a training that diverges is noticed.
func TestTrainingKeepsWhatIsNotANumber(t *testing.T) {
	levels(t, func(t *testing.T, runtime *onnx.Runtime) {
		r := rand.New(rand.NewPCG(1, 6))
		spoilt := random(r, 1, 4, 6)
		floats(spoilt)[7] = float32(math.NaN())
		ones := onnx.Tensor{Shape: []int{2, 2}, Data: []int64{1, 1, 1, 1}}
		attend := func(in map[string]onnx.Tensor) (map[string]onnx.Tensor, error) {
			in["mask"] = ones
			return node(t, runtime, 1, "SelfAttention", []string{"q", "k", "v", "mask"}, in, []string{"y", "softmax"}, onnxpb.Int("num_heads", 1), onnxpb.Float("scale", 1))
		}
		for name, run := range map[string]func() (map[string]onnx.Tensor, error){
			"gelu": func() (map[string]onnx.Tensor, error) {
				return node(t, runtime, 1, "ScaledGelu", []string{"u"}, map[string]onnx.Tensor{"u": spoilt}, []string{"y"})
			},
			"norm": func() (map[string]onnx.Tensor, error) {
				return node(t, runtime, 1, "AddNorm", []string{"x", "", "", "gamma", "beta"},
					map[string]onnx.Tensor{"x": spoilt, "gamma": random(r, 1, 6), "beta": random(r, 1, 6)}, []string{"y", "moments"}, onnxpb.Float("epsilon", 1e-5), onnxpb.Float("scale", 1))
			},
			"query": func() (map[string]onnx.Tensor, error) {
				return attend(map[string]onnx.Tensor{"q": spoilt, "k": random(r, 1, 4, 6), "v": random(r, 1, 4, 6)})
			},
			"key": func() (map[string]onnx.Tensor, error) {
				return attend(map[string]onnx.Tensor{"q": random(r, 1, 4, 6), "k": spoilt, "v": random(r, 1, 4, 6)})
			},
			"value": func() (map[string]onnx.Tensor, error) {
				return attend(map[string]onnx.Tensor{"q": random(r, 1, 4, 6), "k": random(r, 1, 4, 6), "v": spoilt})
			},
		} {
			out, err := run()
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(floats(out["y"]), func(v float32) bool { return v != v }) {
				t.Errorf("%s: it is lost", name)
			}
		}
	})
}

func TestTrainingShapesThatDoNotFitAreRefused(t *testing.T) {
	levels(t, func(t *testing.T, runtime *onnx.Runtime) {
		r := rand.New(rand.NewPCG(1, 7))
		x := func(shape ...int) onnx.Tensor { return random(r, 1, shape...) }
		bytes := func(shape ...int) onnx.Tensor { return drop(shape...) }
		ints := func(shape ...int) onnx.Tensor {
			return onnx.Tensor{Shape: shape, Data: make([]int64, shape[0]*shape[1])}
		}
		epsilon, scale, heads := onnxpb.Float("epsilon", 1e-5), onnxpb.Float("scale", 1), onnxpb.Int("num_heads", 2)
		alpha, turned := onnxpb.Float("alpha", 1), onnxpb.Int("turned", 1)
		type tensors map[string]onnx.Tensor
		for _, c := range []struct {
			op      string
			inputs  string
			spoil   tensors // each alone
			fits    tensors
			outputs int
			attrs   []onnxpb.Attr
		}{
			{"ScaledGeluGrad", "dy u", tensors{"dy": x(2, 7)}, tensors{"dy": x(2, 8), "u": x(2, 8)}, 2, nil},
			{"AddNorm", "x keep residual gamma beta", tensors{"keep": bytes(2, 7), "residual": x(1, 8), "gamma": x(7), "beta": x(9)},
				tensors{"x": x(2, 8), "keep": bytes(2, 8), "residual": x(2, 8), "gamma": x(8), "beta": x(8)}, 3, []onnxpb.Attr{epsilon, scale}},
			{"AddNormGrad", "dy sum moments gamma keep", tensors{"dy": x(1, 8), "moments": x(1, 2), "gamma": x(7), "keep": bytes(3, 8)},
				tensors{"dy": x(2, 8), "sum": x(2, 8), "moments": x(2, 2), "gamma": x(8), "keep": bytes(2, 8)}, 5, []onnxpb.Attr{scale}},
			{"SelfAttention", "q k v mask keep", tensors{"q": x(7, 6), "k": x(7, 6), "v": x(8, 4), "mask": ints(2, 5), "keep": bytes(2, 2, 4, 3)},
				tensors{"q": x(8, 6), "k": x(8, 6), "v": x(8, 6), "mask": ints(2, 4), "keep": bytes(2, 2, 4, 4)}, 2, []onnxpb.Attr{heads, scale}},
			{"SelfAttentionGrad", "dcontext q k v attended softmax mask keep",
				tensors{"dcontext": x(7, 6), "attended": x(8, 5), "softmax": x(2, 2, 3, 2), "q": x(6, 6), "k": x(6, 6), "v": x(8, 7), "mask": ints(1, 4), "keep": bytes(1, 2, 4, 4)},
				tensors{"dcontext": x(8, 6), "q": x(8, 6), "k": x(8, 6), "v": x(8, 6), "attended": x(8, 6), "softmax": x(2, 2, 4, 2), "mask": ints(2, 4), "keep": bytes(2, 2, 4, 4)},
				6, []onnxpb.Attr{heads, scale}},
			{"Product", "x w add a b", tensors{"x": x(3, 4), "w": x(6, 4), "add": x(2, 4), "a": x(2, 5), "b": x(5, 3)},
				tensors{"x": x(3, 5), "w": x(5, 4), "add": x(3, 4), "a": x(2, 4), "b": x(5, 2)}, 1, []onnxpb.Attr{alpha, scale, turned}},
			{"WeightGrad", "x dy", tensors{"x": x(2, 4), "dy": x(4, 6)}, tensors{"x": x(3, 4), "dy": x(3, 6)}, 1, []onnxpb.Attr{alpha}},
			{"AdapterGrad", "x dy a b", tensors{"x": x(2, 4), "dy": x(3, 6), "a": x(2, 5), "b": x(5, 3)},
				tensors{"x": x(3, 4), "dy": x(3, 5), "a": x(2, 4), "b": x(5, 2)}, 2, []onnxpb.Attr{scale}},
		} {
			run := func(in tensors) error {
				var outputs []string
				for i := range c.outputs {
					outputs = append(outputs, fmt.Sprint("out", i))
				}
				_, err := node(t, runtime, 1, c.op, strings.Fields(c.inputs), in, outputs, c.attrs...)
				return err
			}
			if err := run(c.fits); err != nil {
				t.Errorf("%s: %v", c.op, err)
			}
			for name, spoilt := range c.spoil {
				in := tensors{}
				for n, x := range c.fits {
					in[n] = x
				}
				in[name] = spoilt
				if err := run(in); err == nil || !strings.Contains(err.Error(), "do not fit") {
					t.Errorf("%s with another %s: error %v", c.op, name, err)
				}
			}
		}
	})
}
