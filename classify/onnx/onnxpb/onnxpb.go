// Package onnxpb writes and reads the part of ONNX's protobuf that Barograph needs:
// a graph of nodes, initialisers, inputs and outputs. Field numbers are those of
// onnx.proto3 (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
//
// The writer is Builder; the reader is Parse. Neither checks that an operator exists
// or that shapes fit: ONNX Runtime does when it opens the model.
package onnxpb

import "fmt"

// Type is TensorProto.DataType.
type Type int32

// The element types Barograph meets.
const (
	Float32  Type = 1
	Uint8    Type = 2
	Int8     Type = 3
	Int32    Type = 6
	Int64    Type = 7
	Bool     Type = 9
	Float16  Type = 10
	Float64  Type = 11
	BFloat16 Type = 16
)

// String is the type's name in ONNX.
func (t Type) String() string {
	switch t {
	case Float32:
		return "float32"
	case Uint8:
		return "uint8"
	case Int8:
		return "int8"
	case Int32:
		return "int32"
	case Int64:
		return "int64"
	case Bool:
		return "bool"
	case Float16:
		return "float16"
	case Float64:
		return "float64"
	case BFloat16:
		return "bfloat16"
	}
	return fmt.Sprintf("type %d", int32(t))
}

// Size is the length of one element in bytes, 0 for a type not listed above.
func (t Type) Size() int {
	switch t {
	case Uint8, Int8, Bool:
		return 1
	case Float16, BFloat16:
		return 2
	case Float32, Int32:
		return 4
	case Int64, Float64:
		return 8
	}
	return 0
}

// Dim is one dimension of an input or output: a fixed size, or a name such as "batch"
// where the size is known only when the model runs.
type Dim struct {
	Size int
	Name string
}

// Value is an input or output of the graph.
type Value struct {
	Name  string
	Type  Type
	Shape []Dim
}

// Tensor is a constant of the graph. Raw is little endian, row major.
type Tensor struct {
	Name string
	Type Type
	Dims []int
	Raw  []byte
}

// Attr is one attribute of a node: the one field that is set gives its type.
type Attr struct {
	Name   string
	Int    *int64
	Float  *float32
	Text   *string
	Ints   []int64
	Tensor *Tensor
}

// Int is an integer attribute.
func Int(name string, v int) Attr { i := int64(v); return Attr{Name: name, Int: &i} }

// Float is a float attribute.
func Float(name string, v float64) Attr { f := float32(v); return Attr{Name: name, Float: &f} }

// Text is a string attribute.
func Text(name, v string) Attr { return Attr{Name: name, Text: &v} }

// Ints is an attribute that lists integers.
func Ints(name string, v ...int64) Attr { return Attr{Name: name, Ints: v} }

// Node is one operator. An empty name among the inputs is an optional input left out.
type Node struct {
	Op, Domain, Name string
	Inputs, Outputs  []string
	Attrs            []Attr
}

// Attr finds an attribute by name.
func (n *Node) Attr(name string) (Attr, bool) {
	for _, a := range n.Attrs {
		if a.Name == name {
			return a, true
		}
	}
	return Attr{}, false
}
