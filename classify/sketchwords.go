package classify

import (
	"html"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// word is a run of letters and digits, or one Chinese, Japanese or Korean character, as it
// stands in a text.
type word struct {
	text   string // case folded
	weight float64
	fact   string // the fact that it states, if any: a number, a cashtag, or a direction
	cjk    bool
	joined bool // to the character before: there is nothing but white space between
	capped bool // begins with a capital
}

// token is a word or a pair of them, and what it counts for in a sketch.
type token struct {
	text   string
	weight float64
}

const (
	sketchBytes = 2000 // of a text's beginning that are looked at
	sketchWords = 100  // of these
)

// tokensOf lists what the bits of a sketch are made of.
func tokensOf(words []word) []token {
	tokens := make([]token, 0, 2*len(words))
	for i, w := range words {
		if !w.cjk {
			tokens = append(tokens, token{w.text, w.weight})
		}
		if i > 0 && w.cjk == words[i-1].cjk && (w.joined || !w.cjk) {
			tokens = append(tokens, token{words[i-1].text + " " + w.text, weightOfPair * min(w.weight, words[i-1].weight)})
		}
	}
	return tokens
}

// around is what agencies and people put before and behind a text that they pass on.
var around = regexp.MustCompile(`(?i)` +
	`^\s*(?:(?:rt|via)\s+@\w+:?|(?:update|wrapup|refile|corrected|correction|exclusive|breaking|just in|analysis|explainer)(?:\s*[-–—]?\s*\d{1,2})?\s*[-–—:|]\s*)+` +
	`|@\w+` +
	`|[（(]\s*(?:reuters|bloomberg|ap|afp|dow jones|财联社|澎湃|澎湃新闻|新华社|央视新闻|新浪财经|证券时报|界面|金十)\s*[）)]` +
	`|^\s*(?:财联社|新华社|澎湃新闻|证券时报网?|新浪财经讯?|金十数据|智通财经)?\s*\d{1,2}\s*月\s*\d{1,2}\s*日\s*[电讯][，,：:\s]`)

func wordsOf(text string) (words []word) {
	text = cut(strings.TrimSpace(StripURLs(text)), sketchBytes) + " "
	if strings.Contains(text, "&") {
		text = html.UnescapeString(text)
	}
	text = around.ReplaceAllString(norm.NFKC.String(text), " ")
	mixedCase := strings.ContainsFunc(text, unicode.IsLower)
	runes := []rune(text)
	joined := false
	for i := 0; i < len(runes) && len(words) < sketchWords; {
		r := runes[i]
		switch {
		case isCJK(r):
			words = append(words, word{text: string(r), weight: weightOfWord, fact: directions[string(r)], cjk: true, joined: joined})
			joined = true
			i++
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			end := wordEnd(runes, i)
			if w := newWord(string(runes[i:end]), i > 0 && runes[i-1] == '$', mixedCase); w.weight > 0 {
				words = append(words, w)
			}
			joined = false
			i = end
		default:
			joined = joined && unicode.IsSpace(r)
			i++
		}
	}
	nameCapitals(words)
	return words
}

// wordEnd is where the word that begins at i ends. A number has its decimals and thousands.
func wordEnd(runes []rune, i int) int {
	for i++; i < len(runes); i++ {
		r := runes[i]
		inside := i+1 < len(runes) && !isCJK(runes[i+1])
		switch {
		case isCJK(r):
			return i
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
		case (r == '.' || r == ',') && inside && unicode.IsDigit(runes[i-1]) && unicode.IsDigit(runes[i+1]):
		case (r == '\'' || r == '’') && inside && unicode.IsLetter(runes[i+1]):
		default:
			return i
		}
	}
	return i
}

func newWord(raw string, cashtag, mixedCase bool) word {
	upper := mixedCase && len(raw) > 1 && raw == strings.ToUpper(raw)
	text := strings.ToLower(strings.ReplaceAll(raw, "’", "'"))
	text = strings.TrimSuffix(text, "'s")
	w := word{text: text, weight: weightOfWord, fact: directions[text], capped: strings.ToLower(raw[:1]) != raw[:1]}
	switch {
	case strings.ContainsFunc(text, unicode.IsDigit):
		w.text = strings.ReplaceAll(text, ",", "")
		if strings.Contains(w.text, ".") { // 2.50 is 2.5
			w.text = strings.TrimRight(strings.TrimRight(w.text, "0"), ".")
		}
		w.fact, w.weight = w.text, weightOfName
	case cashtag:
		w.fact, w.weight = "$"+text, weightOfName
	case agencies[text]:
		w.weight = 0
	case stopWords[text]:
		w.weight = weightOfStop
	case commonWords[text]:
		w.weight = weightOfCommon
	case upper:
		w.weight = weightOfName
	}
	return w
}

// nameCapitals gives names their weight, unless capitals stand everywhere.
func nameCapitals(words []word) {
	capped, all := 0, 0
	for _, w := range words {
		if !w.cjk && w.weight >= weightOfCommon && w.fact == "" {
			all++
			if w.capped {
				capped++
			}
		}
	}
	if 3*capped > 2*all {
		return
	}
	for i := range words {
		if words[i].capped && words[i].weight == weightOfWord {
			words[i].weight = weightOfName
		}
	}
}

func isCJK(r rune) bool {
	return r > 0x2e7f && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul)
}

