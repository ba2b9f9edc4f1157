package kernels_test

import (
	"encoding/binary"
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/kernels"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// bytesProduct is random inputs of a product of bytes, and what it gives. The first rows and outs go as far as
// bytes do, and the last row is of zeros.
func bytesProduct(r *rand.Rand, rows, in, out int, zero byte) (inputs map[string]onnx.Tensor, want []float32) {
	x, w := make([]byte, rows*in), make([]byte, in*out)
	for i := range x {
		x[i] = byte(r.Uint32())
		switch i / in {
		case rows - 1:
			x[i] = zero
		case 0:
			x[i] = 255
		case 1:
			x[i] = 0
		}
	}
	for i := range w {
		w[i] = byte(r.Uint32())
		switch i % out {
		case 0:
			w[i] = 127
		case 1:
			w[i] = 0x80 // -128
		}
	}
	scale := positive(r, out)
	for i := range rows {
		for j := range out {
			sum := int32(0)
			for k := range in {
				sum += (int32(x[i*in+k]) - int32(zero)) * int32(int8(w[k*out+j]))
			}
			want = append(want, float32(sum)*floats(scale)[j])
		}
	}
	packed, sums := kernels.Pack(w, out)
	var offset []byte
	for _, sum := range sums {
		offset = binary.LittleEndian.AppendUint32(offset, uint32(-int32(zero)*sum))
	}
	return map[string]onnx.Tensor{
		"rows": {Shape: []int{rows, in}, Data: x}, "w_scale": scale,
		"w":      {Shape: []int{len(packed)}, Data: onnxpb.Tensor{Type: onnxpb.Int8, Raw: packed}},
		"offset": {Shape: []int{out}, Data: onnxpb.Tensor{Type: onnxpb.Int32, Raw: offset}},
	}, want
}

// A product of bytes is exact, and the operators that begin with one give what those give that read its result.
func TestProductsOfBytesAreExact(t *testing.T) {
	levels(t, func(t *testing.T, runtime *onnx.Runtime) {
		r := rand.New(rand.NewPCG(1, 5))
		for _, shape := range [][3]int{{1, 4, 1}, {5, 8, 63}, {6, 4, 64}, {7, 36, 65}, {23, 384, 130}, {130, 12, 200}, {600, 16, 70}, {3, 1536, 384}} {
			rows, in, out := shape[0], shape[1], shape[2]
			for _, zero := range []byte{kernels.Zero, kernels.GeluZero} {
				inputs, want := bytesProduct(r, rows, in, out, zero)
				run := func(op string, more map[string]onnx.Tensor, order, outputs []string, attrs ...onnxpb.Attr) map[string]onnx.Tensor {
					t.Helper()
					all := maps.Clone(more)
					if order[0] == "rows" {
						maps.Copy(all, inputs)
						order = append(order, "w", "offset", "w_scale")
					}
					got, err := node(t, runtime, 2, op, order, all, outputs, attrs...)
					if err != nil {
						t.Fatal(err)
					}
					return got
				}
				y := run("ProductOfBytes", map[string]onnx.Tensor{}, []string{"rows"}, []string{"y"})["y"]
				if !reflect.DeepEqual(floats(y), want) {
					t.Fatalf("%v: a product of bytes is not exact", shape)
				}
				more := map[string]onnx.Tensor{"factor": positive(r, rows, 1), "bias": random(r, 1, out), "residual": random(r, 2, rows, out),
					"gamma": random(r, 1, out), "beta": random(r, 1, out), "inverse": positive(r, out)}
				for i, v := range floats(more["factor"]) {
					floats(more["factor"])[i] = v * 1e-4
				}
				for op, of := range map[string]struct {
					inputs, outputs []string
					attrs           []onnxpb.Attr
				}{
					"GeluQuantize":    {[]string{"factor", "bias"}, []string{"bytes", "scale"}, nil},
					"AddNormQuantize": {[]string{"factor", "bias", "residual", "gamma", "beta", "inverse"}, []string{"y", "bytes", "scale"}, []onnxpb.Attr{onnxpb.Float("epsilon", epsilon)}},
				} {
					reads := map[string]onnx.Tensor{}
					for _, name := range of.inputs {
						reads[name] = more[name]
					}
					got := run("Product"+op, reads, append([]string{"rows"}, of.inputs...), of.outputs, of.attrs...)
					reads["x"] = onnx.Tensor{Shape: []int{rows, out}, Data: want}
					apart := run(op, reads, append([]string{"x"}, of.inputs...), of.outputs, of.attrs...)
					if !reflect.DeepEqual(got, apart) {
						t.Fatalf("%v: Product%s is not %s of the product", shape, op, op)
					}
				}
			}
		}
	})
}

func TestAProductOfNoRows(t *testing.T) {
	levels(t, func(t *testing.T, runtime *onnx.Runtime) {
		inputs, _ := bytesProduct(rand.New(rand.NewPCG(1, 6)), 0, 8, 3, kernels.Zero)
		out, err := node(t, runtime, 1, "ProductOfBytes", []string{"rows", "w", "offset", "w_scale"}, inputs, []string{"y"})
		if err != nil || len(floats(out["y"])) != 0 {
			t.Errorf("%v, error %v, want none", out, err)
		}
	})
}
