package trend

import (
	"math"
	"time"

	"github.com/barograph/barograph/news"
)

// Outcome is what came of a judgement.
type Outcome string

// The outcomes of a judgement.
const (
	Spiked    Outcome = "spike"
	Told      Outcome = "told"    // a spike that was told, and that does not go on
	NearMiss  Outcome = "near"    // below the threshold, and of those that it is worked out from
	Usual     Outcome = "usual"   // nothing to speak of
	TooFew    Outcome = "too_few" // it abstains: fewer negatives than Rule.MinNegative, or a volume seen for less than a day
	WarmingUp Outcome = "warm_up" // it abstains: Rule.WarmUp is not over
)

// outcome is that of a verdict under a threshold.
func (v verdict) outcome(limit float64) Outcome {
	switch {
	case math.IsInf(limit, 1):
		return WarmingUp
	case v.thin:
		return TooFew
	case v.exceeds(limit):
		return Spiked
	case v.surprise >= limit:
		return Told
	case v.surprise >= episodeFrom:
		return NearMiss
	}
	return Usual
}

// Judgement is one that History made, spike or not.
type Judgement struct {
	Outcome   Outcome
	Spike     news.Spike // its numbers, without evidence; where there were too few, the counts of the longest window
	Threshold float64
	Higher    bool // of a near miss: the highest of its episode so far, by a tenth or so
}

// tell passes a judgement on to whoever listens.
func (h *History) tell(kind *Replay, of news.Series, s *replayed, v verdict, peak float64, limit float64, now time.Time) {
	if h.Judged == nil {
		return
	}
	if v.thin {
		current := bucketOf(now)
		v.got = s.ring.between(current-int64(longestWindow/BucketLength)+1, current+1).sum()
		v.window = longestWindow
	}
	h.Judged(Judgement{Outcome: v.outcome(limit), Spike: v.spike(subject{of, kind.kind}, now), Threshold: limit, Higher: binOf(s.base.peak) != binOf(peak)})
}
