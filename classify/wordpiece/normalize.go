package wordpiece

import (
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// normalizer is Hugging Face's BertNormalizer.
type normalizer struct {
	cleanText    bool // drop control characters, make every white space a blank
	chineseChars bool // put blanks around each ideograph
	stripAccents bool // decompose (NFD), then drop non-spacing marks
	lowercase    bool

	ascii [utf8.RuneSelf]byte // what becomes of an ASCII character; 0 drops it
}

func newNormalizer(clean, chinese, strip, lower bool) normalizer {
	n := normalizer{cleanText: clean, chineseChars: chinese, stripAccents: strip, lowercase: lower}
	for c := range n.ascii {
		n.ascii[c] = byte(c)
		switch {
		case clean && unicode.Is(removed, rune(c)):
			n.ascii[c] = 0
		case clean && asciiClass[c] == space:
			n.ascii[c] = ' '
		case lower && 'A' <= c && c <= 'Z':
			n.ascii[c] += 'a' - 'A'
		}
	}
	return n
}

// append adds the normalised text to out. The text must be valid UTF-8.
func (n *normalizer) append(out []byte, text string) []byte {
	begin := len(out)
	for i := 0; i < len(text); {
		if c := text[i]; c < utf8.RuneSelf {
			if c = n.ascii[c]; c != 0 || !n.cleanText {
				out = append(out, c)
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		at := i
		i += size
		if n.cleanText {
			if unicode.Is(removed, r) {
				continue
			}
			if unicode.Is(unicode.White_Space, r) {
				out = append(out, ' ')
				continue
			}
		}
		chinese := n.chineseChars && ideograph(r)
		if chinese {
			out = append(out, ' ')
		}
		var ordered bool
		if out, ordered = n.appendRune(out, r, text[at:]); !ordered {
			return n.appendReordered(out[:begin], text)
		}
		if chinese {
			out = append(out, ' ')
		}
	}
	return out
}

// appendRune adds what becomes of the character that is not ASCII at the text's beginning.
// It reports false where the order of marks in the text may matter, which a character alone
// cannot tell.
func (n *normalizer) appendRune(out []byte, r rune, text string) (_ []byte, ordered bool) {
	if !n.stripAccents || 0x3400 <= r && r <= 0x9FFF {
		return n.appendLower(out, r), true
	}
	if hangulFirst <= r && r <= hangulLast {
		return appendJamo(out, r-hangulFirst), true
	}
	properties := norm.NFD.PropertiesString(text)
	parts := properties.Decomposition()
	if parts == nil || r == 0x11938 { // the reference's Unicode does not know the parts of U+11938
		if unicode.Is(marks, r) {
			return out, true
		}
		return n.appendLower(out, r), properties.CCC() == 0
	}
	ordered = true
	for len(parts) > 0 {
		d, size := utf8.DecodeRune(parts)
		if !unicode.Is(marks, d) {
			ordered = ordered && norm.NFD.Properties(parts).CCC() == 0
			out = n.appendLower(out, d)
		}
		parts = parts[size:]
	}
	return out, ordered
}

// Hangul syllables are decomposed by arithmetic: The Unicode Standard, section 3.12.
const (
	hangulFirst, hangulLast = 0xAC00, 0xD7A3
	leadFirst, vowelFirst   = 0x1100, 0x1161
	trailBefore             = 0x11A7
	vowels, trails          = 21, 28
)

func appendJamo(out []byte, syllable rune) []byte {
	out = utf8.AppendRune(out, leadFirst+syllable/(vowels*trails))
	out = utf8.AppendRune(out, vowelFirst+syllable%(vowels*trails)/trails)
	if trail := syllable % trails; trail > 0 {
		out = utf8.AppendRune(out, trailBefore+trail)
	}
	return out
}

// appendReordered is append for text with combining marks that stay: NFD sorts them.
func (n *normalizer) appendReordered(out []byte, text string) []byte {
	plain := normalizer{cleanText: n.cleanText, chineseChars: n.chineseChars, ascii: n.ascii}
	for _, r := range string(norm.NFD.Bytes(plain.append(nil, text))) {
		if !unicode.Is(marks, r) {
			out = n.appendLower(out, r)
		}
	}
	return out
}

func (n *normalizer) appendLower(out []byte, r rune) []byte {
	if !n.lowercase {
		return utf8.AppendRune(out, r)
	}
	if r == 'İ' { // the one capital whose small form is two characters
		return append(out, "i\u0307"...)
	}
	return utf8.AppendRune(out, lower(r))
}

// lower is the simple lower case in the reference's version of Unicode (17).
func lower(r rune) rune {
	switch {
	case r < 0x1C89:
	case r == 0x1C89, r == 0xA7CC, r == 0xA7CE, r == 0xA7D2, r == 0xA7D4, r == 0xA7DA:
		return r + 1
	case r == 0xA7CB:
		return 0x264
	case r == 0xA7DC:
		return 0x19B
	case 0x10D50 <= r && r <= 0x10D65:
		return r + 0x20
	case 0x16EA0 <= r && r <= 0x16EB8:
		return r + 0x1B
	}
	return unicode.ToLower(r)
}

// ideograph is the reference's is_chinese_char: the CJK blocks of Unicode 8, gaps included.
func ideograph(r rune) bool {
	return 0x4E00 <= r && r <= 0x9FFF ||
		0x3400 <= r && r <= 0x4DBF ||
		0xF900 <= r && r <= 0xFAFF ||
		0x20000 <= r && r <= 0x2A6DF ||
		0x2A700 <= r && r <= 0x2B73F ||
		0x2B740 <= r && r <= 0x2B81F ||
		0x2B920 <= r && r <= 0x2CEAF ||
		0x2F800 <= r && r <= 0x2FA1F
}

// class is how the pre-tokenizer sees a character.
type class uint8

const (
	letter class = iota // part of a word: letters, digits, marks, symbols outside ASCII
	space
	punct
)

var asciiClass = func() (c [utf8.RuneSelf]class) {
	for r := range c {
		c[r] = classOf(rune(r))
	}
	return c
}()

func classOf(r rune) class {
	switch {
	case 0x3400 <= r && r <= 0x9FFF: // most of what is Chinese
		return letter
	case unicode.Is(unicode.White_Space, r):
		return space
	case unicode.Is(punctuation, r):
		return punct
	}
	return letter
}
