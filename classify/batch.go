package classify

import (
	"slices"
	"time"
)

// row is one window of a text, as it lies in a batch.
type row struct {
	job    *job
	part   int     // which of the job's
	window int     // which of the part's
	ids    []int32 // special tokens included
	second int     // where the second segment begins: token type 1 from there
	since  time.Time
}

// batcher makes batches by a token budget out of a pool of rows kept sorted by length, so
// that little of a batch is padding. It has no goroutine and no clock: the caller adds
// rows, asks how long to wait, and takes the next batch.
//
// A batch always contains the row that has waited longest, so every row is out after at
// most as many batches as there were rows before it.
type batcher struct {
	budget  int           // rows times longest row, in tokens; a single row may exceed it
	maxWait time.Duration // from Add to the row's batch being due

	rows []*row // by length, then by arrival
	sums []int  // of the lengths of the first rows, while a batch is sought
}

// Len is how many rows wait.
func (b *batcher) Len() int { return len(b.rows) }

// Add puts a row into the pool.
func (b *batcher) Add(r *row, now time.Time) {
	r.since = now
	at, _ := slices.BinarySearchFunc(b.rows, r, func(have, r *row) int {
		if len(have.ids) <= len(r.ids) {
			return -1
		}
		return 1
	})
	b.rows = slices.Insert(b.rows, at, r)
}

// Wait is how long a batch should still be waited for: 0 when one is due, because the
// pool fills one, or the oldest row has waited enough, or the source is idle (nothing
// else is on its way, so waiting gains nothing). It is 0 too for an empty pool, which has
// nothing to wait for; see Len.
func (b *batcher) Wait(now time.Time, idle bool) time.Duration {
	if len(b.rows) == 0 || idle {
		return 0
	}
	tokens := 0
	for _, r := range b.rows {
		if tokens += len(r.ids); tokens >= b.budget {
			return 0
		}
	}
	return max(0, b.maxWait-now.Sub(b.since()))
}

// Next takes a batch out of the pool: of all stretches of neighbours in length that have
// the oldest row in them and keep the budget, the one that reads most text for its cost.
// The cost is the padded tokens and a share of the budget for the pass itself. It is nil
// when the pool is empty.
//
// Where the pool does not fill a batch for each of the batches that run at once, it is divided
// among them, so that no core idles beside one that reads everything.
func (b *batcher) Next(atOnce int) []*row {
	if len(b.rows) == 0 {
		return nil
	}
	oldest := b.oldest()
	lo, hi, best := oldest, oldest+1, -1.0
	b.sums = append(b.sums[:0], 0)
	for _, r := range b.rows {
		b.sums = append(b.sums, b.sums[len(b.sums)-1]+len(r.ids))
	}
	share, pass := (len(b.rows)+atOnce-1)/atOnce, b.budget/passCost
	for end := oldest + 1; end <= len(b.rows); end++ {
		cols := len(b.rows[end-1].ids)
		most := max(1, min(b.budget/cols, max(share, b.budget/leastShare/cols)))
		if end-most > oldest {
			break // longer rows leave less room still
		}
		start := oldest
		text, cost := b.sums[end]-b.sums[start], (end-start)*cols+pass
		for start > max(0, end-most) {
			more := len(b.rows[start-1].ids)
			if more*cost <= text*cols {
				break // its padding, and that of the shorter ones before it, makes the batch worse
			}
			start, text, cost = start-1, text+more, cost+cols
		}
		if worth := float64(text) / float64(cost); worth > best {
			lo, hi, best = start, end, worth
		}
	}
	batch := slices.Clone(b.rows[lo:hi])
	b.rows = slices.Delete(b.rows, lo, hi)
	return batch
}

// since is when the oldest row came; the pool is not empty.
func (b *batcher) since() time.Time { return b.rows[b.oldest()].since }

// passCost: a pass costs about as much as a twenty-fourth of a full batch, however small it is:
// some 8 tokens of 192 (BenchmarkShape of classify/bert).
const passCost = 24

// leastShare: the pool is not divided into less than quarters of a batch, where the pass itself
// begins to count.
const leastShare = 4

func (b *batcher) oldest() int {
	at := 0
	for i, r := range b.rows {
		if r.since.Before(b.rows[at].since) {
			at = i
		}
	}
	return at
}
