package bert

import (
	"fmt"
	"slices"
	"strings"
)

// canonicalName is a weight's name in transformers' BertModel: without the "bert." that
// BertForSequenceClassification puts before it, and with LayerNorm's TensorFlow names
// (gamma, beta) replaced by today's.
func canonicalName(name string) string {
	name = strings.TrimPrefix(name, "bert.")
	if s, ok := strings.CutSuffix(name, "LayerNorm.gamma"); ok {
		return s + "LayerNorm.weight"
	}
	if s, ok := strings.CutSuffix(name, "LayerNorm.beta"); ok {
		return s + "LayerNorm.bias"
	}
	return name
}

// shapeOf is a weight the encoder needs and the shape it must have.
type shapeOf struct {
	name  string
	shape []int
}

// encoderShapes lists the encoder's weights. A linear layer's weight is [out, in].
func (c Config) encoderShapes() []shapeOf {
	d, f := c.HiddenSize, c.IntermediateSize
	shapes := []shapeOf{
		{wordEmbeddings, []int{c.VocabSize, d}},
		{positionEmbeddings, []int{c.MaxPositions, d}},
		{"embeddings.LayerNorm.weight", []int{d}},
		{"embeddings.LayerNorm.bias", []int{d}},
	}
	for i := range c.Layers {
		layer := layerName(i)
		for _, l := range linears {
			out, in := d, d
			switch l {
			case "intermediate.dense":
				out = f
			case "output.dense":
				in = f
			}
			shapes = append(shapes, shapeOf{layer + l + ".weight", []int{out, in}}, shapeOf{layer + l + ".bias", []int{out}})
		}
		for _, n := range []string{"attention.output.LayerNorm", "output.LayerNorm"} {
			shapes = append(shapes, shapeOf{layer + n + ".weight", []int{d}}, shapeOf{layer + n + ".bias", []int{d}})
		}
	}
	return shapes
}

func (c Config) weightNames() []string {
	var names []string
	for _, s := range c.encoderShapes() {
		names = append(names, s.name)
	}
	return names
}

const (
	wordEmbeddings     = "embeddings.word_embeddings.weight"
	positionEmbeddings = "embeddings.position_embeddings.weight"
	typeEmbeddings     = "embeddings.token_type_embeddings.weight"
	embeddingsNorm     = "embeddings.LayerNorm"
)

// linears are an encoder layer's linear layers.
var linears = []string{"attention.self.query", "attention.self.key", "attention.self.value",
	"attention.output.dense", "intermediate.dense", "output.dense"}

func layerName(i int) string { return fmt.Sprintf("encoder.layer.%d.", i) }

// weightSet is a checkpoint's weights by canonical name, and the file each came from
// for the errors.
type weightSet struct {
	tensors map[string]tensor
	origin  map[string]string
}

// load adds every float tensor of an open file.
func (s *weightSet) load(w *weightsFile) error {
	for _, name := range w.names() {
		short := canonicalName(name)
		if !w.entries[name].isFloat() {
			continue // position_ids and the like
		}
		if s.origin[short] == w.path {
			return fmt.Errorf("%s: %w: tensor %q is there twice, with and without \"bert.\" or under an old name", w.path, ErrCheckpoint, short)
		}
		t, err := w.read(name)
		if err != nil {
			return err
		}
		s.tensors[short], s.origin[short] = t, w.path
	}
	return nil
}

// need checks that a weight is there and has that shape.
func (s *weightSet) need(name string, shape []int, file string) error {
	t, ok := s.tensors[name]
	if !ok {
		return fmt.Errorf("%s: %w: tensor %q is missing", file, ErrCheckpoint, name)
	}
	if !slices.Equal(t.shape, shape) {
		return fmt.Errorf("%s: %w: tensor %q has shape %v where config.json makes it %v", s.origin[name], ErrCheckpoint, name, t.shape, shape)
	}
	return nil
}
