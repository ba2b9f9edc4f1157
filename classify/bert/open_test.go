package bert

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barograph/barograph/internal/digest"
)

// edited copies a tiny checkpoint so that a test can break it.
func edited(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "tiny", name))); err != nil {
		t.Fatal(err)
	}
	return dir
}

func editJSON(t *testing.T, path string, edit func(map[string]any)) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(raw, &m); err != nil {
		t.Fatal(err)
	}
	edit(m)
	if raw, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
}

// editWeights rewrites a safetensors file as F32 with its tensors changed.
func editWeights(t *testing.T, path string, edit func(map[string]tensor)) {
	t.Helper()
	w, err := openWeights(path)
	if err != nil {
		t.Fatal(err)
	}
	tensors := map[string]tensor{}
	for _, name := range w.names() {
		if tensors[name], err = w.read(name); err != nil {
			t.Fatal(err)
		}
	}
	w.close()
	edit(tensors)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := writeSafetensors(f, tensors); err != nil {
		t.Fatal(err)
	}
}

// What is wrong with a checkpoint is said by kind of error, file and name of the thing.
func TestOpenNamesWhatIsWrong(t *testing.T) {
	config := func(edit func(map[string]any)) func(*testing.T, string) {
		return func(t *testing.T, dir string) { editJSON(t, filepath.Join(dir, "config.json"), edit) }
	}
	weights := func(file string, edit func(map[string]tensor)) func(*testing.T, string) {
		return func(t *testing.T, dir string) { editWeights(t, filepath.Join(dir, file), edit) }
	}
	adapter := func(key string, value any) func(*testing.T, string) {
		return func(t *testing.T, dir string) {
			editJSON(t, filepath.Join(dir, "adapter_config.json"), func(m map[string]any) { m[key] = value })
		}
	}
	set := func(key string, value any) func(map[string]any) { return func(m map[string]any) { m[key] = value } }
	base := func(m map[string]any) map[string]any { return m["barograph"].(map[string]any) }
	const query = "encoder.layer.1.attention.self.query.weight"
	for name, x := range map[string]struct {
		from  string
		edit  func(*testing.T, string)
		kind  error
		names []string // must be in the text: whoever reads it must find the place
	}{
		"another family":         {"hub", config(set("model_type", "roberta")), ErrConfig, []string{"config.json", "roberta"}},
		"another activation":     {"hub", config(set("hidden_act", "relu")), ErrConfig, []string{"hidden_act", "relu"}},
		"relative positions":     {"hub", config(set("position_embedding_type", "relative_key")), ErrConfig, []string{"relative_key"}},
		"several labels a text":  {"hub", config(set("problem_type", "multi_label_classification")), ErrConfig, []string{"problem_type"}},
		"no size":                {"hub", config(set("hidden_size", 0)), ErrConfig, []string{"hidden_size"}},
		"heads do not divide":    {"hub", config(set("num_attention_heads", 3)), ErrConfig, []string{"num_attention_heads"}},
		"absurd size":            {"hub", config(set("num_hidden_layers", 1<<40)), ErrConfig, []string{"num_hidden_layers"}},
		"hole in the labels":     {"hub", config(set("id2label", map[string]string{"0": "a", "2": "b"})), ErrConfig, []string{"id2label"}},
		"text for a number":      {"hub", config(set("hidden_size", "16")), ErrConfig, []string{"hidden_size"}},
		"labels and weights":     {"hub", config(set("id2label", map[string]string{"0": "a", "1": "b"})), ErrCheckpoint, []string{"classifier.weight", "[3 16]", "[2 16]"}},
		"more layers than there": {"hub", config(set("num_hidden_layers", 3)), ErrCheckpoint, []string{"encoder.layer.2", "model.safetensors"}},
		"wrong shape": {"half-mean", weights("model.safetensors", func(w map[string]tensor) {
			w[query] = tensor{[]int{8, 16}, w[query].data[:128]}
		}), ErrCheckpoint, []string{query, "[8 16]", "[16 16]", "model.safetensors"}},
		"missing tensor": {"half-mean", weights("model.safetensors", func(w map[string]tensor) { delete(w, query) }),
			ErrCheckpoint, []string{query, "model.safetensors"}},
		"missing second head": {"half-mean", weights("heads.safetensors", func(w map[string]tensor) { delete(w, "topic.bias") }),
			ErrCheckpoint, []string{"topic.bias", "heads.safetensors"}},
		"not a number": {"half-mean", weights("model.safetensors", func(w map[string]tensor) { w[query].data[3] /= 0 * w[query].data[3] }),
			ErrCheckpoint, []string{query}},
		"name twice": {"half-mean", weights("model.safetensors", func(w map[string]tensor) { w["bert."+query] = w[query] }),
			ErrCheckpoint, []string{query}},
		"pooler wanted, none there": {"brain-cls", config(func(m map[string]any) { base(m)["pooling"] = "pooler" }), ErrCheckpoint, []string{"pooler.dense.weight"}},
		"unknown pooling":           {"brain-cls", config(func(m map[string]any) { base(m)["pooling"] = "max" }), ErrConfig, []string{"max"}},
		"negative temperature": {"brain-cls", config(func(m map[string]any) {
			base(m)["heads"].([]any)[0].(map[string]any)["temperature"] = -1
		}), ErrConfig, []string{"temperature"}},
		"int8 on a GPU":    {"brain-cls", config(func(m map[string]any) { base(m)["precision_cuda"] = "int8" }), ErrConfig, []string{"precision_cuda", "int8"}},
		"one file of many": {"hub", func(t *testing.T, dir string) { os.Remove(filepath.Join(dir, "model.safetensors")) }, fs.ErrNotExist, []string{"model.safetensors"}},

		"another method":   {"lora-list", adapter("peft_type", "IA3"), ErrAdapter, []string{"IA3"}},
		"DoRA":             {"lora-list", adapter("use_dora", true), ErrAdapter, []string{"use_dora"}},
		"trained biases":   {"lora-list", adapter("bias", "all"), ErrAdapter, []string{"bias"}},
		"PiSSA":            {"lora-list", adapter("init_lora_weights", "pissa_niter_4"), ErrAdapter, []string{"init_lora_weights"}},
		"only some layers": {"lora-list", adapter("layers_to_transform", []int{1}), ErrAdapter, []string{"layers_to_transform"}},
		"setting to come":  {"lora-list", adapter("use_tomorrow", map[string]int{"a": 1}), ErrAdapter, []string{"use_tomorrow"}},
		"another rank":     {"lora-list", adapter("r", 8), ErrAdapter, []string{"attention.self.query", "rank 8"}},
		"no base":          {"lora-list", adapter("base_model_name_or_path", "somebody/other"), ErrAdapter, []string{"other"}},
		"base elsewhere":   {"lora-list", adapter("base_model_name_or_path", "../.."), ErrAdapter, []string{".."}},
		"bad expression":   {"lora-list", adapter("target_modules", "(query"), ErrAdapter, []string{"target_modules"}},
		"more targets":     {"lora-list", adapter("target_modules", []string{"query", "value", "key"}), ErrAdapter, []string{"attention.self.key"}},
		"fewer targets":    {"lora-list", adapter("target_modules", []string{"query"}), ErrAdapter, []string{"attention.self.value"}},
		"unsaved module":   {"lora-list", adapter("modules_to_save", []string{"pooler"}), ErrAdapter, []string{"classifier"}},
		"another base": {"lora-list", config(func(m map[string]any) {
			base(m)["base"] = map[string]string{"name": "base", "sha256": strings.Repeat("0", 64)}
		}), ErrAdapter, []string{"sha256", "model.safetensors"}},
		"sizes differ from the base's": {"lora-list", config(set("hidden_size", 32)), ErrConfig, []string{"hidden_size"}},
		"half a pair": {"lora-list", weights("adapter_model.safetensors", func(w map[string]tensor) {
			delete(w, "base_model.model.bert.encoder.layer.0.attention.self.query.lora_B.weight")
		}), ErrAdapter, []string{"encoder.layer.0.attention.self.query"}},
		"adapter of embeddings": {"lora-list", weights("adapter_model.safetensors", func(w map[string]tensor) {
			w["base_model.model.bert.embeddings.word_embeddings.lora_embedding_A"] = tensor{[]int{1}, []float32{0}}
		}), ErrAdapter, []string{"lora_embedding_A"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := edited(t, x.from)
			x.edit(t, dir)
			_, err := Open(dir, []string{filepath.Join("testdata", "tiny", "bases")})
			if !errors.Is(err, x.kind) {
				t.Fatalf("got %v, want %v", err, x.kind)
			}
			for _, n := range x.names {
				if !strings.Contains(err.Error(), n) {
					t.Errorf("%q does not name %s", err, n)
				}
			}
		})
	}
}

