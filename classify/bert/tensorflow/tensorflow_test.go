package tensorflow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// saved is what TensorFlow wrote: see ../testdata/README.md.
func saved(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "testdata", "saved", name))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func savedShards(t testing.TB) []Shard {
	t.Helper()
	var shards []Shard
	for i := range 2 {
		raw := saved(t, fmt.Sprintf("variables/variables.data-%05d-of-00002", i))
		shards = append(shards, Shard{bytes.NewReader(raw), int64(len(raw))})
	}
	return shards
}

func TestReadsWhatTensorFlowWrote(t *testing.T) {
	b, err := ParseIndex(saved(t, "variables/variables.index"))
	if err != nil {
		t.Fatal(err)
	}
	if b.Shards != 2 || len(b.Variables) != 41 {
		t.Errorf("%d shards, %d variables", b.Shards, len(b.Variables))
	}
	for name, shape := range map[string][]int{
		"module/bert/embeddings/word_embeddings":                {19, 16},
		"module/bert/encoder/layer_1/intermediate/dense/kernel": {16, 24},
		"module/bert/pooler/dense/bias":                         {16},
		"global_step":                                           {},
	} {
		if v, ok := b.Variables[name]; !ok || !slices.Equal(v.Shape, shape) {
			t.Errorf("%s: shape %v, want %v", name, v.Shape, shape)
		}
	}
	for name, v := range b.Variables {
		values, err := b.Read(name, savedShards(t))
		switch {
		case name == "global_step":
			if !errors.Is(err, ErrUnsupported) {
				t.Errorf("%s: got %v, want ErrUnsupported", name, err)
			}
		case err != nil:
			t.Error(err)
		default:
			if n, _ := elements(v.Shape); int(n) != len(values) {
				t.Errorf("%s: %d values for %v", name, len(values), v.Shape)
			}
		}
	}
}

func TestGraphHasItsConstants(t *testing.T) {
	nodes, err := ParseGraph(saved(t, "saved_model.pb"))
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]Node{}
	for _, n := range nodes {
		byName[n.Name] = n
	}
	if n := byName["module/bert/encoder/layer_0/attention/self/Reshape"]; n.Op != "Reshape" || len(n.Inputs) != 2 {
		t.Errorf("%+v", n)
	}
	pack := byName["module/bert/encoder/layer_0/attention/self/Reshape/shape"]
	if pack.Op != "Pack" || len(pack.Inputs) != 4 || !slices.Equal(byName[pack.Inputs[2]].Ints, []int64{4}) {
		t.Errorf("the heads' shape: %+v", pack)
	}
	if n := byName["module/bert/embeddings/LayerNorm/batchnorm/add/y"]; !slices.Equal(n.Floats, []float32{1e-12}) {
		t.Errorf("epsilon: %+v", n)
	}
}

// Every byte of an index is behind a sum or says where something is: none can change or
// be missing unseen, but for the footer's padding and for the meta-index.
func TestIndexThatIsCutOffOrChanged(t *testing.T) {
	index := saved(t, "variables/variables.index")
	for n := range index {
		if _, err := ParseIndex(index[:n]); !errors.Is(err, ErrMalformed) {
			t.Fatalf("cut off at %d: %v", n, err)
		}
	}
	footer := len(index) - footerSize
	meta, rest, err := handle(index[footer:])
	if err != nil {
		t.Fatal(err)
	}
	_, padding, err := handle(rest)
	if err != nil {
		t.Fatal(err)
	}
	ofIndex, after := len(index)-len(rest), len(index)-len(padding)
	for i := range index {
		inMeta := uint64(i) >= meta.offset && uint64(i) < meta.offset+meta.size+blockTrailer
		if inMeta || i >= footer && i < ofIndex || i >= after && i < len(index)-8 {
			continue
		}
		changed := bytes.Clone(index)
		changed[i] ^= 0x41
		if _, err := ParseIndex(changed); !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnsupported) {
			t.Errorf("byte %d changed: %v", i, err)
		}
	}
}

