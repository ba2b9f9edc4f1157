package main

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/barograph/barograph/classify"
)

// edit changes a text; "" where it does not suit the text.
type edit struct {
	name    string
	chinese bool
	change  func(rng *rand.Rand, text string) string
}

// edits are first those that copies have, then those that make another story.
var edits = []edit{
	{"copy: agency before", false, func(rng *rand.Rand, s string) string {
		return pick(rng, "Reuters: ", "UPDATE 2-", "RT @markets: ", "BREAKING: ", "CNBC - ") + s
	}},
	{"copy: agency behind", false, func(rng *rand.Rand, s string) string {
		return clean(s) + pick(rng, " - CNBC", " | MarketWatch", " (Reuters)", " via @business", " - The Economic Times")
	}},
	{"copy: punctuation and case", false, func(_ *rand.Rand, s string) string {
		return strings.ToUpper(strings.Map(func(r rune) rune {
			if strings.ContainsRune(`'’"“”:;!?-–—#`, r) {
				return ' '
			}
			return r
		}, clean(s)))
	}},
	{"copy: a word added", false, func(rng *rand.Rand, s string) string {
		return insert(rng, s, pick(rng, "shares", "stock", "on Monday", "reportedly", "the", "now"))
	}},
	{"copy: a word left out", false, func(rng *rand.Rand, s string) string { return replaceWords(rng, s, 1, "") }},
	{"copy: a word replaced", false, func(rng *rand.Rand, s string) string { return replaceWords(rng, s, 1, "company") }},
	{"copy: two words replaced", false, func(rng *rand.Rand, s string) string { return replaceWords(rng, s, 2, "company") }},
	{"copy: cut to four fifths", false, func(_ *rand.Rand, s string) string {
		words := strings.Fields(clean(s))
		return strings.Join(words[:len(words)*4/5], " ") + "…"
	}},
	{"other: all numbers changed", false, changeNumbers},
	{"other: one number changed", false, changeOneNumber},
	{"other: another cashtag", false, changeTicker},
	{"other: cashtag and numbers", false, func(rng *rand.Rand, s string) string {
		if s = changeTicker(rng, s); s == "" {
			return ""
		}
		return changeNumbers(rng, s)
	}},
	{"other: another name first", false, changeName},
	{"other: up for down", false, func(_ *rand.Rand, s string) string { return turn(s, opposites, true) }},

	{"zh copy: agency before", true, func(rng *rand.Rand, s string) string {
		return pick(rng, "快讯：", "财联社1月10日电，", "【最新】", "突发！") + s
	}},
	{"zh copy: agency behind", true, func(rng *rand.Rand, s string) string {
		return s + pick(rng, "（财联社）", "（澎湃新闻）", " - 新浪财经", "…")
	}},
	{"zh copy: punctuation", true, func(_ *rand.Rand, s string) string {
		return strings.NewReplacer("，", ",", "。", " ", "：", ":", "【", "", "】", " ", "！", "!", "、", " ").Replace(s) + "。。"
	}},
	{"zh copy: a character added", true, func(rng *rand.Rand, s string) string {
		runes := []rune(s)
		return string(slices.Insert(runes, rng.IntN(len(runes)+1), []rune(pick(rng, "的", "了", "也", "将"))...))
	}},
	{"zh copy: two characters replaced", true, func(rng *rand.Rand, s string) string {
		runes := []rune(s)
		at := rng.IntN(max(1, len(runes)-2))
		if len(runes) < 12 || strings.ContainsAny(string(runes[at:at+2]), "0123456789涨跌升降增减买卖") {
			return ""
		}
		return string(runes[:at]) + "相关" + string(runes[at+2:])
	}},
	{"zh copy: cut to four fifths", true, func(_ *rand.Rand, s string) string {
		runes := []rune(s)
		return string(runes[:len(runes)*4/5]) + "…"
	}},
	{"zh other: all numbers changed", true, changeNumbers},
	{"zh other: one number changed", true, changeOneNumber},
	{"zh other: up for down", true, func(_ *rand.Rand, s string) string { return turn(s, chineseOpposites, false) }},
}

func pick(rng *rand.Rand, of ...string) string { return of[rng.IntN(len(of))] }

func clean(s string) string { return strings.TrimSpace(classify.StripURLs(s)) }

func insert(rng *rand.Rand, s, word string) string {
	words := strings.Fields(clean(s))
	return strings.Join(slices.Insert(words, rng.IntN(len(words)+1), word), " ")
}

