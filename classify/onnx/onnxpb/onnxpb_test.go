package onnxpb

import (
	"errors"
	"math"
	"reflect"
	"testing"
)

// sample is a small model with one of everything.
func sample(t testing.TB) []byte {
	t.Helper()
	b := NewBuilder("sample", 17)
	x := b.Input("x", Int64, Dim{Name: "batch"}, Dim{Size: 2})
	w := b.Floats("w", []int{2, 1}, []float32{1.5, -2})
	y := b.Op("MatMul", []string{x, w, ""}, Int("i", -3), Float("f", 1e-12), Text("s", "tanh"), Ints("l", 1, -1, 1<<40))
	z := b.Add(Node{Op: "Fused", Domain: Microsoft, Inputs: []string{y, b.Int64s(-1, 7)}}, 2)
	b.Output(z[1], Float32, Dim{Name: "batch"}, Dim{Size: 1})
	b.Metadata("key", "value")
	model, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return model
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	g, err := Parse(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	i, f, s := int64(-3), float32(1e-12), "tanh"
	want := []Node{
		{Op: "MatMul", Name: "node_MatMul_0", Inputs: []string{"x", "w", ""}, Outputs: []string{"MatMul_0"}, Attrs: []Attr{
			{Name: "i", Int: &i}, {Name: "f", Float: &f}, {Name: "s", Text: &s}, {Name: "l", Ints: []int64{1, -1, 1 << 40}}}},
		{Op: "Fused", Domain: Microsoft, Name: "node_Fused_1", Inputs: []string{"MatMul_0", "int64[-1 7]"}, Outputs: []string{"Fused_1", "Fused_2"}},
	}
	if !reflect.DeepEqual(g.Nodes, want) {
		t.Errorf("nodes %+v, want %+v", g.Nodes, want)
	}
	if w := g.Tensors["w"]; w.Type != Float32 || !reflect.DeepEqual(w.Dims, []int{2, 1}) || len(w.Raw) != 8 {
		t.Errorf("tensor %+v", w)
	}
	face, err := ReadInterface(sample(t))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Interface{
		Inputs:   []Value{{"x", Int64, []Dim{{Name: "batch"}, {Size: 2}}}},
		Outputs:  []Value{{"Fused_2", Float32, []Dim{{Name: "batch"}, {Size: 1}}}},
		Metadata: map[string]string{"key": "value"},
	}); !reflect.DeepEqual(face, want) {
		t.Errorf("interface %+v, want %+v", face, want)
	}
}

// Equal graphs give equal bytes: caches are found by their digest.
func TestModelIsDeterministic(t *testing.T) {
	if !reflect.DeepEqual(sample(t), sample(t)) {
		t.Error("two builds differ")
	}
}

func TestBuilderRefusesTensorsThatDoNotFit(t *testing.T) {
	b := NewBuilder("x", 17)
	b.Floats("w", []int{2, 2}, []float32{1, 2, 3})
	if _, err := b.Model(); err == nil {
		t.Error("3 numbers for 2 x 2 were taken")
	}
}

// Exporters may keep numbers in typed fields, raw, or in a Constant node.
func TestParseTypedTensors(t *testing.T) {
	floats := appendInt(appendText(nil, 8, "f"), 2, int64(Float32))
	floats = appendBytes(appendInt(floats, 1, 1), 4, []byte{0, 0, 0x80, 0x3f}) // packed 1.0
	ints := appendInt(appendText(nil, 8, "i"), 2, int64(Int64))
	ints = appendInt(appendInt(appendInt(ints, 1, 2), 7, 5), 7, -1)
	constant := Tensor{Name: "", Type: Uint8, Dims: []int{1}, Raw: []byte{9}}
	graph := appendBytes(nil, 1, encodeNode(Node{Op: "Constant", Outputs: []string{"c"}, Attrs: []Attr{{Name: "value", Tensor: &constant}}}))
	graph = appendBytes(appendBytes(graph, 5, floats), 5, ints)
	g, err := Parse(appendBytes(nil, 7, graph))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]byte{
		"f": {0, 0, 0x80, 0x3f},
		"i": {5, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255},
		"c": {9},
	} {
		if got := g.Tensors[name].Raw; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	tensor := func(dims []int64, raw int) []byte {
		b := appendInt(appendText(nil, 8, "t"), 2, int64(Float32))
		for _, d := range dims {
			b = appendInt(b, 1, d)
		}
		graph := appendBytes(nil, 5, appendBytes(b, 9, make([]byte, raw)))
		graph = appendBytes(graph, 1, encodeNode(Node{Op: "X", Outputs: []string{"x"}}))
		return appendBytes(nil, 7, graph)
	}
	external := appendBytes(nil, 7, appendBytes(nil, 5, appendInt(appendText(nil, 8, "t"), 14, 1)))
	for name, model := range map[string][]byte{
		"nothing":           {},
		"cut off":           sample(t)[:len(sample(t))-1],
		"text":              []byte("<html>"),
		"too few numbers":   tensor([]int64{2}, 4),
		"negative size":     tensor([]int64{-1}, 4),
		"size overflows":    tensor([]int64{1 << 31, 1 << 31, 1 << 31}, 4),
		"numbers elsewhere": external,
		"node without out":  appendBytes(nil, 7, appendBytes(nil, 1, encodeNode(Node{Op: "X"}))),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse(model); !errors.Is(err, ErrMalformed) {
				t.Errorf("got %v, want ErrMalformed", err)
			}
		})
	}
}

// Any bytes give an error or a graph whose tensors lie in them.
func FuzzParse(f *testing.F) {
	f.Add(sample(f))
	f.Add([]byte{0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, model []byte) {
		_, _ = ReadInterface(model)
		g, err := Parse(model)
		if err != nil {
			return
		}
		for name, x := range g.Tensors {
			if len(x.Raw) > 8*len(model) {
				t.Errorf("tensor %q has %d bytes of a model of %d", name, len(x.Raw), len(model))
			}
			if x.Type.Size() > 0 && len(x.Dims) > 0 && x.Dims[0] > math.MaxInt32 {
				t.Errorf("tensor %q has dimensions %v", name, x.Dims)
			}
		}
	})
}
