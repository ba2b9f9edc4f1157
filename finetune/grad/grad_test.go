package grad

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
	"github.com/barograph/barograph/internal/testenv/runtimetest"
)

// check is an operator with the shapes of its inputs. Dimensions of 5 are declared by
// the name "n", so that rules are also tried on sizes that come with the input.
type check struct {
	name   string
	shapes [][]int
	build  func(t *Tape, in []*Value) *Value
	input  func(random *rand.Rand) float64 // of a standard normal distribution if nil

	// ONNX Runtime has no double kernel on the CPU (of the product with a transposed
	// matrix, which its optimiser makes): checked in float32, with wider steps.
	single bool
	// By the operators of package kernels, which are of single precision.
	kernels bool
	step    float64 // 0 is 1e-5
	within  float64 // of the gradient and 1; 0 is 1e-8
}

func checks() []check {
	two := func(f func(t *Tape, a, b *Value) *Value) func(*Tape, []*Value) *Value {
		return func(t *Tape, in []*Value) *Value { return f(t, in[0], in[1]) }
	}
	one := func(f func(t *Tape, x *Value) *Value) func(*Tape, []*Value) *Value {
		return func(t *Tape, in []*Value) *Value { return f(t, in[0]) }
	}
	awayFromZero := func(r *rand.Rand) float64 { return math.Copysign(0.5+r.Float64(), r.Float64()-0.5) }
	return []check{
		{name: "Add", shapes: [][]int{{5, 3}, {5, 3}}, build: two((*Tape).Add)},
		{name: "Add of a row", shapes: [][]int{{5, 3}, {3}}, build: two((*Tape).Add)},
		{name: "Add of a column", shapes: [][]int{{2, 5, 3}, {5, 1}}, build: two((*Tape).Add)},
		{name: "Add from the smaller", shapes: [][]int{{1, 3}, {5, 3}}, build: two((*Tape).Add)},
		{name: "Sub", shapes: [][]int{{5, 3}, {1, 3}}, build: two((*Tape).Sub)},
		{name: "Mul", shapes: [][]int{{2, 5, 3}, {5, 3}}, build: two((*Tape).Mul)},
		{name: "Mul of itself", shapes: [][]int{{5, 3}}, build: one(func(t *Tape, x *Value) *Value { return t.Mul(x, x) })},
		{name: "Scale", shapes: [][]int{{5, 3}}, build: one(func(t *Tape, x *Value) *Value { return t.Scale(x, -1.7) })},
		{name: "Div", shapes: [][]int{{5, 3}, {5, 1}}, build: two((*Tape).Div), input: awayFromZero},
		{name: "Neg", shapes: [][]int{{5, 3}}, build: one((*Tape).Neg)},
		{name: "Softmax", shapes: [][]int{{2, 5, 4}}, build: one(softmax)},
		{name: "Softmax over a named dimension", shapes: [][]int{{2, 5}}, build: one(softmax)},
		{name: "Softmax with dropout", shapes: [][]int{{5, 3}}, build: one(func(t *Tape, x *Value) *Value {
			return t.Softmax(x, t.Bytes("mask", Named("n"), N(3)), 0.25)
		})},
		{name: "LogSoftmax", shapes: [][]int{{5, 4}}, build: one((*Tape).LogSoftmax)},
		{name: "Tanh", shapes: [][]int{{5, 4}}, build: one((*Tape).Tanh)},
		{name: "GeluErf", shapes: [][]int{{5, 4}}, build: one((*Tape).GeluErf), single: true, step: 1e-2, within: 2e-3},
		{name: "GeluTanh", shapes: [][]int{{5, 4}}, build: one((*Tape).GeluTanh), single: true, step: 1e-2, within: 2e-3},
		// The operator gives mean and deviation in float32 whatever its input's type.
		{name: "LayerNorm", shapes: [][]int{{5, 4}, {4}, {4}}, within: 1e-6, build: func(t *Tape, in []*Value) *Value {
			return t.LayerNorm(in[0], in[1], in[2], 1e-5)
		}},
		{name: "Linear without c", shapes: [][]int{{5, 3}, {4, 3}}, build: two(func(t *Tape, x, w *Value) *Value {
			return t.Linear(x, w, nil, 1)
		})},
		{name: "Linear with a bias", shapes: [][]int{{5, 3}, {4, 3}, {4}}, build: func(t *Tape, in []*Value) *Value {
			return t.Linear(in[0], in[1], in[2], -0.5)
		}},
		{name: "Linear on a matrix", shapes: [][]int{{5, 3}, {4, 3}, {5, 4}}, build: func(t *Tape, in []*Value) *Value {
			return t.Linear(in[0], in[1], in[2], 2)
		}},
		{name: "Linear on few columns", shapes: [][]int{{5, 2}, {3, 2}}, build: two(func(t *Tape, x, w *Value) *Value {
			return t.Linear(x, w, nil, 3)
		})},
		{name: "Linear twice on the same", shapes: [][]int{{5, 3}, {4, 3}, {2, 3}, {4, 2}}, build: func(t *Tape, in []*Value) *Value {
			return t.Linear(t.Linear(in[0], in[2], nil, 1), in[3], t.Linear(in[0], in[1], nil, 1), 2)
		}},
		// Linear in each of its inputs: differences are exact with any step.
		{name: "MatMul", shapes: [][]int{{2, 3, 5, 4}, {2, 3, 4, 6}}, build: two((*Tape).MatMul), single: true, step: 1, within: 2e-5},
		{name: "MatMulT", shapes: [][]int{{2, 3, 5, 4}, {2, 3, 6, 4}}, build: two((*Tape).MatMulT), single: true, step: 1, within: 2e-5},
		{name: "Adapted", shapes: [][]int{{5, 3}, {4, 3}, {4}, {2, 3}, {4, 2}}, build: func(t *Tape, in []*Value) *Value {
			return t.Adapted(in[0], in[1], in[2], in[3], in[4], 0.6, 1.5)
		}},
		{name: "AddNorm", shapes: [][]int{{5, 3}, {5, 3}, {3}, {3}}, within: 1e-6, build: func(t *Tape, in []*Value) *Value {
			return t.AddNorm(in[0], in[1], t.Bytes("mask", Named("n"), N(3)), 0.25, in[2], in[3], 0.5)
		}},
		{name: "Attention", shapes: [][]int{{6, 4}, {6, 4}, {6, 4}}, single: true, step: 1e-2, within: 2e-3, build: func(t *Tape, in []*Value) *Value {
			return t.Attention(in[0], in[1], in[2], t.Ints("tokens", N(2), N(3)), N(3), 2, t.Bytes("kept", N(2), N(2), N(3), N(3)), 0.25)
		}},
		{name: "Reshape", shapes: [][]int{{5, 6}}, build: one(func(t *Tape, x *Value) *Value {
			return t.Reshape(t.Reshape(x, Named("n"), N(2), N(3)), Named("others"), N(2))
		})},
		{name: "Transpose", shapes: [][]int{{2, 5, 3}}, build: one(func(t *Tape, x *Value) *Value { return t.Transpose(x, 2, 0, 1) })},
		{name: "First", shapes: [][]int{{2, 5, 3}}, build: one((*Tape).First)},
		{name: "First of a fixed length", shapes: [][]int{{5, 4, 3}}, build: one((*Tape).First)},
		{name: "Sum", shapes: [][]int{{5, 3}}, build: one(func(t *Tape, x *Value) *Value { return t.Sum(x, false) })},
		{name: "Sum of one dimension", shapes: [][]int{{2, 5, 3}}, build: one(func(t *Tape, x *Value) *Value { return t.Sum(x, false, 1) })},
		{name: "Sum kept", shapes: [][]int{{2, 5, 3}}, build: one(func(t *Tape, x *Value) *Value { return t.Sum(x, true, 0, 2) })},
		{name: "Mean", shapes: [][]int{{5, 3}}, build: one(func(t *Tape, x *Value) *Value { return t.Mean(x, false, 1) })},
		{name: "Dropout", shapes: [][]int{{5, 3}}, build: one(func(t *Tape, x *Value) *Value {
			return t.Dropout(x, t.Bytes("mask", Named("n"), N(3)), 0.25)
		})},
		{name: "Dropout before one of two products", shapes: [][]int{{5, 3}, {4, 3}, {2, 3}, {4, 2}}, build: func(t *Tape, in []*Value) *Value {
			y := t.Linear(in[0], in[1], nil, 1)
			return t.Linear(t.Linear(t.Dropout(in[0], t.Bytes("mask", Named("n"), N(3)), 0.25), in[2], nil, 1), in[3], y, 2)
		}},
	}
}