// replaceWords replaces words without digits, tickers, words in capitals and words of
// direction: those make another story.
func replaceWords(rng *rand.Rand, s string, n int, by string) string {
	words := strings.Fields(clean(s))
	var plain []int
	for i, w := range words {
		if len(w) > 2 && !strings.ContainsFunc(w, unicode.IsDigit) && w[0] != '$' && w != strings.ToUpper(w) && turn(w, opposites, true) == "" {
			plain = append(plain, i)
		}
	}
	if len(plain) < n {
		return ""
	}
	rng.Shuffle(len(plain), func(i, j int) { plain[i], plain[j] = plain[j], plain[i] })
	for _, i := range plain[:n] {
		words[i] = by
	}
	return strings.Join(words, " ")
}

var number = regexp.MustCompile(`\d+(?:[.,]\d+)*`)

func changeNumbers(rng *rand.Rand, s string) string {
	s = clean(s)
	if !number.MatchString(s) {
		return ""
	}
	return number.ReplaceAllStringFunc(s, func(n string) string { return other(rng, n) })
}

func changeOneNumber(rng *rand.Rand, s string) string {
	s = clean(s)
	all := number.FindAllStringIndex(s, -1)
	if len(all) == 0 {
		return ""
	}
	at := all[rng.IntN(len(all))]
	return s[:at[0]] + other(rng, s[at[0]:at[1]]) + s[at[1]:]
}

// other is another number of the same form.
func other(rng *rand.Rand, n string) string {
	for {
		out := []byte(n)
		for i := range out {
			if out[i] >= '0' && out[i] <= '9' {
				out[i] = strconv.Itoa(rng.IntN(10))[0]
			}
		}
		if string(out) != n {
			return string(out)
		}
	}
}

var ticker = regexp.MustCompile(`\$[A-Z]{1,5}\b`)

func changeTicker(rng *rand.Rand, s string) string {
	s = clean(s)
	first := ticker.FindString(s)
	to := pick(rng, "$AAPL", "$MSFT", "$TSLA", "$BA", "$JPM", "$XOM")
	if first == "" || first == to {
		return ""
	}
	return strings.ReplaceAll(s, first, to)
}

// changeName puts another company where a text begins with a word or two with capitals.
func changeName(rng *rand.Rand, s string) string {
	words := strings.Fields(clean(s))
	if len(words) < 5 || !capital(words[0]) {
		return ""
	}
	n := 1
	if capital(words[1]) {
		n = 2
	}
	return pick(rng, "Boeing", "Tata Motors", "Netflix", "Infosys", "Goldman Sachs") + " " + strings.Join(words[n:], " ")
}

func capital(w string) bool { return w[0] >= 'A' && w[0] <= 'Z' }

// Each word is followed by its opposite.
var (
	opposites = []string{"up", "down", "rises", "falls", "rise", "fall", "gains", "loses", "higher", "lower", "jumps", "drops",
		"surges", "plunges", "beats", "misses", "upgraded", "downgraded", "raises", "cuts", "soars", "tumbles", "buy", "sell"}
	chineseOpposites = []string{"涨", "跌", "升", "降", "增", "减", "买", "卖"}
)

// turn replaces each word, or character, of pairs by its opposite; "" where there is none.
func turn(s string, pairs []string, words bool) string {
	parts, between := strings.Split(s, ""), ""
	if words {
		parts, between = strings.Fields(clean(s)), " "
	}
	turned := false
	for i, part := range parts {
		if at := slices.Index(pairs, strings.ToLower(part)); at >= 0 {
			parts[i], turned = pairs[at^1], true
		}
	}
	if !turned {
		return ""
	}
	return strings.Join(parts, between)
}

// alike says, by the words themselves, whether two texts are near copies: equal numbers and
// cashtags, and at least two thirds of their words, or pairs of Chinese characters, in common.
func alike(a, b string, chinese bool) bool {
	hard := func(s string) []string {
		s = clean(s)
		found := append(number.FindAllString(s, -1), ticker.FindAllString(s, -1)...)
		slices.Sort(found)
		return slices.Compact(found)
	}
	x, y := partsOf(a, chinese), partsOf(b, chinese)
	common := 0
	for part := range x {
		if y[part] {
			common++
		}
	}
	return slices.Equal(hard(a), hard(b)) && 3*common >= 2*(len(x)+len(y)-common)
}

func partsOf(s string, chinese bool) map[string]bool {
	parts := map[string]bool{}
	words := strings.FieldsFunc(strings.ToLower(clean(s)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for _, w := range words {
		if !chinese {
			parts[w] = true
			continue
		}
		for runes := []rune(w); len(runes) > 1; runes = runes[1:] {
			parts[string(runes[:2])] = true
		}
	}
	return parts
}
