package alert

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/barograph/barograph/news"
)

// Route says where alerts go. Routes are tried in order and the first that matches takes
// the alert; with Continue those after it are tried too. A route without conditions
// matches everything: put it last as the default. Conditions are joined by and, the
// values of one condition by or.
//
// An alert that grows is told where its first message went, and to those it has newly
// come to match (a pager for critical ones, say).
type Route struct {
	Entities    []string      `yaml:"entities"`     // companies, as in Series.Entity
	Topics      []string      `yaml:"topics"`       // as in Series.Topic
	Languages   []string      `yaml:"languages"`    // of at least half of the texts it shows, as in Item.Lang
	Sources     []string      `yaml:"sources"`      // of one of the texts it shows, as in Item.Source
	MinSeverity news.Severity `yaml:"min_severity"` // "warning" or "critical"; empty = any
	Sink        string        `yaml:"sink"`         // by name
	Channel     string        `yaml:"channel"`      // where within the sink; Slack needs one, most others take none
	Quiet       *QuietHours   `yaml:"quiet"`        // nil = none; of sinks that tell people
	Continue    bool          `yaml:"continue"`
}

// Destination is a sink and, where it has them, a channel.
type Destination struct {
	Sink    string `json:"sink"`
	Channel string `json:"channel,omitempty"`
	Digest  string `json:"digest,omitempty"` // the alert is told there as a part of this one
}

// alone is the destination itself.
func (d Destination) alone() Destination { return Destination{Sink: d.Sink, Channel: d.Channel} }

// target is where a route sends an alert, and until when it holds it back (zero: it does not).
type target struct {
	to    Destination
	until time.Time
}

func (r Route) check(sinks map[string]Sink) error {
	var faults []error
	sink, known := sinks[r.Sink]
	switch {
	case r.Sink == "":
		faults = append(faults, errors.New("no sink"))
	case !known:
		others := "there is none"
		if len(sinks) > 0 {
			others = "there are: " + strings.Join(sortedKeys(sinks), ", ")
		}
		faults = append(faults, fmt.Errorf("sink %q is not configured (%s)", r.Sink, others))
	case sink != nil:
		if err := sink.Check(r.Channel); err != nil {
			faults = append(faults, fmt.Errorf("sink %q: %w", r.Sink, err))
		}
	}
	if err := r.CheckConditions(); err != nil {
		faults = append(faults, err)
	}
	if r.Quiet != nil {
		if err := r.Quiet.check(); err != nil {
			faults = append(faults, err)
		}
		if _, tells := sink.(Digester); known && !tells {
			faults = append(faults, fmt.Errorf("sink %q has no quiet hours: it tells programs, not people", r.Sink))
		}
	}
	return errors.Join(faults...)
}

// CheckConditions names what is wrong with the route's conditions, whatever its sink is.
func (r Route) CheckConditions() error {
	var faults []error
	if r.MinSeverity != "" && rank(r.MinSeverity) == 0 {
		faults = append(faults, fmt.Errorf("min_severity %q: want warning or critical", r.MinSeverity))
	}
	for _, values := range [][]string{r.Entities, r.Topics, r.Languages, r.Sources} {
		if slices.Contains(values, "") {
			faults = append(faults, errors.New("an empty entity, topic, language or source matches nothing: leave the condition out"))
			break
		}
	}
	return errors.Join(faults...)
}

func (r Route) matches(a news.Alert) bool {
	return (len(r.Entities) == 0 || slices.Contains(r.Entities, a.Series.Entity)) &&
		(len(r.Topics) == 0 || slices.Contains(r.Topics, a.Series.Topic)) &&
		(len(r.Languages) == 0 || half(shows(a, func(e news.Evidence) bool { return slices.Contains(r.Languages, e.Lang) }), len(a.Evidence))) &&
		(len(r.Sources) == 0 || shows(a, func(e news.Evidence) bool { return slices.Contains(r.Sources, e.Source) }) > 0) &&
		rank(a.Severity) >= rank(r.MinSeverity)
}

// shows counts the texts of an alert that match.
func shows(a news.Alert, match func(news.Evidence) bool) (n int) {
	for _, e := range a.Evidence {
		if match(e) {
			n++
		}
	}
	return n
}

// destinations are where the routes send an alert at a time, each once. Where one of several
// routes to the same destination does not hold the alert back, it is not held back.
func destinations(routes []Route, a news.Alert, now time.Time) []target {
	var out []target
	for _, r := range routes {
		if !r.matches(a) {
			continue
		}
		t := target{to: Destination{Sink: r.Sink, Channel: r.Channel}}
		if r.Quiet != nil && a.Severity != news.Critical {
			t.until = r.Quiet.until(now)
		}
		if i := slices.IndexFunc(out, func(o target) bool { return o.to == t.to }); i < 0 {
			out = append(out, t)
		} else if t.until.Before(out[i].until) {
			out[i] = t
		}
		if !r.Continue {
			break
		}
	}
	return out
}