func TestDataThatIsCutOffOrChanged(t *testing.T) {
	b, err := ParseIndex(saved(t, "variables/variables.index"))
	if err != nil {
		t.Fatal(err)
	}
	const name = "module/bert/pooler/dense/bias"
	whole := savedShards(t)
	v := b.Variables[name]
	raw := saved(t, fmt.Sprintf("variables/variables.data-%05d-of-00002", v.shard))
	changed := bytes.Clone(raw)
	changed[v.offset] ^= 1
	for what, shard := range map[string]Shard{
		"cut off": {bytes.NewReader(raw), v.offset + v.size - 1},
		"changed": {bytes.NewReader(changed), int64(len(changed))},
	} {
		shards := slices.Clone(whole)
		shards[v.shard] = shard
		if _, err := b.Read(name, shards); !errors.Is(err, ErrMalformed) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := b.Read(name, whole[:1]); !errors.Is(err, ErrMalformed) {
		t.Errorf("a file is missing: %v", err)
	}
}

// pair is a key and a value of a table.
type pair struct {
	key   string
	value []byte
}

// block lays out pairs with the keys' common beginnings left out.
func block(pairs []pair) []byte {
	var out []byte
	last := ""
	for _, p := range pairs {
		shared := 0
		for shared < min(len(last), len(p.key)) && last[shared] == p.key[shared] {
			shared++
		}
		for _, n := range []int{shared, len(p.key) - shared, len(p.value)} {
			out = binary.AppendUvarint(out, uint64(n))
		}
		out = append(append(out, p.key[shared:]...), p.value...)
		last = p.key
	}
	return append(out, 0, 0, 0, 0, 1, 0, 0, 0) // one restart, at 0
}

// table writes a table with a block for each list.
func table(blocks ...[]pair) []byte {
	var out []byte
	write := func(content []byte) []byte {
		at := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(len(out))), uint64(len(content)))
		out = append(append(out, content...), 0)
		out = binary.LittleEndian.AppendUint32(out, maskedSum(out[len(out)-len(content)-1:]))
		return at
	}
	var index []pair
	for _, b := range blocks {
		index = append(index, pair{b[len(b)-1].key, write(block(b))})
	}
	footer := write(block(nil))
	footer = append(footer, write(block(index))...)
	footer = append(footer, make([]byte, footerSize-8-len(footer))...)
	return binary.LittleEndian.AppendUint64(append(out, footer...), tableMagic)
}

func number(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

func message(b []byte, field protowire.Number, content []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), content)
}

// variable is a BundleEntryProto of float32.
func variable(offset, size uint64, dims ...uint64) []byte {
	var shape []byte
	for _, d := range dims {
		shape = message(shape, 2, number(nil, 1, d))
	}
	b := message(number(nil, 1, uint64(Float32)), 2, shape)
	return number(number(b, 4, offset), 5, size)
}

func TestTableOfSeveralBlocks(t *testing.T) {
	header := pair{"", number(nil, 1, 1)}
	b, err := ParseIndex(table(
		[]pair{header, {"layer_0/bias", variable(0, 8, 2)}},
		[]pair{{"layer_0/kernel", variable(8, 16, 2, 2)}, {"layer_1/bias", variable(24, 8, 2)}},
	))
	if err != nil {
		t.Fatal(err)
	}
	if len(b.Variables) != 3 || b.Variables["layer_1/bias"].offset != 24 || !slices.Equal(b.Variables["layer_0/kernel"].Shape, []int{2, 2}) {
		t.Errorf("%+v", b.Variables)
	}
}

func many() (pairs []pair) {
	for i := range maxVariables + 1 {
		pairs = append(pairs, pair{fmt.Sprintf("%08d", i), nil})
	}
	return pairs
}

