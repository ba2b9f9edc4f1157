package console

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/barograph/barograph/news"
)

// Index keeps the readings and alerts of late in memory, for search and for the texts
// behind a stretch of time. It is bounded: the oldest publications go first. It is safe
// for concurrent use.
type Index struct {
	cfg IndexConfig
	hub *hub

	mu       sync.RWMutex
	readings []*news.Reading // by rising publication
	byKey    map[string]*news.Reading
	bytes    int64
	series   map[news.Series]*tally
	models   map[news.Model]*use
	alerts   map[string]*told
	rate     rate
	complete bool // all that was there at the start has been read
}

// IndexConfig bounds an Index.
type IndexConfig struct {
	Items   int           // readings kept at most; 0 = 50,000
	Bytes   int64         // their size in memory at most, about; 0 = 64 MiB
	History time.Duration // how long after its publication a reading is kept; 0 = 48 h
	Clock   func() time.Time
}

const (
	maxSeries  = 10_000 // series remembered by their last reading
	fixedBytes = 512    // about what a reading takes beside its texts
)

// tally is when a series was last heard of.
type tally struct{ last, lastNegative time.Time }

// use is how much of the index a model read.
type use struct {
	readings int
	last     time.Time
}

// NewIndex makes an empty index.
func NewIndex(cfg IndexConfig) *Index {
	cfg.Items = cmp.Or(cfg.Items, 50_000)
	cfg.Bytes = cmp.Or(cfg.Bytes, 64<<20)
	cfg.History = cmp.Or(cfg.History, 48*time.Hour)
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Index{
		cfg: cfg, hub: newHub(), byKey: map[string]*news.Reading{}, series: map[news.Series]*tally{},
		models: map[news.Model]*use{}, alerts: map[string]*told{},
	}
}

// keyOf tells readings apart: a model that judges a text for a company gives one for each.
func keyOf(r *news.Reading) string {
	return r.Source + "\x1f" + r.ID + "\x1f" + strings.Join(r.Entities, "\x1e")
}

// before is the order of readings in the index: by publication, then by key.
func before(a, b *news.Reading) int {
	return cmp.Or(a.PublishedAt.Compare(b.PublishedAt), strings.Compare(keyOf(a), keyOf(b)))
}

// AddReadings takes readings in; one of a known source, ID and companies replaces the former. live
// says that they came in just now: they then count in the rate and are told to those who
// watch.
func (x *Index) AddReadings(readings []news.Reading, live bool) {
	oldest := x.cfg.Clock().Add(-x.cfg.History)
	x.mu.Lock()
	for i := range readings {
		r := new(news.Reading)
		*r = readings[i]
		if r.ID == "" || r.PublishedAt.Before(oldest) {
			continue
		}
		if known := x.byKey[keyOf(r)]; known != nil {
			x.drop(known)
		}
		x.insert(r)
	}
	if live {
		x.rate.add(time.Now(), len(readings))
	}
	x.trim(oldest)
	x.mu.Unlock()
	if live {
		x.hub.readings(readings)
	}
}

func (x *Index) insert(r *news.Reading) {
	i := len(x.readings)
	for i > 0 && before(x.readings[i-1], r) > 0 && len(x.readings)-i < 64 {
		i--
	}
	if i > 0 && before(x.readings[i-1], r) > 0 {
		i, _ = slices.BinarySearchFunc(x.readings, r, before)
	}
	x.readings = slices.Insert(x.readings, i, r)
	x.byKey[keyOf(r)] = r
	x.bytes += sizeOf(r)
	for _, s := range news.SeriesOf(*r) {
		t := x.series[s]
		if t == nil {
			t = &tally{}
			x.series[s] = t
		}
		t.last = latest(t.last, r.PublishedAt)
		if r.Negative() {
			t.lastNegative = latest(t.lastNegative, r.PublishedAt)
		}
	}
	u := x.models[r.Model]
	if u == nil {
		u = &use{}
		x.models[r.Model] = u
	}
	u.readings++
	u.last = latest(u.last, r.ClassifiedAt)
}

