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
	// one in the last 14 days, but never falls below LeastSurprise: few series do not use a
	// large number up. 0 = 1. What was asked and what came: bench/spikes/README.md.
	FalseAlertsPerDay float64

	// Surprise fixes the threshold instead: about -log10 of the chance of a window like
	// this in half a day; 1 more is ten times likelier a spike. False alerts then grow with the number of series. 0 = by FalseAlertsPerDay.
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

// window is a stretch that is judged.
type window struct {
	seconds int64
	last    float64 // part of all spikes that last about so long
}

// windows are judged at once.
var windows = [...]window{
	{15 * 60, 1}, {30 * 60, 6. / 7}, {3600, 5. / 7}, {2 * 3600, 4. / 7}, {4 * 3600, 3. / 7}, {8 * 3600, 1.5 / 7}, {12 * 3600, 1.5 / 7},
}

// WindowLengths are the lengths of the windows that the rule judges, the shortest first.
func WindowLengths() []time.Duration {
	out := make([]time.Duration, len(windows))
	for i, w := range windows {
		out[i] = time.Duration(w.seconds) * time.Second
	}
	return out
}

// longestWindow is also the age from which an item is no reason to judge.
const longestWindow = 12 * time.Hour

const (
	clusters    = 1.4     // variance over mean of a count of negatives: what copies with a changed text leave of clusters, at least (clumps.go)
	mood        = 0.05    // relative variance of the share in a window: it swings within a day
	volumeShape = 6.0     // shape of the day's volume around its usual (its sd is 41 %)
	halfDay     = 43200.0 // seconds; the unit of "how often" in a surprise
	freezeFrom  = 2.5     // surprise from which a window is kept out of the baseline
	smallestP   = 1e-300
)

// verdict is a judgement with its numbers; the zero value is "nothing to say".
type verdict struct {
	surprise float64
	news     float64       // surprise of what came since an open spike was told; infinite where none is, or it has grown
	p        float64       // chance of as many negatives or more in the window
	window   time.Duration // what is left of it since a spike that was told
	got      count         // in the window
	expected float64
	volume   float64 // factor, at least lowVolume
	share    float64 // usual
	started  int64   // first bucket of the window with negatives
	thin     bool    // no window has enough negatives to say anything
}

// judge scores a series at now (Unix seconds): how much likelier it is to be in a spike than
// to see its negatives by chance, given the baseline and today's volume, which is read from
// the items that are not negative. A spike may have begun with any of the windows: their odds
// are added up, and the one that says most explains. It abstains where none has minNegative
// negatives, or that one has no more of them than people are shown as expected.
func judge(r ring, b *baseline, p prior, now float64, minNegative int) verdict {
	return judgeSince(r, b, p, b.told(now), now, minNegative)
}

// judgeSince is judge by what came after a bucket.
func judgeSince(r ring, b *baseline, p prior, after int64, now float64, minNegative int) verdict {
	var (
		best look
		most float64 // odds of one window
		all  float64
	)
	at := looks(r, b, p, int64(math.Floor(now/bucketSeconds)), after, now)
	for i := range at {
		odds := at[i].odds(minNegative)
		if all += odds; odds > most {
			most, best = odds, at[i]
		}
	}
	surprise := surpriseOf(all)
	if surprise == 0 {
		return verdict{thin: at[len(at)-1].got.negative < minNegative}
	}
	v := verdict{surprise: surprise, window: time.Duration(best.seconds) * time.Second, got: best.got,
		share: best.told.mean(), started: best.started}
	if v.expected, v.volume, v.p = best.expected(); float64(v.got.negative) <= v.expected {
		return verdict{} // only what leans makes it stand out: not what people are told of
	}
	return v
}

// volumeShape is that of the volume in a window, where the level is not exactly known either.
func (b *baseline) volumeShape() float64 {
	return 1 / (1/volumeShape + 1/(levelPrior+b.items/storyFactor))
}

// spread is the variance of a count of negatives: clusters (its part over the mean), and what is not known of volume
// (by what was seen of it), share and mood.
func spread(clusters, expected, seen float64, share beta) float64 {
	return clusters*expected + (1/seen+share.relativeVariance()+mood)*expected*expected
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
	if v.news = math.Inf(1); s.base.open(seconds) && (v.surprise <= s.base.toldSurprise || s.base.toldSurprise == mostTold) {
		v.news = judgeSince(s.ring, &s.base, p, s.base.fired, seconds, minNegative).surprise
	}
	frozen := v.surprise >= freezeFrom && s.base.freeze(seconds-v.window.Seconds(), seconds)
	move, moved := s.base.episode(v, now)
	return v, move, learnt || frozen || moved
}

// exceeds tells whether a verdict is a spike by a threshold. One that was told goes on where it has grown, or what
// came since would be a spike alone: what the longer windows keep of it for half a day is no news.
func (v verdict) exceeds(limit float64) bool { return min(v.surprise, v.news) >= limit }

// open tells whether a spike was told and is not over at now (Unix seconds).
func (b *baseline) open(now float64) bool { return b.fired != 0 && now < float64(b.openUntil) }

// told is the last bucket of what is not evidence any more at now (Unix seconds): a spike
// that is over has been told, and what is left of it in the longer windows is neither another nor a part of one.
func (b *baseline) told(now float64) int64 {
	if b.open(now) {
		return b.before
	}
	return b.fired
}

// fire remembers that a spike of the series at now was passed on, which is over by a time if it does not go on.
// It reports whether there is something to store.
func (b *baseline) fire(surprise float64, now, over time.Time) bool {
	if !b.open(unixSeconds(now)) {
		b.toldSurprise, b.before = 0, b.fired
	}
	bucket, until, told := bucketOf(now), over.Unix(), toldAs(surprise)
	changed := bucket > b.fired || told > b.toldSurprise
	b.fired, b.toldSurprise = max(b.fired, bucket), max(b.toldSurprise, told)
	if until > b.openUntil+int64(untilStep.Seconds()) {
		b.openUntil, changed = until, true
	}
	return changed
}

// mostTold is the highest surprise that is kept of a spike that was told: above it, one grows no more.
const mostTold = 255 / 8.

// toldAs is how a surprise that was told is kept: in a byte of eighths, from the next one up. So a spike has grown
// where it is an eighth more surprising, about.
func toldAs(surprise float64) float64 { return math.Min(math.Ceil(surprise*8)/8, mostTold) }
