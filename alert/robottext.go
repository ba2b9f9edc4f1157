package alert

import (
	"fmt"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

// phrases are our own words in a robot's language.
type phrases struct {
	warning, critical, resolved, over string
	everything                        string
	counts, volume, share, since      string // formats
	until                             string // likewise
	colon, comma                      string
	held, atOnce, more                string
	kinds, tells                      map[news.SpikeKind]string
	thisAlert, ofSeries, console      string // the console's pages; ofSeries is a format
	zone                              *time.Location
	zoneName                          string
}

var english = phrases{
	colon: ": ", comma: ", ", warning: "warning", critical: "critical", resolved: "resolved", over: "over", everything: "everything",
	counts: "%d %s of %d items in %s, %s expected", volume: "%d items in %s, %s expected",
	share: "%s %s now, %s before", since: "since %s", until: "resolved %s",
	held: "%d alerts in quiet hours", atOnce: "%d alerts at once", more: "and %d more",
	kinds:     map[news.SpikeKind]string{news.SpikeNegative: "negative", news.SpikePositive: "positive"},
	tells:     map[news.SpikeKind]string{news.SpikeNegative: "bad news", news.SpikePositive: "good news", news.SpikeVolume: "much news"},
	thisAlert: "This alert in the console", ofSeries: "%s in the console", console: "The console",
	zone: time.UTC, zoneName: "UTC",
}

var chinese = phrases{
	colon: "：", comma: "，", warning: "警告", critical: "严重", resolved: "已恢复", over: "已恢复", everything: "全部",
	counts: "%[4]s内 %[3]d 条中 %[1]d 条%[2]s，预期 %[5]s 条", volume: "%[2]s内 %[1]d 条，预期 %[3]s 条",
	share: "%s占比 %s，此前 %s", since: "开始于 %s", until: "恢复于 %s",
	held: "免打扰时段内 %d 条警报", atOnce: "同时 %d 条警报", more: "另有 %d 条",
	kinds:     map[news.SpikeKind]string{news.SpikeNegative: "负面", news.SpikePositive: "正面"},
	tells:     map[news.SpikeKind]string{news.SpikeNegative: "负面消息", news.SpikePositive: "正面消息", news.SpikeVolume: "消息激增"},
	thisAlert: "在控制台查看此警报", ofSeries: "在控制台查看 %s", console: "控制台",
	zone: time.FixedZone("UTC+8", 8*3600), zoneName: "北京时间",
}

func phrasesOf(language string) phrases {
	if language == "en" {
		return english
	}
	return chinese
}

func (p phrases) time(t time.Time) string {
	return t.In(p.zone).Format("2006-01-02 15:04") + " " + p.zoneName
}

func (p phrases) length(d news.Duration) string {
	words := d.Words()
	if p.zoneName != chinese.zoneName {
		return words
	}
	return strings.NewReplacer(" min", " 分钟", " h", " 小时").Replace(words)
}

func (p phrases) series(s news.Series) string {
	if s == (news.Series{}) {
		return p.everything
	}
	return name(s)
}

// standing is the severity, or that it is over.
func (p phrases) standing(a news.Alert) string {
	switch {
	case a.Status == news.Resolved:
		return p.resolved
	case a.Severity == news.Critical:
		return p.critical
	}
	return p.warning
}

// title of an alert: "🔴 AAPL: bad news, critical".
func (p phrases) title(a news.Alert) string {
	sign, _ := mark(a)
	return sign + " " + p.series(a.Series) + p.colon + p.tells[a.Kind.OrNegative()] + p.comma + p.standing(a)
}

// counted is what came, and what was expected.
func (p phrases) counted(a news.Alert) string {
	if a.Kind == news.SpikeVolume {
		return fmt.Sprintf(p.volume, a.Items, p.length(a.Window), news.Amount(a.Expected))
	}
	return fmt.Sprintf(p.counts, a.Count(), p.kinds[a.Kind.OrNegative()], a.Items, p.length(a.Window), news.Amount(a.Expected))
}

// numbers are the decision in lines of our own words.
func (p phrases) numbers(a news.Alert) []string {
	since := fmt.Sprintf(p.since, p.time(a.StartedAt))
	if kind := p.kinds[a.Kind.OrNegative()]; kind != "" {
		since = fmt.Sprintf(p.share, kind, percent(a.Share), percent(a.ShareBefore)) + p.comma + since
	}
	lines := []string{p.counted(a), since}
	if a.ResolvedAt != nil {
		lines = append(lines, fmt.Sprintf(p.until, p.time(*a.ResolvedAt)))
	}
	return lines
}

// digestTitle is a digest in one line.
func (p phrases) digestTitle(g Digest) string {
	format := p.atOnce
	if g.Held {
		format = p.held
	}
	return g.severest() + " " + fmt.Sprintf(format, len(g.Alerts))
}

// digestLine is an alert in a digest's list.
func (p phrases) digestLine(a news.Alert) string {
	sign, _ := mark(a)
	return sign + " " + p.series(a.Series) + p.colon + p.standing(a) + p.comma + p.counted(a)
}

// markdownEscape takes from foreign words what either robot's markdown would parse: emphasis,
// links, pictures, headings, code, mentions and tags.
var markdownEscape = strings.NewReplacer(
	"\\", "＼", "*", "＊", "_", "＿", "`", "｀", "[", "［", "]", "］", "(", "（", ")", "）",
	"#", "＃", "<", "＜", ">", "＞", "~", "～", "|", "｜", "!", "！", "@", "＠", "&", "＆",
)

// foreign is words of the stream for a robot's markdown, harmless.
func foreign(s string, limit int) string { return markdownEscape.Replace(plain.Line(s, limit)) }

// markdownLink takes a text that is harmless already.
func markdownLink(text, address string) string {
	return "[" + text + "](" + strings.NewReplacer("(", "%28", ")", "%29").Replace(address) + ")"
}

// evidenceLinks are the strongest texts as markdown list items.
func evidenceLinks(a news.Alert) []string {
	var lines []string
	for _, e := range a.Evidence {
		shown := foreign(headline(e), 200)
		if address := plain.Link(e.URL); address != "" {
			shown = markdownLink(shown, address)
		}
		if source := foreign(e.Source, 40); source != "" {
			shown += " — " + source
		}
		lines = append(lines, "- "+shown)
	}
	return lines
}

// robotMessage is a delivery as a title in plain text and lines in markdown.
func robotMessage(d Delivery, language string) (title string, lines []string) {
	p := phrasesOf(language)
	var pages []string
	for _, page := range pagesOf(d, p) {
		pages = append(pages, markdownLink(foreign(page.Text, 200), page.URL))
	}
	if g := d.Digest; g != nil {
		bundles, left := g.bundles()
		for _, b := range bundles {
			if b.title != "" {
				lines = append(lines, "**"+foreign(b.title, 100)+"**")
			}
			for _, a := range b.alerts {
				lines = append(lines, "- "+foreign(p.digestLine(a), 300))
			}
		}
		if left > 0 {
			lines = append(lines, fmt.Sprintf(p.more, left))
		}
		return p.digestTitle(*g), append(lines, pages...)
	}
	for _, line := range p.numbers(d.Alert) {
		lines = append(lines, foreign(line, 300))
	}
	return p.title(d.Alert), append(append(lines, evidenceLinks(d.Alert)...), pages...)
}
