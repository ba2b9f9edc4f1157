package step

import (
	"fmt"
	"math"

	"github.com/barograph/barograph/classify/onnx/kernels"
)

// Update clips the gradients, moves the weights by one step of AdamW at that learning
// rate and clears the gradients. It returns the global norm before clipping. If a
// gradient is infinite or not a number, that is ErrDiverged: the gradients are cleared,
// weights and moments stay.
func (t *Trainer) Update(rate float64) (gradientNorm float64, err error) {
	if t.pending == 0 {
		return 0, fmt.Errorf("%w: no gradients to update with", ErrBatch)
	}
	length := norm(t.grads, t.c.Threads)
	void := t.void
	t.pending, t.void = 0, false
	if void || math.IsNaN(length) || math.IsInf(length, 0) {
		return length, fmt.Errorf("%w: the gradient's norm is %v", ErrDiverged, length)
	}
	s := adamStep{rate: rate, beta1: t.c.Beta1, beta2: t.c.Beta2, epsilon: t.c.Epsilon, scale: 1, time: t.updates + 1}
	if t.c.ClipNorm > 0 {
		s.scale = min(1, t.c.ClipNorm/(length+1e-6)) // as PyTorch's clip_grad_norm_
	}
	s.move(t.weights, t.values, t.grads, t.first, t.second, t.c.WeightDecay, t.c.Threads)
	t.updates++
	t.remember()
	return length, t.closeInference()
}

// adamChunk is how much of a vector one goroutine takes at a time. Sums are made chunk by
// chunk, so that they are the same with any number of threads.
const adamChunk = 1 << 16

// norm is the Euclidean norm, summed in float64.
func norm(v []float32, threads int) float64 {
	sums := make([]float64, (len(v)+adamChunk-1)/adamChunk)
	parallel(threads, len(sums), func(c int) {
		var a, b, d, e float64 // four sums, so that additions need not wait for each other
		part := v[c*adamChunk : min((c+1)*adamChunk, len(v))]
		n := len(part) / 4
		first, second, third, fourth := part[:n], part[n:2*n], part[2*n:3*n], part[3*n:4*n]
		for i := range first {
			a += float64(first[i]) * float64(first[i])
			b += float64(second[i]) * float64(second[i])
			d += float64(third[i]) * float64(third[i])
			e += float64(fourth[i]) * float64(fourth[i])
		}
		for _, x := range part[4*n:] {
			a += float64(x) * float64(x)
		}
		sums[c] = (a + b) + (d + e)
	})
	total := 0.0
	for _, s := range sums {
		total += s
	}
	return math.Sqrt(total)
}

// adamStep is one step of AdamW (Loshchilov and Hutter 2019, "Decoupled Weight Decay
// Regularization", algorithm 2, as PyTorch computes it) at time t, from 1.
type adamStep struct {
	rate, beta1, beta2, epsilon float64
	scale                       float64 // of the gradients: clipping
	time                        uint64
}

// move applies the step to all weights, whose parts of the vectors decay or do not.
func (s adamStep) move(weights []weight, values, grads, first, second []float32, decay float64, threads int) {
	step := kernels.AdamW{
		Scale: float32(s.scale), Beta1: float32(s.beta1), Rest1: float32(1 - s.beta1), Beta2: float32(s.beta2), Rest2: float32(1 - s.beta2),
		Rate: float32(s.rate / (1 - math.Pow(s.beta1, float64(s.time)))), Root: float32(1 / math.Sqrt(1-math.Pow(s.beta2, float64(s.time)))),
		Epsilon: float32(s.epsilon),
	}
	type part struct {
		from, to int
		keep     float64
	}
	var parts []part
	for _, w := range weights {
		keep := 1.0
		if w.decay {
			keep -= s.rate * decay
		}
		for from := 0; from < w.count; from += adamChunk {
			parts = append(parts, part{w.at + from, w.at + min(from+adamChunk, w.count), keep})
		}
	}
	parallel(threads, len(parts), func(i int) {
		step, p := step, parts[i]
		step.Keep = float32(p.keep)
		step.Move(values[p.from:p.to], grads[p.from:p.to], first[p.from:p.to], second[p.from:p.to])
	})
}
