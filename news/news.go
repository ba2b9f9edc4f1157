// Package news holds the words that every stage of the stream speaks: what comes
// in (Item), what the model said of it (Reading), what is counted (Series, Window),
// what stands out (Spike) and what people are told (Alert).
//
// It imports nothing but the standard library, and no stage imports another: stages
// meet in this package and in cmd/barograph.
package news

import (
	"fmt"
	"strings"
	"time"
)

// Kind says what sort of text an item is.
type Kind string

// The kinds of text on the stream.
const (
	KindNews    Kind = "news"    // an article, headline or release
	KindComment Kind = "comment" // a post, tweet or forum comment
)

// Item is one text on the stream, as Barograph understood it after field mapping.
// Only PublishedAt and one of Title and Text are always set; ID is never empty once
// ingest has seen the item.
type Item struct {
	ID          string    `json:"id"`
	Kind        Kind      `json:"kind"`
	Source      string    `json:"source"`
	PublishedAt time.Time `json:"published_at"`
	Title       string    `json:"title"`
	Text        string    `json:"text"`
	Lang        string    `json:"lang"`     // ISO 639-1; "" until routed
	Entities    []string  `json:"entities"` // companies, by ticker or watch-list id; sorted, unique
	URL         string    `json:"url"`
}

// Content is what a classifier reads of the item: the title, and the text where it
// does not begin with the title already.
func (it Item) Content() string {
	switch {
	case it.Title == "":
		return it.Text
	case it.Text == "", it.Text == it.Title:
		return it.Title
	case len(it.Text) >= len(it.Title) && it.Text[:len(it.Title)] == it.Title:
		return it.Text
	}
	return it.Title + "\n" + it.Text
}

// Headline is the one line people are shown for the item: its title, or else the
// first runes of its text. At most max runes.
func (it Item) Headline(max int) string {
	if it.Title != "" {
		return firstLine(it.Title, max)
	}
	return firstLine(it.Text, max)
}

func firstLine(s string, max int) string {
	if end := strings.IndexAny(s, "\r\n"); end >= 0 {
		s = s[:end]
	}
	n, cut := 0, 0
	for i := range s {
		if n == max-1 {
			cut = i
		}
		if n++; n > max {
			return s[:cut] + "…"
		}
	}
	return s
}

// Sentiment is a probability for each class; the three sum to 1.
type Sentiment struct {
	Negative float64 `json:"negative"`
	Neutral  float64 `json:"neutral"`
	Positive float64 `json:"positive"`
}

// Label is the most probable class: "negative", "neutral" or "positive".
func (s Sentiment) Label() string {
	switch {
	case s.Negative > s.Neutral && s.Negative > s.Positive:
		return "negative"
	case s.Positive > s.Neutral:
		return "positive"
	}
	return "neutral"
}

// Check names a probability that is none: below 0, above 1, or all together above 1 by more than
// rounding leaves.
func (s Sentiment) Check() error {
	const rounding = 0.01
	for _, of := range []struct {
		class string
		p     float64
	}{{"negative", s.Negative}, {"neutral", s.Neutral}, {"positive", s.Positive}} {
		if !(of.p >= 0 && of.p <= 1+rounding) {
			return fmt.Errorf("sentiment.%s is %g: a probability is between 0 and 1", of.class, of.p)
		}
	}
	if sum := s.Negative + s.Neutral + s.Positive; sum > 1+rounding {
		return fmt.Errorf("sentiment sums to %g: probabilities of classes sum to 1", sum)
	}
	return nil
}

// Topic is the most probable subject of a text and how probable it is.
type Topic struct {
	Label       string  `json:"label"`
	Probability float64 `json:"probability"`
}

// Model names the bundle that made a reading. Digest is the hex SHA-256 over the
// bundle's files, so that two readings with one digest come from the same weights.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
}

// Reading is what the model said of one item. It is the message on the readings
// topic and what the trend stage counts.
type Reading struct {
	ID           string    `json:"id"` // the item's
	Kind         Kind      `json:"kind"`
	Source       string    `json:"source"`
	PublishedAt  time.Time `json:"published_at,omitzero"` // always set on the stream
	ClassifiedAt time.Time `json:"classified_at"`
	Lang         string    `json:"lang"`
	Entities     []string  `json:"entities"`
	Sentiment    Sentiment `json:"sentiment"` // calibrated probabilities
	Topic        Topic     `json:"topic"`     // Label is "" where the bundle has no topic head
	DuplicateOf  string    `json:"duplicate_of"`
	Model        Model     `json:"model"`

	// Title, URL and Text travel with the reading so that later stages can show evidence
	// and take corrections without asking for the item again. TextDigest is 16 hex digits
	// of the normalised text: equal texts (syndicated copies) have equal digests.
	Title      string `json:"title"`
	URL        string `json:"url"`
	Text       string `json:"text"` // Item.Content, at most MaxReadingText bytes of it
	TextDigest string `json:"text_digest"`

	// TextSketch is 16 hex digits by which near copies are known: the first 4 are a hash of the
	// text's facts (numbers, cashtags, up or down), which near copies share; the other 48 bits
	// are of its words, and near copies differ in few. "" where the text is too short for
	// a sketch to mean anything.
	TextSketch string `json:"text_sketch,omitempty"`
}

// MaxReadingText is how many bytes of a text travel with its reading at most.
const MaxReadingText = 4000

// Negative reports whether the reading counts as negative in a window: its
// calibrated probability of negative is at least a half.
func (r Reading) Negative() bool { return r.Sentiment.Negative >= 0.5 }

// Positive reports whether the reading counts as positive in a window: its calibrated
// probability of positive is at least a half.
func (r Reading) Positive() bool { return r.Sentiment.Positive >= 0.5 }
