package main

import (
	"fmt"
	"time"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// machinePeak measures what this machine's cores give for matrix products in ONNX Runtime at
// best, in GFLOP/s at a precision, fp32 or int8: no model can be faster.
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
// a second and returns the GFLOP/s of the fastest run.
func productRate(runtime *onnx.Runtime, precision bert.Precision, threads, in, out int) (float64, error) {
	b := onnxpb.NewBuilder("peak", 17)
	x := b.Input("x", onnxpb.Float32, onnxpb.Dim{Size: productRows}, onnxpb.Dim{Size: in})
	for i := range products {
		rows, cols := in, out
		if i%2 == 1 {
			rows, cols = out, in
		}
		name := fmt.Sprint("w", i)
		if precision == bert.FP32 {
			x = b.Op("MatMul", []string{x, b.Floats(name, []int{rows, cols}, make([]float32, rows*cols))})
			continue
		}
		x = b.Add(onnxpb.Node{Op: "DynamicQuantizeMatMul", Domain: onnxpb.Microsoft, Inputs: []string{x,
			b.Tensor(onnxpb.Tensor{Name: name, Type: onnxpb.Int8, Dims: []int{rows, cols}, Raw: make([]byte, rows*cols)}),
			b.Floats(name+".scale", []int{cols}, make([]float32, cols)),
			b.Tensor(onnxpb.Tensor{Name: name + ".zero", Type: onnxpb.Int8, Dims: []int{cols}, Raw: make([]byte, cols)}),
		}}, 1)[0]
	}
	b.Add(onnxpb.Node{Op: "Identity", Inputs: []string{x}, Outputs: []string{"y"}}, 1)
	b.Output("y", onnxpb.Float32, onnxpb.Dim{Size: productRows}, onnxpb.Dim{Size: in})
	model, err := b.Model()
	if err != nil {
		return 0, err
	}
	graph, err := runtime.NewGraph(onnx.GraphConfig{Model: model, Device: onnx.CPU, Threads: threads})
	if err != nil {
		return 0, err
	}
	defer graph.Close()
	data := make([]float32, productRows*in)
	for i := range data {
		data[i] = float32(i%255) - 127
	}
	input := map[string]onnx.Tensor{"x": {Shape: []int{productRows, in}, Data: data}}
	fastest := time.Duration(1 << 62)
	for begin := time.Now(); time.Since(begin) < time.Second; {
		start := time.Now()
		if _, err := graph.Run(input, nil); err != nil {
			return 0, err
		}
		fastest = min(fastest, time.Since(start))
	}
	return products * 2 * productRows * float64(in) * float64(out) / fastest.Seconds() / 1e9, nil
}
