package onnxpb

import "fmt"

// Interface is what a caller of a model must know: its inputs and outputs, with the
// constants that old files list among the inputs left out, and its metadata.
type Interface struct {
	Inputs   []Value
	Outputs  []Value
	Metadata map[string]string
}

// ReadInterface reads a model's interface without its weights, so that it also serves
// models that keep them in another file.
func ReadInterface(model []byte) (Interface, error) {
	i := Interface{Metadata: map[string]string{}}
	constants := map[string]bool{}
	graphs := 0
	err := fields(model, func(f field) error {
		switch f.Number {
		case 7:
			graphs++
			return i.readGraph(f.Bytes, constants)
		case 14:
			key, value, err := parseProperty(f.Bytes)
			i.Metadata[key] = value
			return err
		}
		return nil
	})
	if err == nil && graphs != 1 {
		err = fmt.Errorf("%w: %d graphs in it", ErrMalformed, graphs)
	}
	inputs := i.Inputs[:0]
	for _, v := range i.Inputs {
		if !constants[v.Name] {
			inputs = append(inputs, v)
		}
	}
	i.Inputs = inputs
	return i, err
}

func (i *Interface) readGraph(b []byte, constants map[string]bool) error {
	return fields(b, func(f field) error {
		switch f.Number {
		case 5:
			return fields(f.Bytes, func(t field) error {
				if t.Number == 8 {
					constants[string(t.Bytes)] = true
				}
				return nil
			})
		case 11, 12:
			v, err := parseValue(f.Bytes)
			if f.Number == 11 {
				i.Inputs = append(i.Inputs, v)
			} else {
				i.Outputs = append(i.Outputs, v)
			}
			return err
		}
		return nil
	})
}

// parseValue is ValueInfoProto: a name and TypeProto.Tensor. A value that is no tensor
// keeps type 0.
func parseValue(b []byte) (v Value, err error) {
	err = fields(b, func(f field) error {
		switch f.Number {
		case 1:
			v.Name = string(f.Bytes)
		case 2: // TypeProto
			return fields(f.Bytes, func(t field) error {
				if t.Number != 1 {
					return nil
				}
				return v.parseTensorType(t.Bytes)
			})
		}
		return nil
	})
	return v, err
}

func (v *Value) parseTensorType(b []byte) error {
	return fields(b, func(f field) error {
		switch f.Number {
		case 1:
			v.Type = Type(f.Value)
		case 2: // TensorShapeProto
			return fields(f.Bytes, func(d field) error {
				dim, err := parseDim(d.Bytes)
				v.Shape = append(v.Shape, dim)
				return err
			})
		}
		return nil
	})
}

func parseDim(b []byte) (d Dim, err error) {
	err = fields(b, func(f field) error {
		switch f.Number {
		case 1:
			d.Size = int(int64(f.Value))
		case 2:
			d.Name = string(f.Bytes)
		}
		return nil
	})
	return d, err
}

func parseProperty(b []byte) (key, value string, err error) {
	err = fields(b, func(f field) error {
		switch f.Number {
		case 1:
			key = string(f.Bytes)
		case 2:
			value = string(f.Bytes)
		}
		return nil
	})
	return key, value, err
}