// kernelChecks are the rules that have operators of their own in package kernels.
func kernelChecks() []check {
	keep := func(t *Tape) *Value { return t.Bytes("mask", Named("n"), N(3)) }
	var out []check
	for _, c := range []check{
		{name: "GeluErf", shapes: [][]int{{5, 4}}, build: func(t *Tape, in []*Value) *Value { return t.GeluErf(in[0]) }},
		{name: "LayerNorm", shapes: [][]int{{5, 4}, {4}, {4}}, build: func(t *Tape, in []*Value) *Value {
			return t.LayerNorm(in[0], in[1], in[2], 0.5)
		}},
		{name: "AddNorm", shapes: [][]int{{5, 3}, {5, 3}, {3}, {3}}, build: func(t *Tape, in []*Value) *Value {
			return t.AddNorm(in[0], in[1], nil, 0, in[2], in[3], 0.5)
		}},
		{name: "AddNorm with dropout", shapes: [][]int{{5, 3}, {5, 3}, {3}, {3}}, build: func(t *Tape, in []*Value) *Value {
			return t.AddNorm(in[0], in[1], keep(t), 0.25, in[2], in[3], 0.5)
		}},
		{name: "AddNorm of a product", shapes: [][]int{{5, 2}, {3, 2}, {3}, {5, 3}, {3}, {3}}, build: func(t *Tape, in []*Value) *Value {
			y := t.Linear(in[0], in[1], in[2], 0.7)
			return t.AddNorm(y, in[3], keep(t), 0.25, in[4], in[5], 0.5)
		}},
		{name: "Attention", shapes: [][]int{{6, 4}, {6, 4}, {6, 4}}, build: func(t *Tape, in []*Value) *Value {
			return t.Attention(in[0], in[1], in[2], t.Ints("tokens", N(2), N(3)), N(3), 2, nil, 0)
		}},
		{name: "Attention with dropout", shapes: [][]int{{6, 4}, {6, 4}, {6, 4}}, build: func(t *Tape, in []*Value) *Value {
			return t.Attention(in[0], in[1], in[2], t.Ints("tokens", N(2), N(3)), N(3), 2, t.Bytes("kept", N(2), N(2), N(3), N(3)), 0.25)
		}},
		{name: "Attention of one query", shapes: [][]int{{2, 4}, {6, 4}, {6, 4}}, build: func(t *Tape, in []*Value) *Value {
			return t.Attention(in[0], in[1], in[2], t.Ints("tokens", N(2), N(3)), N(1), 2, nil, 0)
		}},
		{name: "Linear", shapes: [][]int{{5, 3}, {4, 3}, {4}}, build: func(t *Tape, in []*Value) *Value {
			return t.Linear(in[0], in[1], in[2], -0.5)
		}},
		{name: "Linear twice on the same", shapes: [][]int{{5, 3}, {4, 3}, {2, 3}, {4, 2}}, build: func(t *Tape, in []*Value) *Value {
			return t.Linear(t.Linear(in[0], in[2], nil, 1), in[3], t.Linear(in[0], in[1], nil, 1), 2)
		}},
		{name: "Adapted", shapes: [][]int{{5, 3}, {4}, {2, 3}, {4, 2}}, build: func(t *Tape, in []*Value) *Value {
			w := t.Constant("w", []float32{1, -2, .5, .3, .7, -1, .2, 1.5, -.4, -.6, .1, .9}, 4, 3)
			return t.Adapted(in[0], w, in[1], in[2], in[3], 0.6, 1.5)
		}},
	} {
		c.name, c.kernels, c.single, c.step, c.within = c.name+" by kernels", true, true, 1e-2, 2e-3
		out = append(out, c)
	}
	return out
}

