package console

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/barograph/barograph/news"
)

// params reads a query string. The first fault is kept and what follows reads as absent.
type params struct {
	values url.Values
	known  []string
	err    error
}

func (p *params) fault(format string, a ...any) {
	if p.err == nil {
		p.err = badRequest(fmt.Sprintf(format, a...))
	}
}

// maxParam is the longest parameter, in bytes.
const maxParam = 500

func (p *params) text(name string) string {
	p.known = append(p.known, name)
	values := p.values[name]
	switch {
	case len(values) == 0:
		return ""
	case len(values) > 1:
		p.fault("the parameter %s is given %d times", name, len(values))
	case len(values[0]) > maxParam || !utf8.ValidString(values[0]):
		p.fault("the parameter %s is at most %d bytes of UTF-8", name, maxParam)
	default:
		return values[0]
	}
	return ""
}

func (p *params) oneOf(name string, allowed ...string) string {
	text := p.text(name)
	if _, given := p.values[name]; given && !slices.Contains(allowed, text) {
		p.fault("%s is one of %s", name, strings.Join(allowed, ", "))
		return ""
	}
	return text
}

func (p *params) number(name string, otherwise, low, high int) int {
	text := p.text(name)
	if _, given := p.values[name]; !given {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high || strconv.Itoa(n) != text {
		p.fault("%s is a whole number from %d to %d", name, low, high)
		return otherwise
	}
	return n
}

func (p *params) time(name string) time.Time {
	text := p.text(name)
	if _, given := p.values[name]; !given {
		return time.Time{}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		p.fault("%s is a time such as 2026-11-24T08:17:03Z", name)
	}
	return at
}

// end is the first fault, or else a parameter that nobody asked for.
func (p *params) end() error {
	for name := range p.values {
		if !slices.Contains(p.known, name) {
			p.fault("there is no parameter %q here; there are: %s", name, strings.Join(p.known, ", "))
		}
	}
	return p.err
}

// anyName stands in paths for an entity or topic that is not named.
const anyName = "-"

// seriesOf reads the series that a path names.
func seriesOf(entity, topic string) (news.Series, error) {
	for _, part := range []string{entity, topic} {
		if !plainName(part) {
			return news.Series{}, notFound("no company or topic has such a name")
		}
	}
	s := news.Series{Entity: entity, Topic: topic}
	if entity == anyName {
		s.Entity = ""
	}
	if topic == anyName {
		s.Topic = ""
	}
	return s, nil
}

// maxName is the longest name of a company or topic in a path, in characters.
const maxName = 100

// plainName is what ingest and bundles let through as a company or topic.
func plainName(name string) bool {
	return name != "" && len(name) <= maxParam && utf8.RuneCountInString(name) <= maxName && utf8.ValidString(name) &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
}
