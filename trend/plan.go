package trend

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// plan is one call of the observe script: what some readings change in one shard.
type plan struct {
	shard    int
	blind    bool // asks for no series, whatever they are like
	ids      keySet
	texts    keySet
	nears    keySet
	lists    []searched // of nears
	readings []planned
	series   []plannedSeries
	bySeries map[subject]int
}

type planned struct {
	id, text   uint64
	sketch     sketch
	marks      marks
	everything bool // of the group that holds each reading once
	reading    *news.Reading
	evidence   string
}

type plannedSeries struct {
	of       subject
	judge    bool
	start    int64 // bucket from which it learns if it is new
	readings []int // 1-based
}

// keySet is keys in order of appearance, each with the seconds to keep it and the readings that
// it is about.
type keySet struct {
	names    []string
	ttl      []int64
	readings [][]int // 1-based
	index    map[string]int
}

func (s *keySet) add(name string, ttl time.Duration, reading int) {
	i, ok := s.index[name]
	if !ok {
		if s.index == nil {
			s.index = map[string]int{}
		}
		i = len(s.names)
		s.index[name] = i
		s.names = append(s.names, name)
		s.ttl = append(s.ttl, max(60, int64(ttl.Seconds())))
		s.readings = append(s.readings, nil)
	}
	s.readings[i] = append(s.readings[i], reading)
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
		if marksOf(r)&s.marks != 0 {
			evidence = evidenceOf(r)
		}
		at := map[string]int{} // the reading's place, by entity
		for _, of := range news.SeriesOf(*r) {
			shard := shardOf(of.Entity)
			p := byShard[shard]
			if p == nil {
				p = &plan{shard: shard, bySeries: map[subject]int{}}
				byShard[shard] = p
				plans = append(plans, p)
			}
			i, ok := at[of.Entity]
			if !ok {
				i = p.addReading(s, r, of.Entity, evidence, now)
				at[of.Entity] = i
			}
			for _, kind := range s.kinds {
				p.addTo(subject{of, kind}, i, now)
			}
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
	e := planned{reading: r, marks: marksOf(r), evidence: evidence, everything: entity == "", id: id}
	place := len(p.readings) + 1
	p.ids.add(s.keys.ids(p.shard, hour, id), left, place)
	if r.TextDigest != "" {
		day := floorDiv(bucket, bucketsPerDay)
		left := startOf((day + 1) * bucketsPerDay).Add(s.history).Sub(now)
		e.text = memberOf(entity, r.TextDigest)
		p.texts.add(s.keys.texts(p.shard, day, e.text), left, place)
	}
	if sketch, ok := sketchOf(r.TextSketch, r.TextDigest, r.PublishedAt, now); ok {
		e.sketch = sketch
		p.nears.add(s.keys.near(p.shard, nearList(entity, r)), 0, place)
	}
	p.readings = append(p.readings, e)
	return place
}

func (p *plan) addTo(of subject, i int, now time.Time) {
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
	s.judge = s.judge || judged(r, of.kind, now)
}

// judged tells whether a reading is a reason to look for a kind of spike in its series.
func judged(r *news.Reading, kind news.SpikeKind, now time.Time) bool {
	return marksOf(r)&markOf(kind) != 0 && !r.PublishedAt.Before(now.Add(-longestWindow))
}
