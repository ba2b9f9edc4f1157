package watch_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/barograph/barograph/ingest/watch"
	"github.com/barograph/barograph/news"
)

var entries = []watch.Entry{
	{ID: "AAPL", Names: []string{"Apple", "Apple Inc", "苹果公司", "アップル"}},
	{ID: "APLE", Names: []string{"Apple Hospitality"}},
	{ID: "F", Names: []string{"Ford", "福特"}},
	{ID: "FM", Names: []string{"Ford Mot"}}, // ends inside a word of "Ford Motor"
	{ID: "META", Names: []string{"=META", "Facebook"}},
	{ID: "BABA", Names: []string{"Alibaba", "阿里巴巴", "$BABAF", "阿里Cloud"}},
	{ID: "MCD", Names: []string{"McDonald's"}},
	{ID: "NESN", Names: []string{"Nestlé"}},
	{ID: "BAC", Names: []string{"Bank of America"}},
	{ID: "US", Names: []string{"America"}},
	{ID: "YHOO", Names: []string{"Yahoo!"}},
	{ID: "T", Names: []string{"AT&T", "美国电话电报"}},
	{ID: "0700.HK", Names: []string{"腾讯", "Tencent"}},
	{ID: "TME", Names: []string{"腾讯音乐"}},
	{ID: "SBER", Names: []string{"Сбербанк"}},
	{ID: "CF1", Names: []string{"Shared Name"}},
	{ID: "CF2", Names: []string{"shared name"}},
}

func list(t testing.TB, entries []watch.Entry) *watch.List {
	t.Helper()
	l, err := watch.New(entries)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestTag(t *testing.T) {
	l := list(t, entries)
	for _, c := range []struct {
		text string
		want string // joined by spaces
	}{
		// Cashtags.
		{"$AAPL and $brk.b rally", "AAPL BRK.B"},
		{"$BRK.B.", "BRK.B"},
		{"$TSLA.Next sentence", "TSLA"},
		{"$VOD.L $BABA.HK", "BABA.HK VOD.L"},
		{"$100, $5M, $1.5bn, US$AAPL, $$GME", "GME"},
		{"$ABCDEFG is too long, $AAPL2 no ticker, $AAPL_X neither", ""},
		{"（$BABA跌停）", "BABA"},
		{"＄ＡＡＰＬ full width", "AAPL"},
		{"$BABAF is an alias", "BABA"},
		{"$", ""},
		{"$F", "F"},

		// Latin names: any case, whole words.
		{"APPLE's sales", "AAPL"},
		{"apple", "AAPL"},
		{"Applebee's pineapple Apples", ""},
		{"#Apple (Apple), “Apple”", "AAPL"},
		{"Apple™ and Apple®", "AAPL"},
		{"AppleTM", ""},
		{"Ａｐｐｌｅ　Ｉｎｃ", "AAPL"},
		{"App\u200ble", "AAPL"},
		{"Apple Hospitality REIT", "APLE"},
		{"Apple Hospitality and Apple", "AAPL APLE"},
		{"Ford Motor", "F"},
		{"Affordable", ""},
		{"META soars", "META"},
		{"meta analysis, Meta", ""},
		{"McDonald’s and mcdonald's", "MCD"},
		{"Nestle\u0301 cuts", "NESN"},
		{"NESTLÉ", "NESN"},
		{"Nestle", ""},
		{"Bank of America", "BAC"},
		{"Bank\n of\u00a0America", "BAC"},
		{"banks of America", "US"},
		{"Yahoo!Finance", "YHOO"},
		{"AT&T", "T"},
		{"СБЕРБАНК сегодня", "SBER"},
		{"Сбербанка", ""}, // inflected: list the form
		{"SHARED NAME", "CF1 CF2"},

		// Names without spaces around them.
		{"苹果公司股价下跌", "AAPL"},
		{"我买了苹果", ""},
		{"发布Apple手机", "AAPL"},
		{"アップルの株", "AAPL"},
		{"腾讯音乐大跌", "TME"},
		{"腾讯与腾讯音乐", "0700.HK TME"},
		{"阿里Cloud涨", "BABA"},
		{"阿里Clouds", ""},

		// Foreign bytes.
		{"Apple\xff", "AAPL"},
		{"\xe8\x8b", ""},
		{"", ""},
	} {
		got := l.Tag(news.Item{Text: c.text})
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: %q, want %q", c.text, got, c.want)
		}
	}
}

func TestTagKeepsTheItemsOwnEntities(t *testing.T) {
	l := list(t, entries)
	it := news.Item{Title: "Ford falls", Text: "as does $TSLA",
		Entities: []string{" IBM ", "", "F", "with\x1fseparator", strings.Repeat("x", 65)}}
	if got := l.Tag(it); !slices.Equal(got, []string{"F", "IBM", "TSLA"}) {
		t.Errorf("got %q", got)
	}
	var own, tickers []string
	for i := range 64 { // as many as a message may bring
		own = append(own, fmt.Sprintf("E%02d", i))
		tickers = append(tickers, fmt.Sprintf("$Z%c%c", 'A'+i/26, 'A'+i%26))
	}
	got := l.Tag(news.Item{Text: strings.Join(tickers, " "), Entities: own})
	if len(got) != len(own)+watch.Most || !slices.Equal(got[:len(own)], own) {
		t.Errorf("an item with 64 entities and as many cashtags gets %q", got)
	}
}