// An index that lies is refused by what is wrong, before anything is made of the size
// that it says.
func TestIndexThatLies(t *testing.T) {
	header := pair{"", number(nil, 1, 1)}
	one := func(v []byte) []byte { return table([]pair{header, {"x", v}}) }
	huge := uint64(math.MaxInt64)
	compressed := table([]pair{header})
	compressed[len(block([]pair{header}))] = 1
	binary.LittleEndian.PutUint32(compressed[len(block([]pair{header}))+1:], maskedSum(compressed[:len(block([]pair{header}))+1]))
	for name, x := range map[string]struct {
		index []byte
		kind  error
		says  string
	}{
		"nothing":              {nil, ErrMalformed, "0 bytes"},
		"no header":            {table([]pair{{"x", variable(0, 4, 1)}}), ErrMalformed, "header"},
		"no shards":            {table([]pair{{"", number(nil, 1, 0)}}), ErrMalformed, "0 shards"},
		"a million shards":     {table([]pair{{"", number(nil, 1, 1e6)}}), ErrMalformed, "1000000 shards"},
		"big-endian":           {table([]pair{{"", number(number(nil, 1, 1), 2, 1)}}), ErrUnsupported, "big-endian"},
		"compressed":           {compressed, ErrUnsupported, "compressed"},
		"keys out of order":    {table([]pair{header, {"b", variable(0, 4, 1)}, {"a", variable(4, 4, 1)}}), ErrMalformed, `"a" comes after "b"`},
		"key twice":            {table([]pair{header, {"b", variable(0, 4, 1)}}, []pair{{"b", variable(4, 4, 1)}}), ErrMalformed, `"b"`},
		"shape and size":       {one(variable(0, 8, 1)), ErrMalformed, `"x"`},
		"size beyond numbers":  {one(variable(0, 4, huge, huge)), ErrMalformed, `"x"`},
		"product of sizes":     {one(variable(0, 4, 1<<39, 1<<39)), ErrMalformed, `"x"`},
		"offset beyond":        {one(variable(huge, 4, 1)), ErrMalformed, `"x"`},
		"negative offset":      {one(variable(math.MaxUint64, 4, 1)), ErrMalformed, `"x"`},
		"shard beyond":         {one(number(variable(0, 4, 1), 3, 1)), ErrMalformed, "shard 1"},
		"shared bytes":         {table([]pair{header, {"x", variable(0, 8, 2)}, {"y", variable(4, 8, 2)}}), ErrMalformed, `"x" and "y"`},
		"a long name":          {table([]pair{header, {strings.Repeat("x", maxKey+1), variable(0, 4, 1)}}), ErrMalformed, "1025 bytes"},
		"many variables":       {table(append([]pair{header}, many()...)), ErrMalformed, "65536"},
		"no message":           {one([]byte{0xff}), ErrMalformed, `"x"`},
		"unknown rank":         {one(message(nil, 2, number(nil, 3, 1))), ErrUnsupported, `"x"`},
		"no block at that end": {append(table([]pair{header})[:60:60], table([]pair{header})[80:]...), ErrMalformed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := ParseIndex(x.index)
			if !errors.Is(err, x.kind) || !strings.Contains(err.Error(), x.says) {
				t.Errorf("got %v, want %v and %q", err, x.kind, x.says)
			}
		})
	}
}

