// Package step trains classifiers of the BERT family on ONNX Runtime: LoRA adapters, the
// whole encoder, or heads alone. One training step is an ordinary ONNX graph of forward
// and backward pass, made in Go from a checkpoint; dropout masks, clipping and AdamW are
// Go's.
package step

import (
	"errors"
	"io"

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

// Mode says which weights are trained. Pooler and heads always are.
type Mode int

// The modes.
const (
	// LoRA trains a pair of small matrices beside each target (Hu et al. 2021, "LoRA:
	// Low-Rank Adaptation of Large Language Models", section 4.1).
	LoRA Mode = iota
	// Full trains every layer; the embeddings too if Config.Embeddings says so.
	Full
	// HeadOnly trains the pooler and the heads on what the frozen encoder gives.
	HeadOnly
)

// Head is one classifier to train on the pooled vector.
type Head struct {
	Task   string // "sentiment": its key in Batch.Targets
	Labels int
}

// Config says what to train, and how. Only Base, Runtime and Heads must be given.
type Config struct {
	// Base is the checkpoint to start from. Its heads are ignored. Its config says how
	// tokens are pooled; a base without the pooler that its config asks for gets a new
	// one. Nothing changes it.
	Base *bert.Checkpoint

	Runtime *onnx.Runtime
	Device  onnx.Device // Auto is CUDA where it works, else CPU
	Threads int         // on the CPU; 0 is one a core

	Mode       Mode
	Rank       int      // of LoRA; 0 is 8
	Alpha      float64  // of LoRA: the pairs' product is scaled by Alpha/Rank; 0 is 2*Rank
	Targets    []string // of LoRA: linear layers as PEFT names them ("query", "attention.output.dense"); nil is all six of each encoder layer
	Embeddings bool     // Full trains the three embedding tables and their normalisation too
	Dropout    float64  // of hidden states, attention and the pooled vector: 0 to under 1

	Heads []Head // the first is the checkpoint's own classifier

	Seed uint64 // of new weights and of dropout

	ClipNorm    float64 // gradients are scaled down to this global norm; 0 does not clip
	WeightDecay float64 // decoupled; not of biases and normalisation
	Beta1       float64 // AdamW's; 0 is 0.9
	Beta2       float64 // AdamW's; 0 is 0.999
	Epsilon     float64 // AdamW's; 0 is 1e-8

	// Init replaces the first values of trainable weights, by the names that Weights
	// gives them; nil starts anew.
	Init map[string][]float32
}

// Batch is tokenised texts with what the heads should say of them.
type Batch struct {
	Rows, Cols int     // texts, and tokens of each with padding; Cols in multiples of 8 keep memory steady
	IDs        []int64 // [Rows, Cols] token ids
	Mask       []int64 // [Rows, Cols] 1 for a token, 0 for padding
	Types      []int64 // [Rows, Cols] token types; nil is all 0

	// Targets are [Rows, labels] by task. The loss is the sum over heads and rows of
	// -target * log softmax(logits): a row's target is its label's distribution (with
	// smoothing) times its weight, divided by the rows of the whole update. A row of
	// zeros, or a task left out, does not count.
	Targets map[string][]float32
}

// Trainer holds the weights, AdamW's moments and the sessions. It is not safe for
// concurrent use.
type Trainer struct{}

// New builds the graph and opens it. Errors wrap ErrConfig, onnx.ErrDevice or
// onnx.ErrRuntime. The same Config gives the same weights after the same batches, bit for
// bit, on the CPU with the same number of threads.
func New(c Config) (*Trainer, error) { return nil, errors.ErrUnsupported }

// Accumulate runs forward and backward pass of a batch, with dropout, and adds its
// gradients to those since the last Update. It returns the batch's loss. A loss that is
// infinite or not a number is ErrDiverged, and the gradients since the last Update are
// then void: call Update next, which clears them.
func (t *Trainer) Accumulate(b Batch) (loss float64, err error) { return 0, errors.ErrUnsupported }

// Update clips the gradients, moves the weights by one step of AdamW at that learning
// rate and clears the gradients. It returns the global norm before clipping. If a
// gradient is infinite or not a number, that is ErrDiverged: the gradients are cleared,
// weights and moments stay.
func (t *Trainer) Update(rate float64) (norm float64, err error) { return 0, errors.ErrUnsupported }

// Predict gives the raw logits [Rows, labels] of every head, without dropout. The first
// call after an Update merges the weights and opens them for inference, about a second's
// work: evaluate many batches in a row. Targets are not looked at.
func (t *Trainer) Predict(b Batch) (map[string][]float32, error) { return nil, errors.ErrUnsupported }

// Checkpoint is the base with the trained weights in it: adapters merged, and the heads,
// whose labels the caller names in the order of Config.Heads. Its Graph is what serves.
func (t *Trainer) Checkpoint(heads []bert.Head) (*bert.Checkpoint, error) {
	return nil, errors.ErrUnsupported
}

// Weights copies the trainable weights, by the names that they have in files. After LoRA
// these are those of PEFT's adapter_model.safetensors
// (base_model.model.bert.encoder.layer.0.attention.self.query.lora_A.weight [rank, in],
// lora_B.weight [out, rank], base_model.model.bert.pooler.dense.weight,
// base_model.model.classifier.weight), else those of transformers' model.safetensors
// (bert.pooler.dense.weight, classifier.weight). The first head is the classifier; those
// of the others (TASK.weight, TASK.bias) belong in heads.safetensors.
func (t *Trainer) Weights() map[string]bert.Tensor { return nil }

// Targets names the modules that LoRA trains pairs for, in full and sorted
// ("bert.encoder.layer.0.attention.self.query").
func (t *Trainer) Targets() []string { return nil }

// Save writes all that Restore needs to go on to the same end, bit for bit: weights,
// AdamW's moments, gradients not yet used, and the counters of updates and of dropout.
func (t *Trainer) Save(w io.Writer) error { return errors.ErrUnsupported }

// Restore takes up what Save wrote, into a Trainer of the same Config. If it fails
// (ErrState), the Trainer is as it was.
func (t *Trainer) Restore(r io.Reader) error { return errors.ErrUnsupported }

// Close frees the sessions.
func (t *Trainer) Close() error { return errors.ErrUnsupported }
