package kernels_test

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/kernels"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
	"github.com/barograph/barograph/internal/testenv/runtimetest"
)

// levels runs a test with the functions for each instruction set that this processor has.
func levels(t *testing.T, test func(t *testing.T, r *onnx.Runtime)) {
	r := runtimetest.Open(t)
	best := kernels.Use(3)
	defer kernels.Use(best)
	for level := range best + 1 {
		t.Run(fmt.Sprint("level ", level), func(t *testing.T) {
			if got := kernels.Use(level); got != level {
				t.Fatalf("level %d where %d was asked for", got, level)
			}
			test(t, r)
		})
	}
}

// node is a graph of one operator. An input whose data is an onnxpb.Tensor is a constant.
func node(t *testing.T, r *onnx.Runtime, threads int, op string, inputs []string, in map[string]onnx.Tensor, outputs []string, attrs ...onnxpb.Attr) (map[string]onnx.Tensor, error) {
	t.Helper()
	b := onnxpb.NewBuilder("node", 17)
	run := maps.Clone(in)
	for name, x := range in {
		if constant, ok := x.Data.(onnxpb.Tensor); ok {
			constant.Name, constant.Dims = name, x.Shape
			b.Tensor(constant)
			delete(run, name)
			continue
		}
		dims := make([]onnxpb.Dim, len(x.Shape))
		for i := range dims {
			dims[i].Name = fmt.Sprint(name, i)
		}
		kind := onnxpb.Float32
		switch x.Data.(type) {
		case []int64:
			kind = onnxpb.Int64
		case []uint8:
			kind = onnxpb.Uint8
		}
		b.Input(name, kind, dims...)
	}
	b.Add(onnxpb.Node{Op: op, Domain: kernels.Domain, Inputs: inputs, Outputs: outputs, Attrs: attrs}, len(outputs))
	for i, name := range outputs {
		kind := onnxpb.Float32
		if name == "bytes" {
			kind = onnxpb.Uint8
		}
		b.Output(name, kind, onnxpb.Dim{Name: fmt.Sprint("out", i)})
	}
	model, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	g, err := r.NewGraph(onnx.GraphConfig{Model: model, Device: onnx.CPU, Threads: threads})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	return g.Run(run, nil)
}

func random(r *rand.Rand, size float64, shape ...int) onnx.Tensor {
	n := 1
	for _, d := range shape {
		n *= d
	}
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(size * r.NormFloat64())
	}
	return onnx.Tensor{Shape: shape, Data: data}
}

// positive is random numbers over 0.
func positive(r *rand.Rand, shape ...int) onnx.Tensor {
	x := random(r, .5, shape...)
	for i, v := range x.Data.([]float32) {
		x.Data.([]float32)[i] = float32(math.Exp(float64(v)))
	}
	return x
}

func floats(x onnx.Tensor) []float32 { return x.Data.([]float32) }

// same fails unless bytes and scale stand for the rows of want, to half a step.
func same(t *testing.T, out map[string]onnx.Tensor, want [][]float64, zero int, range_ []float32, tolerance float64) {
	t.Helper()
	width := len(want[0])
	bytes, scales := out["bytes"].Data.([]uint8), floats(out["scale"])
	if len(bytes) != len(want)*width || len(scales) != len(want) {
		t.Fatalf("%d bytes and %d scales for %d rows of %d", len(bytes), len(scales), len(want), width)
	}
	for i, row := range want {
		largest := 0.0
		for j, v := range row {
			if range_ != nil {
				v /= float64(range_[j])
			}
			largest = max(largest, math.Abs(v))
			scale := float64(scales[i])
			got := scale * float64(int(bytes[i*width+j])-zero)
			if !(math.Abs(got-v) <= .5001*scale+tolerance) {
				t.Fatalf("row %d, column %d: %g for %g, with steps of %g", i, j, got, v, scale)
			}
		}
		steps := 127.0
		if zero != kernels.Zero {
			steps, largest = float64(255-zero), max(largest, .1701/float64(zero)*float64(255-zero))
		}
		if scale := float64(scales[i]); !(math.Abs(scale-largest/steps) <= 1e-4*scale+tolerance) {
			t.Fatalf("row %d goes to %g and has steps of %g", i, largest, scale)
		}
	}
}

// epsilon is large enough to be seen.
const epsilon = .1

