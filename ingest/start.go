package ingest

import (
	"errors"
	"fmt"
	"time"
)

// Start says where a group begins in a partition of which it has no committed offset. The
// zero value is the earliest message that is kept.
type Start struct {
	latest bool
	at     time.Time
}

// Earliest starts at the first message that is kept.
func Earliest() Start { return Start{} }

// Latest starts behind the last message. A partition that is added to a topic while the
// group reads it is read from its first message all the same.
func Latest() Start { return Start{latest: true} }

// StartAt starts at the first message appended at the time or later.
func StartAt(t time.Time) Start { return Start{at: t} }

// ErrStart is returned for a start that cannot be read.
var ErrStart = errors.New("not a start: earliest, latest or a time in RFC 3339")

// UnmarshalText reads "earliest", "latest" or a time in RFC 3339.
func (s *Start) UnmarshalText(text []byte) error {
	switch string(text) {
	case "", "earliest":
		*s = Earliest()
	case "latest":
		*s = Latest()
	default:
		at, err := time.Parse(time.RFC3339, string(text))
		if err != nil {
			return fmt.Errorf("%q: %w", text, ErrStart)
		}
		*s = StartAt(at)
	}
	return nil
}

// String is what UnmarshalText reads.
func (s Start) String() string {
	switch {
	case s.latest:
		return "latest"
	case !s.at.IsZero():
		return s.at.Format(time.RFC3339)
	}
	return "earliest"
}

// MarshalText is String.
func (s Start) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
