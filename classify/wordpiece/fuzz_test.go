package wordpiece

import (
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// FuzzEncode holds Encode against the same steps written plainly, one whole pass a step.
func FuzzEncode(f *testing.F) {
	en, zh := load(f, "en"), load(f, "zh")
	for _, e := range expectations(f) {
		f.Add(e.Text)
	}
	f.Add("cut \xe8\xb7 off [CLS\xff]")
	f.Fuzz(func(t *testing.T, text string) {
		for lang, tok := range map[string]*Tokenizer{"en": en, "zh": zh} {
			got, want := tok.Encode(nil, text), plainEncode(tok, text)
			if !slices.Equal(got, want) {
				t.Errorf("%s %q:\n got %v\nwant %v", lang, text, got, want)
			}
		}
	})
}

func plainEncode(tok *Tokenizer, text string) []int32 {
	text = strings.ToValidUTF8(text, "\uFFFD")
	var ids []int32
	for text != "" {
		at, special := len(text), addedToken{ID: -1}
		for _, token := range tok.raw.tokens {
			if i := strings.Index(text, token.Content); i >= 0 && i < at {
				at, special = i, token
			}
		}
		for _, word := range splitWords(plainNormalize(&tok.normalizer, text[:at])) {
			ids = append(ids, plainWord(tok, word)...)
		}
		if special.ID >= 0 {
			ids = append(ids, special.ID)
		}
		text = text[at+len(special.Content):]
	}
	return ids
}

func plainNormalize(n *normalizer, text string) string {
	var clean strings.Builder
	for _, r := range text {
		switch {
		case unicode.Is(removed, r) && r != '\t' && r != '\n' && r != '\r':
		case unicode.Is(unicode.White_Space, r):
			clean.WriteByte(' ')
		case ideograph(r):
			clean.WriteString(" " + string(r) + " ")
		default:
			clean.WriteRune(r)
		}
	}
	text = clean.String()
	if n.stripAccents {
		text = strings.Map(func(r rune) rune {
			if unicode.Is(marks, r) {
				return -1
			}
			return r
		}, strings.ReplaceAll(norm.NFD.String(text), "\U00011935\U00011930", "\U00011938"))
	}
	if n.lowercase {
		text = strings.Map(lower, text)
	}
	return text
}

func plainWord(tok *Tokenizer, word string) []int32 {
	if utf8.RuneCountInString(word) > tok.maxChars {
		return []int32{tok.unknown}
	}
	var ids []int32
	for vocabulary := tok.whole; word != ""; vocabulary = tok.rest {
		end := len(word)
		for end > 0 {
			if _, ok := vocabulary[word[:end]]; ok {
				break
			}
			end--
		}
		if end == 0 {
			return []int32{tok.unknown}
		}
		ids, word = append(ids, vocabulary[word[:end]]), word[end:]
	}
	return ids
}
