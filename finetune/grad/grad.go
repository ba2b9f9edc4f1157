// Package grad builds ONNX graphs that compute their own gradients. A Tape emits one
// standard operator for each call, keeps its shape, and remembers its rule of
// differentiation; Gradients then emits the backward pass, of the same operators, so that
// the plain inference runtime trains on any of its devices.
//
// Shapes are known while the graph is built, but for named dimensions. Values that do
// not fit together are a mistake in the program that builds the graph, and panic.
package grad

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/barograph/barograph/classify/onnx/kernels"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// opset 20 is the first with Gelu.
const opset = 20

// Tape is a graph under construction.
type Tape struct {
	// Kernels has GeluErf, AddNorm, LayerNorm and Attention be operators of package kernels, of
	// one pass over their numbers each way: for the CPU and Float32 only.
	Kernels bool
	// Products has Linear and Adapted be such operators, too.
	Products bool
	// WeightGrads has the gradients of Linear's weights be such operators.
	WeightGrads bool

	b       *onnxpb.Builder
	float   onnxpb.Type
	records []record
	sizes   map[string]string // named dimension -> its size, int64 [1]
	outputs int
}

// record is one operator and its rule.
type record struct {
	ins, outs []*Value
	rule      func(b *backward, dy []*Value) // dy has nil for an output without gradient
}

// Value is a tensor in the graph.
type Value struct {
	name  string
	shape Shape
}

// Shape is the value's shape. It must not be changed.
func (v *Value) Shape() Shape { return v.shape }

// New starts a graph whose real numbers are of that type: Float32, or Float64 for
// checking rules.
func New(name string, float onnxpb.Type) *Tape {
	return &Tape{b: onnxpb.NewBuilder(name, opset), float: float, sizes: map[string]string{}}
}

// Input declares a tensor of real numbers that each run is given.
func (t *Tape) Input(name string, shape ...Dim) *Value { return t.input(name, t.float, shape) }

// Ints declares an input of int64.
func (t *Tape) Ints(name string, shape ...Dim) *Value { return t.input(name, onnxpb.Int64, shape) }

// Bytes declares an input of uint8.
func (t *Tape) Bytes(name string, shape ...Dim) *Value { return t.input(name, onnxpb.Uint8, shape) }

func (t *Tape) input(name string, typ onnxpb.Type, shape Shape) *Value {
	v := &Value{t.b.Input(name, typ, shape...), shape}
	for i, d := range shape {
		if d.Name != "" && t.sizes[d.Name] == "" {
			t.sizes[d.Name] = t.b.Op("Shape", []string{v.name}, onnxpb.Int("start", i), onnxpb.Int("end", i+1))
		}
	}
	return v
}

// Constant adds numbers that never change, of that shape (none is a single number).
// Naming one twice keeps the first.
func (t *Tape) Constant(name string, data []float32, shape ...int) *Value {
	v := &Value{name: name}
	for _, n := range shape {
		v.shape = append(v.shape, N(n))
	}
	if t.float == onnxpb.Float32 {
		t.b.Floats(name, shape, data)
		return v
	}
	raw := make([]byte, 0, 8*len(data))
	for _, x := range data {
		raw = binary.LittleEndian.AppendUint64(raw, math.Float64bits(float64(x)))
	}
	t.b.Tensor(onnxpb.Tensor{Name: name, Type: t.float, Dims: shape, Raw: raw})
	return v
}

// number is a constant of one number, without dimensions.
func (t *Tape) number(x float64) *Value {
	name := fmt.Sprintf("number %g", x)
	if t.float == onnxpb.Float32 {
		t.b.Floats(name, nil, []float32{float32(x)})
	} else {
		raw := binary.LittleEndian.AppendUint64(nil, math.Float64bits(x))
		t.b.Tensor(onnxpb.Tensor{Name: name, Type: t.float, Raw: raw})
	}
	return &Value{name: name}
}

// Output names a value of real numbers as one of the graph's outputs.
func (t *Tape) Output(name string, v *Value) {
	t.b.Add(onnxpb.Node{Op: "Identity", Inputs: []string{v.name}, Outputs: []string{name}}, 1)
	t.b.Output(name, t.float, v.shape...)
	t.outputs++
}

// Model serialises the graph: equal graphs give equal bytes.
func (t *Tape) Model() ([]byte, error) { return t.b.Model() }

// node emits an operator of one output, without a rule.
func (t *Tape) node(op string, shape Shape, ins []*Value, attrs ...onnxpb.Attr) *Value {
	names := make([]string, len(ins))
	for i, v := range ins {
		names[i] = v.name
	}
	return &Value{t.b.Op(op, names, attrs...), shape}
}

// kernel emits an operator of package kernels, without a rule. An input of nil is left out.
func (t *Tape) kernel(op string, shapes []Shape, ins []*Value, attrs ...onnxpb.Attr) []*Value {
	mustf(t.float == onnxpb.Float32, "%s of %s", op, t.float)
	names := make([]string, len(ins))
	for i, v := range ins {
		if v != nil {
			names[i] = v.name
		}
	}
	out := make([]*Value, len(shapes))
	for i, name := range t.b.Add(onnxpb.Node{Op: op, Domain: kernels.Domain, Inputs: names, Attrs: attrs}, len(shapes)) {
		out[i] = &Value{name, shapes[i]}
	}
	return out
}

// record remembers how out follows from ins.
func (t *Tape) record(out *Value, ins []*Value, rule func(b *backward, dy *Value)) *Value {
	t.records = append(t.records, record{ins, []*Value{out}, func(b *backward, dy []*Value) { rule(b, dy[0]) }})
	return out
}

// int64s is a constant list, as shapes and axes are given.
func (t *Tape) int64s(v ...int) *Value {
	wide := make([]int64, len(v))
	for i, x := range v {
		wide[i] = int64(x)
	}
	return &Value{t.b.Int64s(wide...), Shape{N(len(v))}}
}

func mustf(ok bool, format string, args ...any) {
	if !ok {
		panic("grad: " + fmt.Sprintf(format, args...))
	}
}

// Dim is one dimension: a size, or a name where the size comes with the input.
type Dim = onnxpb.Dim

// N is a dimension of fixed size.
func N(size int) Dim { return Dim{Size: size} }

// Named is a dimension whose size comes with an input.
func Named(name string) Dim { return Dim{Name: name} }

// Shape is a tensor's dimensions, slowest first.
type Shape []Dim

// String is such as "[batch seq 384]".
func (s Shape) String() string {
	parts := make([]string, len(s))
	for i, d := range s {
		if parts[i] = d.Name; d.Name == "" {
			parts[i] = fmt.Sprint(d.Size)
		}
	}
	return "[" + strings.Join(parts, " ") + "]"
}
