package ingest

import (
	"bytes"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/barograph/barograph/news"
)

// field of an item on the wire.
type field int

const (
	fieldID field = iota
	fieldKind
	fieldSource
	fieldPublishedAt
	fieldTitle
	fieldText
	fieldLang
	fieldEntities
	fieldURL
	fieldCount
)

// fieldNames are the keys of the wire format, and with them those of a mapping.
var fieldNames = [fieldCount]string{"id", "kind", "source", "published_at", "title", "text", "lang", "entities", "url"}

// String is the field's name in the wire format.
func (f field) String() string { return fieldNames[f] }

// reader reads the fields of one document at a time and keeps the first error. Its memory is
// used again for the next: of an item, only the strings are allocated.
type reader struct {
	scanner
	scratch []byte // holds what is unescaped, or hashed
	err     error
}

func (r *reader) fail(rejection *Rejection) {
	if r.err == nil {
		r.err = rejection
	}
}

// value is the field's value as it is written; nil where the document, or the mapping, has
// none, and for null.
func (r *reader) value(f field) []byte {
	v := r.text[r.found[f].begin:r.found[f].end]
	if len(v) > 0 && v[0] == 'n' {
		return nil
	}
	return v
}

// content is what a JSON string says, without white space around it. It is good until the next
// string is read.
func (r *reader) content(str []byte) []byte {
	inner := str[1 : len(str)-1]
	if hasEscape(inner) {
		r.scratch = unescape(r.scratch[:0], inner)
		inner = r.scratch
	}
	return bytes.TrimSpace(inner)
}

// str is a field that holds a string; ids, and only they, come as numbers too.
func (r *reader) str(f field) []byte {
	v := r.value(f)
	switch {
	case len(v) == 0:
		return nil
	case v[0] == '"':
		return r.content(v)
	case isNumber(v) && f == fieldID:
		return v
	}
	r.fail(reject(WrongType, f.String(), "%s where a string is needed", typeName(v)))
	return nil
}

// name is a field that becomes a key or a label: one line, at most max bytes.
func (r *reader) name(f field, max int) string {
	s := r.str(f)
	r.checkName(f, s, max)
	return string(s)
}

// kind is one of those that are known, without memory of its own, or a name.
func (r *reader) kind(otherwise news.Kind) news.Kind {
	s := r.str(fieldKind)
	for _, known := range []news.Kind{news.KindNews, news.KindComment} {
		if string(s) == string(known) {
			return known
		}
	}
	if len(s) == 0 {
		return otherwise
	}
	r.checkName(fieldKind, s, 16)
	return news.Kind(s)
}

func (r *reader) checkName(f field, s []byte, max int) {
	if len(s) > max {
		r.fail(reject(BadValue, f.String(), "%d bytes; at most %d", len(s), max))
	}
	if bytes.IndexFunc(s, unicode.IsControl) >= 0 {
		r.fail(reject(BadValue, f.String(), "control characters in %.64q", s))
	}
}

// prose is a field that people and models read.
func (r *reader) prose(f field) string {
	return printable(string(r.str(f)))
}

// printable has spaces in place of control characters.
func printable(s string) string {
	if strings.IndexFunc(s, isUnprintable) < 0 {
		return s
	}
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if isUnprintable(c) {
			return ' '
		}
		return c
	}, s))
}

func isUnprintable(c rune) bool {
	return unicode.IsControl(c) && c != '\n' && c != '\t' && c != '\r'
}

// time is a field that holds a time as a string or a number; zero where there is none.
func (r *reader) time(f field) time.Time {
	v := r.value(f)
	switch {
	case len(v) == 0:
		return time.Time{}
	case v[0] == '"':
		if v = r.content(v); len(v) == 0 {
			return time.Time{}
		}
	case !isNumber(v):
		r.fail(reject(WrongType, f.String(), "%s where a time is needed", typeName(v)))
		return time.Time{}
	}
	t, err := parseTime(v)
	if err != nil {
		r.fail(&Rejection{Class: BadValue, Field: f.String(), Err: err})
	}
	return t
}

// Bounds of what one message may say it is about: each entity is a series in the store.
const (
	maxEntities    = 64
	maxEntityBytes = 64
)

// entities is the list of companies: an array of strings or one string with commas, as
// they are written, sorted and each once.
func (r *reader) entities() []string {
	const f = fieldEntities
	v := r.value(f)
	var names []string
	switch {
	case len(v) == 0:
		return nil
	case v[0] == '"':
		names = r.splitEntities(r.content(v))
	case v[0] == '[':
		names = r.listEntities(v)
	default:
		r.fail(reject(WrongType, f.String(), "%s where a list of strings is needed", typeName(v)))
	}
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) > maxEntities {
		r.fail(reject(BadValue, f.String(), "%d of them; at most %d", len(names), maxEntities))
	}
	return names
}

func (r *reader) splitEntities(list []byte) []string {
	var names []string
	for name := range bytes.SplitSeq(list, []byte(",")) {
		names = r.addEntity(names, bytes.TrimSpace(name), list)
	}
	return names
}

func (r *reader) listEntities(array []byte) []string {
	var names []string
	elements := scanner{text: array, at: 1}
	for {
		elements.space()
		begin := elements.at
		if elements.skip(']') {
			return names
		}
		elements.value(nil, 0)
		element := array[begin:elements.at]
		if element[0] != '"' {
			r.fail(reject(WrongType, fieldEntities.String(), "%s in the list where a string is needed", typeName(element)))
			return nil
		}
		names = r.addEntity(names, r.content(element), array)
		elements.space()
		elements.skip(',')
	}
}

// addEntity adds a name of a list; the first takes the memory for all that the list may hold.
func (r *reader) addEntity(names []string, name, list []byte) []string {
	if len(name) == 0 {
		return names
	}
	r.checkName(fieldEntities, name, maxEntityBytes)
	if names == nil {
		names = make([]string, 0, min(1+bytes.Count(list, []byte(",")), maxEntities))
	}
	return append(names, string(name))
}

func isNumber(value []byte) bool { return value[0] == '-' || isDigit(value[0]) }

// typeName is the JSON name of a value's type.
func typeName(value []byte) string {
	switch value[0] {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '[':
		return "an array"
	case '{':
		return "an object"
	}
	return "a number"
}
