package trend

import (
	"math"
	"time"

	"github.com/barograph/barograph/news"
)

// Replay runs the rule for negative spikes over history in memory: the same judgement as
// Store's, with the arrival times as its clock and no store. It is for one goroutine.
type Replay struct {
	rule       Rule
	kind       news.SpikeKind
	history    time.Duration
	budget     *budget
	series     map[string]*replayed
	everything *replayed
	texts      recent // by day of event time
	ids        recent
	near       nearLists          // by series
	companies  map[string]*series // summed over their topics' events; nil = among series
}

// Event is one reading of one series, in order of arrival.
type Event struct {
	ID       string // repeats of an ID in the same series change nothing; "" = never a repeat
	Series   news.Series
	Arrival  time.Time // the clock
	At       time.Time // event time
	Negative bool
	Leans    bool   // not negative, but it may well be: a probability of LeansFrom or more
	Text     string // equal texts of a series count once a day; "" = never a copy
	Sketch   string // likewise for nearly equal ones: news.Reading.TextSketch; "" = never a near copy
}

type replayed struct {
	series
	known bool // was judged or has learnt: of the series that the threshold counts
}

// NewReplay starts an empty history.
func NewReplay(rule Rule) *Replay {
	rule = rule.withDefaults()
	r := newReplay(rule, news.SpikeNegative, DefaultHistory, &budget{rule: rule, peaks: map[int64]*[episodeBins + 1]int{}})
	r.near, r.companies = nearLists{}, map[string]*series{}
	return r
}

func newReplay(rule Rule, kind news.SpikeKind, history time.Duration, b *budget) *Replay {
	return &Replay{rule: rule, kind: kind, history: history, budget: b, series: map[string]*replayed{}, everything: &replayed{}}
}

// Add counts an event as Store does and judges its series where the event is negative. It
// reports a spike once: when it opens. The spike stays open, and silent, until it did not go on
// for Quiet of its window.
func (r *Replay) Add(e Event) (news.Spike, bool) {
	if e.At.Before(e.Arrival.Add(-r.history)) || e.At.After(e.Arrival.Add(future)) {
		return news.Spike{}, false
	}
	if r.everything.base == (baseline{}) {
		r.everything.base = newBaseline(bucketOf(e.At), e.Arrival)
		r.everything.base.market = r.rule.Market
	}
	s := r.of(e.Series, e.At, e.Arrival)
	r.count(s, e)
	l := r.lender(e.Arrival)
	if !e.Negative || e.At.Before(e.Arrival.Add(-longestWindow)) {
		r.learn(s, e.Series, l, e.Arrival)
		return news.Spike{}, false
	}
	// Everything is judged for its own sake: what stands out in it stays out of the prior.
	if v, _, _ := r.everything.assess(l.unknown, l.down, e.Arrival, r.rule.MinNegative); v.exceeds(l.limit) {
		r.everything.base.fire(v.surprise, e.Arrival, v.over(e.Arrival))
	}
	open := s.base.open(unixSeconds(e.Arrival))
	v := r.judge(s, e.Series, l, e.Arrival)
	if !v.exceeds(l.limit) {
		return news.Spike{}, false
	}
	return v.spike(subject{e.Series, r.kind}, e.Arrival), !open
}

// lender brings everything up to now.
func (r *Replay) lender(now time.Time) *lender {
	learnt := r.everything.base.next
	l := lenderOf(r.kind, &r.everything.series, now)
	if r.everything.base.next != learnt {
		r.everything.forget(now, r.history)
	}
	l.heed(r.budget.calibrated(l.base, now))
	l.counted = r.rule.counted(l.base, now) >= 0
	return l
}

// learn lets a series learn that is not judged, once it is far behind.
func (r *Replay) learn(s *replayed, of news.Series, l *lender, now time.Time) {
	if s.base.next*bucketsPerChunk >= bucketOf(now.Add(-learnWithin)) {
		return
	}
	r.budget.know(s)
	s.base.learn(s.ring, unixSeconds(now), l.lends(of), l.down)
	r.budget.countClumps(of, &s.base, now)
	s.forget(now, r.history)
}

// judge judges a series, and remembers what is over the threshold.
func (r *Replay) judge(s *replayed, of news.Series, l *lender, now time.Time) verdict {
	lent := l.lends(of)
	if !l.knows(&s.series) {
		r.budget.know(s)
		s.base.learn(s.ring, unixSeconds(now), lent, l.down)
		s.forget(now, r.history)
		return verdict{thin: true}
	}
	if company := r.company(of); company != nil {
		if company.base.learn(company.ring, unixSeconds(now), l.lent, l.down) {
			company.forget(now, r.history)
		}
		lent.company = company
	}
	v, move, changed := s.assess(lent, l.down, now, r.rule.MinNegative)
	if changed {
		s.forget(now, r.history)
	}
	r.budget.know(s)
	r.budget.countClumps(of, &s.base, now)
	if l.counted && r.rule.Surprise == 0 { // else no threshold is worked out from them
		r.budget.countPeak(move, now)
	}
	if v.exceeds(l.limit) {
		s.base.fire(v.surprise, now, v.over(now))
	}
	return v
}

// company is all of the company whose topic a series is; nil for others.
func (r *Replay) company(of news.Series) *series {
	if !isTopicOfCompany(of) {
		return nil
	}
	if r.companies != nil {
		return r.companies[of.Entity]
	}
	if s := r.series[news.Series{Entity: of.Entity}.Key()]; s != nil {
		return &s.series
	}
	return nil
}

// isTopicOfCompany tells whether a series is one of a company's topics.
func isTopicOfCompany(of news.Series) bool { return of.Entity != "" && of.Topic != "" }