// The base's digest is honoured where it is right, in either case.
func TestOpenAcceptsTheBaseItWasTrainedOn(t *testing.T) {
	bases := filepath.Join("testdata", "tiny", "bases")
	digest, err := digest.File(filepath.Join(bases, "base", "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	dir := edited(t, "lora-list")
	editJSON(t, filepath.Join(dir, "config.json"), func(m map[string]any) {
		m["barograph"].(map[string]any)["base"] = map[string]string{"name": "base", "sha256": strings.ToUpper(digest)}
	})
	if _, err := Open(dir, []string{t.TempDir(), bases}); err != nil {
		t.Fatal(err)
	}
}

// PEFT itself turns fan_in_fan_out off for linear layers, so an adapter that says it is
// merged like any other.
func TestFanInFanOutChangesNothing(t *testing.T) {
	dir := edited(t, "lora-list")
	editJSON(t, filepath.Join(dir, "adapter_config.json"), func(m map[string]any) { m["fan_in_fan_out"] = true })
	got, err := Open(dir, []string{filepath.Join("testdata", "tiny", "bases")})
	if err != nil {
		t.Fatal(err)
	}
	const query = "encoder.layer.1.attention.self.query.weight"
	if d := largestDifference(got.weights.tensors[query].data, openTiny(t, "lora-list").weights.tensors[query].data); d != 0 {
		t.Errorf("%s differs by %g", query, d)
	}
}

func TestBaseHasNoGraph(t *testing.T) {
	c := openTiny(t, filepath.Join("bases", "base"))
	if _, err := c.Graph(FP32, nil); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("got %v, want ErrCheckpoint", err)
	}
	if len(c.Heads()) != 0 {
		t.Errorf("heads: %v", c.Heads())
	}
}

func TestGraphRefusesUnknownPrecision(t *testing.T) {
	if _, err := openTiny(t, "hub").Graph("int4", nil); err == nil {
		t.Error("int4 was taken")
	}
}

// fp16 cannot hold every float32: saying so beats an infinite logit.
func TestGraphRefusesWhatHalfCannotHold(t *testing.T) {
	c := openTiny(t, "hub")
	c.weights.tensors["pooler.dense.bias"].data[0] = 1e5
	if _, err := c.Graph(FP16, nil); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("got %v, want ErrCheckpoint", err)
	}
}
