package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/barograph/barograph/news"
)

// Action is what is done about a series.
type Action string

// The actions. Fire, Escalate and Resolve are told to people, and Annotate to those who
// were told; Hold and Silence are not.
const (
	Fire     Action = "fire"
	Escalate Action = "escalate"
	Resolve  Action = "resolve"
	Annotate Action = "annotate"
	Hold     Action = "hold"
	Silenced Action = "silence"
)

// Reason says why an action was taken. It is the label of the decisions metric.
type Reason string

// The reasons.
const (
	FirstExceedance  Reason = "first_exceedance"  // fire: nobody knows of it yet
	SilenceEnded     Reason = "silence_ended"     // fire: still on when its silence ended
	CauseEnded       Reason = "cause_ended"       // fire: no other alert explains it any more
	SeverityRose     Reason = "severity_rose"     // escalate: warning became critical
	SurpriseRose     Reason = "surprise_rose"     // escalate: by Config.Escalate since the last message
	Continues        Reason = "continues"         // hold: told already, and not much worse
	AlreadyTold      Reason = "already_told"      // hold: a replay of an alert that has been resolved
	CompanySpoke     Reason = "company_spoke"     // hold: another series of the company has spoken
	NarrowerExplains Reason = "narrower_explains" // hold: open alerts of narrower series account for most of it
	SameBurst        Reason = "same_burst"        // hold: most of a broader alert that has spoken
	Settling         Reason = "settling"          // hold: what comes with it may still be on its way
	MutedByPeople    Reason = "muted"             // silence: a silence matches
	QuietLongEnough  Reason = "quiet"             // resolve: no spike for the quiet time
	ByPeople         Reason = "by_people"         // annotate: somebody acknowledged, muted or corrected it
)

// Decision is an action and its reason.
type Decision struct {
	Action Action
	Reason Reason
}

// record is what is kept of a series from its first spike until it has been quiet for
// long enough, told or not. It is JSON in Redis.
type record struct {
	Alert        news.Alert    `json:"alert"` // the numbers of its most surprising spike
	LastAt       time.Time     `json:"last_at"`
	LastStart    time.Time     `json:"last_start"`       // the latest StartedAt among its spikes
	LastWindow   news.Duration `json:"last_window"`      // of its last spike
	Until        time.Time     `json:"until"`            // the latest Until among its spikes
	Behind       news.Duration `json:"behind,omitempty"` // of its first spike
	Texts        []string      `json:"texts,omitempty"`  // behind its last spike, the latest first
	Told         bool          `json:"told"`
	Revision     int           `json:"revision"` // messages so far; 0 while nobody was told
	ToldSeverity news.Severity `json:"told_severity,omitempty"`
	ToldSurprise float64       `json:"told_surprise,omitempty"`
	Why          Reason        `json:"why"` // the last decision's reason
	Destinations []Destination `json:"destinations,omitempty"`
}

// closed is what is remembered of a resolved alert, so that a replay is recognised.
type closed struct {
	LastAt    time.Time `json:"last_at"`
	LastStart time.Time `json:"last_start"`
	At        time.Time `json:"at"` // when it was resolved
}

// replayed reports whether the spike belongs to the resolved alert. A later burst is told
// from a replay by its window, which begins after the last that belonged to the alert: the trend stage
// takes what was told for no evidence once the spike is over, and the alert lasts until then.
func (c closed) replayed(s news.Spike) bool {
	return !s.At.After(c.LastAt) || !s.StartedAt.After(c.LastStart)
}

// decide says what to do about a series of which r is known (with the spike merged in),
// given the silence that matches it, if any, and what holds it back, if anything ("").
func decide(r record, muted bool, held Reason, escalate float64) Decision {
	switch {
	case muted:
		return Decision{Silenced, MutedByPeople}
	case r.Told && severer(r.Alert.Severity, r.ToldSeverity):
		return Decision{Escalate, SeverityRose}
	case r.Told && r.Alert.Surprise >= r.ToldSurprise+escalate:
		return Decision{Escalate, SurpriseRose}
	case r.Told:
		return Decision{Hold, Continues}
	case held != "":
		return Decision{Hold, held}
	}
	return Decision{Fire, whyNow(r.Why)}
}

// whyNow is the reason to fire, given the reason not to have done so before.
func whyNow(before Reason) Reason {
	switch before {
	case MutedByPeople:
		return SilenceEnded
	case CompanySpoke, NarrowerExplains, SameBurst:
		return CauseEnded
	}
	return FirstExceedance
}