func softmax(t *Tape, x *Value) *Value { return t.Softmax(x, nil, 0) }

// Every rule against central differences. The loss weighs the operator's results by
// numbers of their own, so that no two of them can stand for each other.
func TestGradientsEqualDifferences(t *testing.T) {
	r := runtimetest.Open(t)
	for _, c := range slices.Concat(checks(), kernelChecks()) {
		t.Run(c.name, func(t *testing.T) {
			float, step, within := onnxpb.Float64, cmp.Or(c.step, 1e-5), cmp.Or(c.within, 1e-8)
			if c.single {
				float = onnxpb.Float32
			}
			random := rand.New(rand.NewPCG(1, 2))
			f := c.graph(t, r, float)
			in := c.inputs(random)
			_, grads := f.run(t, in)
			for i := range in {
				for k := range in[i] {
					at := in[i][k]
					in[i][k] = at + step
					up, _ := f.run(t, in)
					in[i][k] = at - step
					down, _ := f.run(t, in)
					in[i][k] = at
					want := (up - down) / (2 * step)
					if d := math.Abs(grads[i][k] - want); !(d <= within*(1+math.Abs(want))) {
						t.Errorf("input %d, number %d: the rule says %v, differences %v", i, k, grads[i][k], want)
					}
				}
			}
		})
	}
}

