package chart

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/mozillazg/go-pinyin"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/text/width"
)

// spelled writes a text in the letters that a font has: Chinese as pinyin, full-width signs
// as narrow ones, and what is left by its number. A picture never shows empty boxes.
func spelled(f *sfnt.Font, text string) string {
	var (
		buffer       sfnt.Buffer
		out          strings.Builder
		word, pinyin bool // what was written last
	)
	for _, r := range width.Narrow.String(text) {
		said, isPinyin := string(r), false
		isWord := unicode.IsLetter(r) || unicode.IsDigit(r)
		if index, err := f.GlyphIndex(&buffer, r); err != nil || index == 0 {
			said, isPinyin = spelledRune(r)
		}
		if isWord && word && (isPinyin || pinyin) {
			out.WriteByte(' ')
		}
		out.WriteString(said)
		word, pinyin = isWord, isPinyin
	}
	return out.String()
}

func spelledRune(r rune) (said string, isPinyin bool) {
	if readings := pinyin.SinglePinyin(r, pinyin.NewArgs()); len(readings) > 0 {
		return readings[0], true
	}
	return fmt.Sprintf("[U+%04X]", r), false
}
