package trend

import (
	"cmp"
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// History is what Store does, in memory and by the clock it is told: it counts readings in
// all their series, each once, and judges them by Replay's rule. It is for one goroutine.
//
// It departs from Store in two points: the number of series, of which the threshold depends a
// little, is exact where Redis estimates it; and of ids and texts it remembers the last only, over all
// series together (recentKept of each for a series). What is repeated after more than that counts anew.
//
// Its memory depends on the number of series only.
type History struct {
	replay  *Replay   // the first kind of spike that is looked for: negative, unless left out
	kinds   []*Replay // all of them; they count the same readings, and share a budget
	history time.Duration
	ids     recent // by day of event time
	texts   recent
	near    nearLists
	shown   map[subject]*shownTexts
	Counts  HistoryCounts

	Judged func(Judgement) // hears of each judgement; nil = nobody does
}

// HistoryCounts says what became of the readings.
type HistoryCounts struct {
	Readings int // all
	Copies   int // of a text already counted, or nearly so
	Near     int // of these, of one that is nearly so
	Repeats  int // of an id already counted in all of the reading's series
	Refused  int // too old or ahead of the clock: Store would not count them either
	Judged   int // decisions about a series
	Thin     int // of these, in series with fewer negatives than the rule asks for
}

// shownTexts is what a spike may show of a series' negative readings, as Redis keeps it.
type shownTexts struct {
	latest  []string         // evidence, the latest first
	sources map[string]int64 // event time of each's last, Unix seconds
}

const (
	keptTexts   = 12
	keptSources = 64
)

// NewHistory starts an empty history. Readings older than history at their arrival are not
// counted; 0 = DefaultHistory.
func NewHistory(rule Rule, history time.Duration) *History {
	if history == 0 {
		history = DefaultHistory
	}
	h := &History{history: history, near: nearLists{}, shown: map[subject]*shownTexts{}}
	kinds := rule.Kinds()
	rule = rule.withDefaults()
	shared := &budget{rule: rule, peaks: map[int64]*[episodeBins + 1]int{}}
	for _, kind := range kinds {
		h.kinds = append(h.kinds, newReplay(rule, kind, history, shared))
	}
	h.replay = h.kinds[0]
	return h
}

// of is the history of a kind of spike; nil where it is not looked for.
func (h *History) of(kind news.SpikeKind) *Replay {
	for _, k := range h.kinds {
		if k.kind == kind.OrNegative() {
			return k
		}
	}
	return nil
}

// Series is how many series have been counted.
func (h *History) Series() int { return len(h.replay.series) }

// Threshold is the surprise from which something is a spike at now; infinite in the warm-up.
func (h *History) Threshold(now time.Time) float64 {
	return h.replay.Threshold(now)
}

// Observe counts a reading and judges its series, at the clock's time now, which must not
// go back. Like Store.Observe it returns each series with a spike, also when one that was told
// goes on: the most surprising first.
func (h *History) Observe(r *news.Reading, now time.Time) []news.Spike {
	h.Counts.Readings++
	if r.ID == "" || r.PublishedAt.Before(now.Add(-h.history)) || r.PublishedAt.After(now.Add(future)) {
		h.Counts.Refused++
		return nil
	}
	of := seriesOf(r)
	h.count(r, of, now)
	lenders := make([]*lender, len(h.kinds))
	for i, kind := range h.kinds {
		kind.everything = kind.series[news.Series{}.Key()]
		lenders[i] = kind.lender(now)
	}
	var spikes []news.Spike
	for i, kind := range h.kinds {
		for _, series := range of {
			if spike, found := h.judge(kind, series, r, lenders[i], now); found {
				spikes = append(spikes, spike)
			}
		}
	}
	slices.SortFunc(spikes, func(a, b news.Spike) int {
		return cmp.Or(cmp.Compare(b.Surprise, a.Surprise), cmp.Compare(a.Series.Key(), b.Series.Key()), cmp.Compare(a.Kind, b.Kind))
	})
	return spikes
}

// seriesOf is news.SeriesOf, also where an entity is named twice.
func seriesOf(r *news.Reading) []news.Series {
	of := news.SeriesOf(*r)
	out := of[:0]
	for _, series := range of {
		if !slices.Contains(out, series) {
			out = append(out, series)
		}
	}
	return out
}

func (h *History) judge(kind *Replay, of news.Series, r *news.Reading, l *lender, now time.Time) (news.Spike, bool) {
	s := kind.of(of, r.PublishedAt, now)
	if !judged(r, kind.kind, now) {
		if of == (news.Series{}) {
			h.replay.budget.know(s)
		} else {
			kind.learn(s, of, l, now)
		}
		return news.Spike{}, false
	}
	h.Counts.Judged++
	peak := s.base.peak
	v := kind.judge(s, of, l, now)
	if v.thin {
		h.Counts.Thin++
	}
	h.tell(kind, of, s, v, peak, l.limit, now)
	if !v.exceeds(l.limit) {
		return news.Spike{}, false
	}
	spike := v.spike(subject{of, kind.kind}, now)
	h.explain(&spike)
	return spike, true
}

// count counts the reading in its series: an id of a source once for each entity, a text once for each
// entity and day of event time.
func (h *History) count(r *news.Reading, of []news.Series, now time.Time) {
	bucket := bucketOf(r.PublishedAt)
	day := floorDiv(bucket, bucketsPerDay)
	repeats := true
	for i := 0; i < len(of); {
		entity, first := of[i].Entity, i
		for i < len(of) && of[i].Entity == entity {
			i++
		}
		if !h.ids.first(day, memberOf(entity, r.Source+"\x1f"+r.ID), h.Series()) {
			continue
		}
		repeats = false
		fresh := r.TextDigest == "" || h.texts.first(day, memberOf(entity, r.TextDigest), h.Series())
		near := fresh && h.isNear(entity, r, now)
		if first == 0 && (near || !fresh) {
			h.Counts.Copies++
			if near {
				h.Counts.Near++
			}
		}
		for _, kind := range h.kinds {
			marked := marksOf(r)&markOf(kind.kind) != 0
			c := count{bucket: bucket, items: 1}
			if marked {
				c.negative = 1
			}
			if marksOf(r)&leanOf(kind.kind) != 0 {
				c.leaning = 1
			}
			if near || !fresh {
				c = count{bucket: bucket, copies: 1}
			}
			if !fresh && marked {
				c.echoes = 1
			}
			for _, series := range of[first:i] {
				s := kind.of(series, r.PublishedAt, now)
				s.ring = s.ring.add(c)
				if marked {
					h.remember(subject{series, kind.kind}, r, fresh && !near, now)
				}
			}
		}
	}
	if repeats {
		h.Counts.Repeats++
	}
}

// isNear says whether a text near the reading's was counted, and else remembers its sketch.
func (h *History) isNear(entity string, r *news.Reading, now time.Time) bool {
	s, ok := sketchOf(r.TextSketch, r.TextDigest, r.PublishedAt, now)
	if !ok {
		return false
	}
	return h.near.seen(nearList(entity, r), s, now)
}

// remember keeps a reading that adds to a kind of spike as evidence unless it is a copy, and its source.
func (h *History) remember(of subject, r *news.Reading, fresh bool, now time.Time) {
	stale, at := now.Add(-keepEvidence).Unix(), r.PublishedAt.Unix()
	if at < stale {
		return
	}
	s := h.shown[of]
	if s == nil {
		s = &shownTexts{sources: map[string]int64{}}
		h.shown[of] = s
	}
	if fresh {
		s.latest = slices.Insert(s.latest, 0, evidenceOf(r))
		s.latest = s.latest[:min(keptTexts, len(s.latest))]
	}
	oldest := r.Source[:min(len(r.Source), longestSource)]
	s.sources[oldest] = max(s.sources[oldest], at)
	for source, last := range s.sources {
		if last < stale {
			delete(s.sources, source)
		} else if last < s.sources[oldest] {
			oldest = source
		}
	}
	if len(s.sources) > keptSources {
		delete(s.sources, oldest)
	}
}

// explain adds evidence and sources to a spike, as Store does.
func (h *History) explain(spike *news.Spike) {
	s := h.shown[subject{spike.Series, spike.Kind}]
	if s == nil {
		return
	}
	for _, at := range s.sources {
		if at >= spike.StartedAt.Unix() {
			spike.Sources++
		}
	}
	show(spike, s.latest)
}
