package bert

import (
	"bytes"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
)

// adapterOf reads a tiny adapter's own tensors by the names that Trained takes.
func adapterOf(t *testing.T, name string) map[string]Tensor {
	t.Helper()
	w, err := openWeights(filepath.Join("testdata", "tiny", name, adapterName))
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	pairs, saved, err := sortAdapter(w)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	for module, p := range pairs {
		keys[canonicalName(module)+".lora_A.weight"], keys[canonicalName(module)+".lora_B.weight"] = p.a, p.b
	}
	for short, key := range saved {
		keys[canonicalName(short)] = key
	}
	out := map[string]Tensor{}
	for short, key := range keys {
		x, err := w.read(key)
		if err != nil {
			t.Fatal(err)
		}
		out[short] = Tensor{x.shape, x.data}
	}
	return out
}

// What is trained in memory says the same as what is opened from a folder: an adapter's
// pairs are merged, modules saved whole replaced. The base stays as it was.
func TestTrainedEqualsOpened(t *testing.T) {
	const name = "lora-list"
	opened := openTiny(t, name)
	base := openTiny(t, filepath.Join("bases", "base"))
	before := map[string][]float32{}
	for n, x := range base.weights.tensors {
		before[n] = slices.Clone(x.data)
	}
	heads := opened.Heads()
	weights := adapterOf(t, name)
	weights[heads[0].Task+".weight"], weights[heads[0].Task+".bias"] = weights["classifier.weight"], weights["classifier.bias"]
	delete(weights, "classifier.weight")
	delete(weights, "classifier.bias")
	model, rest := opened.Tensors()
	for n, x := range rest {
		weights[n] = x
	}
	config, err := readAdapterConfig(filepath.Join("testdata", "tiny", name))
	if err != nil {
		t.Fatal(err)
	}
	base.Config.Barograph = &Bundle{Pooling: opened.Config.Pooling()}
	trained, err := base.Trained(heads, weights, config.Alpha/float64(config.Rank))
	if err != nil {
		t.Fatal(err)
	}
	got, _ := trained.Tensors()
	for n, want := range model {
		if !slices.Equal(got[n].Data, want.Data) {
			t.Errorf("%s differs", n)
		}
	}
	for n, x := range base.weights.tensors {
		if !slices.Equal(x.data, before[n]) {
			t.Errorf("the base's %s changed", n)
		}
	}
	tiny := readTiny(t)
	graph, err := trained.Graph(FP32, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := ortSession(t, onnx.SessionConfig{Model: graph}).Run(tiny.batch(tiny.Checkpoints[name].OneType))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range out {
		if d := largestDifference(l.Data, tiny.Checkpoints[name].Logits[l.Name]); !(d < 1e-4) {
			t.Errorf("%s differs from the reference by %g", l.Name, d)
		}
	}
}

func TestTrainedRefusesWhatDoesNotFit(t *testing.T) {
	base := openTiny(t, filepath.Join("bases", "base"))
	zeros := func(shape ...int) Tensor {
		n := 1
		for _, d := range shape {
			n *= d
		}
		return Tensor{shape, make([]float32, n)}
	}
	const query = "encoder.layer.0.attention.self.query"
	head := []Head{{Task: "topic", Labels: []string{"a", "b"}}}
	for name, x := range map[string]struct {
		heads []Head
		edit  func(w map[string]Tensor)
	}{
		"no labels":    {[]Head{{Task: "topic"}}, func(map[string]Tensor) {}},
		"head missing": {head, func(w map[string]Tensor) { delete(w, "topic.bias") }},
		"head's shape": {head, func(w map[string]Tensor) { w["topic.weight"] = zeros(3, 16) }},
		"pair's shape": {head, func(w map[string]Tensor) {
			w[query+".lora_A.weight"], w[query+".lora_B.weight"] = zeros(2, 15), zeros(16, 2)
		}},
		"no B":          {head, func(w map[string]Tensor) { w[query+".lora_A.weight"] = zeros(2, 16) }},
		"no A":          {head, func(w map[string]Tensor) { w[query+".lora_B.weight"] = zeros(16, 2) }},
		"shape":         {head, func(w map[string]Tensor) { w[query+".weight"] = zeros(16, 17) }},
		"pooler absent": {head, func(w map[string]Tensor) { delete(w, "pooler.dense.weight") }},
	} {
		t.Run(name, func(t *testing.T) {
			w := map[string]Tensor{"topic.weight": zeros(2, 16), "topic.bias": zeros(2),
				"pooler.dense.weight": zeros(16, 16), "pooler.dense.bias": zeros(16)}
			x.edit(w)
			if _, err := base.Trained(x.heads, w, 1); !errors.Is(err, ErrCheckpoint) && !errors.Is(err, ErrConfig) {
				t.Errorf("got %v, want ErrCheckpoint or ErrConfig", err)
			}
		})
	}
}

// What is written is read back exactly.
func TestWriteSafetensors(t *testing.T) {
	weights := map[string]Tensor{"a": {[]int{2, 2}, []float32{1, -2.5, 0.1, 3e-5}}, "b": {[]int{1}, []float32{7}}}
	var out bytes.Buffer
	if err := WriteSafetensors(&out, weights); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "w.safetensors")
	if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := openWeights(path)
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	for name, want := range weights {
		got, err := w.read(name)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.shape, want.Shape) || !slices.Equal(got.data, want.Data) {
			t.Errorf("%s is %v %v, want %v", name, got.shape, got.data, want)
		}
	}
	for name, v := range map[string]float32{"infinite": float32(math.Inf(1)), "no number": float32(math.NaN())} {
		err := WriteSafetensors(&bytes.Buffer{}, map[string]Tensor{"x": {[]int{1}, []float32{v}}})
		if !errors.Is(err, ErrCheckpoint) {
			t.Errorf("%s: got %v, want ErrCheckpoint", name, err)
		}
	}
}
