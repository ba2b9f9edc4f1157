package trend

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
)

// Outlook is what the rule sees in a series now, spike or not, by the first of Rule.Kinds.
type Outlook struct {
	Series       news.Series
	Kind         news.SpikeKind
	Window       news.Window // that which says most; of length 0 where there is nothing worth a look
	Expected     float64     // of the kind expected in it: negatives, positives or items
	VolumeFactor float64     // times the usual volume in it, at least .85; 0 without a window
	Surprise     float64     // as in news.Spike
	ShareBefore  float64     // usual share of the kind, 0..1
	Recent       []Bucket    // of the last 24 h

	// TooFew says that the rule abstains: there are fewer of the kind than it asks for, but more of
	// them than usual, or too few items for there to be enough; or the series was not seen for long
	// enough to know its usual volume.
	TooFew bool
}

// Count is how many items of the kind the window has.
func (o Outlook) Count() int { return news.Spike{Kind: o.Kind, Window: o.Window}.Count() }

// Step is a stretch of a series' course: what was counted, and what its past leads one to
// expect.
type Step struct {
	Start    time.Time
	Items    int
	Negative int // as in Bucket
	Positive int
	Copies   int
	Usual    float64 // items usual at that hour of the week
	Expected float64 // of the kind expected, at the volume that the step's other items show
	Low      float64 // in nine steps of ten, chance alone leaves those of the kind between Low
	High     float64 // and High, both included
}

// reads is how many series Outlook asks Redis for at once.
const reads = 256

// Outlook judges the series at the clock's time and changes nothing: no baseline learns
// and no spike is told. A series that is not known has only its name and the kind in the answer, which
// is in the order of the question.
func (s *Store) Outlook(ctx context.Context, of []news.Series) ([]Outlook, error) {
	now := s.clock()
	everything, err := s.peek(ctx, s.kinds[0], []news.Series{{}}, now)
	if err != nil {
		return nil, err
	}
	by := lenderOf(s.kinds[0], &everything[0].series, now)
	if err := s.calibrate(ctx, by, now); err != nil {
		return nil, err
	}
	out := make([]Outlook, 0, len(of))
	for some := range slices.Chunk(of, reads) {
		asked, company := withCompanies(some)
		states, err := s.peek(ctx, by.kind, asked, now)
		if err != nil {
			return nil, err
		}
		for i, of := range some {
			out = append(out, s.outlook(of, states[i], states[company[i]], by, now))
		}
	}
	return out, nil
}

// withCompanies adds to some series the companies whose topics they are, each once and apart
// from the same company among the series: a look changes what it looks at. The company of
// some[i] is asked[company[i]]; of what is no company's topic it is the series itself.
func withCompanies(some []news.Series) (asked []news.Series, company []int) {
	asked, company = slices.Clone(some), make([]int, len(some))
	place := map[string]int{}
	for i, of := range some {
		company[i] = i
		if !isTopicOfCompany(of) {
			continue
		}
		at, ok := place[of.Entity]
		if !ok {
			at = len(asked)
			place[of.Entity] = at
			asked = append(asked, news.Series{Entity: of.Entity})
		}
		company[i] = at
	}
	return asked, company
}

func (s *Store) outlook(of news.Series, state, company *stored, by *lender, now time.Time) Outlook {
	o := Outlook{Series: of, Kind: by.kind}
	if len(state.ring) == 0 {
		return o
	}
	known := by.knows(&state.series)
	p := by.lendsNow(of, &state.series, &company.series, now)
	v := verdict{}
	if known {
		v, _, _ = state.series.assess(p, by.down, now, s.rule.MinNegative)
	}
	o.Window = windowOf(by.kind, v.got)
	o.Window.Length = v.window
	o.Expected, o.VolumeFactor, o.Surprise = v.expected, v.volume, v.surprise
	o.ShareBefore = state.base.share(p).mean()
	current := bucketOf(now)
	longest := state.ring.between(current-int64(longestWindow/BucketLength)+1, current+1).sum()
	o.TooFew = !known || v.thin && (longest.items < s.rule.MinNegative || float64(longest.negative) > o.ShareBefore*float64(longest.items))
	for _, c := range state.ring.between(current-bucketsPerDay+1, current+1) {
		o.Recent = append(o.Recent, bucketOfKind(by.kind, c))
	}
	return o
}

