package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/barograph/barograph/news"
)

// ranges are the stretches that a series is shown over, and the steps that fit them.
var ranges = []struct {
	name   string
	length time.Duration
}{{"1h", time.Hour}, {"6h", 6 * time.Hour}, {"24h", 24 * time.Hour}, {"7d", 7 * 24 * time.Hour}}

const (
	mostSteps  = 300
	longest    = 31 * 24 * time.Hour
	mostParts  = 30 // topics of a company, or companies of a topic
	spikesKept = 200
)

// stepFor is the finest step that shows a stretch in about a hundred.
func stepFor(length time.Duration) time.Duration {
	for _, step := range []time.Duration{5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour} {
		if length <= 100*step {
			return step
		}
	}
	return 12 * time.Hour
}

// stretch reads range, or from and to; without any it is the last 24 hours.
func (s *Server) stretch(p *params) (from, to time.Time) {
	names := make([]string, len(ranges))
	for i, r := range ranges {
		names[i] = r.name
	}
	name := p.oneOf("range", names...)
	from, to = p.time("from"), p.time("to")
	switch {
	case name != "" && !(from.IsZero() && to.IsZero()):
		p.fault("give a range, or from and to, but not both")
	case from.IsZero() != to.IsZero():
		p.fault("from and to go together")
	case from.IsZero():
		to, from = s.now(), s.now().Add(-24*time.Hour)
		for _, r := range ranges {
			if r.name == name {
				from = to.Add(-r.length)
			}
		}
	case !from.Before(to) || to.Sub(from) > longest:
		p.fault("from is before to, and at most %d days", int(longest.Hours()/24))
	}
	return from.UTC(), to.UTC()
}

// seriesAndStretch reads which series is asked for, and over what; where it may be asked, by
// which kind of spike.
func (s *Server) seriesAndStretch(r *http.Request, byKind bool) (of news.Series, from, to time.Time, kind news.SpikeKind, err error) {
	if of, err = seriesOf(r.PathValue("entity"), r.PathValue("topic")); err != nil {
		return of, from, to, "", err
	}
	p := params{values: r.URL.Query()}
	from, to = s.stretch(&p)
	if byKind {
		kind = news.SpikeKind(p.oneOf("kind", string(news.SpikeNegative), string(news.SpikePositive), string(news.SpikeVolume)))
	}
	return of, from, to, kind, p.end()
}

// oneSeries is a series' course beside what is expected, and what it is made of.
func (s *Server) oneSeries(r *http.Request) (any, error) {
	of, from, to, kind, err := s.seriesAndStretch(r, true)
	if err != nil {
		return nil, err
	}
	ctx, now, step := r.Context(), s.now(), stepFor(to.Sub(from))
	steps, err := s.sources.Course(ctx, of, kind, from, minTime(to, now), step)
	if err != nil {
		return nil, err
	}
	parts := s.parts(of, now)
	outlooks, err := s.sources.Outlook(ctx, append([]news.Series{of}, parts...))
	if err != nil {
		return nil, err
	}
	on, err := s.alertsOn(ctx, outlooks)
	if err != nil {
		return nil, err
	}
	rows := []seriesRow{}
	for _, o := range outlooks[1:] {
		rows = append(rows, rowOf(o, on[o.Series], now))
	}
	return struct {
		Now    time.Time      `json:"now"`
		Series news.Series    `json:"series"`
		Kind   news.SpikeKind `json:"kind"` // of the steps
		From   time.Time      `json:"from"`
		To     time.Time      `json:"to"`
		Step   news.Duration  `json:"step"`
		Keeps  news.Duration  `json:"keeps"` // how long counts are kept
		Row    seriesRow      `json:"outlook"`
		Steps  []Step         `json:"steps"`
		Spikes []news.Alert   `json:"spikes"`
		Parts  []seriesRow    `json:"parts"`
	}{now, of, cmp.Or(kind, outlooks[0].Kind), from, to, news.Duration(step), news.Duration(s.sources.Keeps), rowOf(outlooks[0], on[of], now),
		emptyNotNull(steps), s.spikesOf(of, from, to), rows}, nil
}

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// parts are the topics of a company, the companies of a topic, or the topics of everything.
func (s *Server) parts(of news.Series, now time.Time) []news.Series {
	if of.Entity != "" && of.Topic != "" {
		return nil
	}
	return s.sources.Index.Series(now.Add(-24*time.Hour), mostParts, func(part news.Series) bool {
		switch {
		case of.Entity != "":
			return part.Entity == of.Entity && part.Topic != ""
		case of.Topic != "":
			return part.Topic == of.Topic && part.Entity != ""
		}
		return part.Entity == "" && part.Topic != ""
	})
}

