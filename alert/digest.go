package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// Digest is several alerts told in one message: those of a fall that hits many series at
// once, or those that a route's quiet hours held back.
type Digest struct {
	Since  time.Time    `json:"since"`          // when the first of them fired
	Held   bool         `json:"held,omitempty"` // by quiet hours
	Alerts []news.Alert `json:"alerts"`         // as they stand, in the order they fired; of their texts the strongest
}

// over reports whether nothing of it is on any more.
func (g Digest) over() bool {
	return !slices.ContainsFunc(g.Alerts, func(a news.Alert) bool { return a.Status == news.Firing })
}

// Digester is a sink that can tell of a Digest (Delivery.Digest) instead of an alert.
type Digester interface {
	Sink
	// Edits reports whether a later message about the same digest changes the first one.
	// Only such sinks get digests when many alerts fire at once; the others get them at the
	// end of quiet hours, once, and then each alert by itself.
	Edits() bool
}

// group is a digest at a destination as it is kept in Redis.
type group struct {
	ID       string      `json:"id"`
	To       Destination `json:"to"` // without a digest
	Digest   Digest      `json:"digest"`
	JoinedAt time.Time   `json:"joined_at"`          // when the last alert came to it
	Until    time.Time   `json:"until,omitzero"`     // it is held back until then; zero: it is not
	Revision int         `json:"revision,omitempty"` // messages so far
	Changed  bool        `json:"changed,omitempty"`  // since the last message
}

// mostGrouped bounds a digest; what fires beyond it starts another.
const mostGrouped = 100

// Reasons of digests.
const (
	ManyAtOnce      Reason = "many_at_once"      // digest: so many alerts at once that they share a message
	QuietHoursEnded Reason = "quiet_hours_ended" // digest: what quiet hours held back
)

// Digested is the action of telling of a Digest.
const Digested Action = "digest"

// place adds to where an alert is told. A destination that routes name while it is quiet
// there gets the alert in a digest at the end of the quiet hours; one where many alerts have
// just been told gets it in a digest at once.
func (u rules) place(s *state, r *record, now time.Time) {
	for _, t := range destinations(u.routes, r.Alert, now) {
		i := slices.IndexFunc(r.Destinations, func(d Destination) bool { return d.alone() == t.to })
		switch {
		case i >= 0 && (t.until.IsZero() && s.withdraw(r.Destinations[i].Digest, r.Alert.ID)):
			r.Destinations[i].Digest = "" // held back so far, and too severe for that now
		case i >= 0:
		case !t.until.IsZero():
			r.Destinations = append(r.Destinations, s.join(t.to, r.Alert, now, t.until, u.digestWithin))
		case u.crowded(s, t.to, now):
			r.Destinations = append(r.Destinations, s.join(t.to, r.Alert, now, time.Time{}, u.digestWithin))
		default:
			r.Destinations = append(r.Destinations, t.to)
		}
	}
}

// crowded reports whether so many alerts were told at the destination just now that further
// ones go into a digest.
func (u rules) crowded(s *state, to Destination, now time.Time) bool {
	if u.digestFrom <= 0 || !u.edits[to.Sink] {
		return false
	}
	n := 0
	for _, o := range s.open {
		if o.Told && slices.Contains(o.Destinations, to) && now.Sub(o.Alert.FiredAt) < u.digestWithin {
			n++
		}
	}
	return n >= u.digestFrom
}

// join puts an alert into the destination's digest: one that is as much held back and that
// others came to just now, or else a new one.
func (s *state) join(to Destination, a news.Alert, now, until time.Time, within time.Duration) Destination {
	var id string
	for _, key := range sortedKeys(s.groups) {
		g := s.groups[key]
		fresh := now.Sub(g.JoinedAt) < within || !until.IsZero()
		if g.To == to && g.Until.Equal(until) && g.Digest.Held == !until.IsZero() && fresh && len(g.Digest.Alerts) < mostGrouped {
			id = key
		}
	}
	if id == "" {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s|%s|%s|%d", to.Sink, to.Channel, a.ID, now.UnixNano()))
		id = "digest-" + hex.EncodeToString(sum[:5])
		s.groups[id] = group{ID: id, To: to, Until: until, Digest: Digest{Since: now.UTC(), Held: !until.IsZero()}}
	}
	g := s.groups[id]
	g.JoinedAt, g.Changed = now.UTC(), true
	g.Digest.Alerts = append(slices.Clone(g.Digest.Alerts), slim(a))
	s.regroup(g)
	to.Digest = id
	return to
}

