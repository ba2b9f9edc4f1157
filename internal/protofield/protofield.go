// Package protofield reads the fields of a Protocol Buffers message of which only a few matter,
// without code that is made from its description.
package protofield

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field is one field of a message: Value for varints and fixed numbers, Bytes for what has a
// length. Groups have neither.
type Field struct {
	Number protowire.Number
	Wire   protowire.Type
	Value  uint64
	Bytes  []byte // of the message, not copied
}

// Each calls f for every field of a message, in order, and ends at its first error. A message that
// is cut off, or none, is an error that wraps malformed.
func Each(message []byte, malformed error, f func(Field) error) error {
	for b := message; len(b) > 0; {
		number, wire, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", malformed, protowire.ParseError(n))
		}
		b = b[n:]
		field := Field{Number: number, Wire: wire}
		switch wire {
		case protowire.VarintType:
			field.Value, n = protowire.ConsumeVarint(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			field.Value = uint64(v)
		case protowire.Fixed64Type:
			field.Value, n = protowire.ConsumeFixed64(b)
		case protowire.BytesType:
			field.Bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(number, wire, b)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", malformed, protowire.ParseError(n))
		}
		b = b[n:]
		if err := f(field); err != nil {
			return err
		}
	}
	return nil
}
