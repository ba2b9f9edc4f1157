package classify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrNoText says that nothing is left of an item to classify: it has no text, or only links.
var ErrNoText = errors.New("no text to classify (links do not count)")

// CheckText is ErrNoText of a text in which nothing is left to classify, whatever the model.
func CheckText(text string) error {
	if blank(StripURLs(text)) {
		return ErrNoText
	}
	return nil
}

// StripURLs removes what matches https?://\S+ and nothing else: bundles are trained on
// text without links, and a link says nothing of mood. \S is everything but blank, tab,
// line feed, form feed and carriage return, as in Go's regexp.
func StripURLs(text string) string {
	start, end := nextURL(text)
	if start < 0 {
		return text
	}
	var out strings.Builder
	out.Grow(len(text))
	for start >= 0 {
		out.WriteString(text[:start])
		text = text[end:]
		start, end = nextURL(text)
	}
	out.WriteString(text)
	return out.String()
}

// nextURL finds the first link, or gives -1.
func nextURL(text string) (start, end int) {
	for from := 0; ; {
		i := strings.Index(text[from:], "http")
		if i < 0 {
			return -1, -1
		}
		start = from + i
		rest := strings.TrimPrefix(text[start+len("http"):], "s")
		if rest, ok := strings.CutPrefix(rest, "://"); ok {
			n := strings.IndexAny(rest, " \t\n\f\r")
			if n < 0 {
				n = len(rest)
			}
			if n > 0 {
				return start, len(text) - len(rest) + n
			}
		}
		from = start + len("http")
	}
}

// TextDigest is 16 hex digits of the SHA-256 of the text without links, with case folded
// and white space collapsed: copies of a text have the same digest wherever they were
// posted.
func TextDigest(text string) string {
	text = StripURLs(text)
	normal := make([]byte, 0, len(text))
	for _, r := range text {
		if unicode.IsSpace(r) {
			if n := len(normal); n > 0 && normal[n-1] != ' ' {
				normal = append(normal, ' ')
			}
			continue
		}
		// By way of the capital, so that σ and ς are one letter.
		normal = utf8.AppendRune(normal, unicode.ToLower(unicode.ToUpper(r)))
	}
	if n := len(normal); n > 0 && normal[n-1] == ' ' {
		normal = normal[:n-1]
	}
	sum := sha256.Sum256(normal)
	return hex.EncodeToString(sum[:8])
}

// blank reports whether the text has nothing but white space and invisible characters.
func blank(text string) bool {
	return strings.IndexFunc(text, func(r rune) bool {
		return !unicode.IsSpace(r) && !unicode.Is(unicode.C, r) && r != utf8.RuneError
	}) < 0
}
