// Package step trains classifiers of the BERT family on ONNX Runtime: LoRA adapters, the
// whole encoder, or heads alone. One training step is an ordinary ONNX graph of forward
// and backward pass, made in Go from a checkpoint; dropout masks, clipping and AdamW are
// Go's.
package step

import (
	"errors"

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