func (s *state) regroup(g group) {
	s.groups[g.ID] = g
	s.regrouped[g.ID] = true
}

// withdraw takes an alert out of a digest that is still held back.
func (s *state) withdraw(id, alert string) bool {
	g, known := s.groups[id]
	if !known || g.Until.IsZero() {
		return false
	}
	g.Digest.Alerts = slices.DeleteFunc(slices.Clone(g.Digest.Alerts), func(a news.Alert) bool { return a.ID == alert })
	s.regroup(g)
	return true
}

// refresh shows an alert as it stands in its digest.
func (s *state) refresh(id string, a news.Alert) {
	g, known := s.groups[id]
	if !known {
		return
	}
	g.Digest.Alerts = slices.Clone(g.Digest.Alerts)
	for i := range g.Digest.Alerts {
		if g.Digest.Alerts[i].ID == a.ID {
			g.Digest.Alerts[i] = slim(a)
			g.Changed = true
		}
	}
	s.regroup(g)
}

// slim is what a digest shows of an alert.
func slim(a news.Alert) news.Alert {
	a.Evidence = a.Evidence[:min(1, len(a.Evidence))]
	return a
}

// flush tells of the digests that have changed and are not held back any more, and forgets
// those that are over.
func (u rules) flush(s *state, now time.Time) []outcome {
	var outcomes []outcome
	for _, id := range sortedKeys(s.groups) {
		g := s.groups[id]
		why := ManyAtOnce
		if !g.Until.IsZero() {
			if now.Before(g.Until) {
				continue
			}
			g.Until, g.Changed, why = time.Time{}, true, QuietHoursEnded
		}
		if !g.Changed || len(g.Digest.Alerts) == 0 {
			s.forgetEmpty(g)
			continue
		}
		outcomes = append(outcomes, u.tellDigest(s, g, why))
	}
	return outcomes
}

func (s *state) forgetEmpty(g group) {
	if len(g.Digest.Alerts) == 0 {
		delete(s.groups, g.ID)
		s.regrouped[g.ID] = true
	}
}

// tellDigest makes the delivery of a digest. After the last message, or where it is the only
// one that the sink makes of it, the digest is forgotten: each of its alerts that is still on
// is told by itself from then on.
func (u rules) tellDigest(s *state, g group, why Reason) outcome {
	g.Revision++
	g.Changed = false
	action, status := Escalate, news.Firing
	if g.Revision == 1 {
		action = Fire
	}
	if g.Digest.over() || !u.edits[g.To.Sink] {
		action, status = Resolve, news.Resolved
		delete(s.groups, g.ID)
		s.regrouped[g.ID] = true
		for _, key := range sortedKeys(s.open) {
			r := s.open[key]
			if i := slices.IndexFunc(r.Destinations, func(d Destination) bool { return d.Digest == g.ID }); i >= 0 {
				r.Destinations = slices.Clone(r.Destinations)
				r.Destinations[i].Digest = ""
				s.set(key, r)
			}
		}
	} else {
		s.regroup(g)
	}
	stand := news.Alert{ID: g.ID, Status: status, StartedAt: g.Digest.Since, Reason: fmt.Sprintf("%d alerts", len(g.Digest.Alerts))}
	told := g.Digest
	return outcome{Decision: Decision{Digested, why}, alert: stand,
		deliveries: []entry{{To: g.To, Action: action, Revision: g.Revision, Alert: stand, Digest: &told}}}
}
