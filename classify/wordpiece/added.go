package wordpiece

import (
	"sort"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is found in the text as a whole, before words are.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // only where no word character touches it
	LeftStrip  bool   `json:"lstrip"`      // takes the white space before it along
	RightStrip bool   `json:"rstrip"`      // and that after it
	Normalized bool   `json:"normalized"`  // looked for in normalised text
}

// matcher finds added tokens: the leftmost, and of several at one place the longest.
type matcher struct {
	tokens []addedToken // longest first
	first  [256]bool    // bytes that begin a token
}

func (m *matcher) add(token addedToken) {
	if token.Content == "" {
		return
	}
	m.tokens = append(m.tokens, token)
	sort.SliceStable(m.tokens, func(i, j int) bool { return len(m.tokens[i].Content) > len(m.tokens[j].Content) })
	m.first[token.Content[0]] = true
}

// cut finds the first added token: text[:before] comes before it, text[after:] is left.
// Where there is none, token is -1 and all of the text comes before.
//
// The word boundary on the left of the text is the boundary of what was cut off before: an
// added token just in front counts as one, as it does in the reference.
func cut[T string | []byte](m *matcher, text T) (before int, token int32, after int) {
	if len(m.tokens) == 0 {
		return len(text), -1, len(text)
	}
	for i := 0; i < len(text); {
		found := m.at(string(text[i:min(len(text), i+len(m.tokens[0].Content))]), m.first[text[i]])
		if found == nil {
			i++
			continue
		}
		end := i + len(found.Content)
		if found.SingleWord && (wordEnds(text[:i]) || wordBegins(text[end:])) {
			i = end
			continue
		}
		if found.LeftStrip {
			i = trimEnd(text[:i])
		}
		if found.RightStrip {
			end = len(text) - trimBegin(text[end:])
		}
		return i, found.ID, end
	}
	return len(text), -1, len(text)
}

func (m *matcher) at(text string, possible bool) *addedToken {
	if !possible {
		return nil
	}
	for i := range m.tokens {
		content := m.tokens[i].Content
		if len(text) >= len(content) && text[:len(content)] == content {
			return &m.tokens[i]
		}
	}
	return nil
}

func wordEnds[T string | []byte](text T) bool {
	r, _ := utf8.DecodeLastRuneInString(string(text[max(0, len(text)-utf8.UTFMax):]))
	return len(text) > 0 && wordRune(r)
}

func wordBegins[T string | []byte](text T) bool {
	r, _ := utf8.DecodeRuneInString(string(text[:min(len(text), utf8.UTFMax)]))
	return len(text) > 0 && wordRune(r)
}

// wordRune is \w of regular expressions over Unicode (UTS 18, annex C).
func wordRune(r rune) bool {
	return unicode.IsLetter(r) || unicode.IsMark(r) || unicode.In(r, unicode.Nd, unicode.Nl, unicode.Pc, unicode.Join_Control, unicode.Other_Alphabetic)
}

// trimEnd is the length of the text less the white space at its end.
func trimEnd[T string | []byte](text T) int {
	n := len(text)
	for n > 0 {
		r, size := utf8.DecodeLastRuneInString(string(text[max(0, n-utf8.UTFMax):n]))
		if !unicode.Is(unicode.White_Space, r) {
			break
		}
		n -= size
	}
	return n
}

// trimBegin is the length of the text less the white space at its beginning.
func trimBegin[T string | []byte](text T) int {
	i := 0
	for i < len(text) {
		r, size := utf8.DecodeRuneInString(string(text[i:min(len(text), i+utf8.UTFMax)]))
		if !unicode.Is(unicode.White_Space, r) {
			break
		}
		i += size
	}
	return len(text) - i
}
