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
	counts, share, since, window      string // formats
	colon, comma                      string
	held, atOnce, more                string
	kinds                             map[news.SpikeKind]string
	zone                              *time.Location
	zoneName                          string
}

var english = phrases{
	colon: ": ", comma: ", ", warning: "warning", critical: "critical", resolved: "resolved", over: "over", everything: "everything",
	counts: "%d %s of %d items in %s, %s expected", share: "share %s now, %s before", since: "since %s", window: "resolved %s",
	held: "%d alerts in quiet hours", atOnce: "%d alerts at once", more: "and %d more",
	kinds: map[news.SpikeKind]string{news.SpikeNegative: "negative", news.SpikePositive: "positive", news.SpikeVolume: "new"},
	zone:  time.UTC, zoneName: "UTC",
}

var chinese = phrases{
	colon: "：", comma: "，", warning: "警告", critical: "严重", resolved: "已恢复", over: "已恢复", everything: "全部",
	counts: "%[4]s内 %[3]d 条中 %[1]d 条%[2]s，预期 %[5]s 条", share: "占比 %s，此前 %s", since: "开始于 %s", window: "恢复于 %s",
	held: "免打扰时段内 %d 条警报", atOnce: "同时 %d 条警报", more: "另有 %d 条",
	kinds: map[news.SpikeKind]string{news.SpikeNegative: "负面", news.SpikePositive: "正面", news.SpikeVolume: "新增"},
	zone:  time.FixedZone("UTC+8", 8*3600), zoneName: "北京时间",
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

// title of an alert: "🔴 AAPL: critical".
func (p phrases) title(a news.Alert) string {
	sign, _ := mark(a)
	return sign + " " + p.series(a.Series) + p.colon + p.standing(a)
}

// numbers are the decision in lines of our own words.
func (p phrases) numbers(a news.Alert) []string {
	lines := []string{
		fmt.Sprintf(p.counts, a.Count(), p.kinds[a.Kind.OrNegative()], a.Items, p.length(a.Window), amount(a.Expected)),
		fmt.Sprintf(p.share, percent(a.Share), percent(a.ShareBefore)) + p.comma + fmt.Sprintf(p.since, p.time(a.StartedAt)),
	}
	if a.ResolvedAt != nil {
		lines = append(lines, fmt.Sprintf(p.window, p.time(*a.ResolvedAt)))
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
	return p.title(a) + p.comma + fmt.Sprintf(p.counts, a.Count(), p.kinds[a.Kind.OrNegative()], a.Items, p.length(a.Window), amount(a.Expected))
}

// markdownEscape takes from foreign words what either robot's markdown would parse: emphasis,
// links, pictures, headings, code, mentions and tags.
var markdownEscape = strings.NewReplacer(
	"\\", "＼", "*", "＊", "_", "＿", "`", "｀", "[", "［", "]", "］", "(", "（", ")", "）",
	"#", "＃", "<", "＜", ">", "＞", "~", "～", "|", "｜", "!", "！", "@", "＠", "&", "＆",
)

// foreign is words of the stream for a robot's markdown, harmless.
func foreign(s string, limit int) string { return markdownEscape.Replace(plain.Line(s, limit)) }

// evidenceLinks are the strongest texts as markdown list items.
func evidenceLinks(a news.Alert) []string {
	var lines []string
	for _, e := range strongest(a) {
		shown := foreign(headline(e), 200)
		if address := link(e.URL); address != "" {
			shown = "[" + shown + "](" + strings.NewReplacer("(", "%28", ")", "%29").Replace(address) + ")"
		}
		lines = append(lines, "- "+shown)
	}
	return lines
}

// robotMessage is a delivery as a title in plain text and lines in markdown.
func robotMessage(d Delivery, language string) (title string, lines []string) {
	p := phrasesOf(language)
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
		return p.digestTitle(*g), lines
	}
	for _, line := range p.numbers(d.Alert) {
		lines = append(lines, foreign(line, 300))
	}
	return p.title(d.Alert), append(lines, evidenceLinks(d.Alert)...)
}
