package step

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
)

// Trainer holds the weights, AdamW's moments and the sessions. It is not safe for
// concurrent use.
type Trainer struct {
	c       Config
	weights []weight
	masks   []maskInput
	graph   *onnx.Graph

	// Flat vectors of all trained weights.
	values, grads, first, second []float32

	digest *[sha256.Size]byte // of the configuration, once it was asked for

	batches uint64 // that Accumulate has seen, ever: the state of dropout
	updates uint64
	pending int  // batches whose gradients wait in grads
	void    bool // one of them had no finite loss

	keep    [][]uint8     // the masks' memory
	scratch []float32     // gradients of a second batch before an Update
	infer   *onnx.Session // of the weights as they are, nil until Predict
}

// New builds the graph and opens it. Errors wrap ErrConfig, onnx.ErrDevice or
// onnx.ErrRuntime. The same Config gives the same weights after the same batches, bit for
// bit, on the CPU with the same number of threads.
func New(c Config) (*Trainer, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	t := &Trainer{c: c}
	var err error
	if t.weights, err = listWeights(c); err != nil {
		return nil, err
	}
	last := t.weights[len(t.weights)-1]
	total := last.at + last.count
	t.values, t.grads = make([]float32, total), make([]float32, total)
	t.first, t.second = make([]float32, total), make([]float32, total)
	for _, w := range t.weights {
		w.first(w.of(t.values))
	}
	if err := t.takeInit(); err != nil {
		return nil, err
	}
	model, masks, err := buildGraph(c, t.weights)
	if err != nil {
		return nil, err
	}
	t.masks, t.keep = masks, make([][]uint8, len(masks))
	t.graph, err = c.Runtime.NewGraph(onnx.GraphConfig{Model: model, Device: c.Device, Threads: c.Threads, NoPattern: true})
	if err != nil {
		return nil, fmt.Errorf("open the training step: %w", err)
	}
	// The model is as large as the base, and of no use any more.
	model = nil
	debug.FreeOSMemory()
	return t, nil
}

// of is the weight's part of a flat vector.
func (w weight) of(flat []float32) []float32 { return flat[w.at : w.at+w.count] }

// complete fills in zero values and refuses what cannot be trained.
func (c *Config) complete() error {
	if c.Base == nil || c.Runtime == nil {
		return fmt.Errorf("%w: no base or no runtime", ErrConfig)
	}
	if len(c.Heads) == 0 {
		return fmt.Errorf("%w: no head", ErrConfig)
	}
	tasks := map[string]bool{}
	for _, h := range c.Heads {
		if h.Task == "" || strings.Contains(h.Task, ".") || tasks[h.Task] || h.Labels < 2 {
			return fmt.Errorf("%w: head %q with %d labels: it needs a name of its own without a dot, and two labels", ErrConfig, h.Task, h.Labels)
		}
		tasks[h.Task] = true
	}
	orElse := func(v *float64, otherwise float64) {
		if *v == 0 {
			*v = otherwise
		}
	}
	if c.Rank == 0 {
		c.Rank = 8
	}
	orElse(&c.Alpha, 2*float64(c.Rank))
	orElse(&c.Beta1, 0.9)
	orElse(&c.Beta2, 0.999)
	orElse(&c.Epsilon, 1e-8)
	if c.Targets == nil {
		c.Targets = bert.Linears()
	}
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	c.Embeddings = c.Embeddings && c.Mode == Full
	for _, x := range []struct {
		name     string
		value    float64
		from, to float64 // to is not allowed
	}{
		{"rank", float64(c.Rank), 1, 1 << 16}, {"alpha", c.Alpha, math.SmallestNonzeroFloat64, math.MaxFloat32},
		{"dropout", c.Dropout, 0, 1}, {"clip norm", c.ClipNorm, 0, math.Inf(1)}, {"weight decay", c.WeightDecay, 0, math.Inf(1)},
		{"beta1", c.Beta1, 0, 1}, {"beta2", c.Beta2, 0, 1}, {"epsilon", c.Epsilon, math.SmallestNonzeroFloat64, 1},
	} {
		if !(x.value >= x.from && x.value < x.to) {
			return fmt.Errorf("%w: %s %v", ErrConfig, x.name, x.value)
		}
	}
	return nil
}

