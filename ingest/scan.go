package ingest

import (
	"unicode/utf16"
	"unicode/utf8"
)

// scanner reads one JSON document (RFC 8259) without building it: it checks all of it and notes
// where the values are that the mapping names. It takes what encoding/json takes, and allocates
// only to unescape keys that are longer than any before.
type scanner struct {
	text  []byte
	at    int
	found [fieldCount]span // by field
	key   []byte           // of an object's member, unescaped
}

// span is where a value stands in the document; the zero value is none.
type span struct{ begin, end int }

// deepest is how far encoding/json lets values nest.
const deepest = 10_000

// scan reports whether the document is JSON and nothing else. fields is the root of the mapping.
func (s *scanner) scan(document []byte, fields *node) bool {
	s.text, s.at, s.found = document, 0, [fieldCount]span{}
	if !s.value(fields, 0) {
		return false
	}
	s.space()
	return s.at == len(s.text)
}

// value reads the value at a node of the mapping; n is nil where nothing below is mapped.
func (s *scanner) value(n *node, depth int) bool {
	s.space()
	begin, ok := s.at, false
	switch c := s.peek(); {
	case c == '"':
		ok = s.str()
	case c == '{':
		ok = depth < deepest && s.object(n, depth+1)
	case c == '[':
		ok = depth < deepest && s.array(n, depth+1)
	case c == 't':
		ok = s.literal("true")
	case c == 'f':
		ok = s.literal("false")
	case c == 'n':
		ok = s.literal("null")
	case c == '-' || isDigit(c):
		ok = s.number()
	}
	if ok && n != nil {
		for _, field := range n.fields {
			s.found[field] = span{begin, s.at}
		}
	}
	return ok
}

func (s *scanner) object(n *node, depth int) bool {
	s.at++
	s.space()
	if s.skip('}') {
		return true
	}
	for {
		s.space()
		begin := s.at
		if s.peek() != '"' || !s.str() {
			return false
		}
		member := s.member(n, s.text[begin+1:s.at-1])
		s.space()
		if !s.skip(':') || !s.value(member, depth) {
			return false
		}
		s.space()
		if s.skip('}') {
			return true
		}
		if !s.skip(',') {
			return false
		}
	}
}

// member is the mapping's node of an object's member, and forgets what a member of the same
// name had: of doubled keys the last counts.
func (s *scanner) member(n *node, key []byte) *node {
	if n == nil {
		return nil
	}
	if hasEscape(key) {
		s.key = unescape(s.key[:0], key)
		key = s.key
	}
	for _, child := range n.children {
		if child.token == string(key) {
			child.forget(&s.found)
			return child
		}
	}
	return nil
}

func (s *scanner) array(n *node, depth int) bool {
	s.at++
	s.space()
	if s.skip(']') {
		return true
	}
	for i := 0; ; i++ {
		var element *node
		if n != nil {
			element = n.element(i)
		}
		if !s.value(element, depth) {
			return false
		}
		s.space()
		if s.skip(']') {
			return true
		}
		if !s.skip(',') {
			return false
		}
	}
}

// str reads a string; the opening quote is there.
func (s *scanner) str() bool {
	for s.at++; s.at < len(s.text); s.at++ {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return true
		case c < ' ':
			return false
		case c == '\\':
			if !s.escape() {
				return false
			}
		}
	}
	return false
}

// escape moves to the last byte of an escape.
func (s *scanner) escape() bool {
	s.at++
	switch s.peek() {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		if s.at+4 < len(s.text) && hexRune(s.text[s.at+1:]) >= 0 {
			s.at += 4
			return true
		}
	}
	return false
}

func (s *scanner) number() bool {
	s.skip('-')
	if !s.skip('0') && !s.digits() {
		return false
	}
	if s.skip('.') && !s.digits() {
		return false
	}
	if s.skip('e') || s.skip('E') {
		if !s.skip('+') {
			s.skip('-')
		}
		return s.digits()
	}
	return true
}

// digits reads at least one.
func (s *scanner) digits() bool {
	begin := s.at
	for isDigit(s.peek()) {
		s.at++
	}
	return s.at > begin
}

func (s *scanner) literal(word string) bool {
	if len(s.text)-s.at < len(word) || string(s.text[s.at:s.at+len(word)]) != word {
		return false
	}
	s.at += len(word)
	return true
}

func (s *scanner) space() {
	for s.at < len(s.text) && (s.text[s.at] == ' ' || s.text[s.at] == '\t' || s.text[s.at] == '\n' || s.text[s.at] == '\r') {
		s.at++
	}
}

// peek is the next byte; 0, which begins nothing in JSON, at the end.
func (s *scanner) peek() byte {
	if s.at < len(s.text) {
		return s.text[s.at]
	}
	return 0
}

func (s *scanner) skip(c byte) bool {
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// unescape appends a JSON string's characters. Half a surrogate pair becomes U+FFFD, as in
// encoding/json.
func unescape(dst, raw []byte) []byte {
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' {
			dst = append(dst, c)
			continue
		}
		i++
		switch c = raw[i]; c {
		case 'b':
			dst = append(dst, '\b')
		case 'f':
			dst = append(dst, '\f')
		case 'n':
			dst = append(dst, '\n')
		case 'r':
			dst = append(dst, '\r')
		case 't':
			dst = append(dst, '\t')
		case 'u':
			r := hexRune(raw[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				second := rune(-1)
				if i+6 < len(raw) && raw[i+1] == '\\' && raw[i+2] == 'u' {
					second = hexRune(raw[i+3:])
				}
				if r = utf16.DecodeRune(r, second); r != utf8.RuneError {
					i += 6
				}
			}
			dst = utf8.AppendRune(dst, r)
		default: // itself
			dst = append(dst, c)
		}
	}
	return dst
}

// hexRune reads four hexadecimal digits; -1 where they are none.
func hexRune(b []byte) rune {
	if len(b) < 4 {
		return -1
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case isDigit(c):
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}
