package trend

import (
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/barograph/barograph/news"
)

// arguments are KEYS and ARGV of the observe script. The plan is JSON, for a number in it costs
// Redis a fraction of an argument; it is written by hand, for it has numbers and names of ours only.
func (p *plan) arguments(s *Store, now time.Time) (names []string, argv []any) {
	names = slices.Concat(p.ids.names, p.texts.names, p.nears.names)
	names = slices.Grow(names, 4*len(p.series))
	argv = make([]any, 1, 1+len(p.nears.names)+2*len(p.readings))
	for _, list := range p.nears.readings {
		sketches := make([]byte, 0, 9*len(list))
		for _, i := range list {
			sketches = p.readings[i-1].sketch.pack(sketches)
		}
		argv = append(argv, sketches)
	}
	shownAt := make([]int, len(p.readings)) // the place of each reading in shown
	stale := now.Add(-keepEvidence).Unix()
	j := make(planJSON, 0, 512+48*len(p.readings)+24*len(p.series))
	j.field("keep", int64(keepSeries.Seconds()))
	j.field("keepEvidence", int64(keepEvidence.Seconds()))
	j.field("keepNear", int64(keepNear.Seconds()))
	j.field("stale", stale)
	due, old, long := bucketOf(now.Add(-learnWithin)), bucketOf(now.Add(-s.history-tooOld)), int64(tooLong)
	if p.blind {
		due, old, long = math.MinInt32, math.MinInt32, math.MaxInt32
	}
	j.field("due", due)
	j.field("old", old)
	j.field("long", long)
	j.sets("ids", p.ids, func(i int) uint64 { return p.readings[i-1].id })
	j.sets("texts", p.texts, func(i int) uint64 { return p.readings[i-1].text })
	j.list("nears", len(p.lists), func(i int) { j.near(p.lists[i], p.nears.readings[i]) })
	j.list("buckets", len(p.readings), func(i int) {
		j = append(strconv.AppendInt(append(j, '"'), bucketOf(p.readings[i].reading.PublishedAt), 10), ':', '"')
	})
	j.list("marks", len(p.readings), func(i int) { j.number(int64(p.readings[i].marks)) })
	var shown []int
	for i, r := range p.readings {
		if r.marks&s.marks != 0 && r.reading.PublishedAt.Unix() >= stale {
			shown = append(shown, i+1)
			shownAt[i] = len(shown)
			argv = append(argv, r.reading.Source[:min(len(r.reading.Source), longestSource)], r.evidence)
		}
	}
	j.list("shown", len(shown), func(i int) { j.number(int64(shown[i])) })
	j.list("times", len(shown), func(i int) { j.number(p.readings[shown[i]-1].reading.PublishedAt.Unix()) })
	explaining := make([]int, 0, len(shown))
	j.list("series", len(p.series), func(i int) {
		of := p.series[i]
		mark := markOf(of.of.kind)
		explaining = explaining[:0] // what explains a series has its mark
		for _, r := range of.readings {
			if shownAt[r-1] > 0 && p.readings[r-1].marks&mark != 0 {
				explaining = append(explaining, shownAt[r-1])
			}
		}
		kinds := kindsOfSeries[:2]
		if len(explaining) > 0 {
			kinds = kindsOfSeries
		}
		for _, kind := range kinds {
			names = append(names, s.keys.ofSubject(of.of, kind))
		}
		// Everything is always wanted: it lends its share and profile to the others.
		wanted := int64(0)
		if !p.blind && (of.judge || of.of.of == (news.Series{})) {
			wanted = 1
		}
		j = append(j, '[')
		j.number(wanted)
		j = append(j, ',')
		j.number(int64(mark))
		j = append(j, ',')
		j.number(int64(leanOf(of.of.kind)))
		j = append(j, ',')
		j.number(of.start)
		j = append(j, ',')
		j.numbers(of.readings)
		j = append(j, ',')
		j.numbers(explaining)
		j = append(j, ']')
	})
	j[len(j)-1] = '}'
	argv[0] = []byte(j)
	return names, argv
}

// planJSON is a JSON object under construction, up to and with the comma after its last field.
type planJSON []byte

func (j *planJSON) name(of string) {
	if len(*j) == 0 {
		*j = append(*j, '{')
	}
	*j = append(append(append(*j, '"'), of...), '"', ':')
}

func (j *planJSON) number(n int64) { *j = strconv.AppendInt(*j, n, 10) }

func (j *planJSON) field(of string, n int64) {
	j.name(of)
	j.number(n)
	*j = append(*j, ',')
}

// list writes n values, each by a call.
func (j *planJSON) list(of string, n int, value func(i int)) {
	j.name(of)
	*j = append(*j, '[')
	for i := range n {
		if i > 0 {
			*j = append(*j, ',')
		}
		value(i)
	}
	*j = append(*j, ']', ',')
}

func (j *planJSON) numbers(list []int) {
	*j = append(*j, '[')
	for i, n := range list {
		if i > 0 {
			*j = append(*j, ',')
		}
		j.number(int64(n))
	}
	*j = append(*j, ']')
}

// sets writes for each set the seconds to keep it, its readings and their members, which are
// strings: a number of Lua has 53 bits.
func (j *planJSON) sets(of string, sets keySet, member func(reading int) uint64) {
	j.list(of, len(sets.names), func(i int) {
		*j = append(*j, '[')
		j.number(sets.ttl[i])
		*j = append(*j, ',')
		j.numbers(sets.readings[i])
		*j = append(*j, ',', '[')
		for k, reading := range sets.readings[i] {
			if k > 0 {
				*j = append(*j, ',')
			}
			*j = append(strconv.AppendInt(append(*j, '"'), int64(member(reading)), 10), '"')
		}
		*j = append(*j, ']', ']')
	})
}

func (j *planJSON) near(l searched, readings []int) {
	*j = append(*j, '[')
	for _, n := range [...]int{l.length, l.cuts, l.stale} {
		j.number(int64(n))
		*j = append(*j, ',')
	}
	j.numbers(readings)
	*j = append(*j, ',')
	j.numbers(l.near)
	*j = append(*j, ',')
	j.number(int64(l.hour))
	*j = append(*j, ']')
}
