package onnxpb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sort"

	"google.golang.org/protobuf/encoding/protowire"
)

// Microsoft is the domain of ONNX Runtime's own operators.
const Microsoft = "com.microsoft"

// ErrTooLarge is returned for a model that passes protobuf's limit of 2 GiB.
var ErrTooLarge = errors.New("an ONNX model in one file may not pass 2 GiB")

// Builder collects a graph. Its methods return the name of the value that they add, to
// be handed to the next operator. The zero value is not ready: use NewBuilder.
type Builder struct {
	graph    string
	opset    int
	nodes    []Node
	tensors  []Tensor
	inputs   []Value
	outputs  []Value
	metadata map[string]string
	known    map[string]bool
	next     int
}

// NewBuilder starts a graph of that name on that version of the standard operators.
func NewBuilder(graph string, opset int) *Builder {
	return &Builder{graph: graph, opset: opset, metadata: map[string]string{}, known: map[string]bool{}}
}

// Input declares a graph input and returns its name.
func (b *Builder) Input(name string, t Type, shape ...Dim) string {
	b.inputs = append(b.inputs, Value{name, t, shape})
	b.known[name] = true
	return name
}

// Output declares that a value of the graph, under the name that it has, is an output.
func (b *Builder) Output(name string, t Type, shape ...Dim) {
	b.outputs = append(b.outputs, Value{name, t, shape})
}

// Metadata adds a key and value that a program may read back from the opened model.
func (b *Builder) Metadata(key, value string) { b.metadata[key] = value }

// Tensor adds a constant and returns its name. Adding a name a second time keeps the
// first. The bytes are not copied.
func (b *Builder) Tensor(t Tensor) string {
	if !b.known[t.Name] {
		b.known[t.Name] = true
		b.tensors = append(b.tensors, t)
	}
	return t.Name
}

// Floats adds a float32 constant.
func (b *Builder) Floats(name string, dims []int, data []float32) string {
	if b.known[name] {
		return name
	}
	raw := make([]byte, 4*len(data))
	for i, v := range data {
		binary.LittleEndian.PutUint32(raw[4*i:], math.Float32bits(v))
	}
	return b.Tensor(Tensor{Name: name, Type: Float32, Dims: dims, Raw: raw})
}

// Int64s adds a one-dimensional int64 constant, as shapes and axes want it.
func (b *Builder) Int64s(v ...int64) string {
	name := fmt.Sprint("int64", v)
	if b.known[name] {
		return name
	}
	raw := make([]byte, 0, 8*len(v))
	for _, x := range v {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(x))
	}
	return b.Tensor(Tensor{Name: name, Type: Int64, Dims: []int{len(v)}, Raw: raw})
}

// Op adds a node of one output and returns the output's name.
func (b *Builder) Op(op string, inputs []string, attrs ...Attr) string {
	return b.Add(Node{Op: op, Inputs: inputs, Attrs: attrs}, 1)[0]
}

// Add adds a node with so many outputs, named by the builder where the node leaves
// them unnamed, and returns their names.
func (b *Builder) Add(n Node, outputs int) []string {
	if len(n.Outputs) == 0 {
		for range outputs {
			n.Outputs = append(n.Outputs, fmt.Sprintf("%s_%d", n.Op, b.next))
			b.next++
		}
	}
	if n.Name == "" {
		n.Name = "node_" + n.Outputs[0]
	}
	b.nodes = append(b.nodes, n)
	return n.Outputs
}

// Model serialises the graph: equal graphs give equal bytes.
func (b *Builder) Model() ([]byte, error) {
	size := 0
	for _, t := range b.tensors {
		want := t.Type.Size()
		for _, d := range t.Dims {
			want *= d
		}
		if len(t.Raw) != want {
			return nil, fmt.Errorf("tensor %s: %d bytes for %s %v", t.Name, len(t.Raw), t.Type, t.Dims)
		}
		size += len(t.Raw) + len(t.Name) + 64
	}
	if size > math.MaxInt32-(64<<20) {
		return nil, fmt.Errorf("graph %s: %w", b.graph, ErrTooLarge)
	}
	head := b.modelFields()
	// The tensors are nearly all of the model: they are written once, into a buffer
	// that already has their size, behind a length that is computed and not measured.
	graph := b.graphFields()
	length := len(graph)
	for _, t := range b.tensors {
		length += tensorFieldSize(5, t)
	}
	out := make([]byte, 0, len(head)+length+16)
	out = append(out, head...)
	out = protowire.AppendTag(out, 7, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(length))
	out = append(out, graph...)
	for _, t := range b.tensors {
		out = appendTensorField(out, 5, t)
	}
	return out, nil
}

// modelFields are ModelProto's fields but for the graph. IR version 10 is the first to
// hold opset 21 and is what ONNX Runtime 1.18 and later read.
func (b *Builder) modelFields() []byte {
	out := appendInt(nil, 1, 10)
	out = appendText(out, 2, "barograph")
	domains := map[string]int{"": b.opset}
	for _, n := range b.nodes {
		if n.Domain != "" {
			domains[n.Domain] = 1
		}
	}
	for _, domain := range sortedKeys(domains) {
		set := appendText(nil, 1, domain)
		out = appendBytes(out, 8, appendInt(set, 2, int64(domains[domain])))
	}
	for _, key := range sortedKeys(b.metadata) {
		prop := appendText(nil, 1, key)
		out = appendBytes(out, 14, appendText(prop, 2, b.metadata[key]))
	}
	return out
}

// graphFields are GraphProto's fields but for the tensors.
func (b *Builder) graphFields() []byte {
	var out []byte
	for _, n := range b.nodes {
		out = appendBytes(out, 1, encodeNode(n))
	}
	out = appendText(out, 2, b.graph)
	for _, v := range b.inputs {
		out = appendBytes(out, 11, encodeValue(v))
	}
	for _, v := range b.outputs {
		out = appendBytes(out, 12, encodeValue(v))
	}
	return out
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
