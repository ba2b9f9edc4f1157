package step

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
)

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
	// LoRADropout is of what A reads beside each target, while the target itself reads all of
	// it, with a mask of each target's own, as PEFT's lora_dropout: 0 to under 1.
	LoRADropout float64

	Heads []Head // the first is the checkpoint's own classifier

	Seed uint64 // of new weights and of dropout

	ClipNorm    float64 // gradients are scaled down to this global norm; 0 does not clip
	WeightDecay float64 // decoupled; not of biases and normalisation
	Average     float64 // decay of a moving average of the weights, which Weights, Checkpoint and Predict then give; 0 gives the last ones
	Beta1       float64 // AdamW's; 0 is 0.9
	Beta2       float64 // AdamW's; 0 is 0.999
	Epsilon     float64 // AdamW's; 0 is 1e-8

	// Init replaces the first values of trainable weights, by the names that Weights
	// gives them; nil starts anew.
	Init map[string][]float32
}

// complete fills in zero values and refuses what cannot be trained.
func (c *Config) complete() error {
	if c.Base == nil || c.Runtime == nil {
		return fmt.Errorf("%w: no base or no runtime", ErrConfig)
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
	if c.Mode != LoRA {
		c.LoRADropout = 0
	}
	return errors.Join(c.checkHeads(), c.checkNumbers())
}

func (c *Config) checkHeads() error {
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
	return nil
}

func (c *Config) checkNumbers() error {
	for _, x := range []struct {
		name     string
		value    float64
		from, to float64 // to is not allowed
	}{
		{"rank", float64(c.Rank), 1, 1 << 16}, {"alpha", c.Alpha, math.SmallestNonzeroFloat64, math.MaxFloat32},
		{"dropout", c.Dropout, 0, 1}, {"LoRA dropout", c.LoRADropout, 0, 1}, {"clip norm", c.ClipNorm, 0, math.Inf(1)}, {"weight decay", c.WeightDecay, 0, math.Inf(1)},
		{"average", c.Average, 0, 1}, {"beta1", c.Beta1, 0, 1}, {"beta2", c.Beta2, 0, 1}, {"epsilon", c.Epsilon, math.SmallestNonzeroFloat64, 1},
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
