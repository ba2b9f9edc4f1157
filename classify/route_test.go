package classify

import "testing"

func TestRoute(t *testing.T) {
	both := [][]string{{"en"}, {"zh"}}
	for _, c := range []struct {
		name, lang, text string
		served           [][]string
		bundle           int
		language         string
	}{
		{"English", "", "Tesla shares fall after recall", both, 0, "en"},
		{"Chinese", "", "贵州茅台股价大跌", both, 1, "zh"},
		{"a cashtag is no word", "", "$BABA 跌停", both, 1, "zh"},
		{"a cashtag against Chinese", "", "$BABA跌停", both, 1, "zh"},
		{"tags, mentions and links are no words", "", "#AAPL #Earnings @cnbc https://t.co/abc 大涨", both, 1, "zh"},
		{"a ticker without a sign", "", "BABA 跌停", both, 1, "zh"},
		{"Latin names in a Chinese text", "", "特斯拉 Tesla Model Y 降价", both, 1, "zh"},
		{"a Chinese name in an English text", "", "阿里巴巴 BABA upgraded to buy by Morgan Stanley", both, 0, "en"},
		{"as many characters as words", "", "Tesla Model 降价", both, 1, "zh"},
		{"numbers do not count", "", "2024 Q3 净利 +12.5%", both, 1, "zh"},
		{"a given language decides", "en", "贵州茅台股价大跌", both, 0, "en"},
		{"region and script are cut off", "zh-Hant_TW", "Tesla", both, 1, "zh"},
		{"capitals", "ZH", "Tesla", both, 1, "zh"},
		{"a given language that none serves: by script, and kept", "fr", "Tesla rappelle des voitures", both, 0, "fr"},
		{"the same in Chinese letters", "yue", "股價大跌", both, 1, "yue"},
		{"undetermined", "und", "股价大跌", both, 1, "zh"},
		{"Japanese goes to Chinese", "", "トヨタの株価が急落", both, 1, "ja"},
		{"Japanese goes to Japanese", "", "トヨタの株価が急落", [][]string{{"en"}, {"zh"}, {"ja"}}, 2, "ja"},
		{"Korean goes to the first", "", "삼성전자 주가 급락", both, 0, "ko"},
		{"other scripts go to the first and have no name", "", "Сбербанк упал", both, 0, ""},
		{"nothing", "", "", both, 0, ""},
		{"only a number", "", "12.5 %", [][]string{{"zh"}, {"en"}}, 0, ""},
		{"the order is the preference", "", "Tesla falls", [][]string{{"zh"}, {"en"}}, 1, "en"},
		{"of two that serve a language the first", "", "Tesla falls", [][]string{{"zh"}, {"en"}, {"en", "zh"}}, 1, "en"},
		{"a bundle without languages is a default", "", "Tesla falls", [][]string{nil}, 0, "en"},
		{"only English at hand", "", "股价大跌", [][]string{{"en"}}, 0, "zh"},
		{"invalid UTF-8", "", "\xff\xfe Tesla \xe8\xb7", both, 0, "en"},
	} {
		bundle, language := Route(c.lang, c.text, c.served)
		if bundle != c.bundle || language != c.language {
			t.Errorf("%s: Route(%q, %q) = %d, %q, want %d, %q", c.name, c.lang, c.text, bundle, language, c.bundle, c.language)
		}
	}
}
