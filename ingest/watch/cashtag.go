package watch

import (
	"bytes"
	"unicode/utf8"
)

// longestTicker is the longest part of a ticker before its class or exchange, in letters.
const longestTicker = 6

// cashtagsIn lists the tickers of a folded text, upper-cased, in order of appearance: a
// dollar sign that no word precedes, one to six ASCII letters and perhaps a class or
// exchange ($BRK.B, $VOD.L, $BABA.HK), where the word ends. $100 and $5M are money.
func cashtagsIn(text []byte) []string {
	var out []string
	for at := 0; ; {
		next := bytes.IndexByte(text[at:], '$')
		if next < 0 {
			return out
		}
		at += next
		before, _ := utf8.DecodeLastRune(text[:at])
		at++
		n := letters(text[at:])
		if n == 0 || n > longestTicker || inWord(before) {
			continue
		}
		if after, size := utf8.DecodeRune(text[at+n:]); size > 0 && inWord(after) {
			continue
		}
		n += class(text[at+n:])
		out = append(out, string(bytes.ToUpper(text[at:at+n])))
		at += n
	}
}

// class is the length of a class or exchange at the text's start, with its dot: one
// letter, or two in upper case. Anything else is the next sentence.
func class(text []byte) int {
	if len(text) < 2 || text[0] != '.' {
		return 0
	}
	n := letters(text[1:])
	if n != 1 && (n != 2 || !bytes.Equal(text[1:3], bytes.ToUpper(text[1:3]))) {
		return 0
	}
	if after, size := utf8.DecodeRune(text[1+n:]); size > 0 && inWord(after) {
		return 0
	}
	return 1 + n
}

func letters(text []byte) int {
	n := 0
	for n < len(text) && ('a' <= text[n]|0x20 && text[n]|0x20 <= 'z') {
		n++
	}
	return n
}
