package onnxpb

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/barograph/barograph/internal/protofield"
)

// ErrMalformed is wrapped by every error of Parse.
var ErrMalformed = errors.New("malformed ONNX model")

// Graph is what Parse reads of a model. Tensors of the graph and of its Constant nodes
// are found in Tensors by the name of the value they give.
type Graph struct {
	Nodes   []Node
	Tensors map[string]Tensor
}

// Parse reads a model. Tensors that keep their numbers in another file are an error.
// Raw bytes alias model where the file keeps them raw. It never panics and allocates no
// more than a small multiple of len(model).
func Parse(model []byte) (*Graph, error) {
	g := &Graph{Tensors: map[string]Tensor{}}
	err := fields(model, func(f field) error {
		if f.Number == 7 {
			return g.parse(f.Bytes)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(g.Nodes) == 0 {
		return nil, fmt.Errorf("%w: no graph in it", ErrMalformed)
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		if n.Op != "Constant" || len(n.Outputs) != 1 {
			continue
		}
		if a, ok := n.Attr("value"); ok && a.Tensor != nil {
			g.Tensors[n.Outputs[0]] = *a.Tensor
		}
	}
	return g, nil
}

func (g *Graph) parse(b []byte) error {
	return fields(b, func(f field) error {
		switch f.Number {
		case 1:
			n, err := parseNode(f.Bytes)
			if err == nil && len(n.Outputs) == 0 {
				err = fmt.Errorf("%w: node %q (%s) has no output", ErrMalformed, n.Name, n.Op)
			}
			g.Nodes = append(g.Nodes, n)
			return err
		case 5:
			t, err := parseTensor(f.Bytes)
			g.Tensors[t.Name] = t
			return err
		}
		return nil
	})
}

func parseNode(b []byte) (n Node, err error) {
	err = fields(b, func(f field) error {
		switch f.Number {
		case 1:
			n.Inputs = append(n.Inputs, string(f.Bytes))
		case 2:
			n.Outputs = append(n.Outputs, string(f.Bytes))
		case 3:
			n.Name = string(f.Bytes)
		case 4:
			n.Op = string(f.Bytes)
		case 5:
			a, err := parseAttr(f.Bytes)
			n.Attrs = append(n.Attrs, a)
			return err
		case 7:
			n.Domain = string(f.Bytes)
		}
		return nil
	})
	return n, err
}

func parseAttr(b []byte) (a Attr, err error) {
	err = fields(b, func(f field) error {
		switch f.Number {
		case 1:
			a.Name = string(f.Bytes)
		case 2:
			v := math.Float32frombits(uint32(f.Value))
			a.Float = &v
		case 3:
			v := int64(f.Value)
			a.Int = &v
		case 4:
			v := string(f.Bytes)
			a.Text = &v
		case 5:
			t, err := parseTensor(f.Bytes)
			a.Tensor = &t
			return err
		case 8:
			return ints(f, func(v uint64) { a.Ints = append(a.Ints, int64(v)) })
		}
		return nil
	})
	return a, err
}

func parseTensor(b []byte) (t Tensor, err error) {
	external := false
	var typed []byte // numbers kept in float_data, int32_data or int64_data
	err = fields(b, func(f field) error {
		switch f.Number {
		case 1:
			return ints(f, func(v uint64) { t.Dims = append(t.Dims, int(int64(v))) })
		case 2:
			t.Type = Type(f.Value)
		case 4:
			if f.Wire == protowire.Fixed32Type {
				typed = binary.LittleEndian.AppendUint32(typed, uint32(f.Value))
				return nil
			}
			typed = append(typed, f.Bytes...)
		case 5:
			return ints(f, func(v uint64) { typed = appendSized(typed, v, t.Type.Size()) })
		case 7:
			return ints(f, func(v uint64) { typed = binary.LittleEndian.AppendUint64(typed, v) })
		case 8:
			t.Name = string(f.Bytes)
		case 9:
			t.Raw = f.Bytes
		case 13, 14:
			external = external || f.Number == 13 || f.Value == 1
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	if external {
		return t, fmt.Errorf("%w: tensor %q keeps its numbers in another file", ErrMalformed, t.Name)
	}
	if t.Raw == nil {
		t.Raw = typed
	}
	return t, t.check()
}

// check compares the bytes at hand with what type and dimensions promise.
func (t Tensor) check() error {
	size := t.Type.Size()
	if size == 0 {
		return nil // a type that Barograph does not use: the reader of the tensor refuses it
	}
	want := size
	for _, d := range t.Dims {
		if d < 0 || d > math.MaxInt32 || (d > 0 && want > math.MaxInt64/max(d, 1)/2) {
			return fmt.Errorf("%w: tensor %q has dimensions %v", ErrMalformed, t.Name, t.Dims)
		}
		want *= d
	}
	if want != len(t.Raw) {
		return fmt.Errorf("%w: tensor %q of %s %v has %d bytes", ErrMalformed, t.Name, t.Type, t.Dims, len(t.Raw))
	}
	return nil
}

type field = protofield.Field

// fields calls each for every field of a message, in order.
func fields(b []byte, each func(field) error) error {
	return protofield.Each(b, ErrMalformed, each)
}

// ints calls each for a repeated integer, packed or not.
func ints(f field, each func(uint64)) error {
	if f.Wire == protowire.VarintType {
		each(f.Value)
		return nil
	}
	for b := f.Bytes; len(b) > 0; {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n))
		}
		each(v)
		b = b[n:]
	}
	return nil
}

func appendSized(out []byte, v uint64, size int) []byte {
	switch size {
	case 1:
		return append(out, byte(v))
	case 2:
		return binary.LittleEndian.AppendUint16(out, uint16(v))
	}
	return binary.LittleEndian.AppendUint32(out, uint32(v))
}
