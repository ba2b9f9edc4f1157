package watch

import (
	"bytes"
	"unicode/utf8"
)

// longestTicker is the longest part of a ticker before its class or exchange, in letters.
const longestTicker = 6

// nextCashtag finds the first ticker of a folded text from a place on, and where it ends; nil
// where there is none. It is a dollar sign that no word precedes, one to six ASCII letters and
// perhaps a class or exchange ($BRK.B, $VOD.L, $BABA.HK), where the word ends. $100 and $5M are
// money.
func nextCashtag(text []byte, at int) (ticker []byte, end int) {
	for {
		next := bytes.IndexByte(text[at:], '$')
		if next < 0 {
			return nil, len(text)
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
		return text[at : at+n], at + n
	}
}

// class is the length of a class or exchange at the text's start, with its dot: one
// letter, or two in upper case. Anything else is the next sentence.
func class(text []byte) int {
	if len(text) < 2 || text[0] != '.' {
		return 0
	}
	n := letters(text[1:])
	if n != 1 && (n != 2 || (isLower(text[1]) || isLower(text[2]))) {
		return 0
	}
	if after, size := utf8.DecodeRune(text[1+n:]); size > 0 && inWord(after) {
		return 0
	}
	return 1 + n
}

func isLower(c byte) bool { return 'a' <= c && c <= 'z' }

// appendUpper appends a ticker in capitals.
func appendUpper(dst, ticker []byte) []byte {
	for _, c := range ticker {
		if isLower(c) {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	return dst
}

func letters(text []byte) int {
	n := 0
	for n < len(text) && ('a' <= text[n]|0x20 && text[n]|0x20 <= 'z') {
		n++
	}
	return n
}
