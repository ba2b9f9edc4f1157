package classify

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

var t0 = time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)

func rowOf(length int) *row { return &row{ids: make([]int32, length)} }

func lengths(rows []*row) []int {
	var out []int
	for _, r := range rows {
		out = append(out, len(r.ids))
	}
	return out
}

func TestNextBatch(t *testing.T) {
	for _, c := range []struct {
		name   string
		budget int
		added  []int // by age, the oldest first
		want   [][]int
	}{
		{"all that fit", 100, []int{10, 12, 11}, [][]int{{10, 11, 12}}},
		{"padding counts", 60, []int{18, 20, 30}, [][]int{{18, 20}, {30}}},
		{"the oldest is in it", 120, []int{50, 5, 6, 7}, [][]int{{50}, {5, 6, 7}}},
		{"nearest in length", 192, []int{10, 9, 11, 3, 10}, [][]int{{9, 10, 10, 11}, {3}}},
		{"one row over the budget", 28, []int{60, 4, 5}, [][]int{{60}, {4, 5}}},
		{"nothing", 10, nil, nil},
	} {
		pool := batcher{budget: c.budget}
		for i, n := range c.added {
			pool.Add(rowOf(n), t0.Add(time.Duration(i)*time.Millisecond))
		}
		var got [][]int
		for batch := pool.Next(1); batch != nil; batch = pool.Next(1) {
			got = append(got, lengths(batch))
		}
		sorted := func(batches [][]int) [][]int {
			for _, b := range batches {
				slices.Sort(b)
			}
			return batches
		}
		if !slices.EqualFunc(sorted(got), sorted(c.want), slices.Equal) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// Rows that do not fill a batch on every core are divided among the cores, but not into less
// than a quarter of a batch.
func TestFewRowsAreDividedAmongTheCores(t *testing.T) {
	for _, c := range []struct {
		waiting, atOnce int // rows of 10 tokens, for a budget of 200
		want            int // rows of the first batch
	}{
		{waiting: 16, atOnce: 1, want: 16},
		{waiting: 16, atOnce: 2, want: 8},
		{waiting: 16, atOnce: 3, want: 6},
		{waiting: 16, atOnce: 8, want: 5},
		{waiting: 3, atOnce: 2, want: 3},
		{waiting: 40, atOnce: 2, want: 20},
		{waiting: 1000, atOnce: 2, want: 20},
	} {
		pool := batcher{budget: 200}
		for i := range c.waiting {
			pool.Add(rowOf(10), t0.Add(time.Duration(i)))
		}
		if got := len(pool.Next(c.atOnce)); got != c.want {
			t.Errorf("%d rows for %d batches at once: the first has %d, want %d", c.waiting, c.atOnce, got, c.want)
		}
	}
}

func TestWaitForABatch(t *testing.T) {
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	pool := batcher{budget: 100, maxWait: 20 * time.Millisecond}
	if got := pool.Wait(at(0), false); got != 0 {
		t.Errorf("an empty pool waits %v", got)
	}
	pool.Add(rowOf(30), at(0))
	pool.Add(rowOf(20), at(5))
	for _, c := range []struct {
		ms   int
		idle bool
		want time.Duration
	}{
		{5, false, 15 * time.Millisecond},
		{19, false, time.Millisecond},
		{20, false, 0},
		{50, false, 0},
		{5, true, 0},
	} {
		if got := pool.Wait(at(c.ms), c.idle); got != c.want {
			t.Errorf("after %d ms (idle: %v): wait %v, want %v", c.ms, c.idle, got, c.want)
		}
	}
	pool.Add(rowOf(50), at(6))
	if got := pool.Wait(at(6), false); got != 0 {
		t.Errorf("a full batch waits %v", got)
	}
}

// TestBatchesKeepTheirPromises: each row is in exactly one batch, no batch of several rows
// exceeds the budget, and every batch has the oldest row of the pool.
func TestBatchesKeepTheirPromises(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		pool := batcher{budget: 1 + rng.IntN(400)}
		out := map[*row]int{}
		var waiting []*row // by age
		now := t0
		for step := 0; step < 200 || pool.Len() > 0; step++ {
			if step < 200 && rng.IntN(3) > 0 {
				r := rowOf(1 + rng.IntN(120))
				now = now.Add(time.Millisecond)
				pool.Add(r, now)
				waiting = append(waiting, r)
				continue
			}
			batch := pool.Next(1)
			if batch == nil {
				continue
			}
			longest := slices.Max(lengths(batch))
			if len(batch) > 1 && len(batch)*longest > pool.budget {
				t.Fatalf("%d rows of %d exceed the budget of %d", len(batch), longest, pool.budget)
			}
			if !slices.Contains(batch, waiting[0]) {
				t.Fatal("the oldest row was left behind")
			}
			for _, r := range batch {
				out[r]++
			}
			waiting = slices.DeleteFunc(waiting, func(r *row) bool { return slices.Contains(batch, r) })
		}
		if len(waiting) != 0 {
			t.Fatalf("%d rows never came out", len(waiting))
		}
		for _, n := range out {
			if n != 1 {
				t.Fatalf("a row came out %d times", n)
			}
		}
	}
}

// realLengths are token counts of real texts (tweets and headlines).
func realLengths(tb testing.TB) []int {
	data, err := os.ReadFile(filepath.Join("wordpiece", "testdata", "expected.jsonl"))
	if err != nil {
		tb.Fatal(err)
	}
	var out []int
	for _, line := range bytes.Split(bytes.TrimSpace(data), []byte("\n")) {
		var e struct{ En []int32 }
		if err := json.Unmarshal(line, &e); err != nil {
			tb.Fatal(err)
		}
		if n := len(e.En); n > 0 {
			out = append(out, n+2)
		}
	}
	return out
}

// poolSize is what waits in a busy stage: Config.Queue.
const poolSize = 2048

func TestLittleOfABatchIsPadding(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	all := realLengths(t)
	pool := batcher{budget: 2048}
	text, padded := 0, 0
	for i := range 20_000 {
		pool.Add(rowOf(all[rng.IntN(len(all))]), t0.Add(time.Duration(i)))
		for pool.Len() == poolSize || i == 19_999 && pool.Len() > 0 {
			batch := pool.Next(1)
			longest := 0
			for _, r := range batch {
				text += len(r.ids)
				longest = max(longest, len(r.ids))
			}
			padded += len(batch) * longest
		}
	}
	if share := 1 - float64(text)/float64(padded); share > 0.08 {
		t.Errorf("%.1f %% of the batches is padding", 100*share)
	}
}

func BenchmarkBatcher(b *testing.B) {
	all := realLengths(b)
	pool := batcher{budget: 2048}
	rows := make([]*row, poolSize*2)
	for i := range rows {
		rows[i] = rowOf(all[i%len(all)])
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		pool.Add(rows[i%len(rows)], t0.Add(time.Duration(i)))
		if pool.Len() == poolSize {
			pool.Next(1)
		}
	}
}

// In a steady stream the pool allocates for a batch, not for a row.
func TestRowsAreBatchedWithoutAllocation(t *testing.T) {
	all := realLengths(t)
	rows := make([]*row, 2*poolSize)
	for i := range rows {
		rows[i] = rowOf(all[i%len(all)])
	}
	pool, added, batches := batcher{budget: 192}, 0, 0
	stream := func() {
		for range poolSize {
			pool.Add(rows[added%len(rows)], t0.Add(time.Duration(added)))
			if added++; pool.Len() == poolSize {
				pool.Next(1)
				batches++
			}
		}
	}
	stream() // fills it
	batches = 0
	allocations := testing.AllocsPerRun(10, stream)
	if each := float64(batches) / 11; allocations > each+1 { // AllocsPerRun runs it once before
		t.Errorf("%.0f allocations for %d rows in %.0f batches", allocations, poolSize, each)
	}
}
