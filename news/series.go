package news

import (
	"time"
)

// Series is what counts are kept for: a company, a topic, a company's topic, or (both
// empty) everything.
type Series struct {
	Entity string `json:"entity"`
	Topic  string `json:"topic"`
}

// SeriesOf lists the series a reading counts in: all, its topic, each of its entities
// and each entity's topic. The order is fixed by the reading.
func SeriesOf(r Reading) []Series {
	out := make([]Series, 0, 2+2*len(r.Entities))
	out = append(out, Series{})
	if r.Topic.Label != "" {
		out = append(out, Series{Topic: r.Topic.Label})
	}
	for _, e := range r.Entities {
		out = append(out, Series{Entity: e})
		if r.Topic.Label != "" {
			out = append(out, Series{Entity: e, Topic: r.Topic.Label})
		}
	}
	return out
}

// keySeparator cannot occur in an entity or a topic: ingest and bundles refuse
// control characters there.
const keySeparator = "\x1f"

// Key is the series' identity as one string, for maps and stores.
func (s Series) Key() string { return s.Entity + keySeparator + s.Topic }

// String names the series for people: "AAPL", "Earnings", "AAPL · Earnings" or "everything".
func (s Series) String() string {
	switch {
	case s == Series{}:
		return "everything"
	case s.Topic == "":
		return s.Entity
	case s.Entity == "":
		return s.Topic
	}
	return s.Entity + " · " + s.Topic
}

// Window is what was counted in a series over a stretch of event time that ends at a
// decision. Copies of a text already counted in the series are in Copies and Sources
// only, never in Items or Negative.
type Window struct {
	Length   time.Duration
	Items    int
	Negative int // of a negative spike; in other spikes 0
	Positive int // of a positive spike; in other spikes 0
	Copies   int // further items with a text already counted, or nearly so
}

// SpikeKind is what there is more of than a series' past explains. "" is negative.
type SpikeKind string

// The kinds of spike. Positive and volume spikes are only looked for where a rule says so.
const (
	SpikeNegative SpikeKind = "negative" // negative items
	SpikePositive SpikeKind = "positive" // positive items
	SpikeVolume   SpikeKind = "volume"   // items of any sort
)

// OrNegative is the kind, spelt out.
func (k SpikeKind) OrNegative() SpikeKind {
	if k == "" {
		return SpikeNegative
	}
	return k
}

// Spike is a series in which readings of a kind came in numbers that its own past does
// not explain, with the numbers of that decision. In a positive or a volume spike, "negative"
// below reads "positive", or any item.
type Spike struct {
	Series       Series
	Kind         SpikeKind
	At           time.Time // when it was judged: the clock of arrival
	Until        time.Time // when it is over, if it does not go on: by the same clock
	StartedAt    time.Time // event time of the window's first negative bucket
	Window       Window    // its length is what is left of it since an earlier spike was told
	Expected     float64   // negatives the series' past, at today's volume, gives for the window
	VolumeFactor float64   // how many times the usual volume, as the non-negative items show it; at least .85
	ShareBefore  float64   // usual share of negatives, 0..1
	P            float64   // chance of as many negatives or more in this window
	Surprise     float64   // about -log10 of the chance, in half a day, of a window that looks so much like a spike
	Sources      int       // distinct sources among the recent negative readings
	Evidence     []Evidence
	Model        Model    // of the strongest evidence
	Texts        []string // ids of the latest texts behind it, the latest first: twelve at most

	// Behind is how long what was judged had lain in Kafka: what came with it may be as late
	// again. 0 where that is not known.
	Behind time.Duration
}

// Count is how many items make the spike: the window's negatives, positives or items.
func (s Spike) Count() int {
	switch s.Kind {
	case SpikePositive:
		return s.Window.Positive
	case SpikeVolume:
		return s.Window.Items
	}
	return s.Window.Negative
}

// Share is the window's share of the items that make the spike, 0..1; 0 for an empty window
// and 1 for a volume spike.
func (s Spike) Share() float64 {
	if s.Window.Items == 0 {
		return 0
	}
	return float64(s.Count()) / float64(s.Window.Items)
}

// Evidence is one text behind a spike.
type Evidence struct {
	ID       string  `json:"id"`
	Title    string  `json:"title"`
	URL      string  `json:"url"`
	Source   string  `json:"source,omitempty"`
	Lang     string  `json:"lang,omitempty"`
	Negative float64 `json:"negative"` // probability
	Positive float64 `json:"positive,omitempty"`
}
