package finetune

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune/step"
)

// pool is how many batches are sorted by length together: enough for little padding, few
// enough that batches differ from epoch to epoch.
const pool = 50

// order makes the batches of an epoch: shuffled, of texts of about one length.
func order(examples []*Example, size int, seed uint64, epoch int) [][]*Example {
	r := rand.New(rand.NewPCG(seed, uint64(epoch)))
	shuffled := slices.Clone(examples)
	r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	var batches [][]*Example
	for part := range slices.Chunk(shuffled, size*pool) {
		batches = append(batches, byLength(part, size)...)
	}
	r.Shuffle(len(batches), func(i, j int) { batches[i], batches[j] = batches[j], batches[i] })
	return batches
}

// byLength makes batches of neighbours in length.
func byLength(examples []*Example, size int) [][]*Example {
	sorted := slices.Clone(examples)
	slices.SortStableFunc(sorted, func(a, b *Example) int { return cmp.Compare(len(a.ids), len(b.ids)) })
	return slices.Collect(slices.Chunk(sorted, size))
}

// layOut pads the texts to the longest, in multiples of 8 tokens: fewer shapes keep the
// runtime's memory steady.
func layOut(examples []*Example) step.Batch {
	cols := 8
	for _, e := range examples {
		cols = max(cols, (len(e.ids)+7)/8*8)
	}
	n := len(examples) * cols
	b := step.Batch{Rows: len(examples), Cols: cols, IDs: make([]int64, n), Mask: make([]int64, n), Types: make([]int64, n)}
	for i, e := range examples {
		for j, id := range e.ids {
			b.IDs[i*cols+j], b.Mask[i*cols+j], b.Types[i*cols+j] = int64(id), 1, int64(e.types[j])
		}
	}
	return b
}

// targets are what the heads should say of a batch: each label's smoothed distribution,
// partly what the teachers say, times the weights of its class and its row, divided by the rows of the update. A kept
// head should say what it said before.
func targets(examples []*Example, heads []bert.Head, weights [][]float32, smoothing float64, rows int) map[string][]float32 {
	out := make(map[string][]float32, len(heads))
	for h, head := range heads {
		n := len(head.Labels)
		t := make([]float32, len(examples)*n)
		for i, e := range examples {
			label, row := e.Labels[h], t[i*n:(i+1)*n]
			if label < 0 && e.soft != nil && e.soft[h] != nil {
				for k, p := range e.soft[h] {
					row[k] = float32(p / float64(rows))
				}
			}
			if label < 0 {
				continue
			}
			share := float64(weights[h][label]) * float64(e.Weights[h]) / float64(rows)
			for k := range row {
				row[k] = float32(smoothing / float64(n) * share)
			}
			row[label] += float32((1 - smoothing) * share)
			if e.taught != nil && e.taught[h] != nil {
				for k, p := range e.taught[h] {
					row[k] = float32((1-teacherShare)*float64(row[k]) + teacherShare*p*share)
				}
			}
		}
		out[head.Task] = t
	}
	return out
}

// classWeights are 1/frequency to a power, scaled so that they are 1 on average over the
// rows. One is added to each count, so that an absent label does no harm.
func classWeights(n []int, power float64) []float32 {
	total := 0.0
	for _, c := range n {
		total += float64(c) + 1
	}
	weights, mean := make([]float64, len(n)), 0.0
	for i, c := range n {
		f := (float64(c) + 1) / total
		weights[i] = math.Pow(f, -power)
		mean += f * weights[i]
	}
	out := make([]float32, len(n))
	for i, w := range weights {
		out[i] = float32(w / mean)
	}
	return out
}
