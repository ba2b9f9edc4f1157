package trend

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// stories are counts of two hours, at a rate of stories that swings by itself, beside what is usual. Three in ten
// have two copies on average, of which a part is hidden.
func stories(rng *rand.Rand, hidden float64) (got count, usual, usualCopies float64) {
	const copied, copies = .3, 2.
	rate := .1 + 1.5*rng.Float64()
	swing := math.Exp(.3*rng.NormFloat64() - .045)
	for left := rng.ExpFloat64(); left < rate*swing; left += rng.ExpFloat64() {
		got.items++
		if rng.Float64() > copied {
			continue
		}
		for again := true; again; again = rng.Float64() < 1-1/copies {
			if rng.Float64() < hidden {
				got.items++
			} else {
				got.copies++
			}
		}
	}
	perStory := 1 + copied*copies*hidden
	return got, rate * perStory, copied * copies * (1 - hidden) / perStory
}

// The variance over mean of the items is found from those copies that are recognised, though the
// volume swings; and so much more than usual is taken into the rule.
func TestClumpsTellOfHiddenCopies(t *testing.T) {
	for _, hidden := range []float64{0, .2, .4, .6} {
		rng := rand.New(rand.NewPCG(7, 1))
		var seen clumps
		for range 400_000 {
			seen.see(stories(rng, hidden))
		}
		// E[n²] / E[n] of a story's items, of which hidden copies of a geometric number are binomial.
		const copied, copies, pairs = .3, 2., 4. // E[c (c-1)] of those copied
		mean, factorial := copied*copies*hidden, copied*pairs*hidden*hidden
		over := (1+3*mean+factorial)/(1+mean) - 1
		want := clusters + clumpMore*(over-clumpUsual)
		if over < clumpUsual {
			want = clusters + clumpLess*(over-clumpUsual)
		}
		if got := seen.clusters(); math.Abs(got-want) > .15 { // what the volume's swings add
			t.Errorf("%g of the copies hidden: clusters of %.2f, want %.2f", hidden, got, want)
		}
	}
}

func TestFewClumpsSayLittle(t *testing.T) {
	if got := (clumps{}).clusters(); got != clusters {
		t.Errorf("clusters of %g before any are seen", got)
	}
	// Items without a single copy tell nothing of hidden ones.
	without := clumps{items: 1e6}
	if got := without.clusters(); got != clusters {
		t.Errorf("clusters of %g where there are no copies", got)
	}
	var some, many clumps
	for i := range 1000 {
		of := &many
		if i < 10 {
			of = &some
		}
		of.see(count{items: 4, copies: 5}, 1, .5)
		of.see(count{}, 1, .5)
	}
	if a, b := some.clusters(), many.clusters(); a < clusters+.1 || b < a+1 || b > clustersMost {
		t.Errorf("clusters of %.2f by ten clumps, %.2f by a thousand", a, b)
	}
}

// Only quiet series are looked at, not spikes, nor texts that forty sites have.
func TestWhereClumpsAreSeen(t *testing.T) {
	first := (bucketOf(noon)/bucketsPerChunk/clumpChunks - 6) * clumpChunks // of the chunks, 12 h before noon
	at := func(items, copies int) ring {
		return ring{{bucket: (first + clumpChunks - 1) * bucketsPerChunk, items: items, copies: copies}}
	}
	see := func(perDay float64, r ring, freeze bool) clumps {
		b := usual(perDay, .2)
		b.next = first
		if freeze {
			b.frozen = 1 << (clumpChunks - 1)
		}
		b.learn(r, float64((first+1)*chunkSeconds+guardSeconds), noPrior(), func(int64) bool { return false })
		return b.clumps
	}
	if got := see(10, at(3, 5), false); got.items != 3 || got.copies != 5 || got.both == 0 || got.pairs == 0 {
		t.Errorf("seen in a quiet series: %+v", got)
	}
	for what, got := range map[string]clumps{
		"busy": see(100, at(3, 5), false), "in a spike": see(10, at(3, 5), true), "one text": see(10, at(3, clumpMost), false),
	} {
		if got != (clumps{}) {
			t.Errorf("%s: seen %+v", what, got)
		}
	}
}

// What clumps explain is no spike.
func TestClustersSpreadTheNegatives(t *testing.T) {
	b, p := usual(24, .2), noPrior()
	surprise := func() float64 {
		return judge(ago(map[int]count{5: {items: 6, negative: 5}}), &b, p, unixSeconds(noon), 3).surprise
	}
	before := surprise()
	p.clusters = 2.2
	if got := surprise(); before < 2 || got > before-.3 {
		t.Errorf("surprise %.2f, and %.2f where copies are hidden", before, got)
	}
}

// A replay learns from its stream how many copies are hidden.
func TestReplayLearnsTheClusters(t *testing.T) {
	learnt := func(hidden bool) float64 {
		rng := rand.New(rand.NewPCG(5, 2))
		r := NewReplay(Rule{})
		id := 0
		for at := noon; at.Before(noon.AddDate(0, 0, 9)); at = at.Add(30 * time.Minute) {
			for s := range 40 {
				if rng.Float64() > .2 {
					continue
				}
				text := fmt.Sprint(id)
				for copies := 0; copies == 0 || copies < 6 && rng.Float64() < .6; copies++ {
					id++
					e := Event{ID: fmt.Sprint(id), Series: news.Series{Entity: fmt.Sprint("E", s)}, Arrival: at, At: at, Text: text}
					if hidden && copies%2 == 1 {
						e.Text = "changed " + e.ID
					}
					r.Add(e)
				}
			}
		}
		return r.budget.calibrated(&r.everything.base, noon.AddDate(0, 0, 9)).clusters
	}
	if few, many := learnt(false), learnt(true); few > clusters-.1 || many < clusters+.5 {
		t.Errorf("clusters of %.2f where all copies are recognised, %.2f where half are not", few, many)
	}
}

// Replicas share what they have seen, each counts it once, and a history gives what it saw.
func TestClumpsAreShared(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: testenv.StartRedis(t).Addr})
	t.Cleanup(func() { client.Close() })
	stores := make([]*Store, 2)
	for i := range stores {
		var err error
		if stores[i], err = New(Config{Redis: client}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, now := t.Context(), noon
	a, b := stores[0], stores[1]
	one := clumps{items: 10, copies: 20, both: 123_456, pairs: 234_567}
	if err := a.adoptPeaks(ctx, &budget{clumps: map[int64]*clumps{dayOf(now) - 1: &one, dayOf(now) - episodeDays: &one}}, now); err != nil {
		t.Fatal(err)
	}
	state := &stored{}
	state.base.clumps = one
	want := one
	everything := newBaseline(0, noon.AddDate(0, 0, -20))
	for _, s := range []*Store{a, b, a} {
		s.limit.see(map[subject]*stored{{of: news.Series{Entity: "E"}}: state, {}: state})
		want.add(one)
		now = now.Add(2 * calibrateEvery)
		c, err := s.calibrated(ctx, &everything, now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := b.episodes(ctx, clumps{}, now)
		if err != nil || got.clumps != want || c.clusters != want.clusters() {
			t.Errorf("%+v, clusters of %g (%v), want %+v", got.clumps, c.clusters, err, want)
		}
	}
}
