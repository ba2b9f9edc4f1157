package onnxpb

import (
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// AttributeProto.AttributeType.
const (
	attrFloat  = 1
	attrInt    = 2
	attrString = 3
	attrTensor = 4
	attrInts   = 7
)

func encodeNode(n Node) []byte {
	var out []byte
	for _, in := range n.Inputs {
		out = appendText(out, 1, in)
	}
	for _, o := range n.Outputs {
		out = appendText(out, 2, o)
	}
	out = appendText(out, 3, n.Name)
	out = appendText(out, 4, n.Op)
	for _, a := range n.Attrs {
		out = appendBytes(out, 5, encodeAttr(a))
	}
	if n.Domain != "" {
		out = appendText(out, 7, n.Domain)
	}
	return out
}

func encodeAttr(a Attr) []byte {
	out := appendText(nil, 1, a.Name)
	switch {
	case a.Float != nil:
		out = protowire.AppendTag(out, 2, protowire.Fixed32Type)
		out = protowire.AppendFixed32(out, math.Float32bits(*a.Float))
		return appendInt(out, 20, attrFloat)
	case a.Int != nil:
		return appendInt(appendInt(out, 3, *a.Int), 20, attrInt)
	case a.Text != nil:
		return appendInt(appendText(out, 4, *a.Text), 20, attrString)
	case a.Tensor != nil:
		return appendInt(appendTensorField(out, 5, *a.Tensor), 20, attrTensor)
	default:
		for _, i := range a.Ints {
			out = appendInt(out, 8, i)
		}
		return appendInt(out, 20, attrInts)
	}
}

// encodeValue is ValueInfoProto: a name and TypeProto.Tensor.
func encodeValue(v Value) []byte {
	var shape []byte
	for _, d := range v.Shape {
		var dim []byte
		if d.Name != "" {
			dim = appendText(nil, 2, d.Name)
		} else {
			dim = appendInt(nil, 1, int64(d.Size))
		}
		shape = appendBytes(shape, 1, dim)
	}
	tensor := appendBytes(appendInt(nil, 1, int64(v.Type)), 2, shape)
	return appendBytes(appendText(nil, 1, v.Name), 2, appendBytes(nil, 1, tensor))
}

func tensorHead(t Tensor) []byte {
	var out []byte
	for _, d := range t.Dims {
		out = appendInt(out, 1, int64(d))
	}
	out = appendInt(out, 2, int64(t.Type))
	return appendText(out, 8, t.Name)
}

func tensorSize(t Tensor) int {
	return len(tensorHead(t)) + protowire.SizeTag(9) + protowire.SizeBytes(len(t.Raw))
}

func tensorFieldSize(field protowire.Number, t Tensor) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(tensorSize(t))
}

func appendTensorField(out []byte, field protowire.Number, t Tensor) []byte {
	out = protowire.AppendTag(out, field, protowire.BytesType)
	out = protowire.AppendVarint(out, uint64(tensorSize(t)))
	out = append(out, tensorHead(t)...)
	return appendBytes(out, 9, t.Raw)
}

func appendInt(out []byte, field protowire.Number, v int64) []byte {
	out = protowire.AppendTag(out, field, protowire.VarintType)
	return protowire.AppendVarint(out, uint64(v))
}

func appendText(out []byte, field protowire.Number, s string) []byte {
	out = protowire.AppendTag(out, field, protowire.BytesType)
	return protowire.AppendString(out, s)
}

func appendBytes(out []byte, field protowire.Number, b []byte) []byte {
	out = protowire.AppendTag(out, field, protowire.BytesType)
	return protowire.AppendBytes(out, b)
}
