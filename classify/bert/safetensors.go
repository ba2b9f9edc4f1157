package bert

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"sort"
	"strings"
)

// ErrSafetensors is wrapped by every error that says a safetensors file is not what the
// format allows (https://github.com/huggingface/safetensors, "Format").
var ErrSafetensors = errors.New("not a valid safetensors file")

// maxHeader bounds the JSON header, as the format's own reader does.
const maxHeader = 100 << 20

// tensor is a weight in memory: float32, row major.
type tensor struct {
	shape []int
	data  []float32
}

// entry is one tensor of the header: where its bytes are, relative to the data.
type entry struct {
	DType   string   `json:"dtype"`
	Shape   []int64  `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"`
}

// weightsFile is an open safetensors file whose header has been checked: every tensor
// lies inside the file, has as many bytes as type and shape need, and overlaps no other.
type weightsFile struct {
	path    string
	file    io.ReaderAt
	close   func() error
	start   int64 // of the data, from the file's beginning
	entries map[string]entry
}

func openWeights(path string) (*weightsFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		var w *weightsFile
		if w, err = readHeader(path, f, info.Size()); err == nil {
			w.close = f.Close
			return w, nil
		}
	}
	f.Close()
	return nil, err
}

// readHeader reads and checks the header. It allocates no more than the file is long.
func readHeader(path string, f io.ReaderAt, size int64) (*weightsFile, error) {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("%s: %w: %s", path, ErrSafetensors, fmt.Sprintf(format, args...))
	}
	var prefix [8]byte
	if size < 8 {
		return nil, bad("%d bytes are too few for a header", size)
	}
	if _, err := f.ReadAt(prefix[:], 0); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	if length > maxHeader || int64(length) > size-8 {
		return nil, bad("the header's length is said to be %d in a file of %d bytes", length, size)
	}
	header := make([]byte, length)
	if _, err := io.ReadFull(io.NewSectionReader(f, 8, int64(length)), header); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(header, &fields); err != nil {
		return nil, bad("header: %v", err)
	}
	delete(fields, "__metadata__")
	w := &weightsFile{path: path, file: f, start: 8 + int64(length), entries: make(map[string]entry, len(fields))}
	for name, raw := range fields {
		var e entry
		if err := json.Unmarshal(raw, &e); err != nil {
			return nil, bad("tensor %q: %v", name, err)
		}
		if err := e.check(); err != nil {
			return nil, bad("tensor %q: %v", name, err)
		}
		w.entries[name] = e
	}
	if err := w.checkLayout(size - w.start); err != nil {
		return nil, bad("%v", err)
	}
	return w, nil
}

// check compares an entry's bytes with its type and shape.
func (e entry) check() error {
	width, ok := map[string]int64{"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
		"U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}[e.DType]
	if !ok {
		return fmt.Errorf("type %q is not supported: store it as F32, F16 or BF16", e.DType)
	}
	want := width
	for _, d := range e.Shape {
		if d < 0 || (d > 0 && want > math.MaxInt64/d) {
			return fmt.Errorf("shape %v is impossible", e.Shape)
		}
		want *= d
	}
	if e.Offsets[0] < 0 || e.Offsets[1]-e.Offsets[0] != want || e.Offsets[1] < e.Offsets[0] {
		return fmt.Errorf("offsets %v do not hold %s %v", e.Offsets, e.DType, e.Shape)
	}
	return nil
}

// checkLayout checks that the tensors tile the data: no overlap, no hole, nothing after.
func (w *weightsFile) checkLayout(data int64) error {
	names := w.names()
	slices.SortFunc(names, func(a, b string) int {
		x, y := w.entries[a].Offsets, w.entries[b].Offsets
		if c := slices.Compare(x[:], y[:]); c != 0 {
			return c
		}
		return strings.Compare(a, b)
	})
	at := int64(0)
	for _, name := range names {
		if begin := w.entries[name].Offsets[0]; begin != at {
			return fmt.Errorf("tensor %q begins at %d where the one before ends at %d", name, begin, at)
		}
		at = w.entries[name].Offsets[1]
	}
	if at != data {
		return fmt.Errorf("the tensors end at %d of %d bytes", at, data)
	}
	return nil
}

// names lists the tensors in alphabetical order.
func (w *weightsFile) names() []string {
	names := make([]string, 0, len(w.entries))
	for name := range w.entries {
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

// isFloat tells weights from the integer buffers (position_ids) some checkpoints carry.
func (e entry) isFloat() bool { return strings.HasPrefix(e.DType, "F") || e.DType == "BF16" }

// read loads a tensor of F32, F16 or BF16 as float32.
func (w *weightsFile) read(name string) (tensor, error) {
	e := w.entries[name]
	if !e.isFloat() || e.DType == "F64" {
		return tensor{}, fmt.Errorf("%s: tensor %q is %s: store it as F32, F16 or BF16", w.path, name, e.DType)
	}
	raw := make([]byte, e.Offsets[1]-e.Offsets[0])
	if _, err := io.ReadFull(io.NewSectionReader(w.file, w.start+e.Offsets[0], int64(len(raw))), raw); err != nil {
		return tensor{}, fmt.Errorf("%s: read tensor %q: %w", w.path, name, err)
	}
	t := tensor{shape: make([]int, len(e.Shape))}
	for i, d := range e.Shape {
		t.shape[i] = int(d)
	}
	switch e.DType {
	case "F32":
		t.data = fromFloat32(raw)
	case "F16":
		t.data = fromHalf(raw)
	case "BF16":
		t.data = fromBrain(raw)
	}
	for _, v := range t.data {
		if v-v != 0 { // infinite, or not a number
			return tensor{}, fmt.Errorf("%s: %w: tensor %q holds %v", w.path, ErrCheckpoint, name, v)
		}
	}
	return t, nil
}

// writeSafetensors writes float32 tensors in alphabetical order: equal tensors give
// equal bytes. The metadata is what transformers asks for before it opens a file.
func writeSafetensors(out io.Writer, tensors map[string]tensor) error {
	return writeTensors(out, tensors, "F32", toFloat32)
}

func writeTensors(out io.Writer, tensors map[string]tensor, dtype string, encode func([]float32) []byte) error {
	width := int64(len(encode([]float32{0})))
	names := make([]string, 0, len(tensors))
	for name := range tensors {
		names = append(names, name)
	}
	sort.Strings(names)
	var header bytes.Buffer
	header.WriteString(`{"__metadata__":{"format":"pt"}`)
	at := int64(0)
	for _, name := range names {
		t := tensors[name]
		e := entry{DType: dtype, Shape: []int64{}, Offsets: [2]int64{at, at + width*int64(len(t.data))}}
		for _, d := range t.shape {
			e.Shape = append(e.Shape, int64(d))
		}
		key, _ := json.Marshal(name)
		value, _ := json.Marshal(e)
		fmt.Fprintf(&header, ",%s:%s", key, value)
		at = e.Offsets[1]
	}
	header.WriteByte('}')
	for header.Len()%8 != 0 {
		header.WriteByte(' ')
	}
	if err := binary.Write(out, binary.LittleEndian, uint64(header.Len())); err != nil {
		return err
	}
	if _, err := out.Write(header.Bytes()); err != nil {
		return err
	}
	for _, name := range names {
		if _, err := out.Write(encode(tensors[name].data)); err != nil {
			return err
		}
	}
	return nil
}
