package alert

import (
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// History decides about spikes as a Desk does, in memory and by the clock of the spikes,
// without silences: what people would have been told. It is for one goroutine.
type History struct {
	rules rules
	state state
	told  map[string]bool // IDs of alerts that are on and that people would have been told of
}

// Said is a decision of History and its alert at that moment.
type Said struct {
	Decision
	At    time.Time // when it was decided
	Alert news.Alert
	Told  bool // people would have been told: by one of the routes, where there are any
	First bool // and of this alert for the first time
}

// NewHistory takes Critical, Escalate, Settle, Quiet and Remember of a configuration, and the
// conditions of its Routes. Without routes everything is told. Quiet hours and digests, which say
// when and with what else an alert is told, are left out.
func NewHistory(cfg Config) *History {
	cfg = withDefaults(cfg)
	routes := slices.Clone(cfg.Routes)
	for i := range routes {
		routes[i].Quiet = nil
	}
	if len(routes) == 0 {
		routes = []Route{{Sink: "history"}} // takes every alert, so that a delivery means told
	}
	return &History{
		rules: rules{critical: cfg.Critical, escalate: cfg.Escalate, settle: cfg.Settle, quiet: cfg.Quiet, remember: cfg.Remember, routes: routes},
		state: newState(),
		told:  map[string]bool{},
	}
}

// Consider lets the time pass until now, and judges spikes of that moment together.
// Decisions that repeat the series' last one are left out.
func (h *History) Consider(spikes []news.Spike, now time.Time) []Said {
	var said []Said
	for due, open := h.due(); open && !due.After(now); due, open = h.due() {
		said = append(said, h.saidOf(h.rules.pass(&h.state, due), due)...)
	}
	if len(spikes) > 0 {
		said = append(said, h.saidOf(h.rules.consider(&h.state, spikes, now), now)...)
	}
	clear(h.state.changed)
	clear(h.state.reclosed)
	return said
}

// due is when the next alert has settled, or has been quiet for long enough.
func (h *History) due() (at time.Time, open bool) {
	for _, r := range h.state.open {
		next := r.quietAt(h.rules.quiet)
		if r.Why == Settling {
			next = r.settledAt(h.rules.settle)
		}
		if !open || next.Before(at) {
			at, open = next, true
		}
	}
	return at, open
}

func (h *History) saidOf(outcomes []outcome, at time.Time) []Said {
	var said []Said
	for _, o := range outcomes {
		if o.repeats {
			continue
		}
		id, told := o.alert.ID, len(o.deliveries) > 0
		said = append(said, Said{Decision: o.Decision, At: at, Alert: o.alert, Told: told, First: told && !h.told[id]})
		switch {
		case o.Action == Resolve:
			delete(h.told, id)
		case told:
			h.told[id] = true
		}
	}
	return said
}
