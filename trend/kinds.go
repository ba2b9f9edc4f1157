package trend

import (
	"fmt"
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// Positive and volume spikes are found by the same rule as negative ones. Each kind has a state
// of its own for a series, in which what the rule calls negative is what the kind is about:
// positive items, or all of them. A kind that is not looked for costs nothing.

// subject is what is judged: a series, by one kind of spike.
type subject struct {
	of   news.Series
	kind news.SpikeKind
}

// key is the subject's identity as one string.
func (s subject) key() string { return kindPrefix(s.kind) + s.of.Key() }

// kindPrefix begins the names of what belongs to a kind; negative ones have none.
func kindPrefix(kind news.SpikeKind) string {
	if kind == news.SpikeNegative {
		return ""
	}
	return string(kind) + "-"
}

// marks are the kinds of spike that a reading adds to.
type marks int

const (
	markNegative marks = 1 << iota
	markPositive
	markVolume
	markLeans         // not negative, but it may well be: what counts in part for a negative spike
	markLeansPositive // likewise
)

// LeansFrom is the probability of negative or positive from which a reading leans to it, where it is not
// called so.
const LeansFrom = 0.2

// leanWorth is how much of a negative item one that leans to it is worth. In a spike nearly all
// items are negative, and some of them are not recognised.
const leanWorth = 0.5

func marksOf(r *news.Reading) marks {
	m := markVolume
	switch {
	case r.Negative():
		m |= markNegative
	case r.Sentiment.Negative >= LeansFrom:
		m |= markLeans
	}
	switch {
	case r.Positive():
		m |= markPositive
	case r.Sentiment.Positive >= LeansFrom:
		m |= markLeansPositive
	}
	return m
}

func markOf(kind news.SpikeKind) marks {
	switch kind {
	case news.SpikePositive:
		return markPositive
	case news.SpikeVolume:
		return markVolume
	}
	return markNegative
}

// leanOf is the mark that counts in part for a kind of spike; volume has none.
func leanOf(kind news.SpikeKind) marks {
	switch kind {
	case news.SpikeNegative:
		return markLeans
	case news.SpikePositive:
		return markLeansPositive
	}
	return 0
}

// Kinds are those that the rule looks for, each once: negative, positive, volume. There is at
// least one. The first is what is shown of a series unless another is asked for.
func (r Rule) Kinds() []news.SpikeKind {
	var out []news.SpikeKind
	for _, kind := range []news.SpikeKind{news.SpikeNegative, news.SpikePositive, news.SpikeVolume} {
		if slices.Contains(r.Spikes, kind) || len(r.Spikes) == 0 && kind == news.SpikeNegative {
			out = append(out, kind)
		}
	}
	return out
}

func checkKinds(kinds []news.SpikeKind) error {
	for _, kind := range kinds {
		if kind != news.SpikeNegative && kind != news.SpikePositive && kind != news.SpikeVolume {
			return fmt.Errorf("trend: spikes: %q is no kind of spike; there are negative, positive and volume", kind)
		}
	}
	return nil
}

// lender is the series of everything of a kind, brought up to now: what others borrow of it, and
// by what they are told from noise.
type lender struct {
	kind          news.SpikeKind
	base          *baseline
	lent, unknown prior
	down          func(chunk int64) bool // whether feeds failed in a chunk
	limit         float64                // surprise from which something is a spike
	counted       bool                   // whether peaks are counted yet
}

// lenderOf lets everything learn. What it says of failed feeds it has noted then, so that it does not
// depend on counts, which one store may have dropped and another not yet.
func lenderOf(kind news.SpikeKind, everything *series, now time.Time) *lender {
	l := &lender{kind: kind, base: &everything.base, unknown: noPrior(), down: everything.base.outage}
	if kind == news.SpikeVolume { // every item is one, and none leans
		l.unknown.share, l.unknown.leaning = 1, 0
	}
	everything.base.learn(everything.ring, unixSeconds(now), l.unknown, everything.noting())
	l.lent = everything.base.prior()
	if kind == news.SpikeVolume {
		l.lent.share, l.lent.leaning = 1, 0
	}
	return l
}

// heed takes the threshold and the clusters that come from all series.
func (l *lender) heed(c calibration) { l.limit, l.lent.clusters = c.surprise, c.clusters }

// knows says whether enough is learnt of a series to judge it. A level cannot be borrowed as a
// share can: a volume spike is of a series that was seen for a day. Until then all of it would
// stand out, and so be kept out of what is learnt.
func (l *lender) knows(s *series) bool {
	return l.kind != news.SpikeVolume || s.base.exposure >= outageExposure
}

// lends is what a series borrows.
func (l *lender) lends(to news.Series) prior {
	if to == (news.Series{}) {
		return l.unknown
	}
	return l.lent
}

// windowOf puts what was counted for a kind into the words of the domain.
func windowOf(kind news.SpikeKind, got count) news.Window {
	w := news.Window{Items: got.items, Copies: got.copies}
	switch kind {
	case news.SpikeNegative:
		w.Negative = got.negative
	case news.SpikePositive:
		w.Positive = got.negative
	}
	return w
}

// bucketOfKind is a bucket of the counts that are kept for a kind.
func bucketOfKind(kind news.SpikeKind, c count) Bucket {
	w := windowOf(kind, c)
	return Bucket{Start: startOf(c.bucket), Items: w.Items, Negative: w.Negative, Positive: w.Positive, Copies: w.Copies}
}
