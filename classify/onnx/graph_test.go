package onnx

import (
	"errors"
	"fmt"
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