func TestAddNormQuantize(t *testing.T) {
	levels(t, func(t *testing.T, runtime *onnx.Runtime) {
		r := rand.New(rand.NewPCG(1, 1))
		for _, width := range []int{1, 7, 16, 33, 384, 500} {
			for _, plain := range []bool{false, true} {
				rows := 1 + r.IntN(40)
				in := map[string]onnx.Tensor{"x": random(r, 3, 1, rows, width), "gamma": random(r, 1, width), "beta": random(r, 1, width), "inverse": positive(r, width)}
				for i := range rows / 2 { // the last column decides the scale
					floats(in["x"])[i*width+width-1] = 40
				}
				floats(in["gamma"])[width-1], floats(in["inverse"])[width-1] = 2, 2
				inputs := []string{"x", "factor", "bias", "residual", "gamma", "beta", "inverse"}
				if plain {
					inputs[1], inputs[2], inputs[3] = "", "", ""
				} else {
					in["factor"], in["bias"], in["residual"] = positive(r, 1, rows, 1), random(r, 1, width), random(r, 2, 1, rows, width)
				}
				out, err := node(t, runtime, 2, "AddNormQuantize", inputs, in, []string{"y", "bytes", "scale"}, onnxpb.Float("epsilon", epsilon))
				if err != nil {
					t.Fatal(err)
				}
				want := make([][]float64, rows)
				for i := range want {
					want[i] = make([]float64, width)
					mean, variance := 0.0, 0.0
					for j := range width {
						v := float64(floats(in["x"])[i*width+j])
						if !plain {
							v = v*float64(floats(in["factor"])[i]) + float64(floats(in["bias"])[j]) + float64(floats(in["residual"])[i*width+j])
						}
						want[i][j] = v
						mean += v / float64(width)
					}
					for _, v := range want[i] {
						variance += (v - mean) * (v - mean) / float64(width)
					}
					for j, v := range want[i] {
						want[i][j] = (v-mean)/math.Sqrt(variance+epsilon)*float64(floats(in["gamma"])[j]) + float64(floats(in["beta"])[j])
						if got := float64(floats(out["y"])[i*width+j]); width > 1 && math.Abs(got-want[i][j]) > 1e-4 {
							t.Fatalf("width %d, row %d, column %d: %g, want %g", width, i, j, got, want[i][j])
						}
					}
				}
				if width == 1 {
					continue // a number less itself is noise
				}
				spread := make([]float32, width)
				for j, v := range floats(in["inverse"]) {
					spread[j] = 1 / v
				}
				same(t, out, want, kernels.Zero, spread, 1e-4)
			}
		}
	})
}

func TestGeluQuantize(t *testing.T) {
	levels(t, func(t *testing.T, runtime *onnx.Runtime) {
		r := rand.New(rand.NewPCG(1, 2))
		for _, width := range []int{1, 16, 45, 1536} {
			for _, size := range []float64{.01, 1, 4, 300} { // small rows, and those far beyond where GELU bends
				rows := 1 + r.IntN(40)
				in := map[string]onnx.Tensor{"x": random(r, size, rows, width), "factor": positive(r, rows, 1), "bias": random(r, size, width)}
				out, err := node(t, runtime, 2, "GeluQuantize", []string{"x", "factor", "bias"}, in, []string{"bytes", "scale"})
				if err != nil {
					t.Fatal(err)
				}
				want := make([][]float64, rows)
				for i := range want {
					for j := range width {
						v := float64(floats(in["x"])[i*width+j])*float64(floats(in["factor"])[i]) + float64(floats(in["bias"])[j])
						want[i] = append(want[i], v*(1+math.Erf(v/math.Sqrt2))/2)
					}
				}
				for i := range want { // what is largest decides the scale: -0.17 does not
					for j, v := range want[i] {
						want[i][j] = max(v, -.17)
					}
				}
				same(t, out, want, kernels.GeluZero, nil, 1.5e-4+1e-6*size)
			}
		}
	})
}

// attention is scaled dot-product attention of rows that hold query, key and value.
func attention(q, k, v [][]float64, keep []bool, heads int) [][]float64 {
	width := len(v[0])
	size := width / heads
	out := make([][]float64, len(q))
	for i := range q {
		out[i] = make([]float64, width)
		for h := range heads {
			weights, sum := make([]float64, len(k)), 0.0
			for j := range k {
				if !keep[j] {
					continue
				}
				score := 0.0
				for c := h * size; c < (h+1)*size; c++ {
					score += q[i][c] * k[j][c]
				}
				weights[j] = math.Exp(score / math.Sqrt(float64(size)))
				sum += weights[j]
			}
			for j := range k {
				for c := h * size; c < (h+1)*size; c++ {
					out[i][c] += weights[j] / sum * v[j][c]
				}
			}
		}
	}
	return out
}

