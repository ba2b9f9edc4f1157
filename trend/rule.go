package trend

import (
	"math"
	"time"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend/market"
)

// Rule says when a series stands out. The zero value is the rule as benchmarked.
type Rule struct {
	// FalseAlertsPerDay is how many spikes a day, over all series together, may be chance.
	// The threshold on surprise follows from it and from how often series have come near
	// one in the last 14 days. 0 = 1. What was asked and what came: bench/spikes/README.md.
	FalseAlertsPerDay float64

	// Surprise fixes the threshold instead: -log10 of the chance of so many negatives,
	// corrected for how often windows of that length are looked at; 1 more is ten times
	// rarer. False alerts then grow with the number of series. 0 = by FalseAlertsPerDay.
	Surprise float64

	// MinNegative is the fewest negative items in a window that can be a spike; below it
	// the rule abstains. 0 = 3.
	MinNegative int

	// Spikes are the kinds that are looked for. They share FalseAlertsPerDay. nil = negative.
	Spikes []news.SpikeKind

	// WarmUp is how old the first reading of a key-space must be, by the clock of
	// arrival, before anything is a spike. 0 = 24 h; negative = no warm-up.
	WarmUp time.Duration

	// Market is the exchange whose days the weekly profile follows: its hours, with summer
	// time, and its holidays as days of the weekend. nil = hours of UTC. Where it is changed,
	// profiles are learnt anew; levels and shares stay.
	Market *market.Market
}

func (r Rule) withDefaults() Rule {
	if r.FalseAlertsPerDay == 0 {
		r.FalseAlertsPerDay = 1
	}
	if r.MinNegative == 0 {
		r.MinNegative = 3
	}
	if r.WarmUp == 0 {
		r.WarmUp = 24 * time.Hour
	}
	return r
}

// warm tells whether what is known of everything is old enough to find spikes by.
func (r Rule) warm(everything *baseline, now time.Time) bool {
	return !now.Before(time.Unix(everything.since, 0).Add(r.WarmUp))
}

// windows are the stretches judged at once, and in each the variance over the mean of a
// count: what copies with a changed text leave of clusters.
var windows = [...]struct {
	seconds int64
	cluster float64
}{
	{15 * 60, 1.4}, {30 * 60, 1.4}, {3600, 1.4}, {2 * 3600, 1.3}, {4 * 3600, 1.3}, {12 * 3600, 1.3},
}

// longestWindow is also the age from which an item is no reason to judge.
const longestWindow = 12 * time.Hour

const (
	volumeShape = 6.0     // shape of the day's volume around its usual (its sd is 41 %)
	moodVar     = 0.05    // relative variance of the share by the hour
	halfDay     = 43200.0 // seconds; the unit of "how often" in a surprise
	minVariance = 2.0     // squared distance from the expected, in variances, worth a look
	freezeFrom  = 2.5     // surprise from which a window is kept out of the baseline
	smallestP   = 1e-300

	echoNear  = 0.25 // items that pass for new ones, for each copy of a negative text
	echoUsual = 1.2  // times the usual copies an item are of no account
)

// verdict is a judgement with its numbers; the zero value is "nothing to say".
type verdict struct {
	surprise float64
	p        float64 // chance of as many negatives or more in the window
	window   time.Duration
	got      count // in the window
	expected float64
	volume   float64 // factor, at least 1
	share    float64 // usual
	started  int64   // first bucket of the window with negatives
}