// Threshold is the surprise from which something is a spike at now; infinite in the warm-up.
func (r *Replay) Threshold(now time.Time) float64 {
	return r.budget.calibrated(&r.everything.base, now).surprise
}

// LeastSurprise is the floor of the threshold that a budget of false alerts gives: below it
// nothing is a spike, however few the series. Where the threshold is there, a larger budget
// finds no more.
const LeastSurprise = leastSurprise

// budget is what the threshold comes from; all kinds of spike share it.
type budget struct {
	rule   Rule
	known  int                             // series
	peaks  map[int64]*[episodeBins + 1]int // by day of arrival
	clumps map[int64]*clumps               // likewise
	limit  calibration
	until  time.Time // when it is to be worked out again
}

func (b *budget) know(s *replayed) {
	if !s.known {
		s.known = true
		b.known++
	}
}

func (b *budget) countPeak(move peakMove, now time.Time) {
	if move == noMove {
		return
	}
	day := dayOf(now)
	if b.peaks[day] == nil {
		b.peaks[day] = &[episodeBins + 1]int{}
	}
	if move.from >= 0 {
		b.peaks[day][move.from]--
	}
	b.peaks[day][move.to]++
}

// countClumps counts what a series that has learnt saw, but for everything, in which all others are.
func (b *budget) countClumps(of news.Series, base *baseline, now time.Time) {
	seen := base.clumps
	base.clumps = clumps{}
	if seen == (clumps{}) || of == (news.Series{}) {
		return
	}
	day := dayOf(now)
	if b.clumps[day] == nil {
		if b.clumps == nil {
			b.clumps = map[int64]*clumps{}
		}
		b.clumps[day] = &clumps{}
	}
	b.clumps[day].add(seen)
}

// calibrated is worked out every so often, from what was known then; nothing reaches the threshold
// during the warm-up.
func (b *budget) calibrated(everything *baseline, now time.Time) calibration {
	if !b.rule.warm(everything, now) {
		return calibration{math.Inf(1), clusters}
	}
	if now.Before(b.until) {
		return b.limit
	}
	e := episodes{days: max(0, b.rule.counted(everything, now)), series: b.known}
	for day, bins := range b.peaks {
		if day <= dayOf(now)-episodeDays {
			delete(b.peaks, day)
			continue
		}
		e.add(bins[:episodeBins])
	}
	for day, seen := range b.clumps {
		if day <= dayOf(now)-episodeDays {
			delete(b.clumps, day)
			continue
		}
		e.clumps.add(*seen)
	}
	b.limit, b.until = b.rule.calibrated(e), now.Add(calibrateEvery)
	return b.limit
}

// Quiet is how long a spike of a window stays open after it last went on: as long as the window
// still holds it, and at least an hour.
func Quiet(window time.Duration) time.Duration { return max(time.Hour, window) }

// over is when a spike is over that goes on at now for the last time.
func (v verdict) over(now time.Time) time.Time { return now.Add(Quiet(v.window)) }

func (r *Replay) of(of news.Series, at, now time.Time) *replayed {
	key := of.Key()
	s := r.series[key]
	if s == nil {
		s = &replayed{series: series{base: newBaseline(bucketOf(at), now)}}
		s.base.market = r.rule.Market
		r.series[key] = s
	}
	return s
}

// count counts the event unless it is a repeat; a copy only as one.
func (r *Replay) count(s *replayed, e Event) {
	key, day := e.Series.Key(), floorDiv(bucketOf(e.At), bucketsPerDay)
	if e.ID != "" && !r.ids.first(day, memberOf(key, e.ID), len(r.series)) {
		return
	}
	c := count{bucket: bucketOf(e.At), items: 1}
	if e.Negative {
		c.negative = 1
	} else if e.Leans {
		c.leaning = 1
	}
	if e.Text != "" && !r.texts.first(day, memberOf(key, e.Text), len(r.series)) {
		c = count{bucket: c.bucket, copies: 1, echoes: c.negative}
	} else if sketch, ok := sketchOf(e.Sketch, e.Text, e.At, e.Arrival); ok {
		if r.near.seen(key, sketch, e.Arrival) {
			c = count{bucket: c.bucket, copies: 1}
		}
	}
	s.ring = s.ring.add(c)
	if s != r.everything {
		r.everything.ring = r.everything.ring.add(c)
	}
	if isTopicOfCompany(e.Series) {
		company := r.companies[e.Series.Entity]
		if company == nil {
			company = &series{base: newBaseline(bucketOf(e.At), e.Arrival)}
			company.base.market = r.rule.Market
			r.companies[e.Series.Entity] = company
		}
		company.ring = company.ring.add(c)
	}
}

// forget drops counts that are learnt and that no outage needs any more.
func (s *series) forget(now time.Time, history time.Duration) {
	old := min(s.base.needed(), bucketOf(now.Add(-history)))
	if i := s.ring.from(old); i > 0 {
		s.ring = append(s.ring[:0], s.ring[i:]...)
	}
}

// spike puts a verdict into the words of the domain; evidence is the caller's.
func (v verdict) spike(of subject, at time.Time) news.Spike {
	window := windowOf(of.kind, v.got)
	window.Length = v.window
	return news.Spike{
		Series:       of.of,
		Kind:         of.kind,
		At:           at,
		Until:        v.over(at),
		StartedAt:    startOf(v.started),
		Window:       window,
		Expected:     v.expected,
		VolumeFactor: v.volume,
		ShareBefore:  v.share,
		P:            v.p,
		Surprise:     v.surprise,
	}
}
