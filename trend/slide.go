package trend

import (
	"context"
	"math"
	"time"

	"github.com/barograph/barograph/news"
)

// Moment is the sliding window of a series that ends at a time, and what the rule makes of it:
// how a spike came about.
type Moment struct {
	At       time.Time // end of the window's last bucket
	Items    int       // in the window
	Negative int
	Expected float64 // negatives expected, at the volume that the window's other items show
	Limit    float64 // negatives from which the window is a spike; infinite in the warm-up
}

// Slide lists the windows of one length that end with each bucket of event time [from, to), and
// what the store's clock knows of the series: its baseline and the threshold of now.
// A series that is not known gives nothing. The length is that of a spike's window.
func (s *Store) Slide(ctx context.Context, of news.Series, from, to time.Time, window time.Duration) ([]Moment, error) {
	now := s.clock()
	states, err := s.peek(ctx, []news.Series{{}, of}, now)
	if err != nil || len(states[1].ring) == 0 {
		return nil, err
	}
	lent := states[0].lend(now)
	if of == (news.Series{}) {
		lent = noPrior()
	}
	limit, err := s.threshold(ctx, &states[0].base, now)
	if err != nil {
		return nil, err
	}
	return states[1].slide(lent, from, to, now, window, s.rule.MinNegative, limit), nil
}

// Slide is Store.Slide of history up to now.
func (h *History) Slide(of news.Series, from, to time.Time, window time.Duration, now time.Time) []Moment {
	s := h.replay.series[of.Key()]
	if s == nil {
		return nil
	}
	lent := h.replay.everything.base.prior()
	return s.slide(lent, from, to, now, window, h.replay.rule.MinNegative, h.Threshold(now))
}

// Buckets is Store.Buckets of history. What is older than a day may be gone.
func (h *History) Buckets(of news.Series, from, to time.Time) (out []Bucket) {
	s := h.replay.series[of.Key()]
	if s == nil {
		return nil
	}
	for _, c := range s.ring.between(bucketOf(from.Add(BucketLength-1)), bucketOf(to.Add(BucketLength-1))) {
		out = append(out, Bucket{Start: startOf(c.bucket), Items: c.items, Negative: c.negative, Copies: c.copies})
	}
	return out
}

// slide is what judge sees, window by window, without its exceptions for echoes, for the
// company's other topics and for what was told.
func (s *series) slide(p prior, from, to, now time.Time, window time.Duration, minNegative int, threshold float64) (out []Moment) {
	w := windows[0]
	for _, w = range windows {
		if w.seconds >= int64(window.Seconds()) {
			break
		}
	}
	width := w.seconds / bucketSeconds
	share := s.base.share(p)
	for last := bucketOf(from); startOf(last).Before(to); last++ {
		got := s.ring.between(last-width+1, last+1).sum()
		usual := 0.0
		for bucket := last - width + 1; bucket <= last; bucket++ {
			passed := math.Min(bucketSeconds, math.Max(0, unixSeconds(now)-float64(bucket*bucketSeconds)))
			usual += s.base.level() * s.base.factor(s.base.slot(bucket), p) * passed
		}
		evidence := func(got count) look {
			return newLook(look{got: got, usual: usual, share: share, shape: s.base.volumeShape(), mood: w.mood})
		}
		surprise := func(negative int) float64 {
			if negative < minNegative {
				return 0
			}
			l := evidence(count{items: got.items - got.negative + negative, negative: negative})
			return l.surprise(w)
		}
		l := evidence(got)
		expected, _, _ := l.expected()
		out = append(out, Moment{At: startOf(last + 1), Items: got.items, Negative: got.negative, Expected: expected,
			Limit: leastOver(threshold, surprise)})
	}
	return out
}

// leastOver is the least count whose surprise reaches a threshold; surprise rises with the
// count, up to the chance that is told at all.
func leastOver(threshold float64, surprise func(int) float64) float64 {
	if math.IsInf(threshold, 1) || threshold > -math.Log10(smallestP) {
		return math.Inf(1)
	}
	low, high := 0, 4
	for surprise(high) < threshold {
		if high > math.MaxInt32 {
			return math.Inf(1)
		}
		low, high = high, 2*high
	}
	for high-low > 1 {
		if middle := (low + high) / 2; surprise(middle) < threshold {
			low = middle
		} else {
			high = middle
		}
	}
	return float64(high)
}
