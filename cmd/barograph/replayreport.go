package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/internal/chart"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// How much of history a report holds, whatever its length: the most surprising alert of so
// many series is drawn, each kind for itself, and so many alerts of a series are listed.
const (
	drawnSeries  = 12
	listedAlerts = 20
	listedSeries = 200
)

// report is what replay draws. It sees history as it passes, for trend.History forgets what
// is older than a day.
type report struct {
	kind   news.SpikeKind // what counts are of: the first that is looked for
	counts map[int64]*chart.Bucket
	open   map[string]*episode  // told and not over, by the alert's id
	worst  map[subject]*episode // over, the most surprising of its subject
	fallen map[subject]*fallen  // all that alerted
	caught time.Time            // when open episodes were last recorded
}

// subject is what an alert is about.
type subject struct {
	series news.Series
	kind   news.SpikeKind
}

func subjectOf(a news.Alert) subject { return subject{a.Series, a.Kind.OrNegative()} }

// String names the series, and the kind where it is another than negative: "BA", "BA (volume)".
func (s subject) String() string {
	if s.kind == news.SpikeNegative {
		return s.series.String()
	}
	return s.series.String() + " (" + string(s.kind) + ")"
}

func compareSubjects(a, b subject) int {
	return cmp.Or(cmp.Compare(a.series.Key(), b.series.Key()), cmp.Compare(a.kind, b.kind))
}

// fallen are the alerts of a series of one kind.
type fallen struct {
	Of       subject
	Surprise float64 // the highest
	Alerts   int
	Listed   []news.Alert // the first ones, as they fired
}

// episode is an alert with what led to it and what came after.
type episode struct {
	fired     news.Alert // as it was told first, at its UpdatedAt
	worst     news.Alert // its most surprising numbers
	threshold float64    // when it fired
	turns     []chart.Mark
	window    time.Duration // that moments are of
	from, to  time.Time     // recorded
	moments   []trend.Moment
	buckets   []trend.Bucket
}

func newReport(kind news.SpikeKind) *report {
	return &report{kind: kind, counts: map[int64]*chart.Bucket{}, open: map[string]*episode{},
		worst: map[subject]*episode{}, fallen: map[subject]*fallen{}}
}

// How much of the past is shown before an alert, and how often an open one is recorded.
const (
	leastPast   = 6 * time.Hour
	pastWindows = 4
	mostPast    = 23 * time.Hour // trend.History keeps a day
	catchEvery  = 30 * time.Minute
	catchAgain  = 2 * time.Hour // of what was recorded already, for late items
)

// passes counts a reading for the picture of all history.
func (p *report) passes(r *news.Reading, now time.Time) {
	if r.PublishedAt.After(now.Add(time.Hour)) {
		return // as the rule: ahead of the clock
	}
	hour := r.PublishedAt.UTC().Truncate(time.Hour)
	b := p.counts[hour.Unix()]
	if b == nil {
		b = &chart.Bucket{Start: hour}
		p.counts[hour.Unix()] = b
	}
	b.Items++
	if p.kind == news.SpikeVolume || p.kind == news.SpikePositive && r.Positive() || p.kind == news.SpikeNegative && r.Negative() {
		b.Count++
	}
}

// before records open episodes up to now, every so often, for history is about to go on to a
// next time and forgets.
func (p *report) before(next time.Time, history *trend.History, now time.Time) {
	if len(p.open) > 0 && next.Sub(p.caught) >= catchEvery {
		p.catch(history, now)
	}
}

func (p *report) catch(history *trend.History, now time.Time) {
	p.caught = now
	for _, e := range p.open {
		e.record(history, now)
	}
}

// record adds what history knows of the episode's series up to now.
func (e *episode) record(history *trend.History, now time.Time) {
	start := e.from
	if again := e.to.Add(-catchAgain); again.After(start) {
		start = again
	}
	start = start.Truncate(trend.BucketLength)
	if !now.After(start) {
		return
	}
	of, kind := e.fired.Series, e.fired.Kind
	e.moments = slices.DeleteFunc(e.moments, func(m trend.Moment) bool { return m.At.After(start) })
	e.buckets = slices.DeleteFunc(e.buckets, func(b trend.Bucket) bool { return !b.Start.Before(start) })
	e.moments = append(e.moments, history.Slide(of, kind, start, now, e.window, e.threshold, now)...)
	e.buckets = append(e.buckets, history.Buckets(of, kind, start, now)...)
	e.to = now
}