// drop removes a reading that is in the index.
func (x *Index) drop(r *news.Reading) {
	if i, found := slices.BinarySearchFunc(x.readings, r, before); found {
		x.readings = slices.Delete(x.readings, i, i+1)
	}
	x.forget(r)
}

func (x *Index) forget(r *news.Reading) {
	delete(x.byKey, keyOf(r))
	x.bytes -= sizeOf(r)
	if u := x.models[r.Model]; u != nil {
		if u.readings--; u.readings <= 0 {
			delete(x.models, r.Model)
		}
	}
}

// trim keeps to the bounds.
func (x *Index) trim(oldest time.Time) {
	n := 0
	for n < len(x.readings) && (len(x.readings)-n > x.cfg.Items || x.bytes > x.cfg.Bytes || x.readings[n].PublishedAt.Before(oldest)) {
		x.forget(x.readings[n])
		n++
	}
	clear(x.readings[:n])
	x.readings = x.readings[n:]
	if len(x.series) <= maxSeries {
		return
	}
	all := x.names(func(news.Series, tally) bool { return true })
	for _, s := range all[maxSeries*9/10:] {
		delete(x.series, s)
	}
}

func sizeOf(r *news.Reading) int64 {
	return int64(fixedBytes + len(r.Title) + len(r.Text) + len(r.URL) + len(r.Source) + len(r.ID))
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Caught says that all that was on the topics at the start has been read.
func (x *Index) Caught() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.complete = true
}

// names lists the series that match, those with the latest negative reading first.
func (x *Index) names(match func(news.Series, tally) bool) []news.Series {
	var out []news.Series
	for s, t := range x.series {
		if match(s, *t) {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b news.Series) int {
		ta, tb := x.series[a], x.series[b]
		return cmp.Or(tb.lastNegative.Compare(ta.lastNegative), tb.last.Compare(ta.last), strings.Compare(a.Key(), b.Key()))
	})
	return out
}

// Series lists at most limit series that had a reading published since, those with the
// latest negative one first.
func (x *Index) Series(since time.Time, limit int, match func(news.Series) bool) []news.Series {
	x.mu.RLock()
	defer x.mu.RUnlock()
	all := x.names(func(s news.Series, t tally) bool { return !t.last.Before(since) && match(s) })
	return all[:min(limit, len(all))]
}

// Extent says how many readings there are and when the first was published.
func (x *Index) Extent() (readings int, since time.Time, complete bool) {
	x.mu.RLock()
	defer x.mu.RUnlock()
	if len(x.readings) > 0 {
		since = x.readings[0].PublishedAt
	}
	return len(x.readings), since, x.complete
}

// Rate is how many readings a second came in over the last minute.
func (x *Index) Rate() float64 {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.rate.perSecond(time.Now())
}

// Uses lists the models of the readings in the index.
func (x *Index) uses() map[news.Model]use {
	x.mu.RLock()
	defer x.mu.RUnlock()
	out := make(map[news.Model]use, len(x.models))
	for m, u := range x.models {
		out[m] = *u
	}
	return out
}

// rate counts the last minute by the second.
type rate struct {
	began  time.Time
	counts [60]int
	at     [60]int64
}

func (c *rate) add(now time.Time, n int) {
	if c.began.IsZero() {
		c.began = now
	}
	second := now.Unix()
	if i := second % 60; c.at[i] != second {
		c.at[i], c.counts[i] = second, n
	} else {
		c.counts[i] += n
	}
}

func (c *rate) perSecond(now time.Time) float64 {
	if c.began.IsZero() {
		return 0
	}
	total := 0
	for i, n := range c.counts {
		if now.Unix()-c.at[i] < 60 {
			total += n
		}
	}
	return float64(total) / min(60, max(1, now.Sub(c.began).Seconds()))
}