// quietAt is when the record's alert is over, if no spike follows.
func (r record) quietAt(quiet time.Duration) time.Time {
	until := r.Until
	if until.IsZero() { // as it was kept before there was one
		until = r.LastAt.Add(time.Duration(r.Alert.Window))
	}
	return later(r.LastAt.Add(quiet), until)
}

// settledAt is when the record may speak: FiredAt is that of its first spike until it has. The
// parts of a burst that lay in Kafka for a minute are read many seconds apart, as replicas and
// partitions are not equally far behind. Where nothing settles (0), that does not count either.
func (r record) settledAt(settle time.Duration) time.Time {
	if settle == 0 {
		return r.Alert.FiredAt
	}
	return r.Alert.FiredAt.Add(settle + min(time.Duration(r.Behind)/2, longestBehind))
}

// longestBehind bounds what a spike that was read late waits beyond Config.Settle: by then the partitions of a
// replica that died have gone to another (10 s unnoticed, 33 s at most for the rebalance) and are being read.
const longestBehind = time.Minute

// severityOf grades a surprise.
func severityOf(surprise, critical float64) news.Severity {
	if surprise >= critical {
		return news.Critical
	}
	return news.Warning
}

// severer reports whether a is above b. No severity ("") is below all.
func severer(a, b news.Severity) bool { return rank(a) > rank(b) }

func rank(s news.Severity) int {
	switch s {
	case news.Critical:
		return 2
	case news.Warning:
		return 1
	}
	return 0
}

// opened is the record of a series' first spike.
func opened(s news.Spike, critical float64) record {
	r := record{LastAt: s.At, LastStart: s.StartedAt, LastWindow: news.Duration(s.Window.Length), Until: s.Until, Behind: news.Duration(s.Behind)}
	r.Alert, r.Texts = alertOf(s, critical), s.Texts
	r.Alert.ID = idOf(s.Series, s.Kind, s.StartedAt)
	r.Alert.FiredAt = s.At
	return r
}

// extended is r with a further spike of its series: the time moves on, the numbers are
// those of the more surprising of the two. Merging is idempotent and the order of spikes
// does not matter, so replicas and replays agree.
func extended(r record, s news.Spike, critical float64) record {
	switch window := news.Duration(s.Window.Length); {
	case s.At.After(r.LastAt):
		r.LastAt, r.LastWindow, r.Texts = s.At, window, s.Texts
	case s.At.Equal(r.LastAt):
		r.LastWindow = max(r.LastWindow, window)
		if slices.Compare(s.Texts, r.Texts) > 0 { // either, but the same in any order
			r.Texts = s.Texts
		}
	}
	r.LastStart, r.Until = later(r.LastStart, s.StartedAt), later(r.Until, s.Until)
	if s.Surprise > r.Alert.Surprise {
		a := alertOf(s, critical)
		a.ID, a.StartedAt, a.FiredAt, a.UpdatedAt, a.Notes = r.Alert.ID, r.Alert.StartedAt, r.Alert.FiredAt, r.Alert.UpdatedAt, r.Alert.Notes
		r.Alert = a
	}
	return r
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// alertOf puts a spike's numbers into a firing alert.
func alertOf(s news.Spike, critical float64) news.Alert {
	return news.Alert{
		Kind: s.Kind.OrNegative(), Status: news.Firing, Series: s.Series, Severity: severityOf(s.Surprise, critical),
		StartedAt: s.StartedAt, Window: news.Duration(s.Window.Length),
		Items: s.Window.Items, Negative: s.Window.Negative, Positive: s.Window.Positive, Copies: s.Window.Copies,
		Expected: s.Expected, VolumeFactor: s.VolumeFactor, Share: s.Share(), ShareBefore: s.ShareBefore,
		Surprise: s.Surprise, Sources: s.Sources, Evidence: s.Evidence, Model: s.Model, Reason: s.Reason(),
	}
}

// idOf is the alert's identity: 16 hex digits over its series, its kind and when it started.
func idOf(s news.Series, kind news.SpikeKind, started time.Time) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%d", keyOf(s, kind), started.UnixNano()))
	return hex.EncodeToString(sum[:8])
}

// keyOf is what a record is kept under: its series, with the kind where it is not negative.
func keyOf(s news.Series, kind news.SpikeKind) string {
	if kind = kind.OrNegative(); kind != news.SpikeNegative {
		return s.Key() + "\x1f" + string(kind)
	}
	return s.Key()
}
