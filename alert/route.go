package alert

import (
	"errors"
	"fmt"
	"slices"
	"strings"

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
	MinSeverity news.Severity `yaml:"min_severity"` // "warning" or "critical"; empty = any
	Sink        string        `yaml:"sink"`         // by name
	Channel     string        `yaml:"channel"`      // where within the sink; Slack needs one, the others take none
	Continue    bool          `yaml:"continue"`
}

// Destination is a sink and, where it has them, a channel.
type Destination struct {
	Sink    string `json:"sink"`
	Channel string `json:"channel,omitempty"`
}

func (r Route) check(sinks map[string]Sink) error {
	var faults []error
	sink, known := sinks[r.Sink]
	switch {
	case r.Sink == "":
		faults = append(faults, errors.New("no sink"))
	case !known:
		faults = append(faults, fmt.Errorf("sink %q is not configured (there are: %s)", r.Sink, strings.Join(sortedKeys(sinks), ", ")))
	case sink != nil:
		if err := sink.Check(r.Channel); err != nil {
			faults = append(faults, fmt.Errorf("sink %q: %w", r.Sink, err))
		}
	}
	if r.MinSeverity != "" && rank(r.MinSeverity) == 0 {
		faults = append(faults, fmt.Errorf("min_severity %q: want warning or critical", r.MinSeverity))
	}
	if slices.Contains(r.Entities, "") || slices.Contains(r.Topics, "") {
		faults = append(faults, errors.New("an empty entity or topic matches nothing: leave the condition out"))
	}
	return errors.Join(faults...)
}

func (r Route) matches(a news.Alert) bool {
	return (len(r.Entities) == 0 || slices.Contains(r.Entities, a.Series.Entity)) &&
		(len(r.Topics) == 0 || slices.Contains(r.Topics, a.Series.Topic)) &&
		rank(a.Severity) >= rank(r.MinSeverity)
}

// destinations are where the routes send an alert, each once.
func destinations(routes []Route, a news.Alert) []Destination {
	var to []Destination
	for _, r := range routes {
		if !r.matches(a) {
			continue
		}
		to = union(to, []Destination{{r.Sink, r.Channel}})
		if !r.Continue {
			break
		}
	}
	return to
}

// union is a and what of b is not in it.
func union(a, b []Destination) []Destination {
	out := slices.Clone(a)
	for _, d := range b {
		if !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}
