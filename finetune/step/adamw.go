package step

import (
	"fmt"
	"math"
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
	for _, w := range t.weights {
		decay := 0.0
		if w.decay {
			decay = t.c.WeightDecay
		}
		s.move(w.of(t.values), w.of(t.grads), w.of(t.first), w.of(t.second), decay, t.c.Threads)
	}
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

// move applies the step to one weight with its own decay.
func (s adamStep) move(weights, grads, first, second []float32, decay float64, threads int) {
	chunks := (len(weights) + adamChunk - 1) / adamChunk
	keep := float32(1 - s.rate*decay)
	b1, b2, scale := float32(s.beta1), float32(s.beta2), float32(s.scale)
	n1, n2 := float32(1-s.beta1), float32(1-s.beta2)
	size := float32(s.rate / (1 - math.Pow(s.beta1, float64(s.time))))
	root := float32(1 / math.Sqrt(1-math.Pow(s.beta2, float64(s.time))))
	eps := float32(s.epsilon)
	parallel(threads, chunks, func(c int) {
		lo, hi := c*adamChunk, min((c+1)*adamChunk, len(weights))
		w, g, m, v := weights[lo:hi], grads[lo:hi], first[lo:hi], second[lo:hi]
		g, m, v = g[:len(w)], m[:len(w)], v[:len(w)] // no bounds to check below
		for i := range w {
			d := g[i] * scale
			m[i] = b1*m[i] + n1*d
			v[i] = b2*v[i] + n2*d*d
			w[i] = keep*w[i] - size*m[i]/(float32(math.Sqrt(float64(v[i])))*root+eps)
		}
	})
}