// judge scores a series at now (Unix seconds): the least likely of the windows that end
// there, given the baseline and today's volume, which is read from the items that are
// not negative. It abstains on fewer than minNegative negatives.
func judge(r ring, b *baseline, p prior, now float64, minNegative int) verdict {
	var (
		best    verdict
		level   = b.level()
		share   = b.share(p)
		q       = share.mean()
		shape   = 1 / (1/volumeShape + 1/(levelPrior+b.items/storyFactor))
		usual   float64 // items expected in the window
		current = int64(math.Floor(now / bucketSeconds))
		bucket  = current
		upto    = now
		got     count
		started int64
		at      = r.from(current+1) - 1
	)
	told := b.told(now)
	for _, w := range windows {
		for first := current - w.seconds/bucketSeconds + 1; bucket >= first && bucket > told; bucket-- {
			if at >= 0 && r[at].bucket == bucket {
				c := r[at]
				got.items, got.negative = got.items+c.items, got.negative+c.negative
				got.copies, got.echoes = got.copies+c.copies, got.echoes+c.echoes
				if c.negative > 0 {
					started = bucket
				}
				at--
			}
			start := float64(bucket * bucketSeconds)
			usual += level * b.factor(b.slot(bucket), p) * (upto - start)
			upto = start
		}
		negative := stories(got, p)
		if negative < float64(minNegative) {
			continue
		}
		expected, volume, chance := windowChance(got, negative, usual, share, shape, w.cluster)
		if chance >= 1 {
			continue
		}
		if surprise := -math.Log10(chance * halfDay / float64(w.seconds)); surprise > best.surprise {
			best = verdict{surprise: surprise, p: chance, window: time.Duration(w.seconds) * time.Second, got: got,
				expected: expected, volume: volume, share: q, started: started}
		}
	}
	return best
}

// stories is the negative items of a window, less those that are likely rewritten copies of
// a text that many have copied. Where one text is copied forty times, some of the copies
// have changed words, pass for items of their own and look like a burst; many exact copies
// are the sign of it. A burst of separate stories has as many copies an item as is usual.
func stories(got count, p prior) float64 {
	negative := float64(got.negative)
	return negative - echoNear*math.Max(0, float64(got.echoes)-echoUsual*p.copies*negative)
}

// windowChance is the chance of so many negatives or more in a window of got, that
// usually sees so many items: a negative binomial whose variance has the clusters, and
// what is not known of volume, share and mood. It is 1 where the count is not worth a look.
func windowChance(got count, negative, usual float64, share beta, shape, cluster float64) (expected, volume, chance float64) {
	q := share.mean()
	seen := shape + float64(got.items-got.negative)/cluster
	volume = math.Max(1, seen/(shape+usual*(1-q)/cluster))
	expected = usual * q * volume
	variance := spread(expected, seen, share, cluster)
	if off := negative - expected; off <= 0 || off*off < minVariance*variance {
		return expected, volume, 1
	}
	size := expected * expected / (variance - expected)
	return expected, volume, math.Max(negBinTail(negative, expected, size), smallestP)
}

// spread is the variance of a count of negatives: clusters, and what is not known of volume
// (by what was seen of it), share and mood.
func spread(expected, seen float64, share beta, cluster float64) float64 {
	return cluster*expected + (1/seen+share.relativeVariance()+moodVar)*expected*expected
}

// series is all that is known of one series at a moment.
type series struct {
	ring ring
	base baseline
}

// assess brings a series' baseline up to now, judges it and freezes what stands out. The
// prior and the outages are those of everything. changed says that the baseline did.
func (s *series) assess(p prior, down func(chunk int64) bool, now time.Time, minNegative int) (v verdict, move peakMove, changed bool) {
	seconds := unixSeconds(now)
	learnt := s.base.learn(s.ring, seconds, p, down)
	v = judge(s.ring, &s.base, p, seconds, minNegative)
	frozen := v.surprise >= freezeFrom && s.base.freeze(seconds-v.window.Seconds(), seconds)
	move, moved := s.base.episode(v, now)
	return v, move, learnt || frozen || moved
}

// told is the last bucket of what is not evidence any more at now (Unix seconds): a spike
// that is over has been told, and what is left of it in the longer windows is not another.
func (b *baseline) told(now float64) int64 {
	if b.fired == 0 || now <= float64(b.openUntil) {
		return math.MinInt64
	}
	return b.fired
}

// fire remembers that a spike of the series at now was passed on. It reports whether there
// is something to store.
func (b *baseline) fire(window time.Duration, now time.Time) bool {
	bucket, until := bucketOf(now), now.Add(Quiet(window)).Unix()
	changed := bucket > b.fired
	b.fired = max(b.fired, bucket)
	if until > b.openUntil+int64(untilStep.Seconds()) {
		b.openUntil, changed = until, true
	}
	return changed
}

// outage is the series' word, as everything's, on whether feeds failed in a chunk.
func (s *series) outage(chunk int64) bool { return s.base.outage(s.ring, chunk) }
