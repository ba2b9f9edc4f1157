package bert

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// ErrConfig is wrapped by every error about what a config.json says.
var ErrConfig = errors.New("cannot use this config.json")

// Config is the config.json of a BERT-family checkpoint: what transformers writes, and
// an optional section of Barograph's own, which transformers keeps and ignores.
type Config struct {
	Architectures    []string          `json:"architectures,omitempty"`
	ModelType        string            `json:"model_type,omitempty"` // "bert", or "" which is taken for it
	HiddenSize       int               `json:"hidden_size,omitempty"`
	Layers           int               `json:"num_hidden_layers,omitempty"`
	AttentionHeads   int               `json:"num_attention_heads,omitempty"`
	IntermediateSize int               `json:"intermediate_size,omitempty"`
	HiddenAct        string            `json:"hidden_act,omitempty"` // "gelu" (erf); "gelu_new", "gelu_pytorch_tanh" (tanh)
	LayerNormEps     float64           `json:"layer_norm_eps,omitempty"`
	VocabSize        int               `json:"vocab_size,omitempty"`
	MaxPositions     int               `json:"max_position_embeddings,omitempty"` // longest text, in tokens
	TypeVocabSize    int               `json:"type_vocab_size"`
	PositionKind     string            `json:"position_embedding_type,omitempty"` // "absolute" or ""
	ProblemType      string            `json:"problem_type,omitempty"`            // "single_label_classification" or ""
	Labels           map[string]string `json:"id2label,omitempty"`                // "0": "negative"
	Barograph        *Bundle           `json:"barograph,omitempty"`
}

// Bundle is the section "barograph" of config.json.
type Bundle struct {
	Name      string   `json:"name,omitempty"`
	Version   string   `json:"version,omitempty"`
	Languages []string `json:"languages,omitempty"` // ISO 639-1
	Base      Base     `json:"base,omitzero"`       // what an adapter was trained on
	Pooling   Pooling  `json:"pooling,omitempty"`
	Heads     []Head   `json:"heads,omitempty"` // the first is the checkpoint's classifier.*

	// EntitySegment says that the sentiment is that toward one entity, which the model reads
	// after the text: [CLS] text [SEP] entity [SEP], token types 0 and 1.
	EntitySegment bool `json:"entity_segment,omitempty"`
	// Precision is what the bundle is to run in on the CPU, where int8 costs it too much, and
	// PrecisionCUDA what on CUDA, where fp16 does. "" leaves it to the device.
	Precision     Precision `json:"precision,omitempty"`
	PrecisionCUDA Precision `json:"precision_cuda,omitempty"`
	// TrainedOn names what it was trained on, and the bundle before that it was trained further
	// from, so that it is not measured on the same rows unawares.
	TrainedOn []TrainedOn `json:"trained_on,omitempty"`
}

// TrainedOn is a file whose rows a bundle was trained on, all but those that were held back.
type TrainedOn struct {
	SHA256 string `json:"sha256,omitempty"` // hex, of the file; "" is the corrections topic
	// Split is how rows were held back: "hash" is finetune.InValidation's rule, which holds for
	// the same text in every file, "stratified" another, and "" held none back.
	Split string `json:"split,omitempty"`
	// Seed is the stratified split's: with the same one the same texts are held back, whatever the
	// file, apart from labels with a handful of rows. nil is not known.
	Seed *uint64 `json:"seed,omitempty"`
}

// Base names the checkpoint that an adapter needs.
type Base struct {
	Name   string `json:"name,omitempty"`   // a folder of the bases' folder
	SHA256 string `json:"sha256,omitempty"` // hex, of its model.safetensors; "" is not checked
}

// Pooling says how a text's one vector is made of its tokens'.
type Pooling string

// The poolings. "" is PoolPooler, which is what transformers' classifiers do.
const (
	PoolPooler Pooling = "pooler" // the first token's vector, through pooler.dense and tanh
	PoolCLS    Pooling = "cls"    // the first token's vector
	PoolMean   Pooling = "mean"   // the mean over the tokens that the mask keeps
)

// Head is one classifier on the pooled vector.
type Head struct {
	Task   string   `json:"task"`   // "sentiment" or "topic": the output's name in the graph
	Labels []string `json:"labels"` // in the order of the logits
	// Temperature divides the logits before the softmax (Guo et al. 2017, "On
	// Calibration of Modern Neural Networks"). 0 or absent is 1. The graph does not
	// apply it.
	Temperature float64 `json:"temperature,omitempty"`
}

// ReadConfig reads dir/config.json and checks what it says of tasks and labels. Sizes
// may be absent, because an adapter takes its base's: Open checks them.
func ReadConfig(dir string) (Config, error) {
	// What transformers assumes of keys that are left out.
	c := Config{HiddenAct: "gelu", LayerNormEps: 1e-12, MaxPositions: 512, TypeVocabSize: 2}
	return c, c.read(dir)
}

