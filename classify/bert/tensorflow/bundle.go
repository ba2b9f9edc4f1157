package tensorflow

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
)

// Variable is what a bundle's index says of one variable.
type Variable struct {
	Type  DataType
	Shape []int
	// sliced marks a variable that is kept in parts, under other keys.
	sliced bool
	shard  int
	offset int64 // of its bytes in the shard's file
	size   int64
	sum    uint32 // masked CRC-32C of its bytes
}

// Bundle is the variables of a SavedModel or of a checkpoint, by their names.
type Bundle struct {
	Variables map[string]Variable
	// Shards is the number of files that hold the values: variables.data-00000-of-SHARDS
	// and so on.
	Shards int
}

// What an index may ask for at most. TensorFlow writes a shard for each device.
const (
	maxShards    = 1 << 10
	maxVariables = 1 << 16
)

// ParseIndex reads a variables.index. It allocates no more than a small multiple of
// len(index), and 64 MiB for names. Errors wrap ErrMalformed or ErrUnsupported.
func ParseIndex(index []byte) (*Bundle, error) {
	b := &Bundle{Variables: map[string]Variable{}}
	header := false
	err := readTable(index, func(key string, value []byte) error {
		if key == "" {
			header = true
			return b.parseHeader(value)
		}
		if len(b.Variables) == maxVariables {
			return fmt.Errorf("%w: it has more than %d variables", ErrMalformed, maxVariables)
		}
		if !header {
			return fmt.Errorf("%w: the index has no header", ErrMalformed)
		}
		v, err := parseVariable(value)
		if err == nil && v.shard >= b.Shards {
			err = fmt.Errorf("%w: it is in shard %d of %d", ErrMalformed, v.shard, b.Shards)
		}
		if err != nil {
			return fmt.Errorf("variable %q: %w", key, err)
		}
		b.Variables[key] = v
		return nil
	})
	if err == nil && !header {
		err = fmt.Errorf("%w: the index is empty", ErrMalformed)
	}
	if err == nil {
		err = b.checkLayout()
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

// parseHeader reads BundleHeaderProto.
func (b *Bundle) parseHeader(raw []byte) error {
	return fields(raw, func(f field) error {
		switch f.Number {
		case 1:
			if f.Value < 1 || f.Value > maxShards {
				return fmt.Errorf("%w: %d shards", ErrMalformed, f.Value)
			}
			b.Shards = int(f.Value)
		case 2:
			if f.Value != 0 {
				return fmt.Errorf("%w: its numbers are big-endian", ErrUnsupported)
			}
		}
		return nil
	})
}

// parseVariable reads BundleEntryProto.
func parseVariable(raw []byte) (v Variable, err error) {
	err = fields(raw, func(f field) (err error) {
		switch f.Number {
		case 1:
			v.Type = DataType(f.Value)
		case 2:
			v.Shape, err = parseShape(f.Bytes)
		case 3:
			if f.Value >= maxShards {
				return fmt.Errorf("%w: shard %d", ErrMalformed, f.Value)
			}
			v.shard = int(f.Value)
		case 4:
			v.offset = int64(f.Value)
		case 5:
			v.size = int64(f.Value)
		case 6:
			v.sum = uint32(f.Value)
		case 7:
			v.sliced = true
		}
		return err
	})
	if err != nil {
		return v, err
	}
	n, ok := elements(v.Shape)
	if !ok || v.offset < 0 || v.size < 0 || v.offset > math.MaxInt64-v.size ||
		(v.Type == Float32 && !v.sliced && v.size != 4*n) {
		return v, fmt.Errorf("%w: %d bytes at %d for %s %v", ErrMalformed, v.size, v.offset, v.Type, v.Shape)
	}
	return v, nil
}

// checkLayout refuses variables that share bytes: so all of them together are no larger
// than the files.
func (b *Bundle) checkLayout() error {
	names := slices.Collect(maps.Keys(b.Variables))
	slices.SortFunc(names, func(x, y string) int {
		v, w := b.Variables[x], b.Variables[y]
		if c := slices.Compare([]int64{int64(v.shard), v.offset, v.size}, []int64{int64(w.shard), w.offset, w.size}); c != 0 {
			return c
		}
		return strings.Compare(x, y)
	})
	for i := 1; i < len(names); i++ {
		v, w := b.Variables[names[i-1]], b.Variables[names[i]]
		if v.shard == w.shard && v.offset+v.size > w.offset {
			return fmt.Errorf("%w: variables %q and %q share bytes", ErrMalformed, names[i-1], names[i])
		}
	}
	return nil
}

// Shard is the open file of a bundle's shard.
type Shard struct {
	io.ReaderAt
	Size int64
}

// Read loads a variable of float32, row major, and compares its sum. Errors wrap
// ErrMalformed, ErrUnsupported or what reading gave.
func (b *Bundle) Read(name string, shards []Shard) ([]float32, error) {
	v, ok := b.Variables[name]
	bad := func(kind error, format string, args ...any) error {
		return fmt.Errorf("variable %q: %w: %s", name, kind, fmt.Sprintf(format, args...))
	}
	switch {
	case !ok:
		return nil, bad(ErrMalformed, "it is not in the index")
	case v.sliced:
		return nil, bad(ErrUnsupported, "it is kept in parts: save it without a partitioner")
	case v.Type != Float32:
		return nil, bad(ErrUnsupported, "it is %s, not float32", v.Type)
	case len(shards) != b.Shards:
		return nil, bad(ErrMalformed, "%d files of data where the index has %d", len(shards), b.Shards)
	case v.offset+v.size > shards[v.shard].Size: // before anything of that size is made
		return nil, bad(ErrMalformed, "it ends at %d of the %d bytes of data", v.offset+v.size, shards[v.shard].Size)
	}
	out := make([]float32, v.size/4)
	buffer := make([]byte, min(v.size, 1<<18)) // a multiple of 4, as v.size is
	sum, file := crc32.New(castagnoli), io.NewSectionReader(shards[v.shard], v.offset, v.size)
	for rest := out; len(rest) > 0; {
		part := buffer[:min(len(buffer), 4*len(rest))]
		if _, err := io.ReadFull(file, part); err != nil {
			return nil, fmt.Errorf("variable %q: %w", name, err)
		}
		sum.Write(part)
		for i := range len(part) / 4 {
			rest[i] = math.Float32frombits(binary.LittleEndian.Uint32(part[4*i:]))
		}
		rest = rest[len(part)/4:]
	}
	if got := mask(sum.Sum32()); got != v.sum {
		return nil, bad(ErrMalformed, "its bytes have the sum %08x, not %08x", got, v.sum)
	}
	return out, nil
}