// spikesOf lists the alerts about a series or a part of it that were on in [from, to), the
// latest first.
func (s *Server) spikesOf(of news.Series, from, to time.Time) []news.Alert {
	out := []news.Alert{}
	for _, a := range s.sources.Index.Alerts() {
		same := (of.Entity == "" || strings.EqualFold(of.Entity, a.Series.Entity)) && (of.Topic == "" || strings.EqualFold(of.Topic, a.Series.Topic))
		over := a.ResolvedAt != nil && a.ResolvedAt.Before(from)
		if same && !over && a.StartedAt.Before(to) && len(out) < spikesKept {
			out = append(out, a)
		}
	}
	return whole(out)
}

// spikes lists a series' alerts alone.
func (s *Server) spikes(r *http.Request) (any, error) {
	of, from, to, _, err := s.seriesAndStretch(r, false)
	if err != nil {
		return nil, err
	}
	return struct {
		From   time.Time    `json:"from"`
		To     time.Time    `json:"to"`
		Spikes []news.Alert `json:"spikes"`
	}{from, to, s.spikesOf(of, from, to)}, nil
}

// windowSum is what was counted in the last stretch of a length.
type windowSum struct {
	Length   news.Duration `json:"length"`
	Items    int           `json:"items"`
	Negative int           `json:"negative"` // as in news.Window
	Positive int           `json:"positive"`
	Copies   int           `json:"copies"`
	Usual    float64       `json:"usual"`
	Share    float64       `json:"share"` // of the negatives or positives, 0..1
}

// windows sums a series up over the windows that the rule judges.
func (s *Server) windows(r *http.Request) (any, error) {
	of, err := seriesOf(r.PathValue("entity"), r.PathValue("topic"))
	if err != nil {
		return nil, err
	}
	p := params{values: r.URL.Query()}
	if err := p.end(); err != nil {
		return nil, err
	}
	const bucket = 5 * time.Minute
	now := s.now()
	after := now.Truncate(bucket).Add(bucket) // the end of the bucket that holds now
	steps, err := s.sources.Course(r.Context(), of, "", after.Add(-24*time.Hour), after, bucket)
	if err != nil {
		return nil, err
	}
	lengths := append(slices.Clone(s.sources.Windows), 24*time.Hour)
	out := make([]windowSum, len(lengths))
	for i, length := range lengths {
		w := windowSum{Length: news.Duration(length)}
		for _, step := range steps {
			if !step.Start.Before(after.Add(-length)) {
				w.Items, w.Negative, w.Positive = w.Items+step.Items, w.Negative+step.Negative, w.Positive+step.Positive
				w.Copies, w.Usual = w.Copies+step.Copies, w.Usual+step.Usual
			}
		}
		if w.Items > 0 {
			w.Share = float64(w.Negative+w.Positive) / float64(w.Items)
		}
		out[i] = w
	}
	return struct {
		Now     time.Time   `json:"now"`
		Series  news.Series `json:"series"`
		Windows []windowSum `json:"windows"`
	}{now, of, out}, nil
}
