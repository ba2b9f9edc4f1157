package news

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// Status is where an alert stands in its life.
type Status string

// The two states of an alert. One spike of one series fires once and resolves once.
const (
	Firing   Status = "firing"
	Resolved Status = "resolved"
)

// Severity grades an alert by its surprise.
type Severity string

// Severities, in rising order.
const (
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// Alert is what people and other programs are told: the message on the alerts topic
// and the body of a webhook.
type Alert struct {
	ID           string     `json:"id"` // stable over the alert's life, from series, kind and start
	Kind         SpikeKind  `json:"kind"`
	Status       Status     `json:"status"`
	Series       Series     `json:"series"`
	Severity     Severity   `json:"severity"`
	StartedAt    time.Time  `json:"started_at"` // first negative bucket of the window that fired
	FiredAt      time.Time  `json:"fired_at"`
	UpdatedAt    time.Time  `json:"updated_at,omitzero"` // when this message was decided on; FiredAt in the first
	ResolvedAt   *time.Time `json:"resolved_at,omitempty"`
	Window       Duration   `json:"window"`
	Items        int        `json:"items"`
	Negative     int        `json:"negative"`
	Positive     int        `json:"positive,omitempty"` // of a positive spike
	Expected     float64    `json:"expected"`
	VolumeFactor float64    `json:"volume_factor"`
	Share        float64    `json:"share"`
	ShareBefore  float64    `json:"share_before"`
	Surprise     float64    `json:"surprise"`
	Sources      int        `json:"sources"`
	Copies       int        `json:"copies"`
	Evidence     []Evidence `json:"evidence"`
	Model        Model      `json:"model"`
	Reason       string     `json:"reason"` // the numbers in one sentence
	Notes        []Note     `json:"notes,omitempty"`
}

// Note is what a person did about an alert; an alert carries them in their order.
type Note struct {
	At  time.Time `json:"at"`
	By  string    `json:"by"` // as in Label.Author
	Did Deed      `json:"did"`

	Until time.Time `json:"until,omitzero"` // of Muted; zero: until the alert is resolved

	Item  string `json:"item,omitempty"`  // of Corrected: which text,
	Task  string `json:"task,omitempty"`  // as in Label,
	Label string `json:"label,omitempty"` // and the right one
}

// Deed is what can be done about an alert.
type Deed string

// The deeds.
const (
	Acknowledged Deed = "acknowledged" // somebody looks after it
	Muted        Deed = "muted"        // its series is silenced for a while
	Corrected    Deed = "corrected"    // one of its texts was misread
)

// Count is Spike.Count of the alert's spike.
func (a Alert) Count() int {
	switch a.Kind {
	case SpikePositive:
		return a.Positive
	case SpikeVolume:
		return a.Items
	}
	return a.Negative
}

// Reason puts a spike's numbers into one sentence: "8 negative of 9 items in 30 min,
// 0.3 expected; by chance once in 2,400 days", or "40 items in 30 min, 9 expected; …".
func (s Spike) Reason() string {
	text := fmt.Sprintf("%d %s of %d items", s.Count(), s.Kind.OrNegative(), s.Window.Items)
	if s.Kind == SpikeVolume {
		text = fmt.Sprintf("%d items", s.Window.Items)
	}
	text += fmt.Sprintf(" in %s, %s expected", Duration(s.Window.Length).Words(), Amount(s.Expected))
	if s.VolumeFactor >= 1.5 {
		text += fmt.Sprintf(" at %.1f times the usual volume", s.VolumeFactor)
	}
	// Surprise is -log10 of the chance in half a day: so many half-days pass between two.
	days := math.Pow(10, s.Surprise) / 2
	switch {
	case days >= 1e6:
		return text + "; by chance less than once in a million days"
	case days >= 2:
		return text + "; by chance once in " + thousands(int64(days)) + " days"
	}
	return text + "; by chance about once a day"
}

// ToldBy is who the spike's texts come from, in words: "4 sources, 2 further copies".
func (a Alert) ToldBy() string {
	copies := "no copies"
	switch {
	case a.Copies == 1:
		copies = "1 further copy"
	case a.Copies > 1:
		copies = fmt.Sprintf("%d further copies", a.Copies)
	}
	return Counted(a.Sources, "source") + ", " + copies
}

// Counted is "1 source" or "3 sources".
func Counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// Amount is a count that may be a fraction: "31", "4.2", "0.03".
func Amount(x float64) string {
	switch {
	case x >= 10:
		return fmt.Sprintf("%.0f", x)
	case x >= .1:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2g", x)
}

func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Duration is a time.Duration that reads "15m", "2h" or "90s" in JSON.
type Duration time.Duration

// String drops zero units: "30m", not "30m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Words is the duration for people: "30 min", "2 h".
func (d Duration) Words() string {
	switch t := time.Duration(d); {
	case t >= time.Hour && t%time.Hour == 0:
		return fmt.Sprintf("%d h", t/time.Hour)
	case t >= time.Minute && t%time.Minute == 0:
		return fmt.Sprintf("%d min", t/time.Minute)
	default:
		return d.String()
	}
}

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It takes what time.ParseDuration takes.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = Duration(parsed)
	return nil
}
