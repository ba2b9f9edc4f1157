// Package step trains classifiers of the BERT family on ONNX Runtime: LoRA adapters, the
// whole encoder, or heads alone. One training step is an ordinary ONNX graph of forward
// and backward pass, made in Go from a checkpoint; dropout masks, clipping and AdamW are
// Go's.
package step

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
)

// ErrConfig is wrapped by errors about a Config that cannot be trained.
var ErrConfig = errors.New("cannot train like this")

// ErrBatch is wrapped by errors about a batch that does not fit; nothing was changed.
var ErrBatch = errors.New("batch does not fit")

// ErrDiverged is wrapped by errors about a loss or a gradient that is infinite or not a
// number. The weights are as they were before.
var ErrDiverged = errors.New("training diverged")

// ErrState is wrapped by errors about a saved state that is damaged or belongs to
// another configuration.
var ErrState = errors.New("cannot resume from this state")

// Trainer holds the weights, AdamW's moments and the sessions. It is not safe for
// concurrent use.
type Trainer struct {
	c       Config
	weights []weight
	masks   []maskInput
	graph   *onnx.Graph

	// Flat vectors of all trained weights.
	values, grads, first, second []float32
	average                      []float32 // of the values over the updates; nil without Config.Average

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
	if c.Average > 0 {
		t.average = slices.Clone(t.values)
	}
	device, err := c.Runtime.Resolve(c.Device, nil)
	if err != nil {
		return nil, err
	}
	model, masks, err := buildGraph(c, t.weights, operatorsOf(device))
	if err != nil {
		return nil, err
	}
	t.masks, t.keep = masks, make([][]uint8, len(masks))
	t.graph, err = c.Runtime.NewGraph(onnx.GraphConfig{Model: model, Device: device, Threads: c.Threads, NoPattern: true})
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
		out[w.file] = bert.Tensor{Shape: slices.Clone(w.shape), Data: slices.Clone(w.of(t.learnt()))}
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
		weights[w.name] = bert.Tensor{Shape: slices.Clone(w.shape), Data: slices.Clone(w.of(t.learnt()))}
	}
	return t.c.Base.Trained(heads, weights, t.c.Alpha/float64(t.c.Rank))
}

// Close frees the sessions.
func (t *Trainer) Close() error { return errors.Join(t.closeInference(), t.graph.Close()) }
