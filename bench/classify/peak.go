package main

import (
	"fmt"
	"time"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// machinePeak measures what this machine's cores give for matrix products in ONNX Runtime at
// best, in GFLOP/s at a precision, fp32 or int8. Where int8 has products of its own (kernels.FastBytes) they reach up to
// a tenth more.
func machinePeak(precision bert.Precision, threads int) (float64, error) {
	library, err := onnx.Find()
	if err != nil {
		return 0, err
	}
	runtime, err := onnx.Open(library)
	if err != nil {
		return 0, err
	}
	defer runtime.Close()
	best := 0.0
	for _, size := range [][2]int{{384, 1536}, {1024, 1024}, {2048, 2048}} {
		rate, err := productRate(runtime, precision, threads, size[0], size[1])
		if err != nil {
			return 0, err
		}
		best = max(best, rate)
	}
	return best, nil
}

const (
	productRows = 2048
	products    = 8
)

// productRate runs products of [productRows, in] by [in, out] and back in one graph for about
// a second and returns the GFLOP/s of the fastest run. In int8 they are those of bytes by
// themselves: nothing is rounded between them.
func productRate(runtime *onnx.Runtime, precision bert.Precision, threads, in, out int) (float64, error) {
	b := onnxpb.NewBuilder("peak", 17)
	inputs := map[string]onnx.Tensor{}
	input := func(name string, cols int) string {
		typ, data := onnxpb.Float32, any(make([]float32, productRows*cols))
		if precision == bert.INT8 {
			typ, data = onnxpb.Uint8, make([]uint8, productRows*cols)
		}
		inputs[name] = onnx.Tensor{Shape: []int{productRows, cols}, Data: data}
		return b.Input(name, typ, onnxpb.Dim{Size: productRows}, onnxpb.Dim{Size: cols})
	}
	// Outputs are a row each: a product whose result nobody reads would be left out.
	x := [2]string{input("x", in), input("z", out)}
	for i := range products {
		rows, cols := in, out
		if i%2 == 1 {
			rows, cols = out, in
		}
		name := fmt.Sprint("w", i)
		var y string
		if precision == bert.FP32 {
			y = b.Op("MatMul", []string{x[i%2], b.Floats(name, []int{rows, cols}, make([]float32, rows*cols))})
		} else {
			y = b.Add(onnxpb.Node{Op: "MatMulIntegerToFloat", Domain: onnxpb.Microsoft, Inputs: []string{x[i%2],
				b.Tensor(onnxpb.Tensor{Name: name, Type: onnxpb.Int8, Dims: []int{rows, cols}, Raw: weights(rows * cols)}),
				b.Floats("one", nil, []float32{1}), b.Floats(name+".scale", []int{cols}, make([]float32, cols)),
				b.Tensor(onnxpb.Tensor{Name: "zero", Type: onnxpb.Uint8, Raw: []byte{128}}),
				b.Tensor(onnxpb.Tensor{Name: name + ".zero", Type: onnxpb.Int8, Dims: []int{cols}, Raw: make([]byte, cols)}),
			}}, 1)[0]
		}
		b.Add(onnxpb.Node{Op: "Slice", Inputs: []string{y, b.Int64s(0), b.Int64s(1), b.Int64s(0)}, Outputs: []string{name + ".row"}}, 1)
		b.Output(name+".row", onnxpb.Float32, onnxpb.Dim{Size: 1}, onnxpb.Dim{Size: cols})
	}
	model, err := b.Model()
	if err != nil {
		return 0, err
	}
	graph, err := runtime.NewGraph(onnx.GraphConfig{Model: model, Device: onnx.CPU, Threads: threads})
	if err != nil {
		return 0, err
	}
	defer graph.Close()
	fastest := time.Duration(1 << 62)
	for begin := time.Now(); time.Since(begin) < time.Second; {
		start := time.Now()
		if _, err := graph.Run(inputs, nil); err != nil {
			return 0, err
		}
		fastest = min(fastest, time.Since(start))
	}
	return products * 2 * productRows * float64(in) * float64(out) / fastest.Seconds() / 1e9, nil
}

// weights are bytes over the whole range: ONNX Runtime goes by their sizes where a kernel saturates.
func weights(n int) []byte {
	raw := make([]byte, n)
	for i := range raw {
		raw[i] = byte(i*37%255 - 127)
	}
	return raw
}
