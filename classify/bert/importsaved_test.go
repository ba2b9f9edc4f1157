package bert

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert/tensorflow"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
	"github.com/barograph/barograph/classify/wordpiece"
	"github.com/barograph/barograph/internal/testenv"
)

// savedText is a text of testdata/saved.json: what TensorFlow itself made of it, running
// testdata/saved.
type savedText struct {
	IDs    []int64   `json:"ids"`
	Types  []int64   `json:"types"`
	Hidden []float32 `json:"hidden"` // [seq, 16]
	Pooled []float32 `json:"pooled"`
}

func savedTexts(t testing.TB) (texts []savedText) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "saved.json"))
	if err == nil {
		err = json.Unmarshal(raw, &texts)
	}
	if err != nil || len(texts) == 0 {
		t.Fatalf("%d texts, %v", len(texts), err)
	}
	return texts
}

// savedFiles is testdata/saved, by name.
func savedFiles(t testing.TB) map[string]string {
	return filesOf(t, filepath.Join("testdata", "saved"))
}

func importFiles(t testing.TB, files map[string]string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	archive, out := filepath.Join(dir, "model.jar"), filepath.Join(dir, "bases", "model")
	if err := os.WriteFile(archive, zipped(t, files), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := Import(archive, out, ImportOptions{})
	return out, err
}

func TestSavedModelEqualsTensorFlow(t *testing.T) {
	out, err := importFiles(t, savedFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(out, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := Config{Architectures: []string{"BertModel"}, ModelType: "bert", HiddenSize: 16, Layers: 2, AttentionHeads: 4, IntermediateSize: 24,
		HiddenAct: "gelu_new", LayerNormEps: 1e-12, VocabSize: 19, MaxPositions: 12, TypeVocabSize: 2}
	if !reflect.DeepEqual(c.Config, want) {
		t.Errorf("config %+v, want %+v", c.Config, want)
	}
	g := c.newGraph(FP32)
	g.b.Add(onnxpb.Node{Op: "Identity", Inputs: []string{g.encode(false)}, Outputs: []string{"hidden"}}, 1)
	g.b.Output("hidden", onnxpb.Float32, onnxpb.Dim{Name: "batch"}, onnxpb.Dim{Name: "seq"}, onnxpb.Dim{Size: 16})
	model, err := g.model()
	if err != nil {
		t.Fatal(err)
	}
	session := ortSession(t, onnx.SessionConfig{Model: model})
	for i, x := range savedTexts(t) {
		batch := batchOf([]tokenised{{IDs: x.IDs}}, 0)
		batch.Types = x.Types
		got, err := session.Run(batch)
		if err != nil {
			t.Fatal(err)
		}
		if d := largestDifference(got[0].Data, x.Hidden); !(d < 1e-5) {
			t.Errorf("text %d differs from TensorFlow's by %g", i, d)
		}
	}
}

// transformers opens an import with no weight missing or left over, computes what
// TensorFlow did, and cuts text as we do.
func TestSavedModelInTransformers(t *testing.T) {
	python := testenv.Python(t)
	out, err := importFiles(t, savedFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	want := savedTexts(t)
	texts := []string{"Nokia falls.", "nokia FALLS", "Zürich zürich", "Banks bank 跌停 [SEP]"}
	asked, err := json.Marshal(map[string]any{"batch": want, "texts": texts})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Hidden, Pooled [][]float32
		IDs            [][]int32
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("testdata", "imported.py"), out)
	var log bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(asked), &log
	said, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(said, &got)
	}
	if err != nil || len(got.Hidden) != len(want) || len(got.IDs) != len(texts) {
		t.Fatalf("%v\n%s", err, log.String())
	}
	for i, x := range want {
		if d := max(largestDifference(got.Hidden[i], x.Hidden), largestDifference(got.Pooled[i], x.Pooled)); !(d < 1e-5) {
			t.Errorf("text %d differs from TensorFlow's by %g", i, d)
		}
	}
	tokenizer := importedTokenizer(t, out)
	for i, text := range texts {
		if ids := tokenizer.Encode(nil, text); !slices.Equal(ids, got.IDs[i]) {
			t.Errorf("%q: %v, transformers makes it %v", text, ids, got.IDs[i])
		}
	}
}

func importedTokenizer(t testing.TB, folder string) *wordpiece.Tokenizer {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(folder, "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	tokenizer, err := wordpiece.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return tokenizer
}

// A model reads capitals as its settings say, or else as its vocabulary shows.
func TestSavedModelReadsCapitalsOrNot(t *testing.T) {
	const settings, vocabulary = "assets/model.json", "assets/vocab.txt"
	const small = "[PAD]\n[unused1]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nxx\nnokia\nx1\nx2\nx3\nx4\nx5\nx6\nx7\nx8\nx9\nxa\nxb\n"
	for name, x := range map[string]struct {
		edit func(files map[string]string)
		want int32 // of "Nokia"
	}{
		"settings say no":      {func(map[string]string) {}, 6},
		"settings say yes":     {func(f map[string]string) { f[settings] = `{"doLowerCase":true}` }, 7},
		"capitals":             {func(f map[string]string) { delete(f, settings) }, 6},
		"no capitals":          {func(f map[string]string) { delete(f, settings); f[vocabulary] = small }, 7},
		"settings say nothing": {func(f map[string]string) { f[settings], f[vocabulary] = `{}`, small }, 7},
	} {
		t.Run(name, func(t *testing.T) {
			files := savedFiles(t)
			x.edit(files)
			out, err := importFiles(t, files)
			if err != nil {
				t.Fatal(err)
			}
			if ids := importedTokenizer(t, out).Encode(nil, "Nokia"); !slices.Equal(ids, []int32{x.want}) {
				t.Errorf("got %v, want %d", ids, x.want)
			}
		})
	}
}

func TestSavedModelThatCannotBeImported(t *testing.T) {
	const index, data, vocabulary = "variables/variables.index", "variables/variables.data-00001-of-00002", "assets/vocab.txt"
	without := func(name string) func(map[string]string) { return func(f map[string]string) { delete(f, name) } }
	set := func(name, content string) func(map[string]string) {
		return func(f map[string]string) { f[name] = content }
	}
	for name, x := range map[string]struct {
		edit func(files map[string]string)
		kind error
		says string
	}{
		"no index":          {without(index), ErrArchive, "no TensorFlow SavedModel"},
		"broken index":      {set(index, "x"), tensorflow.ErrMalformed, index},
		"no data":           {without(data), ErrArchive, data},
		"data cut off":      {set(data, "x"), tensorflow.ErrMalformed, "module/bert/"},
		"broken graph":      {set("saved_model.pb", "\xff"), tensorflow.ErrMalformed, "saved_model.pb"},
		"graph of nothing":  {set("saved_model.pb", ""), tensorflow.ErrMalformed, "no graph"},
		"no vocabulary":     {without(vocabulary), ErrArchive, vocabulary},
		"another's":         {set(vocabulary, "a\nb\n"), ErrExport, vocabulary},
		"vocabulary's size": {set(vocabulary, "[UNK]\n[CLS]\n[SEP]\n"+strings.Repeat("x\n", 17)), ErrExport, "20 tokens"},
		"broken settings":   {set("assets/model.json", "{"), ErrExport, "model.json"},
	} {
		t.Run(name, func(t *testing.T) {
			files := savedFiles(t)
			x.edit(files)
			out, err := importFiles(t, files)
			if !errors.Is(err, x.kind) || !strings.Contains(err.Error(), x.says) {
				t.Errorf("got %v, want %v and %q", err, x.kind, x.says)
			}
			left, err := os.ReadDir(filepath.Dir(out))
			if err != nil || len(left) != 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
		})
	}
}
