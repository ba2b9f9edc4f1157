package alert

import (
	"cmp"
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// state is everything decisions depend on, as it was at one version.
type state struct {
	version  int64
	open     map[string]record // by series key
	closed   map[string]closed // by series key
	silences []Silence
	groups   map[string]group // by ID

	changed    map[string]bool // series whose record was set or removed
	reclosed   map[string]bool // series whose closed entry was set or forgotten
	resilenced map[string]bool // IDs of silences that were set or ended
	regrouped  map[string]bool // IDs of groups that were set or removed
}

// newState is empty.
func newState() state {
	return state{open: map[string]record{}, closed: map[string]closed{}, groups: map[string]group{},
		changed: map[string]bool{}, reclosed: map[string]bool{}, resilenced: map[string]bool{}, regrouped: map[string]bool{}}
}

func (s *state) set(key string, r record) {
	s.open[key] = r
	s.changed[key] = true
}

func (s *state) close(key string, c closed) {
	delete(s.open, key)
	s.changed[key] = true
	s.closed[key] = c
	s.reclosed[key] = true
}

// muted reports whether a silence matches a series.
func (s *state) muted(of news.Series, now time.Time) bool {
	return slices.ContainsFunc(s.silences, func(m Silence) bool { return m.mutes(of, now) })
}

// outcome is a decision, the alert it is about as people would see it, and the deliveries
// it gives rise to.
type outcome struct {
	Decision
	alert      news.Alert
	deliveries []entry
	repeats    bool // the series' last decision, for the same reason: nothing to log
}

// rules are the fixed numbers of all decisions.
type rules struct {
	critical, escalate      float64
	settle, quiet, remember time.Duration
	routes                  []Route

	digestFrom   int             // so many alerts told at once: the next share a message; 0 = never
	digestWithin time.Duration   // "at once"
	edits        map[string]bool // sinks whose digests change in place
}

// consider merges the spikes into the state and decides about each of their series.
func (u rules) consider(s *state, spikes []news.Spike, now time.Time) []outcome {
	for _, spike := range spikes {
		now = later(now, spike.At)
	}
	outcomes := u.pass(s, now)
	touched := map[string]bool{}
	for _, spike := range spikes {
		key := keyOf(spike.Series, spike.Kind)
		r, known := s.open[key]
		if c, was := s.closed[key]; was && (!spike.At.After(c.LastAt) || !known && c.replayed(spike)) {
			outcomes = append(outcomes, outcome{Decision: Decision{Hold, AlreadyTold}, alert: opened(spike, u.critical).Alert, repeats: true})
			continue
		}
		if known {
			s.set(key, extended(r, spike, u.critical))
		} else {
			s.set(key, opened(spike, u.critical))
		}
		touched[key] = true
	}
	for _, key := range speakingOrder(s, touched) {
		outcomes = append(outcomes, u.judge(s, key, now))
	}
	return outcomes
}

// pass lets the time pass until now: what has settled speaks, what has been quiet ends.
func (u rules) pass(s *state, now time.Time) []outcome {
	return append(u.speak(s, now), u.resolve(s, now)...)
}

// speak decides about the series that wait to settle, once the first of their company has, or
// one that is of no company: what came with it has come by then, and the one that should speak for
// the burst may be younger. So it does about those whose silence is over.
func (u rules) speak(s *state, now time.Time) []outcome {
	due := map[string]bool{} // companies, and "" for a topic or everything
	for _, r := range s.open {
		if r.Why == Settling && !r.settledAt(u.settle).After(now) {
			due[r.Alert.Series.Entity] = true
		}
	}
	waiting := map[string]bool{}
	for key, r := range s.open {
		settled := r.Why == Settling && (due[r.Alert.Series.Entity] || due[""])
		heard := r.Why == MutedByPeople && !s.muted(r.Alert.Series, now) && r.quietAt(u.quiet).After(now)
		if settled || heard {
			waiting[key] = true
		}
	}
	u.settle = 0
	var outcomes []outcome
	for _, key := range speakingOrder(s, waiting) {
		outcomes = append(outcomes, u.judge(s, key, now))
	}
	return outcomes
}

// judge decides about the series of which key's record is known, and records it.
func (u rules) judge(s *state, key string, now time.Time) outcome {
	r := s.open[key]
	var held Reason
	if !r.Told {
		if held = heldBack(r, s.open); held == "" && r.settledAt(u.settle).After(now) {
			held = Settling
		}
	}
	o := outcome{Decision: decide(r, s.muted(r.Alert.Series, now), held, u.escalate)}
	o.repeats = r.Why == o.Reason || o.Reason == Continues
	r.Why = o.Reason
	if o.Action == Fire || o.Action == Escalate {
		if o.Action == Fire {
			r.Alert.FiredAt = now
		}
		r.Told, r.ToldSeverity, r.ToldSurprise = true, r.Alert.Severity, r.Alert.Surprise
		r.Destinations = slices.Clone(r.Destinations)
		u.place(s, &r, now)
		o.deliveries = u.tell(s, &r, o.Action, now)
	}
	o.alert = r.Alert
	s.set(key, r)
	return o
}

// resolve ends what has been quiet for long enough, and forgets what was resolved long ago.
// Those told are told of the end, also under a silence: it edits what they have.
func (u rules) resolve(s *state, now time.Time) []outcome {
	var outcomes []outcome
	for _, key := range sortedKeys(s.open) {
		r := s.open[key]
		if r.quietAt(u.quiet).After(now) {
			continue
		}
		o := outcome{Decision: Decision{Resolve, QuietLongEnough}}
		r.Alert.Status = news.Resolved
		at := now
		r.Alert.ResolvedAt = &at
		if r.Told {
			o.deliveries = u.tell(s, &r, Resolve, now)
		}
		o.alert = r.Alert
		s.endSilences(func(m Silence) bool { return m.Alert == r.Alert.ID })
		s.close(key, closed{LastAt: r.LastAt, LastStart: r.LastStart, At: now})
		outcomes = append(outcomes, o)
	}
	for key, c := range s.closed {
		if now.Sub(c.At) >= u.remember {
			delete(s.closed, key)
			s.reclosed[key] = true
		}
	}
	return outcomes
}

// tell makes a delivery of the alert as it stands for each of its destinations; where it is
// told in a digest, that digest changes.
func (u rules) tell(s *state, r *record, action Action, now time.Time) []entry {
	r.Revision++
	r.Alert.UpdatedAt = now
	var entries []entry
	for _, to := range r.Destinations {
		if to.Digest != "" {
			s.refresh(to.Digest, r.Alert)
			continue
		}
		entries = append(entries, entry{To: to, Action: action, Revision: r.Revision, Alert: r.Alert})
	}
	return entries
}

// speakingOrder sorts the series so that the one that should speak for a burst comes
// first: companies before topics before everything; within a company the topic that
// accounts for most of it, else the company, then by surprise.
func speakingOrder(s *state, touched map[string]bool) []string {
	keys := sortedKeys(touched)
	slices.SortStableFunc(keys, func(a, b string) int {
		x, y := s.open[a], s.open[b]
		return cmp.Or(
			cmp.Compare(turn(x, s.open), turn(y, s.open)),
			cmp.Compare(y.Alert.Surprise, x.Alert.Surprise),
		)
	})
	return keys
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
