package console

import (
	"fmt"
	"net/http"
	"time"

	"github.com/barograph/barograph/news"
)

// acknowledge says that somebody looks after an alert.
func (s *Server) acknowledge(r *http.Request) (any, error) {
	var body struct{}
	if err := readBody(nil, r, &body); err != nil {
		return nil, err
	}
	note := news.Note{At: s.now(), By: authorOf(r), Did: news.Acknowledged}
	return done{}, s.sources.Annotate(r.Context(), r.PathValue("id"), note)
}

// untilResolved is the length of a mute that ends with its alert.
const untilResolved = "resolved"

// muteAlert mutes an alert's series for a while, or until the alert is over.
func (s *Server) muteAlert(r *http.Request) (any, error) {
	var body struct {
		For string `json:"for"`
	}
	if err := readBody(nil, r, &body); err != nil {
		return nil, err
	}
	var length time.Duration
	if body.For != untilResolved {
		var err error
		if length, err = time.ParseDuration(body.For); err != nil || length < time.Minute || length > longMute {
			return nil, fmt.Errorf("%w: \"for\" is how long, from 1m to %.0fh, or %q", ErrInvalid, longMute.Hours(), untilResolved)
		}
	}
	if err := s.sources.Mute(r.Context(), r.PathValue("id"), authorOf(r), s.now(), length); err != nil {
		return nil, err
	}
	s.sources.Index.hub.touch("silences")
	return done{}, nil
}

// noteCorrection tells those who were told of an alert that one of its texts was misread. The
// label is taken already, so that a failure here is only logged.
func (s *Server) noteCorrection(r *http.Request, alert string, l news.Label) {
	if alert == "" {
		return
	}
	note := news.Note{At: s.now(), By: l.Author, Did: news.Corrected, Item: l.ID, Task: l.Task, Label: l.Label}
	if err := s.sources.Annotate(r.Context(), alert, note); err != nil {
		s.log.Warn("console: a correction was not noted on its alert", "alert", alert, "item", l.ID, "error", err)
	}
}
