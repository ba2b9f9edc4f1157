package feed

import (
	"bytes"
	"fmt"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// plainText is what a reader sees of a piece of HTML: no tags, scripts or styles, entities
// resolved, blocks on lines of their own, white space collapsed, valid UTF-8.
func plainText(s string) string {
	var b strings.Builder
	tokens := html.NewTokenizer(strings.NewReader(strings.ToValidUTF8(s, "\uFFFD")))
	hidden := atom.Atom(0) // inside of this element
	for {
		switch kind := tokens.Next(); kind {
		case html.ErrorToken:
			return collapse(b.String())
		case html.TextToken:
			if hidden == 0 {
				b.Write(tokens.Text())
			}
		case html.StartTagToken, html.EndTagToken, html.SelfClosingTagToken:
			name, _ := tokens.TagName()
			tag := atom.Lookup(name)
			switch tag {
			case atom.Script, atom.Style:
				if kind == html.StartTagToken {
					hidden = tag
				} else if hidden == tag {
					hidden = 0
				}
			case atom.P, atom.Br, atom.Div, atom.Li, atom.Tr, atom.H1, atom.H2, atom.H3, atom.H4, atom.Blockquote, atom.Ul, atom.Ol:
				b.WriteByte('\n')
			}
		}
	}
}

// collapse leaves one space between words and one line break between lines.
func collapse(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	kept := lines[:0]
	for _, line := range lines {
		if line = strings.Join(strings.Fields(line), " "); line != "" {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}

// maxDepth of elements in a feed; real ones have some ten.
const maxDepth = 100

// checkDepth refuses a feed nested so deep that gofeed, which recurses, would exhaust the
// stack and with it the process. It counts tags as a lenient XML parser does: comments,
// CDATA, processing instructions and quoted attributes are passed over. NUL bytes are
// ignored, so that UTF-16 is counted like UTF-8. JSON feeds are left to encoding/json, which
// has a bound of its own.
func checkDepth(body []byte) error {
	if isJSON(body) {
		return nil
	}
	if bytes.IndexByte(body, 0) >= 0 {
		body = bytes.ReplaceAll(body, []byte{0}, nil)
	}
	for depth := 0; ; {
		start := bytes.IndexByte(body, '<')
		if start < 0 {
			return nil
		}
		body = body[start+1:]
		switch {
		case bytes.HasPrefix(body, []byte("!--")):
			body = after(body[3:], "-->")
		case bytes.HasPrefix(body, []byte("![CDATA[")):
			body = after(body, "]]>")
		case bytes.HasPrefix(body, []byte("?")):
			body = after(body, "?>")
		case bytes.HasPrefix(body, []byte("!")):
			body = after(body, ">")
		case bytes.HasPrefix(body, []byte("/")):
			depth = max(0, depth-1)
		default:
			empty := false
			if body, empty = endOfTag(body); !empty {
				depth++
			}
			if depth > maxDepth {
				return fmt.Errorf("%w: elements nested deeper than %d", ErrFeed, maxDepth)
			}
		}
	}
}

// isJSON decides as gofeed does: by the first byte that is neither white space nor part of
// a byte-order mark.
func isJSON(body []byte) bool {
	for _, c := range body {
		switch c {
		case ' ', '\r', '\n', '\t', 0xFE, 0xFF, 0x00, 0xEF, 0xBB, 0xBF:
		default:
			return c == '{'
		}
	}
	return false
}

func after(body []byte, end string) []byte {
	_, rest, _ := bytes.Cut(body, []byte(end))
	return rest
}

// endOfTag passes over a start tag and tells whether it ends in "/>".
func endOfTag(body []byte) (rest []byte, empty bool) {
	quote := byte(0)
	for i, c := range body {
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return body[i+1:], i > 0 && body[i-1] == '/'
		}
	}
	return nil, false
}
