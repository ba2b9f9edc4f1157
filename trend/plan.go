package trend

import (
	"cmp"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/barograph/barograph/news"
)

// plan is one call of the observe script: what some readings change in one shard.
type plan struct {
	shard    int
	ids      keySet
	texts    keySet
	readings []planned
	series   []plannedSeries
	bySeries map[news.Series]int
}

type planned struct {
	idSet, textSet int // 1-based; textSet 0: no text
	id, text       int64
	everything     bool // of the group that holds each reading once
	reading        *news.Reading
	evidence       string
}

type plannedSeries struct {
	of       news.Series
	judge    bool
	start    int64 // bucket from which it learns if it is new
	readings []int // 1-based
}

// keySet numbers keys from 1 in order of appearance, each with the seconds to keep it.
type keySet struct {
	names []string
	ttl   []int64
	index map[string]int
}

func (s *keySet) add(name string, ttl time.Duration) int {
	if i, ok := s.index[name]; ok {
		return i
	}
	if s.index == nil {
		s.index = map[string]int{}
	}
	s.names = append(s.names, name)
	s.ttl = append(s.ttl, max(60, int64(ttl.Seconds())))
	s.index[name] = len(s.names)
	return len(s.names)
}

// plans puts readings into one plan a shard. They are planned by event time and id, so
// that what they change does not depend on their order.
func (s *Store) plans(readings []news.Reading, now time.Time) []*plan {
	order := make([]*news.Reading, len(readings))
	for i := range readings {
		order[i] = &readings[i]
	}
	slices.SortStableFunc(order, func(a, b *news.Reading) int {
		return cmp.Or(a.PublishedAt.Compare(b.PublishedAt), cmp.Compare(a.ID, b.ID))
	})
	var byShard [shards]*plan
	var plans []*plan
	for _, r := range order {
		evidence := ""
		if r.Negative() {
			evidence = evidenceOf(r)
		}
		at := map[string]int{} // the reading's place, by entity
		for _, of := range news.SeriesOf(*r) {
			shard := shardOf(of.Entity)
			p := byShard[shard]
			if p == nil {
				p = &plan{shard: shard, bySeries: map[news.Series]int{}}
				byShard[shard] = p
				plans = append(plans, p)
			}
			i, ok := at[of.Entity]
			if !ok {
				i = p.addReading(s, r, of.Entity, evidence, now)
				at[of.Entity] = i
			}
			p.addTo(of, i, now)
		}
	}
	return plans
}

// addReading makes the reading known to the shard, once for each entity: an id counts
// once in an entity's series, also when a new model would file it under another topic. An
// id is that of its source: two feeds may number their items alike.
func (p *plan) addReading(s *Store, r *news.Reading, entity, evidence string, now time.Time) int {
	bucket := bucketOf(r.PublishedAt)
	hour := floorDiv(bucket, bucketsPerHour)
	// An id is remembered for as long as an item of its hour may come again.
	left := startOf((hour + 1) * bucketsPerHour).Add(s.history).Sub(now)
	id := memberOf(entity, r.Source+"\x1f"+r.ID)
	e := planned{reading: r, evidence: evidence, everything: entity == "", id: int64(id),
		idSet: p.ids.add(s.keys.ids(p.shard, hour, id), left)}
	if r.TextDigest != "" {
		day := floorDiv(bucket, bucketsPerDay)
		left := startOf((day + 1) * bucketsPerDay).Add(s.history).Sub(now)
		text := memberOf(entity, r.TextDigest)
		e.text, e.textSet = int64(text), p.texts.add(s.keys.texts(p.shard, day, text), left)
	}
	p.readings = append(p.readings, e)
	return len(p.readings)
}

func (p *plan) addTo(of news.Series, i int, now time.Time) {
	at, ok := p.bySeries[of]
	if !ok {
		at = len(p.series)
		p.bySeries[of] = at
		p.series = append(p.series, plannedSeries{of: of, start: math.MaxInt64})
	}
	s := &p.series[at]
	if n := len(s.readings); n > 0 && s.readings[n-1] == i {
		return // an entity named twice
	}
	r := p.readings[i-1].reading
	s.readings = append(s.readings, i)
	s.start = min(s.start, floorDiv(bucketOf(r.PublishedAt), bucketsPerChunk)*bucketsPerChunk)
	s.judge = s.judge || judged(r, now)
}

// judged tells whether a reading is a reason to judge its series.
func judged(r *news.Reading, now time.Time) bool {
	return r.Negative() && !r.PublishedAt.Before(now.Add(-longestWindow))
}

// arguments are KEYS and ARGV of the observe script.
func (p *plan) arguments(s *Store, now time.Time) (names []string, argv []any) {
	names = make([]string, 0, len(p.ids.names)+len(p.texts.names)+4*len(p.series))
	names = append(append(names, p.ids.names...), p.texts.names...)
	argv = make([]any, 0, 10+len(names)+9*len(p.readings)+5*len(p.series))
	argv = append(argv, len(p.ids.names), len(p.texts.names), int64(keepSeries.Seconds()), int64(keepEvidence.Seconds()),
		now.Add(-keepEvidence).Unix(), bucketOf(now.Add(-s.history)), bucketOf(now.Add(-learnWithin)))
	for _, ttl := range slices.Concat(p.ids.ttl, p.texts.ttl) {
		argv = append(argv, ttl)
	}
	argv = append(argv, len(p.readings))
	for _, e := range p.readings {
		negative := 0
		if e.reading.Negative() {
			negative = 1
		}
		argv = append(argv, e.idSet, e.id, e.textSet, e.text, bucketOf(e.reading.PublishedAt), negative,
			e.reading.Source[:min(len(e.reading.Source), longestSource)], e.reading.PublishedAt.Unix(), e.evidence)
	}
	argv = append(argv, len(p.series))
	for _, of := range p.series {
		names = append(names, s.keys.ofSeries(of.of, "counts"), s.keys.ofSeries(of.of, "base"),
			s.keys.ofSeries(of.of, "evidence"), s.keys.ofSeries(of.of, "sources"))
		// Everything is always wanted: it lends its share and profile to the others.
		wanted := 0
		if of.judge || of.of == (news.Series{}) {
			wanted = 1
		}
		argv = append(argv, wanted, of.start, len(of.readings))
		for _, i := range of.readings {
			argv = append(argv, i)
		}
	}
	return names, argv
}

// evidence is a negative reading as it is kept, after its event time in Unix seconds and
// a space.
type evidence struct {
	ID       string     `json:"id"`
	Title    string     `json:"title,omitempty"`
	URL      string     `json:"url,omitempty"`
	Negative float64    `json:"p"`
	Model    news.Model `json:"model"`
}

// Limits of what is kept of one text. A URL or an id cannot be cut short: a longer URL is
// left out, and a text with a longer id is counted, but never evidence.
const (
	longestTitle  = 200  // runes
	longestURL    = 1000 // bytes
	longestID     = 1000 // bytes
	longestSource = 200  // bytes
)

func evidenceOf(r *news.Reading) string {
	e := evidence{ID: r.ID, Title: news.Item{Title: r.Title}.Headline(longestTitle),
		Negative: math.Round(r.Sentiment.Negative*1e4) / 1e4, Model: r.Model}
	if len(r.URL) <= longestURL {
		e.URL = r.URL
	}
	if len(r.ID) > longestID {
		e.ID = ""
	}
	packed, err := json.Marshal(e)
	if err != nil { // only a probability that is no number cannot be packed
		packed = []byte("{}")
	}
	return strconv.FormatInt(r.PublishedAt.Unix(), 10) + " " + string(packed)
}