func TestEmptyList(t *testing.T) {
	if got := list(t, nil).Tag(news.Item{Text: "Apple $AAPL"}); !slices.Equal(got, []string{"AAPL"}) {
		t.Errorf("got %q", got)
	}
}

func TestNewRefuses(t *testing.T) {
	for name, e := range map[string]watch.Entry{
		"no id":             {Names: []string{"Apple"}},
		"separator in id":   {ID: "A\x1fB"},
		"broken id":         {ID: "\xff"},
		"endless id":        {ID: strings.Repeat("A", 65)},
		"empty name":        {ID: "A", Names: []string{""}},
		"name of no letter": {ID: "A", Names: []string{" – "}},
		"bare marker":       {ID: "A", Names: []string{"="}},
		"sum of money":      {ID: "A", Names: []string{"$100"}},
	} {
		if _, err := watch.New([]watch.Entry{e}); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// slowTag is Tag by plain search, for names of small letters without spaces.
func slowTag(names []string, text string) []string {
	var out []string
	word := func(i int) bool { return i >= 0 && i < len(text) && text[i] >= 'a' && text[i] <= 'z' }
	for at := 0; at < len(text); {
		longest := ""
		for _, n := range names {
			if strings.HasPrefix(text[at:], n) && !word(at-1) && !word(at+len(n)) && len(n) > len(longest) {
				longest = n
			}
		}
		if longest != "" && !slices.Contains(out, longest) {
			out = append(out, longest)
		}
		at += max(1, len(longest))
	}
	slices.Sort(out)
	return out
}

// The automaton finds what plain search finds: names within names, at either end of others.
func FuzzNamesLikePlainSearch(f *testing.F) {
	f.Add("a,ab,abc,b.a,bc", "abc ab a b.a bc.b.abc")
	f.Add("a.a,a.a.a,a", "a.a.a.a.a")
	f.Add("b,a.b,c.a", "c.a.b")
	f.Fuzz(func(t *testing.T, names, text string) {
		keep := func(r rune) rune {
			if 'a' <= r && r <= 'c' || r == '.' || r == ',' {
				return r
			}
			return '.'
		}
		var list []watch.Entry
		var plain []string
		for _, n := range strings.Split(strings.Map(keep, names), ",") {
			n = strings.Trim(n, ".") // edges are letters, as slowTag wants
			if n != "" && len(n) < 64 && !slices.Contains(plain, n) && len(plain) < watch.Most {
				plain = append(plain, n)
				list = append(list, watch.Entry{ID: n, Names: []string{n}})
			}
		}
		text = strings.ReplaceAll(strings.Map(keep, text), ",", ".")
		if len(text) > 64<<10 {
			t.Skip()
		}
		l, err := watch.New(list)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := l.Tag(news.Item{Text: text}), slowTag(plain, text); !slices.Equal(got, want) {
			t.Errorf("names %q in %q: %q, want %q", plain, text, got, want)
		}
	})
}

func FuzzTagForeignText(f *testing.F) {
	l, err := watch.New(entries)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("$BABA 跌停 Apple", "A\x1f")
	f.Add("\xff$\xffA＄Ｂ", "")
	f.Fuzz(func(t *testing.T, text, own string) {
		got := l.Tag(news.Item{Text: text, Entities: []string{own}})
		if len(got) > watch.Most+1 || !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Errorf("%q: not sorted, unique and bounded: %q", text, got)
		}
		for _, id := range got {
			if id == "" || !utf8.ValidString(id) || strings.ContainsAny(id, "\x00\x1f\n") {
				t.Errorf("%q: entity %q", text, id)
			}
		}
	})
}

// A megabyte of matches, and of combining marks, costs what 64 kB do.
func BenchmarkTag(b *testing.B) {
	l := list(b, entries)
	for name, text := range map[string]string{
		"headline": "Apple Hospitality falls 3% as 腾讯 and $BABA slide, Bank of America says",
		"matches":  strings.Repeat("腾讯音乐Apple ", 60000),
		"dollars":  strings.Repeat("$", 1<<20),
		"marks":    "e" + strings.Repeat("\u0301", 1<<19),
		"letters":  strings.Repeat("A", 1<<20),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				l.Tag(news.Item{Text: text})
			}
		})
	}
}

// Finding companies takes no memory but for the list of them, and the tickers that are on no
// watch list.
func TestTagAllocatesWhatItFinds(t *testing.T) {
	l := list(t, entries)
	for text, own := range map[string]float64{
		"Stocks fall as yields rise, 股市下跌": 0,
		"$BABAF slides":                                 1, // on the list
		"$XYZ slides, and so does $XYZ.B":               3,
		strings.Repeat("Nobody knows anything. ", 1000): 0,
		"Prices of $5M and $100 houses":                 0,
	} {
		item := news.Item{Text: text}
		l.Tag(item) // finds its memory
		if got := testing.AllocsPerRun(200, func() { l.Tag(item) }); got != own {
			t.Errorf("%.40s: %v allocations, want %v", text, got, own)
		}
	}
}
