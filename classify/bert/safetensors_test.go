package bert

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// safetensors puts a header, of a stated length, before data.
func safetensors(length uint64, header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, length)
	return append(append(b, header...), make([]byte, data)...)
}

func honest(header string, data int) []byte {
	return safetensors(uint64(len(header)), header, data)
}

// Every lie of a header is an error before anything is allocated for it.
func TestSafetensorsRefusesLies(t *testing.T) {
	one := func(dtype, shape, offsets string) string {
		return fmt.Sprintf(`{"w":{"dtype":"%s","shape":%s,"data_offsets":%s}}`, dtype, shape, offsets)
	}
	for name, file := range map[string][]byte{
		"empty":                 {},
		"cut in the length":     {1, 2, 3},
		"length beyond file":    safetensors(1<<40, "{}", 0),
		"length overflows":      safetensors(math.MaxUint64, "{}", 0),
		"header is no JSON":     honest("{", 0),
		"header is a list":      honest("[]", 0),
		"unknown type":          honest(one("F8_E4M3", "[1]", "[0,1]"), 1),
		"negative shape":        honest(one("F32", "[-1]", "[0,4]"), 4),
		"huge shape":            honest(one("F32", "[4611686018427387904,4]", "[0,4]"), 4),
		"shape beyond int64":    honest(one("F32", "[1e30]", "[0,4]"), 4),
		"offsets beyond file":   honest(one("F32", "[1024]", "[0,4096]"), 4),
		"offsets before data":   honest(one("F32", "[1]", "[-4,0]"), 4),
		"offsets backwards":     honest(one("F32", "[1]", "[4,0]"), 4),
		"offsets wrap":          honest(one("F32", "[1]", "[9223372036854775807,-9223372036854775805]"), 4),
		"fewer bytes than said": honest(one("F32", "[2]", "[0,4]"), 4),
		"bytes left over":       honest(one("F32", "[1]", "[0,4]"), 8),
		"hole":                  honest(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[8,12]}}`, 12),
		"overlap":               honest(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12),
		"twice the same place":  honest(`{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}`, 4),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "model.safetensors")
			if err := os.WriteFile(path, file, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := openWeights(path); !errors.Is(err, ErrSafetensors) {
				t.Errorf("got %v, want ErrSafetensors", err)
			}
		})
	}
}

// What is written is read back, whatever the order it was given in.
func TestSafetensorsRoundTrip(t *testing.T) {
	want := map[string]tensor{
		"b": {[]int{2, 3}, []float32{1, -2, 3.5, 0, float32(math.SmallestNonzeroFloat32), 6}},
		"a": {[]int{}, []float32{7}},
		"é": {[]int{0, 4}, []float32{}},
	}
	var file bytes.Buffer
	if err := writeSafetensors(&file, want); err != nil {
		t.Fatal(err)
	}
	w, err := readHeader("memory", bytes.NewReader(file.Bytes()), int64(file.Len()))
	if err != nil {
		t.Fatal(err)
	}
	if (w.start-8)%8 != 0 {
		t.Errorf("data begins at %d, not aligned", w.start)
	}
	for name, x := range want {
		if got, err := w.read(name); err != nil || !reflect.DeepEqual(got, x) {
			t.Errorf("%s: %v, %v, want %v", name, got, err, x)
		}
	}
}

// Any bytes give an error or tensors that lie in them: no panic, no blind allocation.
func FuzzSafetensors(f *testing.F) {
	real, err := os.ReadFile(filepath.Join("testdata", "tiny", "lora-list", "adapter_model.safetensors"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(real)
	f.Add(real[:len(real)-1])
	f.Add(honest(`{"w":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]}}`, 4))
	f.Add(honest(`{"w":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"__metadata__":{"a":"b"}}`, 8))
	f.Add(safetensors(1<<60, "{}", 3))
	f.Fuzz(func(t *testing.T, file []byte) {
		w, err := readHeader("fuzz", bytes.NewReader(file), int64(len(file)))
		if err != nil {
			return
		}
		floats := 0
		for _, name := range w.names() {
			if x, err := w.read(name); err == nil {
				floats += len(x.data)
			}
		}
		if 2*floats > len(file) {
			t.Errorf("%d floats out of %d bytes", floats, len(file))
		}
	})
}

// Half precision, both ways, against its definition (IEEE 754-2019, section 3.4) on
// every one of its 65,536 values, and ties to even between them.
func TestHalf(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		exponent, fraction := int(h>>10&31), float64(h&1023)
		want := math.Ldexp(1+fraction/1024, exponent-15)
		switch {
		case exponent == 0:
			want = math.Ldexp(fraction, -24)
		case exponent == 31 && fraction == 0:
			want = math.Inf(1)
		case exponent == 31:
			if !math.IsNaN(float64(halfToFloat(h))) || floatToHalf(halfToFloat(h))&0x7c00 != 0x7c00 {
				t.Fatalf("%#x is not kept as not a number", h)
			}
			continue
		}
		if h>>15 == 1 {
			want = -want
		}
		if got := halfToFloat(h); float64(got) != want {
			t.Fatalf("%#x: %g, want %g", h, got, want)
		}
		if got := floatToHalf(halfToFloat(h)); got != h {
			t.Fatalf("%#x became %#x", h, got)
		}
		if exponent < 30 && h>>15 == 0 { // half way to the next one
			even := h + h&1
			if got := floatToHalf((halfToFloat(h) + halfToFloat(h+1)) / 2); got != even {
				t.Fatalf("between %#x and %#x: %#x, want %#x", h, h+1, got, even)
			}
		}
	}
}
