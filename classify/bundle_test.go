package classify

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/internal/testenv"
)

func TestLabelsAreToldApartByName(t *testing.T) {
	for name, c := range map[string]struct {
		labels []string
		task   string
		want   []string // nil: refused
	}{
		"FinBERT's order":    {[]string{"positive", "negative", "neutral"}, taskSentiment, []string{"positive", "negative", "neutral"}},
		"capitals":           {[]string{"Neutral", "POSITIVE", "Negative"}, taskSentiment, []string{"neutral", "positive", "negative"}},
		"numbers":            {[]string{"LABEL_0", "LABEL_1", "LABEL_2"}, taskSentiment, nil},
		"numbers of a topic": {[]string{"LABEL_0", "LABEL_1"}, taskTopic, nil},
		"other words":        {[]string{"bullish", "bearish", "neutral"}, taskSentiment, nil},
		"two of three":       {[]string{"negative", "positive"}, taskSentiment, nil},
		"one twice":          {[]string{"negative", "Negative", "positive"}, taskSentiment, nil},
		"topics stay":        {[]string{"Macro", "IPO | M&A"}, taskTopic, []string{"Macro", "IPO | M&A"}},
		"a control":          {[]string{"a\x1fb", "c"}, taskTopic, nil},
	} {
		given := slices.Clone(c.labels)
		heads, err := namedHeads([]bert.Head{{Task: c.task, Labels: c.labels, Temperature: 1}})
		switch {
		case c.want == nil && !errors.Is(err, ErrBundle):
			t.Errorf("%s: got %v, want ErrBundle", name, err)
		case c.want != nil && (err != nil || !slices.Equal(heads[0].Labels, c.want)):
			t.Errorf("%s: got %v, %v, want %v", name, heads, err, c.want)
		}
		if !slices.Equal(given, c.labels) {
			t.Errorf("%s: the caller's labels were changed to %v", name, c.labels)
		}
	}
}

func TestDigestCoversWhatClassifies(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "config.json", "{}")
	write(t, dir, "adapter_model.safetensors", "weights")
	before, err := Digest(dir)
	if err != nil || len(before) != 64 {
		t.Fatal(before, err)
	}
	write(t, dir, "README.md", "a card")
	if err := os.MkdirAll(filepath.Join(dir, ".compiled"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, dir, ".compiled/x.onnx", "a graph")
	if got, _ := Digest(dir); got != before {
		t.Error("the card or a compiled file changed the digest")
	}
	seen := map[string]string{before: "at first"}
	for _, name := range []string{"config.json", "adapter_model.safetensors", "adapter_config.json", "heads.safetensors", "tokenizer.json", "vocab.txt", "model.onnx"} {
		write(t, dir, name, "other")
		got, err := Digest(dir)
		if err != nil || seen[got] != "" {
			t.Errorf("after %s the digest is that of %s (%v)", name, seen[got], err)
		}
		seen[got] = name
	}
	// Contents cannot move from one file to another unseen.
	write(t, dir, "config.json", "weights")
	write(t, dir, "tokenizer.json", "{}")
	if got, _ := Digest(dir); seen[got] != "" {
		t.Error("files are not told apart")
	}
}

func TestFoldersThatAreNoBundle(t *testing.T) {
	labels := `"id2label":{"0":"negative","1":"neutral","2":"positive"}`
	for name, files := range map[string]map[string]string{
		"empty":            {},
		"no weights":       {"config.json": `{` + labels + `}`},
		"broken config":    {"config.json": `{`, "model.onnx": "x"},
		"labels missing":   {"config.json": `{"id2label":{"0":"negative","2":"positive"}}`, "model.onnx": "x"},
		"nothing named":    {"config.json": `{}`, "model.onnx": "x"},
		"several heads":    {"config.json": `{"barograph":{"heads":[{"task":"sentiment","labels":["negative","neutral","positive"]},{"task":"topic","labels":["a"]}]}}`, "model.onnx": "x"},
		"no such base":     {"config.json": `{` + labels + `}`, "adapter_model.safetensors": "x", "adapter_config.json": `{"base_model_name_or_path":"hub/none"}`},
		"another model":    {"config.json": `{"model_type":"t5",` + labels + `}`, "model.safetensors": "x"},
		"absurd positions": {"config.json": `{"max_position_embeddings":-1,` + labels + `}`, "model.onnx": "x"},
	} {
		dir := t.TempDir()
		for file, text := range files {
			write(t, dir, file, text)
		}
		_, err := OpenBundle(dir, []string{filepath.Join(testenv.Deps(t), "bases")})
		if err == nil || !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: the error does not name the folder: %v", name, err)
		}
	}
}

func TestAUsersOwnExport(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "config.json", `{"model_type":"roberta","max_position_embeddings":514,"id2label":{"0":"Positive","1":"Negative","2":"Neutral"}}`)
	write(t, dir, "model.onnx", "x")
	b, err := OpenBundle(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if b.Name != filepath.Base(dir) || b.MaxTokens != 512 || b.export == "" ||
		!slices.Equal(b.Heads[0].Labels, []string{"positive", "negative", "neutral"}) || b.Heads[0].Task != taskSentiment {
		t.Errorf("got %+v", b)
	}
}

func TestOnlyTheCurrentCompiledFilesStay(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"aaaa-1-int8.onnx", "aaaa-1-fp32.onnx", "bbbb-1-int8.onnx", "notes.txt", partial + "1"} {
		write(t, dir, name, name)
	}
	if err := writeWhole(dir, "bbbb-2-int8.onnx", []byte("graph")); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "bbbb-2-fp32.onnx", "another precision")
	removeOld(dir, "bbbb-2-int8.onnx")
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	// What is half written may be another process's work of this minute.
	if want := []string{"bbbb-2-fp32.onnx", "bbbb-2-int8.onnx", "notes.txt", partial + "1"}; !slices.Equal(got, want) {
		t.Errorf("left are %v, want %v", got, want)
	}
	file := filepath.Join(dir, "notes.txt", "below")
	if err := writeWhole(file, "x.onnx", nil); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("writing below a file: %v", err)
	}
}

// A bundle whose int8 or fp16 costs too much says so for each device; what is asked for goes first.
func TestABundleChoosesItsPrecisionByDevice(t *testing.T) {
	b := &Bundle{precision: map[onnx.Device]bert.Precision{onnx.CPU: "", onnx.CUDA: bert.FP32}}
	for _, c := range []struct {
		device      onnx.Device
		asked, want bert.Precision
	}{{onnx.CPU, "", bert.INT8}, {onnx.CUDA, "", bert.FP32}, {onnx.CUDA, bert.FP16, bert.FP16}} {
		if got := b.runsIn(c.device, c.asked); got != c.want {
			t.Errorf("on %v, asked for %q: %q, want %q", c.device, c.asked, got, c.want)
		}
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("bert", "testdata", "tiny", "brain-cls"))); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err == nil {
		_ = os.Remove(path)
		err = os.WriteFile(path, []byte(strings.Replace(string(text), `"version": "1"`, `"version": "1", "precision_cuda": "fp32"`, 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if b, err = OpenBundle(dir, nil); err != nil || b.runsIn(onnx.CUDA, "") != bert.FP32 || b.runsIn(onnx.CPU, "") != bert.INT8 {
		t.Errorf("precision_cuda is fp32: %+v, %v", b, err)
	}
}