func (t *Trainer) takeInit() error {
	for _, name := range slices.Sorted(maps.Keys(t.c.Init)) {
		i := slices.IndexFunc(t.weights, func(w weight) bool { return w.file == name })
		if i < 0 {
			return fmt.Errorf("%w: the first value of %q: no such weight is trained", ErrConfig, name)
		}
		data := t.c.Init[name]
		if len(data) != t.weights[i].count {
			return fmt.Errorf("%w: the first value of %q has %d numbers, not %v", ErrConfig, name, len(data), t.weights[i].shape)
		}
		copy(t.weights[i].of(t.values), data)
	}
	return nil
}

// Weights copies the trainable weights, by the names that they have in files. After LoRA
// these are those of PEFT's adapter_model.safetensors
// (base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight [rank, in],
// lora_B.weight [out, rank], base_model.model.bert.pooler.dense.weight,
// base_model.model.classifier.weight), else those of transformers' model.safetensors
// (bert.pooler.dense.weight, classifier.weight). The first head is the classifier; those
// of the others (TASK.weight, TASK.bias) belong in heads.safetensors.
func (t *Trainer) Weights() map[string]bert.Tensor {
	out := make(map[string]bert.Tensor, len(t.weights))
	for _, w := range t.weights {
		out[w.file] = bert.Tensor{Shape: slices.Clone(w.shape), Data: slices.Clone(w.of(t.values))}
	}
	return out
}

// Targets names the modules that LoRA trains pairs for, in full
// ("bert.encoder.layer.0.attention.self.query").
func (t *Trainer) Targets() []string {
	var out []string
	for _, w := range t.weights {
		if module, ok := strings.CutSuffix(w.file, loraA); ok {
			out = append(out, strings.TrimPrefix(module, peftPrefix))
		}
	}
	return out
}

// Checkpoint is the base with the trained weights in it: adapters merged, and the heads,
// whose labels the caller names in the order of Config.Heads. Its Graph is what serves,
// and its Tensors are what a full model's files hold.
func (t *Trainer) Checkpoint(heads []bert.Head) (*bert.Checkpoint, error) {
	weights := make(map[string]bert.Tensor, len(t.weights))
	for _, w := range t.weights {
		weights[w.name] = bert.Tensor{Shape: slices.Clone(w.shape), Data: slices.Clone(w.of(t.values))}
	}
	return t.c.Base.Trained(heads, weights, t.c.Alpha/float64(t.c.Rank))
}

// Predict gives the raw logits [Rows, labels] of every head, without dropout. The first
// call after an Update merges the weights and opens them for inference, about a second's
// work: evaluate many batches in a row. Targets are not looked at.
func (t *Trainer) Predict(b Batch) (map[string][]float32, error) {
	if err := t.openInference(); err != nil {
		return nil, err
	}
	logits, err := t.infer.Run(onnx.Batch{Rows: b.Rows, Cols: b.Cols, IDs: b.IDs, Mask: b.Mask, Types: b.Types})
	if errors.Is(err, onnx.ErrBatch) {
		return nil, fmt.Errorf("%w: %w", ErrBatch, err)
	}
	if err != nil {
		return nil, err
	}
	out := map[string][]float32{}
	for _, l := range logits {
		out[l.Name] = l.Data
	}
	return out, nil
}

func (t *Trainer) openInference() error {
	if t.infer != nil {
		return nil
	}
	heads := make([]bert.Head, len(t.c.Heads))
	for i, h := range t.c.Heads {
		heads[i].Task = h.Task
		for l := range h.Labels {
			heads[i].Labels = append(heads[i].Labels, strconv.Itoa(l))
		}
	}
	c, err := t.Checkpoint(heads)
	if err != nil {
		return err
	}
	model, err := c.Graph(bert.FP32)
	if err != nil {
		return err
	}
	t.infer, err = t.c.Runtime.NewSession(onnx.SessionConfig{Model: model, Device: t.c.Device, Threads: t.c.Threads})
	if err != nil {
		return fmt.Errorf("open the trained weights: %w", err)
	}
	return nil
}

func (t *Trainer) closeInference() error {
	if t.infer == nil {
		return nil
	}
	s := t.infer
	t.infer = nil
	return s.Close()
}

// Close frees the sessions.
func (t *Trainer) Close() error { return errors.Join(t.closeInference(), t.graph.Close()) }