// read lays dir's config.json over what c holds already.
func (c *Config) read(dir string) error {
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, c); err != nil {
		return fmt.Errorf("%s: %w: %w", path, ErrConfig, err)
	}
	if err := c.check(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// check refuses by name what the graph could not honour.
func (c Config) check() error {
	refuse := func(key string, value any, way string) error {
		return fmt.Errorf("%w: %s %v is not supported: %s", ErrConfig, key, value, way)
	}
	if c.ModelType != "" && c.ModelType != "bert" {
		return refuse("model_type", c.ModelType, "Barograph builds graphs of BERT; export others to ONNX")
	}
	if !slices.Contains([]string{"gelu", "gelu_new", "gelu_pytorch_tanh"}, c.HiddenAct) {
		return refuse("hidden_act", c.HiddenAct, "gelu, gelu_new and gelu_pytorch_tanh are")
	}
	if c.PositionKind != "" && c.PositionKind != "absolute" {
		return refuse("position_embedding_type", c.PositionKind, "absolute is")
	}
	if c.ProblemType != "" && c.ProblemType != "single_label_classification" {
		return refuse("problem_type", c.ProblemType, "single_label_classification is")
	}
	if _, err := c.idLabels(); err != nil {
		return err
	}
	if c.Barograph == nil {
		return nil
	}
	if !slices.Contains([]Pooling{"", PoolPooler, PoolCLS, PoolMean}, c.Barograph.Pooling) {
		return refuse("barograph.pooling", c.Barograph.Pooling, "pooler, cls and mean are")
	}
	if p := c.Barograph.Precision; !slices.Contains([]Precision{"", FP32, FP16, INT8}, p) {
		return refuse("barograph.precision", p, "fp32, fp16 and int8 are")
	}
	if p := c.Barograph.PrecisionCUDA; !slices.Contains([]Precision{"", FP32, FP16}, p) {
		return refuse("barograph.precision_cuda", p, "fp32 and fp16 are")
	}
	return checkHeads(c.Barograph.Heads)
}

func checkHeads(heads []Head) error {
	tasks := map[string]bool{}
	for i, h := range heads {
		switch {
		case h.Task == "" || tasks[h.Task]:
			return fmt.Errorf("%w: barograph.heads[%d].task %q is empty or taken", ErrConfig, i, h.Task)
		case len(h.Labels) == 0:
			return fmt.Errorf("%w: barograph.heads[%d] (%s) has no labels", ErrConfig, i, h.Task)
		case !(h.Temperature >= 0):
			return fmt.Errorf("%w: barograph.heads[%d] (%s) has temperature %v; it must be over 0", ErrConfig, i, h.Task, h.Temperature)
		}
		tasks[h.Task] = true
	}
	return nil
}

// Heads lists the checkpoint's classifiers, with temperatures filled in. Without a
// section "barograph" there is one, of the labels in id2label: its task is "sentiment"
// where they are negative, neutral and positive in any case and order (they are then
// written small), and "topic" else.
func (c Config) Heads() []Head {
	if c.Barograph != nil && len(c.Barograph.Heads) > 0 {
		heads := slices.Clone(c.Barograph.Heads)
		for i := range heads {
			if heads[i].Temperature == 0 {
				heads[i].Temperature = 1
			}
		}
		return heads
	}
	labels, err := c.idLabels()
	if err != nil || len(labels) == 0 {
		labels = []string{"LABEL_0", "LABEL_1"} // what transformers assumes
	}
	small := make([]string, len(labels))
	for i, l := range labels {
		small[i] = strings.ToLower(l)
	}
	sorted := slices.Sorted(slices.Values(small))
	if slices.Equal(sorted, []string{"negative", "neutral", "positive"}) {
		return []Head{{Task: "sentiment", Labels: small, Temperature: 1}}
	}
	return []Head{{Task: "topic", Labels: labels, Temperature: 1}}
}

// Pooling is the checkpoint's pooling, never "".
func (c Config) Pooling() Pooling {
	if c.Barograph == nil || c.Barograph.Pooling == "" {
		return PoolPooler
	}
	return c.Barograph.Pooling
}

// idLabels lists id2label's labels by number, which must run from 0 without a hole.
func (c Config) idLabels() ([]string, error) {
	labels := make([]string, len(c.Labels))
	for key, label := range c.Labels {
		i, err := strconv.Atoi(key)
		if err != nil || i < 0 || i >= len(labels) || labels[i] != "" || label == "" {
			return nil, fmt.Errorf("%w: id2label %q: the keys must be 0 to %d and the labels not empty", ErrConfig, key, len(labels)-1)
		}
		labels[i] = label
	}
	return labels, nil
}

// checkSizes refuses sizes that no BERT has before anything is computed with them.
func (c Config) checkSizes() error {
	for _, s := range []struct {
		key       string
		value, to int
	}{
		{"hidden_size", c.HiddenSize, 1 << 16}, {"num_hidden_layers", c.Layers, 1 << 10},
		{"num_attention_heads", c.AttentionHeads, c.HiddenSize}, {"intermediate_size", c.IntermediateSize, 1 << 18},
		{"vocab_size", c.VocabSize, 1 << 24}, {"max_position_embeddings", c.MaxPositions, 1 << 20},
	} {
		if s.value < 1 || s.value > s.to {
			return fmt.Errorf("%w: %s is %d, not 1 to %d", ErrConfig, s.key, s.value, s.to)
		}
	}
	if c.HiddenSize%c.AttentionHeads != 0 {
		return fmt.Errorf("%w: hidden_size %d does not divide into %d num_attention_heads", ErrConfig, c.HiddenSize, c.AttentionHeads)
	}
	if !(c.LayerNormEps > 0) {
		return fmt.Errorf("%w: layer_norm_eps is %v", ErrConfig, c.LayerNormEps)
	}
	return nil
}