func TestAttentionQuantize(t *testing.T) {
	levels(t, func(t *testing.T, runtime *onnx.Runtime) {
		r := rand.New(rand.NewPCG(1, 3))
		for _, c := range []struct {
			heads, size, texts, keys int
			first                    bool // one query a text, apart from keys and values
		}{
			{1, 1, 1, 1, false}, {12, 32, 3, 20, false}, {12, 32, 3, 20, true}, {2, 64, 2, 50, false}, {3, 5, 4, 17, false},
			{2, 40, 2, 33, true}, {4, 16, 1, 130, false}, {1, 100, 2, 9, false},
		} {
			width := c.heads * c.size
			in := map[string]onnx.Tensor{"bias": random(r, .3, 3*width)}
			mask := make([]int64, c.texts*c.keys)
			for i := range mask {
				mask[i] = int64(r.IntN(4)+1) / 2 & 1 // half of them, with holes
			}
			for j := range c.keys {
				mask[j] = 0 // the first text has no key to attend to, and so attends to all
			}
			in["mask"] = onnx.Tensor{Shape: []int{c.texts, c.keys}, Data: mask}
			floats(in["bias"])[3*width-1] = 30 // the last column decides the scale
			queries, q := c.keys, "kv"
			in["kv"], in["kv_scale"] = random(r, 3, c.texts, c.keys, 3*width), positive(r, c.texts, c.keys, 1)
			if c.first {
				queries, q = 1, "q"
				in["q"], in["q_scale"] = random(r, 1, c.texts, 1, width), positive(r, c.texts, 1, 1)
				in["kv"] = random(r, 1, c.texts, c.keys, 2*width)
			}
			out, err := attend(t, runtime, q, in, c.heads)
			if err != nil {
				t.Fatal(err)
			}
			part := func(name string, text, rows, at int, bias int) [][]float64 {
				x, scale := floats(in[name]), floats(in[name+"_scale"])
				stride := in[name].Shape[2]
				out := make([][]float64, rows)
				for i := range out {
					row := text*rows + i
					for j := range width {
						out[i] = append(out[i], float64(x[row*stride+at+j])*float64(scale[row])+float64(floats(in["bias"])[bias*width+j]))
					}
				}
				return out
			}
			var want [][]float64
			for text := range c.texts {
				from := in["kv"].Shape[2] - 2*width
				keep, any := make([]bool, c.keys), false
				for j := range keep {
					keep[j] = mask[text*c.keys+j] != 0
					any = any || keep[j]
				}
				for j := range keep {
					keep[j] = keep[j] || !any
				}
				want = append(want, attention(part(q, text, queries, 0, 0), part("kv", text, c.keys, from, 1),
					part("kv", text, c.keys, from+width, 2), keep, c.heads)...)
			}
			same(t, out, want, kernels.Zero, nil, 1e-5)
		}
	})
}

func attend(t *testing.T, r *onnx.Runtime, q string, in map[string]onnx.Tensor, heads int) (map[string]onnx.Tensor, error) {
	return node(t, r, 2, "AttentionQuantize", []string{q, q + "_scale", "kv", "kv_scale", "bias", "mask"}, in, []string{"bytes", "scale"}, onnxpb.Int("num_heads", heads))
}

