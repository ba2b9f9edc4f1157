package step

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify/bert"
)

// weight is a trained weight: a view of the trainer's flat vectors.
type weight struct {
	name  string // as classify/bert has it; heads are TASK.weight and TASK.bias
	file  string // as files have it, see Weights
	shape []int
	at    int // where it begins in the flat vectors
	count int
	decay bool
	first func(data []float32) // its value before training
}

// Files' names of what LoRA trains begin with this, as PEFT writes them.
const peftPrefix = "base_model.model."

// listWeights lists what c trains, in a fixed order, and checks Targets.
func listWeights(c Config) ([]weight, error) {
	l := weightList{c: c, random: rand.New(rand.NewPCG(c.Seed, 0))}
	switch c.Mode {
	case LoRA:
		if err := l.lora(); err != nil {
			return nil, err
		}
	case Full:
		l.encoder()
	case HeadOnly:
	default:
		return nil, fmt.Errorf("%w: mode %d", ErrConfig, c.Mode)
	}
	if c.Base.Config.Pooling() == bert.PoolPooler {
		l.pooler()
	}
	d := c.Base.Config.HiddenSize
	for i, h := range c.Heads {
		file := h.Task
		if i == 0 {
			file = l.prefix() + "classifier"
		}
		l.add(h.Task+".weight", file+".weight", []int{h.Labels, d}, l.normal(0.02))
		l.add(h.Task+".bias", file+".bias", []int{h.Labels}, func([]float32) {})
	}
	return l.list, nil
}

type weightList struct {
	c      Config
	random *rand.Rand
	list   []weight
	at     int
}

func (l *weightList) add(name, file string, shape []int, first func([]float32)) {
	w := weight{name: name, file: file, shape: shape, at: l.at, count: 1, first: first}
	for _, n := range shape {
		w.count *= n
	}
	// Biases and normalisation are left alone by decay, as is usual since BERT.
	w.decay = !strings.HasSuffix(name, ".bias") && !strings.Contains(name, "LayerNorm")
	l.list, l.at = append(l.list, w), l.at+w.count
}

func (l *weightList) prefix() string {
	if l.c.Mode == LoRA {
		return peftPrefix
	}
	return ""
}

// lora lists the pairs. A is uniform as PEFT draws it (Kaiming with a = √5, which is
// ±1/√in), B is zero, so that training begins at the base.
func (l *weightList) lora() error {
	for _, t := range l.c.Targets {
		if !slices.ContainsFunc(bert.Linears(), func(linear string) bool { return targets(t, linear) }) {
			return fmt.Errorf("%w: target %q is none of the linear layers %s", ErrConfig, t, strings.Join(bert.Linears(), ", "))
		}
	}
	for i := range l.c.Base.Config.Layers {
		for _, linear := range bert.Linears() {
			if !slices.ContainsFunc(l.c.Targets, func(t string) bool { return targets(t, linear) }) {
				continue
			}
			name := bert.LayerName(i) + linear
			base, _ := l.c.Base.Tensor(name + ".weight")
			out, in := base.Shape[0], base.Shape[1]
			l.add(name+loraA, peftPrefix+"bert."+name+loraA, []int{l.c.Rank, in}, l.uniform(1/math.Sqrt(float64(in))))
			l.add(name+loraB, peftPrefix+"bert."+name+loraB, []int{out, l.c.Rank}, func([]float32) {})
		}
	}
	return nil
}

// targets tells whether a name of target_modules means that linear layer, as PEFT reads
// it: whole elements from the end.
func targets(target, linear string) bool {
	return linear == target || strings.HasSuffix(linear, "."+target)
}

// encoder lists the base's own weights, without those of the embeddings unless they are
// wanted.
func (l *weightList) encoder() {
	for _, name := range l.c.Base.EncoderNames() {
		if !l.c.Embeddings && strings.HasPrefix(name, "embeddings.") {
			continue
		}
		t, _ := l.c.Base.Tensor(name)
		l.add(name, "bert."+name, t.Shape, func(data []float32) { copy(data, t.Data) })
	}
}

// pooler lists the pooler: the base's, or a new one near to a scaled identity, which
// hands the first token's vector on and keeps tanh off its flat ends.
func (l *weightList) pooler() {
	d := l.c.Base.Config.HiddenSize
	first := map[string]func([]float32){
		".weight": func(data []float32) {
			l.normal(0.01)(data)
			for i := range d {
				data[i*d+i] += 0.7
			}
		},
		".bias": func([]float32) {},
	}
	for _, end := range []string{".weight", ".bias"} {
		fill := first[end]
		if t, ok := l.c.Base.Tensor(poolerName + end); ok {
			fill = func(data []float32) { copy(data, t.Data) }
		}
		shape := []int{d, d}
		if end == ".bias" {
			shape = []int{d}
		}
		l.add(poolerName+end, l.prefix()+"bert."+poolerName+end, shape, fill)
	}
}

func (l *weightList) normal(deviation float64) func([]float32) {
	return func(data []float32) {
		for i := range data {
			data[i] = float32(l.random.NormFloat64() * deviation)
		}
	}
}

func (l *weightList) uniform(bound float64) func([]float32) {
	return func(data []float32) {
		for i := range data {
			data[i] = float32((2*l.random.Float64() - 1) * bound)
		}
	}
}
