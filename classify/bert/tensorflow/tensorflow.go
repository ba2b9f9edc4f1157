// Package tensorflow reads what a TensorFlow 1 SavedModel holds: the variables'
// values (variables.index and variables.data-*, TensorFlow's "tensor bundle") and the
// operators of its graph (saved_model.pb).
//
// Field numbers are those of tensorflow/core/protobuf (tensor_bundle.proto,
// saved_model.proto, meta_graph.proto) and tensorflow/core/framework (tensor.proto,
// node_def.proto). It needs no TensorFlow.
package tensorflow

import (
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/barograph/barograph/internal/protofield"
)

// ErrMalformed is wrapped by errors about bytes that TensorFlow would not have written:
// cut off, changed, or lying about their size.
var ErrMalformed = errors.New("malformed TensorFlow file")

// ErrUnsupported is wrapped by errors about what TensorFlow can write and this package
// does not read.
var ErrUnsupported = errors.New("unsupported TensorFlow file")

// DataType is tensorflow.DataType.
type DataType int32

// The element types that the readers tell apart.
const (
	Float32 DataType = 1
	Int32   DataType = 3
	Int64   DataType = 9
)

// String is the type's name in TensorFlow, or its number.
func (t DataType) String() string {
	switch t {
	case Float32:
		return "float32"
	case Int32:
		return "int32"
	case Int64:
		return "int64"
	}
	return fmt.Sprintf("type %d", int32(t))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedSum is the CRC-32C as TensorFlow and LevelDB store it: rotated and shifted, so
// that the sum of bytes that hold sums is not itself weak (leveldb/util/crc32c.h).
func maskedSum(b []byte) uint32 { return mask(crc32.Checksum(b, castagnoli)) }

func mask(sum uint32) uint32 { return (sum>>15 | sum<<17) + 0xa282ead8 }

type field = protofield.Field

// fields calls each for every field of a message, in order.
func fields(b []byte, each func(field) error) error {
	return protofield.Each(b, ErrMalformed, each)
}

// parseShape reads a TensorShapeProto.
func parseShape(b []byte) ([]int, error) {
	shape := []int{}
	err := fields(b, func(f field) error {
		switch f.Number {
		case 2:
			size := int64(0) // absent in the proto of an empty dimension
			err := fields(f.Bytes, func(f field) error {
				if f.Number == 1 {
					size = int64(f.Value)
				}
				return nil
			})
			if err != nil {
				return err
			}
			if size < 0 || size > maxElements {
				return fmt.Errorf("%w: a dimension of %d", ErrMalformed, size)
			}
			shape = append(shape, int(size))
		case 3:
			if f.Value != 0 {
				return fmt.Errorf("%w: a tensor of unknown rank", ErrUnsupported)
			}
		}
		return nil
	})
	return shape, err
}

// maxElements bounds a tensor, and so what the product of a shape may come to.
const maxElements = 1 << 40

// elements is the product of a shape, and false where it passes maxElements.
func elements(shape []int) (int64, bool) {
	n := int64(1)
	for _, d := range shape {
		if d > 0 && n > maxElements/int64(d) {
			return 0, false
		}
		n *= int64(d)
	}
	return n, true
}