// What has no double kernel is compared with the derivative in Go's double precision.
func TestGeluEqualsItsDerivative(t *testing.T) {
	r := runtimetest.Open(t)
	phi := func(x float64) float64 { return math.Exp(-x*x/2) / math.Sqrt(2*math.Pi) }
	cdf := func(x float64) float64 { return 0.5 * math.Erfc(-x/math.Sqrt2) }
	k, c := math.Sqrt(2/math.Pi), 0.044715
	inner := func(x float64) float64 { return math.Tanh(k * (x + c*x*x*x)) }
	for name, x := range map[string]struct {
		build       func(t *Tape, x *Value) *Value
		value, grad func(x float64) float64
	}{
		"erf": {func(t *Tape, x *Value) *Value { return t.Scale(t.GeluErf(t.Scale(x, math.Sqrt2/2)), math.Sqrt2/2) }, func(x float64) float64 { return x * cdf(x) }, func(x float64) float64 { return cdf(x) + x*phi(x) }},
		"tanh": {(*Tape).GeluTanh, func(x float64) float64 { return 0.5 * x * (1 + inner(x)) }, func(x float64) float64 {
			return 0.5*(1+inner(x)) + 0.5*x*(1-inner(x)*inner(x))*k*(1+3*c*x*x)
		}},
	} {
		for _, kernels := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " by kernels ", kernels), func(t *testing.T) {
				const n = 241
				g := New("gelu", onnxpb.Float32)
				g.Kernels, g.Products, g.WeightGrads = kernels, kernels, kernels
				in := g.Input("x", N(n))
				y := x.build(g, in)
				g.Output("y", y)
				g.Output("d", g.Gradients(g.Sum(y, false), in)[0])
				points := make([]float32, n)
				for i := range points {
					points[i] = float32(i-n/2) / 20 // -6 to 6
				}
				out := run(t, open(t, r, g), map[string]onnx.Tensor{"x": {Shape: []int{n}, Data: points}})
				for i, p := range points {
					at := float64(p)
					if d := math.Abs(float64(out["y"].Data.([]float32)[i]) - x.value(at)); !(d < 2e-6) {
						t.Errorf("gelu(%v) is off by %g", at, d)
					}
					if d := math.Abs(float64(out["d"].Data.([]float32)[i]) - x.grad(at)); !(d < 3e-6) {
						t.Errorf("gelu'(%v) is off by %g", at, d)
					}
				}
			})
		}
	}
}

// Shapes that do not fit are a mistake of the caller's, found while the graph is built.
func TestShapesThatDoNotFitPanic(t *testing.T) {
	for name, build := range map[string]func(t *Tape, a, b *Value){
		"Add":       func(t *Tape, a, b *Value) { t.Add(a, b) },
		"Linear":    func(t *Tape, a, b *Value) { t.Linear(a, b, nil, 1) },
		"MatMul":    func(t *Tape, a, b *Value) { t.MatMul(a, b) },
		"Transpose": func(t *Tape, a, b *Value) { t.Transpose(a, 0) },
		"Gradients": func(t *Tape, a, b *Value) { t.Gradients(a, a) },
		"unrelated": func(t *Tape, a, b *Value) { t.Gradients(t.Sum(a, false), b) },
		"Reshape":   func(t *Tape, a, b *Value) { t.Reshape(a, Named("p"), Named("q")) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was taken")
				}
			}()
			g := New("bad", onnxpb.Float32)
			build(g, g.Input("a", Named("n"), N(3)), g.Input("b", Named("m"), N(4)))
		})
	}
}

// A value that is read twice has the sum of both gradients, whichever way they meet.
func TestGradientsAddUp(t *testing.T) {
	g := New("twice", onnxpb.Float64)
	x := g.Input("x", N(2))
	y := g.Add(g.Mul(x, x), g.Scale(x, 3)) // 2x + 3
	g.Output("d", g.Gradients(g.Sum(y, false), x)[0])
	out := run(t, open(t, runtimetest.Open(t), g), map[string]onnx.Tensor{"x": {Shape: []int{2}, Data: []float64{1, -2}}})
	if got, want := fmt.Sprint(out["d"].Data), "[5 -1]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
