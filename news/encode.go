package news

import (
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// AppendJSON appends the reading as encoding/json writes it, byte for byte, and allocates
// nothing where dst has room. The error says which field JSON cannot hold (a probability that
// is no number, a year of five digits); dst is then as it was.
func (r *Reading) AppendJSON(dst []byte) ([]byte, error) {
	e := encoder{b: dst}
	e.name(`{"id":`).str(r.ID)
	e.name(`,"kind":`).str(string(r.Kind))
	e.name(`,"source":`).str(r.Source)
	if !r.PublishedAt.IsZero() {
		e.name(`,"published_at":`).time("published_at", r.PublishedAt)
	}
	e.name(`,"classified_at":`).time("classified_at", r.ClassifiedAt)
	e.name(`,"lang":`).str(r.Lang)
	e.name(`,"entities":`).list(r.Entities)
	e.name(`,"sentiment":{"negative":`).number("negative", r.Sentiment.Negative)
	e.name(`,"neutral":`).number("neutral", r.Sentiment.Neutral)
	e.name(`,"positive":`).number("positive", r.Sentiment.Positive)
	e.name(`},"topic":{"label":`).str(r.Topic.Label)
	e.name(`,"probability":`).number("probability", r.Topic.Probability)
	e.name(`},"duplicate_of":`).str(r.DuplicateOf)
	e.name(`,"model":{"name":`).str(r.Model.Name)
	e.name(`,"version":`).str(r.Model.Version)
	e.name(`,"digest":`).str(r.Model.Digest)
	e.name(`},"title":`).str(r.Title)
	e.name(`,"url":`).str(r.URL)
	e.name(`,"text":`).str(r.Text)
	e.name(`,"text_digest":`).str(r.TextDigest)
	if r.TextSketch != "" {
		e.name(`,"text_sketch":`).str(r.TextSketch)
	}
	e.b = append(e.b, '}')
	if e.err != nil {
		return dst, e.err
	}
	return e.b, nil
}

// encoder appends JSON and keeps the first error.
type encoder struct {
	b   []byte
	err error
}

// name appends what stands before a value.
func (e *encoder) name(s string) *encoder {
	e.b = append(e.b, s...)
	return e
}

func (e *encoder) list(names []string) {
	if names == nil {
		e.b = append(e.b, "null"...)
		return
	}
	e.b = append(e.b, '[')
	for i, name := range names {
		if i > 0 {
			e.b = append(e.b, ',')
		}
		e.str(name)
	}
	e.b = append(e.b, ']')
}

func (e *encoder) time(field string, t time.Time) {
	e.b = append(e.b, '"')
	b, err := t.AppendText(e.b)
	if err != nil {
		if e.err == nil {
			e.err = fmt.Errorf("%s: %w", field, err)
		}
		return
	}
	e.b = append(b, '"')
}

// number appends as ECMAScript does (encoding/json's rule): without an exponent between 1e-6
// and 1e21, and with one digit of an exponent where one is enough.
func (e *encoder) number(field string, x float64) {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		if e.err == nil {
			e.err = fmt.Errorf("%s: JSON has no %v", field, x)
		}
		return
	}
	format := byte('f')
	if size := math.Abs(x); size != 0 && (size < 1e-6 || size >= 1e21) {
		format = 'e'
	}
	e.b = strconv.AppendFloat(e.b, x, format, -1, 64)
	if n := len(e.b); format == 'e' && e.b[n-4] == 'e' && e.b[n-2] == '0' {
		e.b[n-2] = e.b[n-1]
		e.b = e.b[:n-1]
	}
}

const hex = "0123456789abcdef"

// str appends a string with what JSON and HTML have to have escaped; bytes that are no UTF-8
// become U+FFFD.
func (e *encoder) str(s string) {
	b := append(e.b, '"')
	from := 0 // not appended yet
	for at := 0; at < len(s); {
		c := s[at]
		if c < utf8.RuneSelf {
			if c >= ' ' && c != '"' && c != '\\' && c != '<' && c != '>' && c != '&' {
				at++
				continue
			}
			b = append(b, s[from:at]...)
			switch c {
			case '"', '\\':
				b = append(b, '\\', c)
			case '\b':
				b = append(b, '\\', 'b')
			case '\f':
				b = append(b, '\\', 'f')
			case '\n':
				b = append(b, '\\', 'n')
			case '\r':
				b = append(b, '\\', 'r')
			case '\t':
				b = append(b, '\\', 't')
			default:
				b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
			}
			at++
			from = at
			continue
		}
		r, size := utf8.DecodeRuneInString(s[at:])
		switch {
		case r == utf8.RuneError && size == 1:
			b = append(append(b, s[from:at]...), `\ufffd`...)
			from = at + size
		case r == '\u2028' || r == '\u2029': // JavaScript takes them for the end of a line
			b = append(append(b, s[from:at]...), '\\', 'u', '2', '0', '2', hex[r&15])
			from = at + size
		}
		at += size
	}
	e.b = append(append(b, s[from:]...), '"')
}
