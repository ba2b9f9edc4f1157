package classify

import (
	"math/bits"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

// near is how the trend stage tells a near copy: the same facts, and few other bits that differ.
func near(t testing.TB, a, b string) bool {
	t.Helper()
	x, y := parsed(t, TextSketch(a)), parsed(t, TextSketch(b))
	return x>>48 == y>>48 && bits.OnesCount64(x^y) <= 6
}

func parsed(t testing.TB, sketch string) uint64 {
	t.Helper()
	x, err := strconv.ParseUint(sketch, 16, 64)
	if err != nil || len(sketch) != 16 {
		t.Fatalf("sketch %q: %v; want 16 hex digits", sketch, err)
	}
	return x
}

func TestTextSketchTellsNearCopies(t *testing.T) {
	const story, chinese = "Boeing suppliers slip as Wall Street counts the costs of the 737 MAX halt", "波音宣布明年1月暂停生产737 MAX飞机，供应商股价普遍下跌，华尔街估算停产损失"
	for _, copied := range [][2]string{
		{story, "UPDATE 2-Boeing suppliers slip as Wall Street counts the costs of the 737 MAX halt"},
		{story, "RT @markets: Boeing suppliers slip as Wall Street counts the costs of the 737 MAX halt https://t.co/x"},
		{story, "Boeing suppliers slip as Wall Street counts the costs of the 737 MAX halt - CNBC"},
		{story, "BOEING SUPPLIERS SLIP AS WALL STREET COUNTS THE COSTS OF THE 737 MAX HALT"},
		{story, "Boeing suppliers slip, as Wall Street counts costs of the 737 MAX halt"},
		{story, "Boeing suppliers slip as Wall Street counts the costs of “737 MAX” halt!"},
		{"Tom &amp; Jerry Inc. raises $2.50 billion from pension funds", "Tom & Jerry Inc. raises $2.5 billion from pension funds"},
		{chinese, "财联社12月17日电，" + chinese},
		{chinese, chinese + "（澎湃新闻）"},
		{chinese, "波音宣布：明年1月暂停生产737 MAX飞机，供应商股价普遍下跌，华尔街估算停产损失。"},
		{"ＢＯＥＩＮＧ suppliers slip as Wall Street counts the costs of the halt", "BOEING suppliers slip as Wall Street counts the costs of the halt"},
	} {
		if !near(t, copied[0], copied[1]) {
			t.Errorf("no copies:\n%s\n%s", copied[0], copied[1])
		}
	}
	for _, other := range [][2]string{
		{"$AAPL stock rises 2% after the company reports its results", "$MSFT stock rises 2% after the company reports its results"},
		{"AAPL stock rises 2% in premarket trading on Monday", "MSFT stock rises 3% in premarket trading on Monday"},
		{"Apple price target raised to $200 from $180 at Citi on demand", "Apple price target raised to $210 from $180 at Citi on demand"},
		{"Apple shares rise after the court rules on its App Store", "Apple shares fall after the court rules on its App Store"},
		{"Apple will appeal the ruling of the court on its App Store fees", "Apple will not appeal the ruling of the court on its App Store fees"},
		{"沪指收盘涨1.2%，两市成交额突破万亿元", "沪指收盘涨0.8%，两市成交额突破万亿元"},
		{"比亚迪股价收盘上涨，成交额创新高，机构看好", "比亚迪股价收盘下跌，成交额创新高，机构看好"},
		{story, chinese},
		{story, "Airbus delivers record number of jets as rivals struggle with supply in 2019"},
	} {
		if near(t, other[0], other[1]) {
			t.Errorf("taken for copies:\n%s\n%s", other[0], other[1])
		}
	}
}

func TestTextSketchOfShortTexts(t *testing.T) {
	for _, text := range []string{"", " ", "https://t.co/x", "$BA falls", "the of and to in", "跌停", "🙂🙂🙂", "good news!", strings.Repeat("no ", 100)} {
		if got := TextSketch(text); got != "" {
			t.Errorf("%q has sketch %s, want none", text, got)
		}
	}
}

// Whatever comes, a sketch is one, and the same for what differs in links, case and space only.
func FuzzTextSketch(f *testing.F) {
	f.Add("Boeing's suppliers slip 2.5% &amp; “more” RT @x: $BA 12月17日电，")
	f.Add("\xff\xfe 1,2.3.,4 'a' ’’ ﷺﷺﷺ")
	f.Add("财联社1月10日电，（财联社）ｶﾞ１２３％ 한국어 กำ")
	f.Add("&#x24;&lt;&#0;$1.0.0.0 ..... 0,,,0")
	f.Fuzz(func(t *testing.T, text string) {
		sketch := TextSketch(text)
		if sketch == "" {
			return
		}
		parsed(t, sketch)
		if again := TextSketch(text); again != sketch {
			t.Errorf("%q has sketches %s and %s", text, sketch, again)
		}
		if linked := "\n" + text + "\n https://t.co/x "; utf8.ValidString(text) && TextSketch(linked) != sketch {
			t.Errorf("%q has another sketch with a link behind it", text)
		}
	})
}

func BenchmarkTextSketch(b *testing.B) {
	const story = "Boeing suppliers slip as Wall Street counts the costs of the 737 MAX halt"
	for b.Loop() {
		TextSketch(story)
	}
}
