package trend

import (
	"math"
	"time"

	"github.com/barograph/barograph/news"
)

// Replay runs the rule over history in memory: the same judgement as Store's, with the
// arrival times as its clock and no store. It is for one goroutine.
type Replay struct {
	rule       Rule
	peaks      map[int64]*[episodeBins + 1]int // by day of arrival
	limit      float64                         // threshold on surprise
	limitUntil time.Time                       // when it is to be worked out again
	series     map[string]*replayed
	everything series
	texts      map[int64]map[textIn]struct{} // by day of event time
	ids        map[int64]map[textIn]struct{}
}

// Event is one reading of one series, in order of arrival.
type Event struct {
	ID       string // repeats of an ID in the same series change nothing; "" = never a repeat
	Series   news.Series
	Arrival  time.Time // the clock
	At       time.Time // event time
	Negative bool
	Text     string // equal texts of a series and day count once; "" = never a copy
}

type replayed struct {
	series
	quietAt time.Time // when the open spike is over, if nothing exceeds any more
}

type textIn struct{ series, text string }

// NewReplay starts an empty history.
func NewReplay(rule Rule) *Replay {
	return &Replay{rule: rule.withDefaults(), peaks: map[int64]*[episodeBins + 1]int{}, series: map[string]*replayed{},
		texts: map[int64]map[textIn]struct{}{}, ids: map[int64]map[textIn]struct{}{}}
}

// Add counts an event as Store does and judges its series where the event is negative. It
// reports a spike once: when it opens. The spike stays open, and silent, until nothing
// exceeded the rule for Quiet of its window.
func (r *Replay) Add(e Event) (news.Spike, bool) {
	if e.At.Before(e.Arrival.Add(-DefaultHistory)) || e.At.After(e.Arrival.Add(future)) {
		return news.Spike{}, false
	}
	if r.everything.base == (baseline{}) {
		r.everything.base = newBaseline(bucketOf(e.At), e.Arrival)
	}
	s, now := r.of(e), unixSeconds(e.Arrival)
	r.count(s, e)
	if r.everything.base.learn(r.everything.ring, now, noPrior(), r.everything.outage) {
		r.everything.forget(e.Arrival)
	}
	if !e.Negative || e.At.Before(e.Arrival.Add(-longestWindow)) {
		if s.base.next*bucketsPerChunk < bucketOf(e.Arrival.Add(-learnWithin)) {
			s.base.learn(s.ring, now, r.everything.base.prior(), r.everything.outage)
			s.forget(e.Arrival)
		}
		return news.Spike{}, false
	}
	return r.judge(s, e)
}

func (r *Replay) judge(s *replayed, e Event) (news.Spike, bool) {
	// Everything is judged for its own sake: what stands out in it stays out of the prior.
	limit := r.threshold(e.Arrival)
	if v, _, _ := r.everything.assess(noPrior(), r.everything.outage, e.Arrival, r.rule.MinNegative); v.surprise >= limit {
		r.everything.base.fire(v.window, e.Arrival)
	}
	v, move, changed := s.assess(r.everything.base.prior(), r.everything.outage, e.Arrival, r.rule.MinNegative)
	if changed {
		s.forget(e.Arrival)
	}
	r.countPeak(move, e.Arrival)
	if v.surprise < limit {
		return news.Spike{}, false
	}
	s.base.fire(v.window, e.Arrival)
	open := !e.Arrival.After(s.quietAt)
	if until := e.Arrival.Add(Quiet(v.window)); until.After(s.quietAt) {
		s.quietAt = until
	}
	return v.spike(e.Series, e.Arrival), !open
}

func (r *Replay) countPeak(move peakMove, now time.Time) {
	if move == noMove || r.rule.counted(&r.everything.base, now) < 0 {
		return
	}
	day := dayOf(now)
	if r.peaks[day] == nil {
		r.peaks[day] = &[episodeBins + 1]int{}
		delete(r.peaks, day-episodeDays)
	}
	if move.from >= 0 {
		r.peaks[day][move.from]--
	}
	r.peaks[day][move.to]++
}

// threshold is worked out every so often, from what was known then; nothing reaches it
// during the warm-up.
func (r *Replay) threshold(now time.Time) float64 {
	if !r.rule.warm(&r.everything.base, now) {
		return math.Inf(1)
	}
	if r.rule.Surprise > 0 {
		return r.rule.Surprise
	}
	if now.Before(r.limitUntil) {
		return r.limit
	}
	e := episodes{days: max(0, r.rule.counted(&r.everything.base, now)), series: len(r.series)}
	for _, bins := range r.peaks {
		e.add(bins[:episodeBins])
	}
	r.limit, r.limitUntil = e.threshold(r.rule.FalseAlertsPerDay), now.Add(calibrateEvery)
	return r.limit
}

// Quiet is how long a spike of a window stays open after it last exceeded the rule: as
// long as the window still holds it, and at least an hour.
func Quiet(window time.Duration) time.Duration { return max(time.Hour, window) }

func (r *Replay) of(e Event) *replayed {
	key := e.Series.Key()
	s := r.series[key]
	if s == nil {
		s = &replayed{series: series{base: newBaseline(bucketOf(e.At), e.Arrival)}}
		r.series[key] = s
	}
	return s
}

// count counts the event unless it is a repeat; a copy only as one.
func (r *Replay) count(s *replayed, e Event) {
	day := floorDiv(bucketOf(e.At), bucketsPerDay)
	if e.ID != "" && !firstOf(r.ids, day, textIn{e.Series.Key(), e.ID}) {
		return
	}
	c := count{bucket: bucketOf(e.At), items: 1}
	if e.Negative {
		c.negative = 1
	}
	if e.Text != "" && !firstOf(r.texts, day, textIn{e.Series.Key(), e.Text}) {
		c = count{bucket: c.bucket, copies: 1, echoes: c.negative}
	}
	s.ring = s.ring.add(c)
	r.everything.ring = r.everything.ring.add(c)
}

// firstOf remembers a text for its day. Days long past go.
func firstOf(days map[int64]map[textIn]struct{}, day int64, t textIn) bool {
	seen := days[day]
	if seen == nil {
		seen = map[textIn]struct{}{}
		days[day] = seen
		for d := range days {
			if d < day-2 {
				delete(days, d)
			}
		}
	}
	if _, ok := seen[t]; ok {
		return false
	}
	seen[t] = struct{}{}
	return true
}

// forget drops counts that are learnt and that no outage needs any more.
func (s *series) forget(now time.Time) {
	old := min(s.base.next*bucketsPerChunk, bucketOf(now.Add(-DefaultHistory)))
	if i := s.ring.from(old); i > 0 {
		s.ring = append(s.ring[:0], s.ring[i:]...)
	}
}

// spike puts a verdict into the words of the domain; evidence is the caller's.
func (v verdict) spike(of news.Series, at time.Time) news.Spike {
	return news.Spike{
		Series:       of,
		At:           at,
		StartedAt:    startOf(v.started),
		Window:       news.Window{Length: v.window, Items: v.got.items, Negative: v.got.negative, Copies: v.got.copies},
		Expected:     v.expected,
		VolumeFactor: v.volume,
		ShareBefore:  v.share,
		P:            v.p,
		Surprise:     v.surprise,
	}
}
