package trend

import (
	"math"
	"math/bits"
	"time"

	"github.com/barograph/barograph/trend/market"
)

// What the baseline learns, and how fast. The values are those of the reference rule, but for
// capDeviations (4 there: a day's surge of volume then stays in the profile); tuned on the
// benchmark's seeds 1 to 10.
const (
	guardSeconds  = 12 * 3600                // counts younger than this are not learnt yet
	levelHalfLife = 5 * 86400.0              // seconds
	shareHalfLife = 7 * 86400.0              // seconds
	levelPrior    = 0.5                      // items' worth of prior knowledge of the rate
	levelUsual    = 10.0 / 86400             // items a second of a series not known yet
	sharePrior    = 40.0                     // items' worth of prior knowledge of the share
	shareUsual    = 0.2                      // share of negatives where nothing is known at all
	leaningUsual  = 0.12                     // share of items that lean to negative, likewise
	copiesUsual   = 0.5                      // copies an item where nothing is known at all
	copiesPrior   = 20.0                     // items' worth of that
	profilePrior  = 10.0                     // items' worth of prior knowledge of an hour's factor
	profileKeep   = 0.97                     // of an hour's memory, each half hour of it
	capDeviations = 2.5                      // a chunk is learnt at most this far above the expected
	capClusters   = 1.6                      // of its variance: that over the mean, by clusters
	capVolume     = 0.2                      // of its variance: relative, by the day's volume
	capItems      = 3.0                      // over that bound, so that a quiet series learns of an item
	longestFreeze = 24 * 3600 / chunkSeconds // chunks kept out in a row; then they are learnt after all
	longestLesson = 30 * 48                  // chunks; what is older is forgotten at once
	storyFactor   = 1.7                      // items a story, for how much a count is worth as evidence
)

// hoursOfWeek are the slots of the weekly profile: each hour of a weekday and of a day
// of the weekend, in UTC or by the days of a market (calendar.go).
const hoursOfWeek = 48

// slot is the hour-of-week slot of a bucket.
func slot(bucket int64) int {
	day := floorDiv(bucket, bucketsPerDay)
	hour := int(bucket-day*bucketsPerDay) / bucketsPerHour
	if weekday := day + 3 - 7*floorDiv(day+3, 7); weekday >= 5 { // 1970-01-01 was a Thursday
		hour += 24
	}
	return hour
}

// baseline is what a series' past says of its usual state: how many items come in
// (level), when in the week (profile) and how many of them are negative (share). It is
// of fixed size and forgets exponentially.
type baseline struct {
	next     int64   // first chunk not learnt yet: Unix seconds / chunkSeconds
	since    int64   // clock when the series was first seen, Unix seconds
	items    float64 // level: items learnt, decayed
	exposure float64 // level: seconds they came in, decayed, weighted by the profile
	seen     float64 // share: items, decayed
	negative float64 // share: negative among them
	leaning  float64 // share: leaning to negative among them
	copies   float64 // further copies of them, decayed
	hour     [hoursOfWeek]struct {
		items    float64 // of this hour of the week, decayed
		expected float64 // what the level alone would give
	}
	frozen uint64 // bit i: chunk next+i is kept out, for a spike ran in it
	streak int    // frozen chunks passed over in a row

	peak         float64 // highest surprise of the latest episode
	episodeUntil int64   // when that is over, if nothing comes near a spike any more; Unix seconds

	fired        int64   // bucket of the clock in which the series was last over the threshold; 0 = never
	openUntil    int64   // when that spike is over, if it does not go on; Unix seconds
	toldSurprise float64 // highest that was told of it: toldAs
	before       int64   // bucket until which all was told of earlier ones

	down         int    // of everything: chunks in which feeds failed, less those since in which they did not; at most longestOutage
	failing      uint64 // of everything, bit i: feeds failed in chunk next-1-i
	lost, lostTo int64  // of everything: the first chunk of the last long outage, and the first after it

	market *market.Market // whose days the weekly profile follows; nil = UTC

	clumps clumps // seen since it was read, for the caller to count; not stored
}

// newBaseline knows nothing and begins to learn at a bucket.
func newBaseline(bucket int64, now time.Time) baseline {
	return baseline{next: floorDiv(bucket, bucketsPerChunk), since: now.Unix()}
}

// prior is what a series not known well borrows: the share, the copies an item and the
// weekly profile of everything together.
type prior struct {
	share    float64
	leaning  float64 // share of items that lean to negative
	copies   float64
	clusters float64 // variance over mean of a count of negatives
	profile  [hoursOfWeek]float64
	company  *series // of a company's topic, all of the company, learnt up to now; nil = not known
}

// noPrior knows of no weekly profile and a usual share; "everything" starts from it.
func noPrior() prior {
	p := prior{share: shareUsual, leaning: leaningUsual, copies: copiesUsual, clusters: clusters}
	for h := range p.profile {
		p.profile[h] = 1
	}
	return p
}

