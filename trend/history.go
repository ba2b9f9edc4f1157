package trend

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// History is what Store does, in memory and by the clock it is told: it counts readings in
// all their series, each once, and judges them by Replay's rule. It is for one goroutine.
//
// It departs from Store in two points. "Everything" borrows the weekly profile of its own
// past where Store gives it a flat one; it has counted thousands by then. And the number of
// series, of which the threshold depends a little, is exact where Redis estimates it.
// On some histories a baseline has also been learnt over a few half hours more or fewer than
// in Store, which moves a surprise in its second digit after the point; why is not known yet.
//
// Its memory depends on the number of series, and on the ids and texts of the last days:
// some 50 bytes for each entity of a reading.
type History struct {
	replay  *Replay
	history time.Duration
	ids     map[int64]map[uint64]struct{} // by day of event time
	texts   map[int64]map[uint64]struct{}
	shown   map[news.Series]*shownTexts
	Counts  HistoryCounts
}

// HistoryCounts says what became of the readings.
type HistoryCounts struct {
	Readings int // all
	Copies   int // of a text already counted
	Repeats  int // of an id already counted
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
	return &History{replay: NewReplay(rule), history: history, ids: map[int64]map[uint64]struct{}{},
		texts: map[int64]map[uint64]struct{}{}, shown: map[news.Series]*shownTexts{}}
}

// Series is how many series have been counted.
func (h *History) Series() int { return len(h.replay.series) }

// Threshold is the surprise from which something is a spike at now; infinite in the warm-up.
func (h *History) Threshold(now time.Time) float64 {
	if !h.replay.rule.warm(&h.replay.everything.base, now) {
		return math.Inf(1)
	}
	return h.replay.threshold(now)
}

// Observe counts a reading and judges its series, at the clock's time now, which must not
// go back. Like Store.Observe it returns each series that is above the threshold, also when
// it was before: the most surprising first.
func (h *History) Observe(r *news.Reading, now time.Time) []news.Spike {
	h.Counts.Readings++
	if r.ID == "" || r.PublishedAt.Before(now.Add(-h.history)) || r.PublishedAt.After(now.Add(future)) {
		h.Counts.Refused++
		return nil
	}
	all := &h.replay.everything
	if all.base == (baseline{}) {
		all.base = newBaseline(bucketOf(r.PublishedAt), now)
	}
	of := seriesOf(r)
	h.count(r, of, now)
	if all.base.learn(all.ring, unixSeconds(now), noPrior(), all.outage) {
		all.forget(now)
	}
	var spikes []news.Spike
	for _, series := range of {
		if spike, found := h.judge(series, r, now); found {
			spikes = append(spikes, spike)
		}
	}
	slices.SortFunc(spikes, func(a, b news.Spike) int {
		return cmp.Or(cmp.Compare(b.Surprise, a.Surprise), cmp.Compare(a.Series.Key(), b.Series.Key()))
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

func (h *History) judge(of news.Series, r *news.Reading, now time.Time) (news.Spike, bool) {
	all, s := &h.replay.everything, h.series(of, r, now)
	if !judged(r, now) {
		if s.base.next*bucketsPerChunk < bucketOf(now.Add(-learnWithin)) {
			s.base.learn(s.ring, unixSeconds(now), all.base.prior(), all.outage)
			s.forget(now)
		}
		return news.Spike{}, false
	}
	h.Counts.Judged++
	current := bucketOf(now)
	if s.ring.between(current-int64(longestWindow/BucketLength)+1, current+1).sum().negative < h.replay.rule.MinNegative {
		h.Counts.Thin++
	}
	// Replay's word on whether the spike is new is not asked for: the alert stage knows.
	spike, _ := h.replay.judge(s, Event{Series: of, Arrival: now, At: r.PublishedAt, Negative: true})
	if spike.Window.Length == 0 {
		return spike, false
	}
	h.explain(&spike)
	return spike, true
}

func (h *History) series(of news.Series, r *news.Reading, now time.Time) *replayed {
	return h.replay.of(Event{Series: of, Arrival: now, At: r.PublishedAt})
}

// count counts the reading in its series: an id of a source once for each entity, a text once for each
// entity and day of event time.
func (h *History) count(r *news.Reading, of []news.Series, now time.Time) {
	bucket := bucketOf(r.PublishedAt)
	day := floorDiv(bucket, bucketsPerDay)
	oldest := floorDiv(bucketOf(now.Add(-h.history)), bucketsPerDay)
	for i := 0; i < len(of); {
		entity, first := of[i].Entity, i
		for i < len(of) && of[i].Entity == entity {
			i++
		}
		if !h.firstOf(h.ids, day, oldest, memberOf(entity, r.Source+"\x1f"+r.ID)) {
			if first == 0 {
				h.Counts.Repeats++
			}
			continue
		}
		c := count{bucket: bucket, items: 1}
		if r.Negative() {
			c.negative = 1
		}
		fresh := r.TextDigest == "" || h.firstOf(h.texts, day, oldest, memberOf(entity, r.TextDigest))
		if !fresh {
			c = count{bucket: bucket, copies: 1, echoes: c.negative}
		}
		if first == 0 {
			h.replay.everything.ring = h.replay.everything.ring.add(c)
			if !fresh {
				h.Counts.Copies++
			}
		}
		for _, series := range of[first:i] {
			s := h.series(series, r, now)
			s.ring = s.ring.add(c)
			if r.Negative() {
				h.remember(series, r, fresh, now)
			}
		}
	}
}

// firstOf remembers a member of a day's set. Days before oldest go.
func (h *History) firstOf(days map[int64]map[uint64]struct{}, day, oldest int64, member uint64) bool {
	seen := days[day]
	if seen == nil {
		seen = map[uint64]struct{}{}
		days[day] = seen
		for d := range days {
			if d < oldest {
				delete(days, d)
			}
		}
	}
	if _, known := seen[member]; known {
		return false
	}
	seen[member] = struct{}{}
	return true
}

// remember keeps a negative reading as evidence unless it is a copy, and its source.
func (h *History) remember(of news.Series, r *news.Reading, fresh bool, now time.Time) {
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
	s := h.shown[spike.Series]
	if s == nil {
		return
	}
	for _, at := range s.sources {
		if at >= spike.StartedAt.Unix() {
			spike.Sources++
		}
	}
	for i, e := range strongestOf(s.latest, spike.StartedAt) {
		if i == 0 {
			spike.Model = e.Model
		}
		spike.Evidence = append(spike.Evidence, news.Evidence{ID: e.ID, Title: e.Title, URL: e.URL, Negative: e.Negative})
	}
}