// A compiled model may be spoilt: shapes that do not fit are an error and nothing is read
// beyond them.
func TestShapesThatDoNotFitAreRefused(t *testing.T) {
	runtime, r := runtimetest.Open(t), rand.New(rand.NewPCG(1, 4))
	for _, op := range []struct {
		name            string
		inputs, outputs []string
		attr            onnxpb.Attr
		fit             map[string][]int
		wrong           map[string][]int // one of them at a time
	}{
		{"AddNormQuantize", []string{"x", "scale_", "bias", "residual", "gamma", "beta", "inverse"}, []string{"y", "bytes", "scale"}, onnxpb.Float("epsilon", 1e-12),
			map[string][]int{"x": {2, 8}, "scale_": {2, 1}, "bias": {8}, "residual": {2, 8}, "gamma": {8}, "beta": {8}, "inverse": {8}},
			map[string][]int{"x": {1, 1, 1, 2, 8}, "scale_": {1, 1}, "bias": {7}, "residual": {1, 8}, "gamma": {7}, "beta": {7}, "inverse": {7}}},
		{"GeluQuantize", []string{"x", "scale_", "bias"}, []string{"bytes", "scale"}, onnxpb.Attr{},
			map[string][]int{"x": {2, 8}, "scale_": {2, 1}, "bias": {8}}, map[string][]int{"scale_": {1, 1}, "bias": {7}}},
		{"AttentionQuantize", []string{"q", "q_scale", "kv", "kv_scale", "bias", "mask"}, []string{"bytes", "scale"}, onnxpb.Int("num_heads", 2),
			map[string][]int{"q": {1, 4, 8}, "q_scale": {1, 4, 1}, "kv": {1, 4, 16}, "kv_scale": {1, 4, 1}, "bias": {24}, "mask": {1, 4}},
			map[string][]int{"q": {1, 4, 7}, "q_scale": {1, 3, 1}, "kv": {1, 4, 15}, "kv_scale": {1, 3, 1}, "bias": {21}, "mask": {1, 3}}},
		{"ProductOfBytes", []string{"rows", "w", "offset", "w_scale"}, []string{"y"}, onnxpb.Attr{},
			map[string][]int{"rows": {2, 8}, "w": {512}, "offset": {3}, "w_scale": {3}},
			map[string][]int{"rows": {2, 6}, "w": {511}, "offset": {2}, "w_scale": {2}}},
		{"ProductGeluQuantize", []string{"rows", "scale_", "bias", "w", "offset", "w_scale"}, []string{"bytes", "scale"}, onnxpb.Attr{},
			map[string][]int{"rows": {2, 8}, "scale_": {2, 1}, "bias": {3}, "w": {512}, "offset": {3}, "w_scale": {3}},
			map[string][]int{"rows": {2, 4}, "scale_": {1, 1}, "bias": {2}, "w": {256}, "offset": {2}, "w_scale": {2}}},
		{"ProductAddNormQuantize", []string{"rows", "scale_", "bias", "residual", "gamma", "beta", "inverse", "w", "offset", "w_scale"}, []string{"y", "bytes", "scale"},
			onnxpb.Float("epsilon", 1e-12),
			map[string][]int{"rows": {2, 8}, "scale_": {2, 1}, "bias": {3}, "residual": {2, 3}, "gamma": {3}, "beta": {3}, "inverse": {3}, "w": {512}, "offset": {3}, "w_scale": {3}},
			map[string][]int{"rows": {2, 0}, "scale_": {1, 1}, "bias": {2}, "residual": {1, 3}, "gamma": {2}, "beta": {2}, "inverse": {2}, "w": {0}, "offset": {2}, "w_scale": {2}}},
	} {
		for what, shape := range op.wrong {
			in := map[string]onnx.Tensor{}
			for name, fit := range op.fit {
				if name == what {
					fit = shape
				}
				in[name] = random(r, 1, fit...)
				count := len(floats(in[name]))
				switch name {
				case "mask":
					in[name] = onnx.Tensor{Shape: fit, Data: make([]int64, count)}
				case "rows":
					in[name] = onnx.Tensor{Shape: fit, Data: make([]uint8, count)}
				case "w":
					in[name] = onnx.Tensor{Shape: fit, Data: onnxpb.Tensor{Type: onnxpb.Int8, Raw: make([]byte, count)}}
				case "offset":
					in[name] = onnx.Tensor{Shape: fit, Data: onnxpb.Tensor{Type: onnxpb.Int32, Raw: make([]byte, 4*count)}}
				}
			}
			var attrs []onnxpb.Attr
			if op.attr.Name != "" {
				attrs = append(attrs, op.attr)
			}
			if _, err := node(t, runtime, 1, op.name, op.inputs, in, op.outputs, attrs...); err == nil || !strings.Contains(err.Error(), "do not fit") && !strings.Contains(err.Error(), "more than 4") {
				t.Errorf("%s, %s of %v: error %v, want that it does not fit", op.name, what, shape, err)
			}
		}
	}
	in := map[string]onnx.Tensor{"x": random(r, 1, 3, 0), "scale_": random(r, 1, 3, 0), "bias": random(r, 1, 0)}
	if _, err := node(t, runtime, 1, "GeluQuantize", []string{"x", "scale_", "bias"}, in, []string{"bytes", "scale"}); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Errorf("rows of nothing: error %v, want that they do not fit", err)
	}
}

func TestOpenWantsALoadedLibrary(t *testing.T) {
	if _, err := kernels.Open("/nowhere/libonnxruntime.so"); err == nil || !strings.Contains(err.Error(), "not loaded") {
		t.Errorf("error %v, want that it is not loaded", err)
	}
}
