package onnx

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// everyType is a graph that scales, turns around and tells apart tensors of each type.
func everyType(t testing.TB) []byte {
	t.Helper()
	n := onnxpb.Dim{Name: "n"}
	b := onnxpb.NewBuilder("every type", 20)
	floats := b.Input("floats", onnxpb.Float32, n)
	doubles := b.Input("doubles", onnxpb.Float64, n)
	ints := b.Input("ints", onnxpb.Int64, n)
	bools := b.Input("bools", onnxpb.Bool, n)
	bytes := b.Input("bytes", onnxpb.Uint8, n)
	out := func(name, op string, typ onnxpb.Type, inputs ...string) {
		b.Add(onnxpb.Node{Op: op, Inputs: inputs, Outputs: []string{name}}, 1)
		b.Output(name, typ, n)
	}
	out("where", "Where", onnxpb.Float32, bools, floats, b.Floats("zero", nil, []float32{0}))
	out("square", "Mul", onnxpb.Float64, doubles, doubles)
	out("twice", "Add", onnxpb.Int64, ints, ints)
	out("not", "Not", onnxpb.Bool, bools)
	out("same", "Identity", onnxpb.Uint8, bytes)
	model, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return model
}

func everyInput() map[string]Tensor {
	two := []int{2}
	return map[string]Tensor{
		"floats": {two, []float32{1.5, 2.5}}, "doubles": {two, []float64{3, 4}}, "ints": {two, []int64{5, -6}},
		"bools": {two, []bool{true, false}}, "bytes": {two, []uint8{7, 8}}, "unknown": {},
	}
}

func openGraph(t *testing.T, c GraphConfig) *Graph {
	t.Helper()
	r := openRuntime(t)
	c.Device = CPU
	g, err := r.NewGraph(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// A graph takes and gives tensors of every type; an output may be written in place.
func TestGraphRunsNamedTensors(t *testing.T) {
	for _, noPattern := range []bool{false, true} {
		g := openGraph(t, GraphConfig{Model: everyType(t), Threads: 1, NoPattern: noPattern})
		place := []float64{0, 0}
		out, err := g.Run(everyInput(), map[string]Tensor{"square": {[]int{2}, place}})
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"where": "{[2] [1.5 0]}", "square": "{[2] [9 16]}", "twice": "{[2] [10 -12]}",
			"not": "{[2] [false true]}", "same": "{[2] [7 8]}",
		} {
			if got := fmt.Sprint(out[name]); got != want {
				t.Errorf("%s is %s, want %s", name, got, want)
			}
		}
		if fmt.Sprint(place) != "[9 16]" {
			t.Errorf("square was not written in place: %v", place)
		}
	}
}

func TestGraphRefusesWhatDoesNotFit(t *testing.T) {
	g := openGraph(t, GraphConfig{Model: everyType(t), Threads: 1})
	for name, edit := range map[string]func(in, into map[string]Tensor){
		"missing input": func(in, _ map[string]Tensor) { delete(in, "bools") },
		"numbers":       func(in, _ map[string]Tensor) { in["ints"] = Tensor{[]int{3}, []int64{1, 2}} },
		"no dimensions": func(in, _ map[string]Tensor) { in["ints"] = Tensor{nil, []int64{1}} },
		"no type":       func(in, _ map[string]Tensor) { in["ints"] = Tensor{[]int{2}, []string{"a", "b"}} },
		"place":         func(_, into map[string]Tensor) { into["twice"] = Tensor{[]int{2}, []int64{1}} },
	} {
		t.Run(name, func(t *testing.T) {
			in, into := everyInput(), map[string]Tensor{}
			edit(in, into)
			if _, err := g.Run(in, into); !errors.Is(err, ErrModel) {
				t.Errorf("got %v, want ErrModel", err)
			}
		})
	}
	in := everyInput()
	in["ints"] = Tensor{[]int{2}, []float32{1, 2}}
	if _, err := g.Run(in, nil); err == nil {
		t.Error("another type of tensor was taken")
	}
	if _, err := g.Run(everyInput(), nil); err != nil {
		t.Errorf("after refusals: %v", err)
	}
}

func TestNewGraphSaysWhatIsWrong(t *testing.T) {
	r := openRuntime(t)
	if _, err := r.NewGraph(GraphConfig{Model: []byte("no model"), Device: CPU}); !errors.Is(err, onnxpb.ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
	empty, err := onnxpb.NewBuilder("empty", 20).Model()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.NewGraph(GraphConfig{Model: empty, Device: CPU}); !errors.Is(err, ErrModel) {
		t.Errorf("got %v, want ErrModel", err)
	}
	if _, err := r.NewGraph(GraphConfig{Model: everyType(t), Device: "tpu"}); !errors.Is(err, ErrDevice) {
		t.Errorf("got %v, want ErrDevice", err)
	}
}

// Products of bytes are exact in the shapes that batches have: where a processor would saturate sums of pairs,
// the session asks ONNX Runtime for the kernel that does not.
func TestProductsOfBytesAreExact(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, d := range [][3]int{{1, 384, 384}, {5, 384, 1152}, {16, 384, 384}, {31, 384, 384}, {32, 384, 384}, {33, 384, 1536},
		{64, 1536, 384}, {150, 384, 384}, {192, 384, 1152}, {192, 512, 1536}, {40, 30, 17}, {150, 100, 33}} {
		m, k, n := d[0], d[1], d[2]
		a, w := make([]uint8, m*k), make([]byte, k*n)
		for i := range a {
			if a[i] = uint8(random.IntN(256)); random.IntN(3) == 0 {
				a[i] = 255
			}
		}
		for i := range w {
			if w[i] = byte(int8(random.IntN(255) - 127)); random.IntN(3) == 0 {
				w[i] = 127
			}
		}
		b := onnxpb.NewBuilder("product", 17)
		x := b.Input("x", onnxpb.Uint8, onnxpb.Dim{Name: "m"}, onnxpb.Dim{Size: k})
		b.Add(onnxpb.Node{Op: "MatMulIntegerToFloat", Domain: onnxpb.Microsoft, Outputs: []string{"y"}, Inputs: []string{x,
			b.Tensor(onnxpb.Tensor{Name: "w", Type: onnxpb.Int8, Dims: []int{k, n}, Raw: w}), b.Floats("one", nil, []float32{1}),
			b.Floats("scale", []int{n}, slices.Repeat([]float32{1}, n)), b.Tensor(onnxpb.Tensor{Name: "zero", Type: onnxpb.Uint8, Raw: []byte{128}}),
			b.Tensor(onnxpb.Tensor{Name: "zeros", Type: onnxpb.Int8, Dims: []int{n}, Raw: make([]byte, n)})}}, 1)
		b.Output("y", onnxpb.Float32, onnxpb.Dim{Name: "m"}, onnxpb.Dim{Size: n})
		model, err := b.Model()
		if err != nil {
			t.Fatal(err)
		}
		out, err := openGraph(t, GraphConfig{Model: model, Threads: 1}).Run(map[string]Tensor{"x": {Shape: []int{m, k}, Data: a}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		got, wrong := out["y"].Data.([]float32), 0
		for i := range m {
			for j := range n {
				sum := 0
				for c := range k {
					sum += (int(a[i*k+c]) - 128) * int(int8(w[c*n+j]))
				}
				if got[i*n+j] != float32(sum) {
					wrong++
				}
			}
		}
		if wrong > 0 {
			t.Errorf("%v: %d of %d are wrong", d, wrong, m*n)
		}
	}
}