// The sizes of an index may be right by themselves and larger than any file.
func TestVariableLargerThanItsFile(t *testing.T) {
	b, err := ParseIndex(table([]pair{{"", number(nil, 1, 1)}, {"x", variable(0, 4<<38, 1<<38)}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read("x", []Shard{{bytes.NewReader(nil), 0}}); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}

func TestVariableInParts(t *testing.T) {
	b, err := ParseIndex(table([]pair{{"", number(nil, 1, 1)}, {"x", message(variable(0, 0, 2), 7, nil)}}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Read("x", []Shard{{bytes.NewReader(nil), 0}}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("got %v, want ErrUnsupported", err)
	}
}

// constant is a saved_model.pb of one node: a constant.
func constant(tensor []byte) []byte {
	attr := message(message(nil, 1, []byte("value")), 2, message(nil, 8, tensor))
	node := message(message(message(nil, 1, []byte("c")), 2, []byte("Const")), 5, attr)
	return message(nil, 2, message(nil, 2, message(nil, 1, node)))
}

func TestConstants(t *testing.T) {
	shape := func(dims ...uint64) []byte {
		var b []byte
		for _, d := range dims {
			b = message(b, 2, number(nil, 1, d))
		}
		return message(nil, 2, b)
	}
	ints := number(nil, 1, uint64(Int32))
	for name, x := range map[string]struct {
		tensor []byte
		want   []int64
		kind   error
	}{
		"one":             {number(append(slices.Clone(ints), shape()...), 7, 12), []int64{12}, nil},
		"negative":        {number(append(slices.Clone(ints), shape(1)...), 7, math.MaxUint64), []int64{-1}, nil},
		"the last stands": {number(append(slices.Clone(ints), shape(3)...), 7, 5), []int64{5, 5, 5}, nil},
		"bytes":           {message(append(slices.Clone(ints), shape(2)...), 4, []byte{1, 0, 0, 0, 255, 255, 255, 255}), []int64{1, -1}, nil},
		"left out":        {append(slices.Clone(ints), shape(1<<30)...), nil, nil},
		"short bytes":     {message(append(slices.Clone(ints), shape(2)...), 4, []byte{1, 0, 0, 0}), nil, ErrMalformed},
		"too many":        {message(append(slices.Clone(ints), shape(1)...), 7, []byte{1, 2}), nil, ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			nodes, err := ParseGraph(constant(x.tensor))
			if !errors.Is(err, x.kind) {
				t.Fatalf("got %v, want %v", err, x.kind)
			}
			if err == nil && !slices.Equal(nodes[0].Ints, x.want) {
				t.Errorf("got %v, want %v", nodes[0].Ints, x.want)
			}
		})
	}
	if _, err := ParseGraph(nil); !errors.Is(err, ErrMalformed) {
		t.Errorf("no graph: %v", err)
	}
}

// A foreign index gives variables whose reading ends, and never a panic.
func FuzzIndex(f *testing.F) {
	f.Add(saved(f, "variables/variables.index"))
	f.Add(table([]pair{{"", number(nil, 1, 1)}, {"x", variable(0, 8, 2)}}, []pair{{"y", variable(8, 4, 1)}}))
	f.Fuzz(func(t *testing.T, index []byte) {
		b, err := ParseIndex(index)
		if err != nil {
			return
		}
		shards := make([]Shard, b.Shards)
		for i := range shards {
			shards[i] = Shard{bytes.NewReader(index), int64(len(index))}
		}
		for name := range b.Variables {
			if values, err := b.Read(name, shards); err == nil && 4*len(values) > len(index) {
				t.Errorf("%d values of %d bytes", len(values), len(index))
			}
		}
	})
}

// Blocks are behind sums, which a fuzzer does not find: here they are its own.
func FuzzBlock(f *testing.F) {
	f.Add(block([]pair{{"", number(nil, 1, 1)}, {"layer_0", variable(0, 8, 2)}, {"layer_1", variable(8, 4, 1)}}))
	f.Fuzz(func(t *testing.T, content []byte) {
		total := 0
		_ = readBlock(content, func(key string, value []byte) error {
			total += len(value)
			_, err := parseVariable(value)
			return err
		})
		if total > len(content) {
			t.Errorf("%d bytes of values in %d", total, len(content))
		}
	})
}

func FuzzGraph(f *testing.F) {
	f.Add(constant(number(message(number(nil, 1, uint64(Int32)), 2, nil), 7, 12)))
	f.Fuzz(func(t *testing.T, model []byte) {
		nodes, err := ParseGraph(model)
		if err == nil && len(nodes) > len(model) {
			t.Errorf("%d nodes in %d bytes", len(nodes), len(model))
		}
	})
}
