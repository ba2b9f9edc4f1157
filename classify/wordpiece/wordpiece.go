// Package wordpiece cuts text into the tokens that BERT-family models were trained on.
//
// It reads Hugging Face's tokenizer.json and gives, id for id, what their `tokenizers`
// library (Rust) gives for it, odd text included: testdata/ holds that library's own
// answers. Padding and truncation named in the file are not applied: batches and windows
// are the caller's affair.
package wordpiece

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// Tokenizer is a BERT normaliser, a BERT pre-tokenizer and a WordPiece vocabulary. It is
// safe for use by several goroutines at once.
type Tokenizer struct {
	normalizer normalizer
	raw        matcher // added tokens looked for in the text as it came
	normalized matcher // added tokens looked for in normalised text

	whole    map[string]int32 // by token: how a word may begin
	rest     map[string]int32 // by token less its prefix ("##"): how a word may go on
	unknown  int32
	maxChars int // a longer word is unknown
	longest  int // bytes of the longest token
	size     int

	scratch sync.Pool // *[]byte
}

// Size is one more than the highest id that Encode gives.
func (t *Tokenizer) Size() int { return t.size }

// Encode appends the ids of the text to ids and returns the longer slice. It adds no
// [CLS] and [SEP]. Runs of invalid UTF-8 count as one U+FFFD. It cannot fail: what the
// vocabulary does not cover becomes its unknown token.
func (t *Tokenizer) Encode(ids []int32, text string) []int32 {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	buffer, _ := t.scratch.Get().(*[]byte)
	if buffer == nil {
		buffer = new([]byte)
	}
	for len(text) > 0 {
		before, token, after := cut(&t.raw, text)
		if before > 0 {
			*buffer = t.normalizer.append((*buffer)[:0], text[:before])
			ids = t.encodeNormalized(ids, *buffer)
		}
		if token >= 0 {
			ids = append(ids, token)
		}
		text = text[after:]
	}
	if cap(*buffer) <= 1<<16 { // a huge text's buffer is not kept
		t.scratch.Put(buffer)
	}
	return ids
}

func (t *Tokenizer) encodeNormalized(ids []int32, text []byte) []int32 {
	if len(t.normalized.tokens) == 0 {
		return t.encodeWords(ids, text)
	}
	for len(text) > 0 {
		before, token, after := cut(&t.normalized, text)
		ids = t.encodeWords(ids, text[:before])
		if token >= 0 {
			ids = append(ids, token)
		}
		text = text[after:]
	}
	return ids
}

// encodeWords is the pre-tokenizer: white space parts words, punctuation is a word a character.
func (t *Tokenizer) encodeWords(ids []int32, text []byte) []int32 {
	start, chars := 0, 0 // of the word that is open
	for i := 0; i < len(text); {
		r, n := rune(text[i]), 1
		var c class
		if r < utf8.RuneSelf {
			c = asciiClass[r]
		} else {
			r, n = utf8.DecodeRune(text[i:])
			c = classOf(r)
		}
		if c == letter {
			i += n
			chars++
			continue
		}
		ids = t.encodeWord(ids, text[start:i], chars)
		if c == punct {
			ids = t.encodeWord(ids, text[i:i+n], 1)
		}
		i += n
		start, chars = i, 0
	}
	return t.encodeWord(ids, text[start:], chars)
}

// encodeWord takes the longest token that begins the word, then the longest that goes on,
// to the word's end; a word that cannot be covered is unknown as a whole.
func (t *Tokenizer) encodeWord(ids []int32, word []byte, chars int) []int32 {
	if len(word) == 0 {
		return ids
	}
	if chars > t.maxChars {
		return append(ids, t.unknown)
	}
	if id, ok := t.whole[string(word)]; ok {
		return append(ids, id)
	}
	mark := len(ids)
	vocabulary := t.whole
	for len(word) > 0 {
		end := min(len(word), t.longest)
		for end > 0 {
			if end == len(word) || utf8.RuneStart(word[end]) {
				if id, ok := vocabulary[string(word[:end])]; ok {
					ids = append(ids, id)
					break
				}
			}
			end--
		}
		if end == 0 {
			return append(ids[:mark], t.unknown)
		}
		word, vocabulary = word[end:], t.rest
	}
	return ids
}
