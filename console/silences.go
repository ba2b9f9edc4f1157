package console

import (
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/barograph/barograph/news"
)

const (
	maxComment = 500
	longMute   = 366 * 24 * time.Hour
)

func (s *Server) listSilences(r *http.Request) (any, error) {
	p := params{values: r.URL.Query()}
	if err := p.end(); err != nil {
		return nil, err
	}
	list, err := s.sources.Silences.List(r.Context())
	if err != nil {
		return nil, err
	}
	return struct {
		Now      time.Time `json:"now"`
		Silences []Silence `json:"silences"`
	}{s.now(), emptyNotNull(list)}, nil
}

// addSilence mutes a series for a while from now.
func (s *Server) addSilence(r *http.Request) (any, error) {
	var body struct {
		Entity  string        `json:"entity"`
		Topic   string        `json:"topic"`
		For     news.Duration `json:"for"`
		Comment string        `json:"comment"`
	}
	if err := readBody(nil, r, &body); err != nil {
		return nil, err
	}
	for name, value := range map[string]string{"entity": body.Entity, "topic": body.Topic} {
		if value != "" && !plainName(value) {
			return nil, fmt.Errorf("%w: the %s has control characters or is too long", ErrInvalid, name)
		}
	}
	length := time.Duration(body.For)
	switch {
	case body.Entity == "" && body.Topic == "":
		return nil, fmt.Errorf("%w: name an entity or a topic; the entity * is everything", ErrInvalid)
	case length < time.Minute || length > longMute:
		return nil, fmt.Errorf("%w: \"for\" is how long, from 1m to %.0fh", ErrInvalid, longMute.Hours())
	case utf8.RuneCountInString(body.Comment) > maxComment:
		return nil, fmt.Errorf("%w: the comment is longer than %d characters", ErrInvalid, maxComment)
	}
	added, err := s.sources.Silences.Add(r.Context(), Silence{Entity: body.Entity, Topic: body.Topic, Until: s.now().Add(length),
		Author: authorOf(r), Comment: body.Comment})
	if err != nil {
		return nil, err
	}
	s.sources.Index.hub.touch("silences")
	return created{added}, nil
}

func (s *Server) removeSilence(r *http.Request) (any, error) {
	if err := s.sources.Silences.Remove(r.Context(), r.PathValue("id")); err != nil {
		return nil, err
	}
	s.sources.Index.hub.touch("silences")
	return done{}, nil
}

// authorOf is how what a person writes here is signed.
func authorOf(r *http.Request) string { return "console:" + userOf(r) }
