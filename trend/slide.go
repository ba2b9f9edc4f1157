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
	Count    int       // of them, those of the kind: the negatives, the positives or all
	Expected float64   // of the kind, as in news.Spike
	// Limit is the Count from which this window, with what the other windows say then, is
	// a spike; 0 where they say it alone, infinite in the warm-up.
	Limit float64
}

// Slide lists the windows of one length that end with each bucket of event time [from, to), with
// what is counted for a kind of spike in them, and what the rule at the store's clock makes of each: by what is known of the series now, by the
// volume that the window's other items show, and by the threshold of now. The threshold moves
// with the days; told is the surprise of a spike that was told, so that the limit is none that
// it had not reached; 0 = only by the threshold of now.
// A series or a kind that is not known gives nothing. The length is that of a spike's window.
func (s *Store) Slide(ctx context.Context, of news.Series, kind news.SpikeKind, from, to time.Time, window time.Duration, told float64) ([]Moment, error) {
	now := s.clock()
	kind = kind.OrNegative()
	states, err := s.peek(ctx, kind, []news.Series{{}, of, {Entity: of.Entity}}, now)
	if err != nil || len(states[1].ring) == 0 {
		return nil, err
	}
	by := lenderOf(kind, &states[0].series, now)
	if err := s.calibrate(ctx, by, now); err != nil {
		return nil, err
	}
	if !by.knows(&states[1].series) {
		by.limit = math.Inf(1)
	}
	p := by.lendsNow(of, &states[1].series, &states[2].series, now)
	return states[1].slide(p, from, to, now, window, s.rule.MinNegative, lower(by.limit, told)), nil
}

// Slide is Store.Slide of history up to now.
func (h *History) Slide(of news.Series, kind news.SpikeKind, from, to time.Time, window time.Duration, told float64, now time.Time) []Moment {
	replay := h.of(kind)
	if replay == nil || replay.series[of.Key()] == nil {
		return nil
	}
	// Copies: a look changes nothing.
	everything, s, company := replay.everything.series, replay.series[of.Key()].series, series{}
	if all := replay.company(of); all != nil {
		company = *all
	}
	by := lenderOf(replay.kind, &everything, now)
	by.heed(replay.budget.calibrated(&replay.everything.base, now))
	if !by.knows(&s) {
		by.limit = math.Inf(1)
	}
	return s.slide(by.lendsNow(of, &s, &company, now), from, to, now, window, replay.rule.MinNegative, lower(by.limit, told))
}

// lower is the threshold that a spike which was told had reached.
func lower(threshold, told float64) float64 {
	if told > 0 {
		return math.Min(threshold, told)
	}
	return threshold
}

// lendsNow brings a series up to now and gives what it borrows then: of everything, and, where
// it is one of a company's topics, of all of the company.
func (l *lender) lendsNow(of news.Series, s, company *series, now time.Time) prior {
	lent := l.lends(of)
	if isTopicOfCompany(of) {
		company.base.learn(company.ring, unixSeconds(now), l.lent, l.down)
		lent.company = company
	}
	s.base.learn(s.ring, unixSeconds(now), lent, l.down)
	return lent
}

// Buckets is Store.Buckets of history. What is older than a day may be gone.
func (h *History) Buckets(of news.Series, kind news.SpikeKind, from, to time.Time) (out []Bucket) {
	replay := h.of(kind)
	if replay == nil || replay.series[of.Key()] == nil {
		return nil
	}
	s := replay.series[of.Key()]
	for _, c := range s.ring.between(bucketOf(from.Add(BucketLength-1)), bucketOf(to.Add(BucketLength-1))) {
		out = append(out, bucketOfKind(replay.kind, c))
	}
	return out
}

// slide is what judge sees, window by window. It does not know of spikes that were told and
// are over: what is left of them in the longer windows, judge passes over. The limit is the count
// that, beside what the other windows say then, is a spike.
func (s *series) slide(p prior, from, to, now time.Time, window time.Duration, minNegative int, threshold float64) (out []Moment) {
	drawn := 0
	for drawn < len(windows)-1 && windows[drawn].seconds < int64(window.Seconds()) {
		drawn++
	}
	for last := bucketOf(from); startOf(last).Before(to); last++ {
		at := looks(s.ring, &s.base, p, last, math.MinInt64, unixSeconds(now))
		var odds [len(windows)]float64
		for i := range at {
			odds[i] = at[i].odds(minNegative)
		}
		of := at[drawn]
		of.weigh()
		expected, _, _ := of.expected()
		out = append(out, Moment{At: startOf(last + 1), Items: of.got.items, Count: of.got.negative, Expected: expected,
			Limit: leastOver(threshold, func(negative int) float64 {
				l := of.with(negative)
				odds[drawn] = l.odds(minNegative)
				all := 0.0 // in the order of judge, so that both round alike
				for _, one := range odds {
					all += one
				}
				return surpriseOf(all)
			})})
	}
	return out
}

// leastOver is the least count whose surprise reaches a threshold; surprise rises with the
// count, up to the chance that is told at all.
func leastOver(threshold float64, surprise func(int) float64) float64 {
	if math.IsInf(threshold, 1) || threshold > -math.Log10(smallestP) {
		return math.Inf(1)
	}
	if surprise(0) >= threshold {
		return 0 // the other windows say it alone
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
