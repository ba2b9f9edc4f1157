package classify

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Route picks the bundle for a text: an index into served, which lists the languages of
// each bundle (ISO 639-1), the preferred bundle first. It also says which language the
// text is taken for; "" where the script does not tell.
//
// A language given with the item decides if a bundle serves it. Otherwise the script
// does, over the text without links, cashtags, hashtags and mentions:
//
//   - Each Han character or kana counts one, each word in another script counts one; a
//     text with at least as many of the former is Chinese, or Japanese if kana are among
//     them. So `$BABA 跌停` and "特斯拉 Tesla Model Y 降价" are Chinese and "阿里巴巴 BABA
//     upgraded to buy by Morgan Stanley" is English.
//   - A text with Hangul in most of its words is Korean, other text in Latin letters
//     English; other scripts say nothing.
//
// Japanese that no bundle serves goes to a Chinese bundle. What no bundle serves goes to
// the first. A given language stays the text's language even when no bundle serves it:
// the model that read the text is named in the reading.
func Route(lang, text string, served [][]string) (bundle int, language string) {
	lang = primary(lang)
	if i := serving(served, lang); i >= 0 {
		return i, lang
	}
	seen := script(text)
	language = lang
	if language == "" {
		language = seen
	}
	if i := serving(served, seen); i >= 0 {
		return i, language
	}
	if i := serving(served, "zh"); seen == "ja" && i >= 0 {
		return i, language
	}
	return 0, language
}

// Served says which languages' texts each of the bundles reads, by bundle, and which bundle
// reads them again for each entity, by language, where a text is about several: one that
// reads a text for an entity, beside one that does not. Alone it reads all its language's texts.
func Served(bundles []*Bundle) (texts [][]string, again map[string]int) {
	texts, again = make([][]string, len(bundles)), map[string]int{}
	whole := map[string]bool{}
	for i, b := range bundles {
		if b.EntitySegment {
			continue
		}
		texts[i] = b.Languages
		for _, lang := range b.Languages {
			whole[lang] = true
		}
	}
	for i, b := range bundles {
		if !b.EntitySegment {
			continue
		}
		for _, lang := range b.Languages {
			if _, taken := again[lang]; !whole[lang] {
				texts[i] = append(texts[i], lang)
			} else if !taken {
				again[lang] = i
			}
		}
	}
	return texts, again
}

func serving(served [][]string, lang string) int {
	if lang == "" {
		return -1
	}
	return slices.IndexFunc(served, func(languages []string) bool { return slices.Contains(languages, lang) })
}

// primary is the primary subtag of a language tag: "zh" of "zh-Hant_TW". "und" is none.
func primary(lang string) string {
	lang = strings.ToLower(strings.TrimSpace(lang))
	if i := strings.IndexAny(lang, "-_"); i >= 0 {
		lang = lang[:i]
	}
	if lang == "und" {
		return ""
	}
	return lang
}

// script guesses the language from the letters: "zh", "ja", "ko", "en" or "".
func script(text string) string {
	var ideographs, kana, hangul, latin, other int
	for text = StripURLs(text); text != ""; {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '$' || r == '#' || r == '@':
			text = skipTag(text[size:])
		case unicode.In(r, unicode.Hiragana, unicode.Katakana):
			kana++
			text = text[size:]
		case unicode.Is(unicode.Han, r):
			ideographs++
			text = text[size:]
		case unicode.IsLetter(r):
			switch {
			case unicode.Is(unicode.Hangul, r):
				hangul++
			case unicode.Is(unicode.Latin, r):
				latin++
			default:
				other++
			}
			text = strings.TrimLeftFunc(text, wordRune)
		default:
			text = text[size:]
		}
	}
	eastern, words := ideographs+kana, hangul+latin+other
	switch {
	case eastern > 0 && eastern >= words && kana > 0:
		return "ja"
	case eastern > 0 && eastern >= words:
		return "zh"
	case hangul > 0 && 2*hangul >= words:
		return "ko"
	case latin > 0 && latin >= other:
		return "en"
	}
	return ""
}

// skipTag cuts the tag off that begins the text, its sign gone already. A tag ends where
// an ideograph begins: `$BABA跌停` is a cashtag and two characters.
func skipTag(text string) string {
	return strings.TrimLeftFunc(text, func(r rune) bool {
		return wordRune(r) || r == '_' || r == '.'
	})
}

// wordRune is a character of a word in a script that parts its words by blanks.
func wordRune(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r) || r == '\'' || r == '’') &&
		!unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
}