// Words that weigh otherwise. They are only read. The common ones are those that more than one
// of 150 financial texts in English has.
var (
	agencies  = setOf("reuters bloomberg cnbc marketwatch marketscreener wsj afp rtrs dpa xinhua pti")
	stopWords = setOf("a an the of to in on at for by with from and or but as is are was were be been has have had it its that this" +
		" these those will would can could may might says say said after before over into than their his her he she they we you i" +
		" our your my about what how why who which when where there here just also amid via per percent pct s t us uk amp")
	commonWords = setOf("stock stocks share shares market markets earnings results economy business trading quarter year china crore" +
		" inflation finance bank banks first second third announces financial global oil price prices call investors investor week month" +
		" company companies top next revenue ceo report reports billion million india rate rates deal trade group president fed capital" +
		" demand data one day eps sales gold futures target dollar economic fund funds record conference central government low street" +
		" strong investment update term nasdaq years take key new since open industry world supply sector chief ipo likely last bond" +
		" support expected outlook credit today firm services minister recession debt europe latest transcript vs presentation news" +
		" management health board index corporation inc corp ltd limited policy best close points point march june july august" +
		" production technologies technology tech hedge holdings international now get good big see time set hit back due off out" +
		" announce announced posts reported form analyst analysts action premarket regulatory announcement full show date conference call" +
		" release host schedule timing fourth fiscal half exchange futures net m bn k cents dividend declares appoints rating ratings price")
	directions = directionsOf(
		"up rise rises rose rising gain gains gained higher high jump jumps jumped climb climbs climbed surge surges surged soar soars"+
			" soared rally rallies beat beats upgrade upgrades upgraded raise raises raised increase increases increased buy"+
			" overweight outperform bullish positive more above 涨 升 增 买",
		"down fall falls fell falling lose loses lost loss losses lower drop drops dropped slip slips slipped slide slides slid plunge"+
			" plunges plunged tumble tumbles tumbled sink sinks sank miss misses missed downgrade downgrades downgraded cut cuts"+
			" decrease decreases decreased decline declines declined sell underweight underperform bearish negative less below 跌 降 减 卖",
		"not no never without 不 未")
)

func setOf(words string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(words) {
		set[w] = true
	}
	return set
}

// directionsOf maps words to what they say; words of one direction are one fact.
func directionsOf(up, down, not string) map[string]string {
	facts := map[string]string{}
	for fact, words := range map[string]string{"↑": up, "↓": down, "¬": not} {
		for _, w := range strings.Fields(words) {
			facts[w] = fact
		}
	}
	return facts
}
