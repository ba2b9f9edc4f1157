package bert

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
	"github.com/barograph/barograph/internal/digest"
	"github.com/barograph/barograph/internal/testenv"
)

// The bases' digests stand in the adapters that were trained on them: an import must
// give the same bytes on every machine, for ever.
func TestImportGivesTheBasesDigests(t *testing.T) {
	for name, want := range map[string]string{
		"bge-small-en-v1.5": "7729f2cb94ad5e3d954f8c1f9a84f1c995b33bc843a353de5cc6a77caea7544d",
		"bge-small-zh-v1.5": "112e021fbe68aa8f62e9a7a0d54342b5f15f33668cbb4873a5aa26969cd8edfe",
		"all-minilm-l6-v2":  "1377e9af0ca0b016a9f2aa584d6fc71ab3ea6804fae21ef9fb1416e2944057ac",
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "bases", name)
			if _, err := Import(testenv.BaseArchive(t, name), out, ImportOptions{}); err != nil {
				t.Fatal(err)
			}
			got, err := digest.File(filepath.Join(out, "model.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			if got != want {
				t.Errorf("model.safetensors is %s, want %s", got, want)
			}
		})
	}
}

// exported writes a checkpoint's weights into a graph as exporters leave them: linear
// weights transposed and nameless, one of them behind a Transpose, pooler and classifier
// in Gemm, the shape of the heads a constant. It is no graph that runs: Import reads
// only how the weights hang together.
func exported(t *testing.T, c *Checkpoint) []byte {
	t.Helper()
	b := onnxpb.NewBuilder("export", 17)
	x := b.Input("input_ids", onnxpb.Int64, onnxpb.Dim{Name: "batch"}, onnxpb.Dim{Name: "seq"})
	add := func(name string) string {
		w := c.weights.tensors[name]
		return b.Floats("bert."+name, w.shape, w.data)
	}
	nameless := 0
	product := func(layer string) string {
		if strings.HasSuffix(layer, "key") { // not folded
			return b.Op("MatMul", []string{x, b.Op("Transpose", []string{add(layer + ".weight")}, onnxpb.Ints("perm", 1, 0))})
		}
		nameless++
		w, err := c.weights.tensors[layer+".weight"].transpose()
		if err != nil {
			t.Fatal(err)
		}
		return b.Op("MatMul", []string{x, b.Floats(fmt.Sprint("onnx::MatMul_", nameless), w.shape, w.data)})
	}
	for _, s := range c.Config.encoderShapes() {
		layer, bias := strings.CutSuffix(s.name, ".bias")
		switch {
		case strings.HasPrefix(s.name, "embeddings") || strings.Contains(s.name, "LayerNorm"):
			add(s.name)
		case bias:
			x = b.Op("Add", []string{add(s.name), product(layer)})
		}
	}
	add(typeEmbeddings)
	b.Op("Reshape", []string{x, b.Int64s(0, 0, 4, 4)})
	b.Op("LayerNormalization", []string{x}, onnxpb.Float("epsilon", 1e-12))
	for range c.Config.Layers {
		b.Op("Tanh", []string{x})
	}
	x = b.Op("Tanh", []string{b.Op("Gemm", []string{x, add(poolerName + ".weight"), add(poolerName + ".bias")}, onnxpb.Int("transB", 1))})
	w, h := c.weights.tensors["classifier.weight"], c.weights.tensors["classifier.bias"]
	x = b.Op("Gemm", []string{x, b.Floats("classifier.weight", w.shape, w.data), b.Floats("classifier.bias", h.shape, h.data)}, onnxpb.Int("transB", 1))
	b.Output(x, onnxpb.Float32)
	model, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return model
}

// What goes into an export comes out of its import, weight for weight.
func TestImportFindsEveryWeight(t *testing.T) {
	want := openTiny(t, "hub")
	dir := t.TempDir()
	export, tokenizer, out := filepath.Join(dir, "x.onnx"), filepath.Join(dir, "tokenizer.json"), filepath.Join(dir, "out")
	for path, content := range map[string][]byte{export: exported(t, want), tokenizer: []byte("{}")} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Import(export, out, ImportOptions{Tokenizer: tokenizer}); err != nil {
		t.Fatal(err)
	}
	got, err := Open(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.weights.tensors, want.weights.tensors) {
		for name := range want.weights.tensors {
			if !reflect.DeepEqual(got.weights.tensors[name], want.weights.tensors[name]) {
				t.Errorf("%s differs or is missing", name)
			}
		}
		t.Errorf("%d tensors, want %d", len(got.weights.tensors), len(want.weights.tensors))
	}
	config := want.Config
	config.Architectures = []string{"BertForSequenceClassification"}
	config.HiddenAct, config.Labels = "gelu_new", nil
	if !reflect.DeepEqual(got.Config, config) {
		t.Errorf("config %+v, want %+v", got.Config, config)
	}
}

func TestImportNamesWhatIsMissing(t *testing.T) {
	b := onnxpb.NewBuilder("not a BERT", 17)
	ids := b.Input("input_ids", onnxpb.Int64, onnxpb.Dim{Name: "batch"}, onnxpb.Dim{Name: "seq"})
	table := b.Floats("bert."+wordEmbeddings, []int{3, 4}, make([]float32, 12))
	x := b.Op("Gather", []string{table, ids})
	b.Output(x, onnxpb.Float32)
	model, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	export, tokenizer := filepath.Join(dir, "x.onnx"), filepath.Join(dir, "tokenizer.json")
	for path, content := range map[string][]byte{export: model, tokenizer: []byte("{}")} {
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	_, err = Import(export, filepath.Join(dir, "out"), ImportOptions{Tokenizer: tokenizer})
	if !errors.Is(err, ErrExport) {
		t.Fatalf("got %v, want ErrExport", err)
	}
	for _, name := range []string{"x.onnx", positionEmbeddings, "encoder.layer.0", "AttentionHeads", "GELU", "epsilon"} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("%q does not name %s", err, name)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "out")); err == nil {
		t.Error("a folder was written all the same")
	}
}

// A foreign file gives an error or weights, and never a panic.
func FuzzImport(f *testing.F) {
	b := onnxpb.NewBuilder("seed", 17)
	x := b.Input("input_ids", onnxpb.Int64)
	x = b.Op("Gather", []string{b.Floats(wordEmbeddings, []int{2, 2}, make([]float32, 4)), x})
	x = b.Op("MatMul", []string{x, b.Floats("onnx::MatMul_1", []int{2, 2}, make([]float32, 4))})
	x = b.Op("Add", []string{x, b.Floats("encoder.layer.0.attention.self.query.bias", []int{2}, make([]float32, 2))})
	x = b.Op("Sqrt", []string{b.Op("Add", []string{x, b.Floats("eps", nil, []float32{1e-12})})})
	x = b.Op("Reshape", []string{x, b.Int64s(0, 0, 1, 2)})
	b.Output(x, onnxpb.Float32)
	seed, err := b.Model()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, model []byte) {
		g, err := onnxpb.Parse(model)
		if err != nil {
			return
		}
		weights, err := exportedWeights(g)
		if err != nil {
			return
		}
		if _, err := exportedConfig(g, weights, ImportOptions{}); err == nil {
			t.Log("a whole BERT")
		}
	})
}