// prior is what others may borrow of this baseline.
func (b *baseline) prior() prior {
	none := noPrior()
	p := prior{share: b.share(none).mean(), copies: (b.copies + copiesPrior*copiesUsual) / (b.seen + copiesPrior), clusters: clusters}
	p.leaning = (b.leaning/storyFactor + sharePrior*leaningUsual) / (b.seen/storyFactor + sharePrior)
	for h := range p.profile {
		p.profile[h] = b.factor(h, none)
	}
	return p
}

// level is the usual rate, in items a second: the mean of a Gamma posterior.
func (b *baseline) level() float64 {
	return (levelPrior + b.items) / (levelPrior/levelUsual + b.exposure)
}

// factor is how many times the level an hour of the week usually sees.
func (b *baseline) factor(slot int, p prior) float64 {
	h := &b.hour[slot]
	return (h.items + profilePrior*p.profile[slot]) / (h.expected + profilePrior)
}

// beta is a Beta distribution of a share.
type beta struct{ a, b float64 }

func (s beta) mean() float64 { return s.a / (s.a + s.b) }

// relativeVariance is the variance over the squared mean.
func (s beta) relativeVariance() float64 {
	q := s.mean()
	return (1 - q) / q / (s.a + s.b + 1)
}

// share is the posterior of the usual share of negatives.
func (b *baseline) share(p prior) beta { return b.shareOf(b.negative, p.share) }

// weighedShare is that of count.weighed.
func (b *baseline) weighedShare(p prior) beta {
	return b.shareOf(b.negative+leanWorth*b.leaning, p.share+leanWorth*p.leaning)
}

func (b *baseline) shareOf(of, prior float64) beta {
	return beta{
		a: of/storyFactor + sharePrior*prior,
		b: math.Max(0, b.seen-of)/storyFactor + sharePrior*(1-prior), // sums may be off by a last digit
	}
}

// learn takes in the chunks that have become older than the guard at now (Unix seconds),
// except those frozen by a spike and those in which feeds failed, as down or a long silence says. It
// reports whether it moved on. down is asked once for each chunk, which is the last before next then.
func (b *baseline) learn(r ring, now float64, p prior, down func(chunk int64) bool) bool {
	end := int64(math.Floor((now - guardSeconds) / chunkSeconds))
	if end <= b.next {
		return false
	}
	if start := end - longestLesson; b.next < start {
		b.pass(start - b.next)
	}
	quiet := silence{end: b.next, failed: b.next}
	for b.next < end {
		chunk, frozen := b.next, b.frozen&1 != 0
		b.pass(1)
		failed := down(chunk)
		if !frozen {
			b.streak = 0
		} else if b.streak < longestFreeze {
			b.streak++
			continue
		}
		got := r.between(chunk*bucketsPerChunk, (chunk+1)*bucketsPerChunk).sum()
		if chunk >= quiet.end && got == (count{}) {
			quiet = b.silenceFrom(r, chunk, now, p)
		}
		if !failed && chunk >= quiet.failed {
			if !frozen {
				b.seeClumps(r, chunk, p)
			}
			b.copies = b.copies*shareDecay + float64(got.copies)
			b.learnChunk(chunk, float64(got.items), float64(got.negative), float64(got.leaning), p)
		}
	}
	return true
}

// pass moves the position on by n chunks.
func (b *baseline) pass(n int64) {
	b.next += n
	b.frozen >>= uint(n)
	b.failing <<= uint(n)
}

var (
	levelDecay = math.Exp2(-chunkSeconds / levelHalfLife)
	shareDecay = math.Exp2(-chunkSeconds / shareHalfLife)
)

// learnChunk takes half an hour in. A burst counts only up to what chance could bring,
// so that a single bad day does not become the usual.
func (b *baseline) learnChunk(chunk int64, items, negative, leaning float64, p prior) {
	h := b.slot(chunk * bucketsPerChunk)
	f, level := b.factor(h, p), b.level()
	expected := level * f * chunkSeconds
	if limit := expected + capDeviations*math.Sqrt(capClusters*expected+capVolume*expected*expected) + capItems; items > limit {
		negative *= limit / items
		leaning *= limit / items
		items = limit
	}
	b.items = b.items*levelDecay + items
	b.exposure = b.exposure*levelDecay + f*chunkSeconds
	b.seen = b.seen*shareDecay + items
	b.negative = b.negative*shareDecay + negative
	b.leaning = b.leaning*shareDecay + leaning
	b.hour[h].items = b.hour[h].items*profileKeep + items
	b.hour[h].expected = b.hour[h].expected*profileKeep + level*chunkSeconds
}

// freeze keeps the chunks from one Unix second to another out of the baseline. It
// reports whether that was news.
func (b *baseline) freeze(from, to float64) bool {
	first := max(int64(math.Floor(from/chunkSeconds)), b.next)
	last := min(int64(math.Floor(to/chunkSeconds)), b.next+63)
	before := bits.OnesCount64(b.frozen)
	for chunk := first; chunk <= last; chunk++ {
		b.frozen |= 1 << uint(chunk-b.next)
	}
	return bits.OnesCount64(b.frozen) != before
}
