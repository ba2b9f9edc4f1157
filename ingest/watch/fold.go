package watch

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// unspaced are the scripts written without spaces between words.
var unspaced = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul, unicode.Thai}

// inWord tells whether a character continues a word that spaces or punctuation end.
func inWord(r rune) bool {
	switch {
	case r == '_':
		return true
	case r < utf8.RuneSelf:
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
	case unicode.IsOneOf(unspaced, r):
		return false
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.Is(unicode.M, r)
}

// fold brings a text to the form that names are compared in: composed letters (NFC),
// full-width forms as ASCII, one space for any white space, a straight apostrophe, no
// invisible characters, lower case if asked for. Not NFKC, which makes Apple™ AppleTM.
func fold(text string, lower bool) []byte {
	out := appendFolded(make([]byte, 0, len(text)), text)
	if lower {
		return appendLower(make([]byte, 0, len(out)), out)
	}
	return out
}

func appendLower(dst, folded []byte) []byte {
	for len(folded) > 0 {
		r, size := utf8.DecodeRune(folded)
		dst, folded = utf8.AppendRune(dst, unicode.ToLower(r)), folded[size:]
	}
	return dst
}

// appendFolded is fold without lower case.
func appendFolded(out []byte, text string) []byte {
	space := false
	for _, r := range norm.NFC.String(text) {
		switch {
		case 0xFF01 <= r && r <= 0xFF5E:
			r -= 0xFF01 - '!'
		case r == '’':
			r = '\''
		case unicode.Is(unicode.Cf, r):
			continue
		}
		if unicode.IsSpace(r) {
			if !space {
				out = append(out, ' ')
			}
			space = true
			continue
		}
		space = false
		out = utf8.AppendRune(out, r)
	}
	return out
}
