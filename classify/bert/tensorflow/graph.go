package tensorflow

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// Node is an operator of the graph. Its inputs are names of nodes.
type Node struct {
	Name, Op string
	Inputs   []string
	// Ints or Floats are the numbers of a constant of up to maxConstant of them, of Int32
	// and Int64 or of Float32.
	Ints   []int64
	Floats []float32
}

// maxConstant is how many numbers of a constant are kept: shapes and epsilons are short,
// and nothing else is asked for.
const maxConstant = 16

// ParseGraph reads the nodes of a saved_model.pb, of the first of its graphs that has any.
// It allocates no more than a small multiple of len(model). Errors
// wrap ErrMalformed or ErrUnsupported.
func ParseGraph(model []byte) ([]Node, error) {
	var nodes []Node
	err := fields(model, func(f field) error {
		if f.Number != 2 || nodes != nil { // a MetaGraphDef
			return nil
		}
		return fields(f.Bytes, func(f field) error {
			if f.Number != 2 { // its GraphDef
				return nil
			}
			return fields(f.Bytes, func(f field) error {
				if f.Number != 1 {
					return nil
				}
				n, err := parseNode(f.Bytes)
				nodes = append(nodes, n)
				return err
			})
		})
	})
	if err == nil && len(nodes) == 0 {
		err = fmt.Errorf("%w: no graph in it", ErrMalformed)
	}
	return nodes, err
}

// parseNode reads NodeDef.
func parseNode(b []byte) (n Node, err error) {
	err = fields(b, func(f field) error {
		switch f.Number {
		case 1:
			n.Name = string(f.Bytes)
		case 2:
			n.Op = string(f.Bytes)
		case 3:
			name, _, _ := strings.Cut(strings.TrimPrefix(string(f.Bytes), "^"), ":")
			n.Inputs = append(n.Inputs, name)
		case 5:
			return n.parseAttr(f.Bytes)
		}
		return nil
	})
	return n, err
}

// parseAttr reads one attribute, of which only a constant's value is kept.
func (n *Node) parseAttr(b []byte) error {
	var key string
	var value []byte
	err := fields(b, func(f field) error {
		switch f.Number {
		case 1:
			key = string(f.Bytes)
		case 2:
			value = f.Bytes
		}
		return nil
	})
	if err != nil || key != "value" {
		return err
	}
	return fields(value, func(f field) error {
		if f.Number == 8 {
			return n.parseConstant(f.Bytes)
		}
		return nil
	})
}

// parseConstant reads TensorProto: the numbers are in tensor_content, or one by one in a
// field of their type, where the last stands for all that follow.
func (n *Node) parseConstant(b []byte) error {
	var (
		kind    DataType
		shape   []int
		content []byte
		listed  []byte // the field of the type, packed
	)
	err := fields(b, func(f field) (err error) {
		switch f.Number {
		case 1:
			kind = DataType(f.Value)
		case 2:
			shape, err = parseShape(f.Bytes)
		case 4:
			content = f.Bytes
		case 5, 7, 10: // float_val, int_val, int64_val
			switch f.Wire {
			case protowire.BytesType:
				listed = append(listed, f.Bytes...)
			case protowire.Fixed32Type:
				listed = binary.LittleEndian.AppendUint32(listed, uint32(f.Value))
			case protowire.VarintType:
				listed = protowire.AppendVarint(listed, f.Value)
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("constant %q: %w", n.Name, err)
	}
	count, ok := elements(shape)
	if !ok || count > maxConstant {
		return nil
	}
	switch kind {
	case Float32:
		n.Floats, ok = constantFloats(content, listed, int(count))
	case Int32, Int64:
		n.Ints, ok = constantInts(kind, content, listed, int(count))
	}
	if !ok {
		return fmt.Errorf("constant %q: %w: its bytes do not make %s %v", n.Name, ErrMalformed, kind, shape)
	}
	return nil
}

func constantFloats(content, listed []byte, count int) ([]float32, bool) {
	if content != nil && len(content) != 4*count {
		return nil, false
	}
	if content == nil {
		content = listed
	}
	if len(content)%4 != 0 || len(content)/4 > count {
		return nil, false
	}
	var out []float32
	for ; len(content) > 0; content = content[4:] {
		out = append(out, math.Float32frombits(binary.LittleEndian.Uint32(content)))
	}
	return fill(out, count), true
}

func constantInts(kind DataType, content, listed []byte, count int) ([]int64, bool) {
	var out []int64
	size := map[DataType]int{Int32: 4, Int64: 8}[kind]
	if content != nil {
		if len(content) != size*count {
			return nil, false
		}
		for ; len(content) > 0; content = content[size:] {
			if kind == Int32 {
				out = append(out, int64(int32(binary.LittleEndian.Uint32(content))))
			} else {
				out = append(out, int64(binary.LittleEndian.Uint64(content)))
			}
		}
		return out, true
	}
	for len(listed) > 0 {
		v, n := protowire.ConsumeVarint(listed)
		if n < 0 || len(out) == count {
			return nil, false
		}
		out, listed = append(out, int64(v)), listed[n:]
	}
	return fill(out, count), true
}

// fill repeats the last number, or zero where there is none.
func fill[T int64 | float32](out []T, count int) []T {
	var last T
	if len(out) > 0 {
		last = out[len(out)-1]
	}
	for len(out) < count {
		out = append(out, last)
	}
	return out
}
