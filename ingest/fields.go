package ingest

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
	"unicode"
)

// fieldReader reads the fields of one document and keeps the first error.
type fieldReader struct {
	fields   map[string]pointer
	document any
	err      error
}

func (r *fieldReader) fail(rejection *Rejection) {
	if r.err == nil {
		r.err = rejection
	}
}

// find is the field's value; nil where the document, or the mapping, has none.
func (r *fieldReader) find(field string) any {
	p, ok := r.fields[field]
	if !ok {
		return nil
	}
	return p.find(r.document)
}

// str is a field that holds a string; ids, and only they, come as numbers too.
func (r *fieldReader) str(field string) string {
	switch value := r.find(field).(type) {
	case nil:
	case string:
		return strings.TrimSpace(value)
	case json.Number:
		if field == "id" {
			return value.String()
		}
		r.fail(reject(WrongType, field, "a number where a string is needed"))
	default:
		r.fail(reject(WrongType, field, "%s where a string is needed", typeName(value)))
	}
	return ""
}

// name is a field that becomes a key or a label: one line, at most max bytes.
func (r *fieldReader) name(field string, max int) string {
	s := r.str(field)
	r.checkName(field, s, max)
	return s
}

func (r *fieldReader) checkName(field, s string, max int) {
	if len(s) > max {
		r.fail(reject(BadValue, field, "%d bytes; at most %d", len(s), max))
	}
	if strings.IndexFunc(s, unicode.IsControl) >= 0 {
		r.fail(reject(BadValue, field, "control characters in %.64q", s))
	}
}

// text is a field that people and models read.
func (r *fieldReader) text(field string) string {
	s := r.str(field)
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' && c != '\t' && c != '\r' {
			return ' '
		}
		return c
	}, s))
}

// time is a field that holds a time as a string or a number; zero where there is none.
func (r *fieldReader) time(field string) time.Time {
	var s string
	switch value := r.find(field).(type) {
	case nil:
		return time.Time{}
	case string:
		s = value
	case json.Number:
		s = value.String()
	default:
		r.fail(reject(WrongType, field, "%s where a time is needed", typeName(value)))
		return time.Time{}
	}
	if strings.TrimSpace(s) == "" {
		return time.Time{}
	}
	t, err := ParseTime(s)
	if err != nil {
		r.fail(&Rejection{Class: BadValue, Field: field, Err: err})
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
func (r *fieldReader) entities() []string {
	const field = "entities"
	var names []string
	switch value := r.find(field).(type) {
	case nil:
		return nil
	case string:
		names = strings.Split(value, ",")
	case []any:
		for _, element := range value {
			name, ok := element.(string)
			if !ok {
				r.fail(reject(WrongType, field, "%s in the list where a string is needed", typeName(element)))
				return nil
			}
			names = append(names, name)
		}
	default:
		r.fail(reject(WrongType, field, "%s where a list of strings is needed", typeName(value)))
		return nil
	}
	kept := names[:0]
	for _, name := range names {
		if name = strings.TrimSpace(name); name != "" {
			r.checkName(field, name, maxEntityBytes)
			kept = append(kept, name)
		}
	}
	slices.Sort(kept)
	kept = slices.Compact(kept)
	if len(kept) > maxEntities {
		r.fail(reject(BadValue, field, "%d of them; at most %d", len(kept), maxEntities))
	}
	return kept
}

// typeName is the JSON name of a value's type.
func typeName(value any) string {
	switch value.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case json.Number:
		return "a number"
	case []any:
		return "an array"
	}
	return "an object"
}
