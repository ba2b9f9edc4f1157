package console

import (
	"context"
	"errors"
	"time"

	"github.com/barograph/barograph/news"
)

// Sources are where the console has what it shows. Each is called with the request's
// context, by many goroutines at once.
type Sources struct {
	// Index has the readings and alerts of late. Required.
	Index *Index

	// Outlook says what the rule sees in series now, in the order of the question. Course
	// lists a series' counts for a kind of spike in steps of event time [from, to); "" is the
	// kind that Outlook is of.
	Outlook func(ctx context.Context, of []news.Series) ([]Outlook, error)
	Course  func(ctx context.Context, of news.Series, kind news.SpikeKind, from, to time.Time, step time.Duration) ([]Step, error)

	// Windows are the lengths of the windows that the rule judges, a day at most.
	Windows []time.Duration

	// Firing lists the alerts that are on now.
	Firing func(context.Context) ([]news.Alert, error)

	// Annotate notes what a person did about an alert that is on, and Mute silences its series
	// for so long from a time, or until it is resolved where long is 0. Both have ErrNotFound
	// where no such alert is on.
	Annotate func(ctx context.Context, id string, n news.Note) error
	Mute     func(ctx context.Context, id, by string, at time.Time, long time.Duration) error

	Silences    Silences
	Corrections Corrections

	// Models lists the bundles that this process is configured with.
	Models func(context.Context) ([]Model, error)

	// Lag is how many messages wait in the partitions that this process reads; false where
	// it reads none. nil = never known.
	Lag func() (int64, bool)

	// Keeps is how long counts are kept.
	Keeps time.Duration

	Clock func() time.Time // nil = time.Now
}

// Silences mutes series.
type Silences interface {
	// Add gives the silence its ID. Its error is ErrInvalid where the silence is at fault.
	Add(context.Context, Silence) (Silence, error)
	List(context.Context) ([]Silence, error)
	// Remove has ErrNotFound where there is none of that ID.
	Remove(ctx context.Context, id string) error
}

// Corrections takes what people say of readings.
type Corrections interface {
	// Add has ErrInvalid where the label is at fault.
	Add(context.Context, news.Label) error
	// List gives the newest first, at most limit.
	List(ctx context.Context, limit int) ([]news.Label, error)
}

// Errors of Silences and Corrections. What wraps ErrInvalid is shown to the caller.
var (
	ErrInvalid  = errors.New("invalid")
	ErrNotFound = errors.New("not found")
)

// Outlook is what the rule sees in a series now.
type Outlook struct {
	Series      news.Series    `json:"series"`
	Kind        news.SpikeKind `json:"kind"`     // of spike: what is looked for first, negative unless that is left out
	Window      news.Duration  `json:"window"`   // the most surprising one; "0s" where nothing is worth a look
	Items       int            `json:"items"`    // in it, as the next four
	Negative    int            `json:"negative"` // as in news.Window
	Positive    int            `json:"positive"`
	Copies      int            `json:"copies"`
	Expected    float64        `json:"expected"`
	Surprise    float64        `json:"surprise"`
	ShareBefore float64        `json:"share_before"`
	TooFew      bool           `json:"too_few"` // the rule abstains: it cannot tell
	Recent      []Count        `json:"-"`       // of the last 24 h
}

// Count is what was counted in a stretch of event time.
type Count struct {
	Start    time.Time
	Items    int
	Negative int // as in news.Window
	Positive int
}

// Step is a stretch of a series' course beside what is expected of it.
type Step struct {
	Start    time.Time `json:"start"`
	Items    int       `json:"items"`
	Negative int       `json:"negative"` // as in news.Window
	Positive int       `json:"positive"`
	Copies   int       `json:"copies"`
	Usual    float64   `json:"usual"`    // items at that hour of the week
	Expected float64   `json:"expected"` // of the kind, at the step's volume
	Low      float64   `json:"low"`      // chance alone leaves the negatives between low and high nine times of ten
	High     float64   `json:"high"`
}

// Silence mutes series until a time. "" matches all, and the entity "*" everything.
type Silence struct {
	ID        string    `json:"id"`
	Entity    string    `json:"entity"`
	Topic     string    `json:"topic"`
	Until     time.Time `json:"until"`
	Exact     bool      `json:"exact"` // mutes the one series of these names, not those within it
	Alert     string    `json:"alert"` // ends with it; "" = none
	Author    string    `json:"author"`
	Comment   string    `json:"comment"`
	CreatedAt time.Time `json:"created_at"`
}

// Model is a bundle and how well it does.
type Model struct {
	news.Model
	Languages []string `json:"languages"`
	Heads     []Head   `json:"heads"`
	Live      bool     `json:"live"` // this process classifies with it
	Card      string   `json:"card"` // its README.md; "" = none

	// What the index has of it.
	Readings int        `json:"readings"`
	LastSeen *time.Time `json:"last_seen"`
}

// Head is what a bundle tells apart, and its figures as its card has them.
type Head struct {
	Task     string   `json:"task"`
	Labels   []string `json:"labels"`
	Accuracy string   `json:"accuracy"` // "" = the card does not say
	MacroF1  string   `json:"macro_f1"`
	ECE      string   `json:"ece"`
}