// hears what people were told.
func (p *report) hears(said alert.Said, history *trend.History, threshold float64) {
	a, now := said.Alert, said.At
	e := p.open[a.ID]
	if e == nil {
		past := min(mostPast, max(leastPast, pastWindows*time.Duration(a.Window)))
		e = &episode{fired: a, worst: a, threshold: threshold, window: time.Duration(a.Window), from: a.FiredAt.Add(-past)}
		p.open[a.ID] = e
	}
	switch {
	case said.Action == alert.Resolve:
		e.turns = append(e.turns, chart.Mark{At: *a.ResolvedAt, Label: "over " + a.ResolvedAt.UTC().Format("15:04"), Over: true})
		e.record(history, *a.ResolvedAt)
		delete(p.open, a.ID)
		p.close(e)
		return
	case !said.First:
		e.grows(a, now)
	default:
		e.turns = append(e.turns, chart.Mark{At: now, Since: a.StartedAt, Label: string(a.Severity) + " " + now.UTC().Format("15:04")})
		p.lists(a)
	}
	if a.Surprise > e.worst.Surprise {
		e.worst = a
		e.look(time.Duration(a.Window), now)
		f := p.fallen[subjectOf(a)]
		f.Surprise = max(f.Surprise, a.Surprise)
	}
	e.record(history, now)
}

// grows marks that the alert became severer.
func (e *episode) grows(a news.Alert, now time.Time) {
	if last := e.turns[len(e.turns)-1]; !strings.HasPrefix(last.Label, string(a.Severity)) {
		e.turns = append(e.turns, chart.Mark{At: now, Label: string(a.Severity) + " " + now.UTC().Format("15:04")})
	}
}

// look makes the episode one of another window, as long as history remembers all of it.
func (e *episode) look(window time.Duration, now time.Time) {
	if window != e.window && now.Sub(e.from) < trend.DefaultHistory {
		e.window, e.to = window, e.from
	}
}

func (p *report) lists(a news.Alert) {
	of := subjectOf(a)
	s := p.fallen[of]
	if s == nil {
		s = &fallen{Of: of}
		p.fallen[of] = s
	}
	s.Alerts++
	s.Surprise = max(s.Surprise, a.Surprise)
	if len(s.Listed) < listedAlerts {
		s.Listed = append(s.Listed, a)
	}
}

// close keeps the episode if it is to be drawn.
func (p *report) close(e *episode) {
	of := subjectOf(e.fired)
	if w := p.worst[of]; w == nil || e.worst.Surprise > w.worst.Surprise {
		p.worst[of] = e
	}
	if len(p.worst) > 2*drawnSeries {
		for _, e := range bySurprise(p.worst)[drawnSeries:] {
			delete(p.worst, subjectOf(e.fired))
		}
	}
}

func bySurprise(of map[subject]*episode) (all []*episode) {
	for _, e := range of {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *episode) int {
		return cmp.Or(cmp.Compare(b.worst.Surprise, a.worst.Surprise), compareSubjects(subjectOf(a.fired), subjectOf(b.fired)))
	})
	return all
}

// ends closes what is open when history is over, and gives the episodes to draw.
func (p *report) ends(history *trend.History, now time.Time) []*episode {
	p.catch(history, now)
	for _, e := range p.open {
		p.close(e)
	}
	clear(p.open)
	drawn := bySurprise(p.worst)
	return drawn[:min(drawnSeries, len(drawn))]
}

// picture is the episode as it is drawn, with room for the label of its end.
func (e *episode) picture() chart.Series {
	c := chart.Series{Kind: e.fired.Kind, From: e.from, To: e.to.Add(e.to.Sub(e.from) / 10), Length: trend.BucketLength, Window: e.window, Marks: e.turns}
	for _, b := range e.buckets {
		c.Buckets = append(c.Buckets, barOf(b, e.fired.Kind))
	}
	for _, m := range e.moments {
		c.Points = append(c.Points, pointOf(m))
	}
	return c
}

// whole is all of history, with the alerts of the series that are drawn, as far as they are listed.
func (p *report) whole(drawn []*episode) chart.Series {
	c := chart.Series{Kind: p.kind, Length: time.Hour}
	for _, b := range p.counts {
		c.Buckets = append(c.Buckets, *b)
	}
	for _, e := range drawn {
		of := subjectOf(e.fired)
		for _, a := range p.fallen[of].Listed {
			c.Marks = append(c.Marks, chart.Mark{At: a.UpdatedAt, Label: of.String()})
		}
	}
	return c
}