// Course lists a series' counts for a kind of spike ("" = the first of Rule.Kinds) in steps over
// event time [from, to), beside what is expected by what the series' past is known to be now: the half day before now is not
// learnt yet, and what a spike froze never is. The step is a multiple of BucketLength, and
// from is taken back to one of the steps' bounds. Steps without items are listed too; a
// step that is not over is expected to have only the part that has passed.
func (s *Store) Course(ctx context.Context, of news.Series, kind news.SpikeKind, from, to time.Time, step time.Duration) ([]Step, error) {
	if step < BucketLength || step%BucketLength != 0 {
		return nil, errors.New("trend: a step is a multiple of " + BucketLength.String() + ", not " + step.String())
	}
	now := s.clock()
	kind = cmp.Or(kind, s.kinds[0])
	states, err := s.peek(ctx, kind, []news.Series{{}, of}, now)
	if err != nil {
		return nil, err
	}
	by, state := lenderOf(kind, &states[0].series, now), states[1]
	if err := s.calibrate(ctx, by, now); err != nil {
		return nil, err
	}
	lent := by.lends(of)
	state.base.learn(state.ring, unixSeconds(now), lent, by.down)
	width := int64(step / BucketLength)
	var out []Step
	for first := floorDiv(bucketOf(from), width) * width; startOf(first).Before(to); first += width {
		out = append(out, state.step(kind, first, width, lent, unixSeconds(now)))
	}
	return out, nil
}

// step is the width buckets from first on.
func (s *stored) step(kind news.SpikeKind, first, width int64, lent prior, now float64) Step {
	got := s.ring.between(first, first+width).sum()
	w := windowOf(kind, got)
	out := Step{Start: startOf(first), Items: w.Items, Negative: w.Negative, Positive: w.Positive, Copies: w.Copies}
	level, share := s.base.level(), s.base.share(lent)
	for bucket := first; bucket < first+width; bucket++ {
		passed := math.Min(bucketSeconds, math.Max(0, now-float64(bucket*bucketSeconds)))
		out.Usual += level * s.base.factor(s.base.slot(bucket), lent) * passed
	}
	l := look{got: got, usual: out.Usual, share: share, shape: s.base.volumeShape(), clusters: lent.clusters}
	l.got.leaning = 0 // drawn is what is called negative
	expected, variance, _ := l.negatives(l.day(), 1)
	out.Expected = expected
	out.Low = quantile(0.05, out.Expected, variance)
	out.High = quantile(0.95, out.Expected, variance)
	return out
}

// quantile is the smallest count that a negative binomial of the mean and variance is at or
// below with probability p.
func quantile(p, mean, variance float64) float64 {
	if mean <= 0 || variance <= mean {
		return 0
	}
	size := mean * mean / (variance - mean)
	above := func(count float64) float64 { return negBinTail(count+1, mean, size) }
	low, high := -1.0, 1.0
	for above(high) > 1-p {
		low, high = high, 2*high
	}
	for high-low > 1 {
		if middle := math.Floor((low + high) / 2); above(middle) > 1-p {
			low = middle
		} else {
			high = middle
		}
	}
	return high
}

// peek reads what is kept of series for a kind of spike, in one round trip a server.
func (s *Store) peek(ctx context.Context, kind news.SpikeKind, of []news.Series, now time.Time) ([]*stored, error) {
	out := make([]*stored, len(of))
	err := s.retry(ctx, func(ctx context.Context) error {
		pipe := s.redis.Pipeline()
		counts, bases := make([]*redis.StringCmd, len(of)), make([]*redis.StringCmd, len(of))
		for i, series := range of {
			counts[i] = pipe.Get(ctx, s.keys.ofSubject(subject{series, kind}, "counts"))
			bases[i] = pipe.Get(ctx, s.keys.ofSubject(subject{series, kind}, "base"))
		}
		if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		for i, series := range of {
			if counts[i].Val() == "" {
				out[i] = &stored{series: unknown(now)}
				out[i].base.market = s.rule.Market
				continue
			}
			state, err := s.decode(subject{series, kind}, counts[i].Val(), bases[i].Val(), now)
			if err != nil {
				return err
			}
			out[i] = state
		}
		return nil
	})
	return out, err
}

// unknown is a series of which nothing is known.
func unknown(now time.Time) series { return series{base: newBaseline(bucketOf(now), now)} }
