package alert

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

// slackMessage is an alert in Block Kit and, for notifications and screen readers, as text.
// Buttons are there where somebody listens to them, while the alert is on.
//
// Whatever comes from the stream stands in plain_text and rich_text, which Slack does not
// parse: no mention, link or format can be smuggled in. Only our own words and numbers
// are mrkdwn. The text is mrkdwn by nature and therefore escaped.
// Limits (docs.slack.dev/reference/block-kit/blocks): header 150 characters, a text or
// field 3000 and 2000, 50 blocks; clean keeps all far below.
func slackMessage(d Delivery, buttons bool) (blocks []slack.Block, text string) {
	a := d.Alert
	blocks = []slack.Block{
		slack.NewHeaderBlock(plainText(headerOf(a))),
		slack.NewRichTextBlock("", slack.NewRichTextSection(words(a.Reason+"."))),
	}
	if list := headlines(a); list != nil {
		blocks = append(blocks, slack.NewRichTextBlock("", list))
	}
	blocks = append(blocks, slack.NewSectionBlock(nil, facts(a), nil))
	if pages := consoleLinks(d); pages != nil {
		blocks = append(blocks, pages)
	}
	if notes := notesOf(a); len(notes) > 0 {
		blocks = append(blocks, slack.NewContextBlock("", notes...))
	}
	if buttons && a.Status == news.Firing {
		blocks = append(blocks, alertButtons(a))
	}
	return append(blocks, slack.NewContextBlock("", *plainText(footer(d)))), fallback(a)
}

func plainText(s string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.PlainTextType, s, false, false)
}

// facts are what the sentence does not say, two a row. Times are shown in each reader's own zone.
func facts(a news.Alert) []*slack.TextBlockObject {
	var fields []*slack.TextBlockObject
	if compared := shares(a); compared != "" {
		fields = append(fields, fact("Share that is "+countedWord(a), compared))
	}
	fields = append(fields,
		fact("Told by", a.ToldBy()),
		fact("Since", slackDate(a.StartedAt)))
	if a.ResolvedAt != nil {
		return append(fields, fact("Resolved", slackDate(*a.ResolvedAt)))
	}
	return append(fields, fact("Noticed", slackDate(a.FiredAt)))
}

// consoleLinks leads to the console; nil where its address is not known.
func consoleLinks(d Delivery) slack.Block {
	var elements []slack.RichTextSectionElement
	for i, p := range pagesOf(d, english) {
		if i > 0 {
			elements = append(elements, slack.NewRichTextSectionTextElement(" · ", nil))
		}
		elements = append(elements, slack.NewRichTextSectionLinkElement(p.URL, p.Text, nil))
	}
	if elements == nil {
		return nil
	}
	return slack.NewRichTextBlock("", slack.NewRichTextSection(elements...))
}

// fact takes our own words only: they are parsed as mrkdwn.
func fact(title, value string) *slack.TextBlockObject {
	return ours("*" + title + "*\n" + value)
}

// slackDate is shown in the reader's zone and language; the fallback is in UTC.
// docs.slack.dev/messaging/formatting-message-text#date-formatting
func slackDate(t time.Time) string {
	return fmt.Sprintf("<!date^%d^{date_short_pretty}, {time}|%s>", t.Unix(), utc(t))
}

func words(s string) slack.RichTextSectionElement {
	return slack.NewRichTextSectionTextElement(plain.Line(s, 1000), nil)
}

// headlines are the strongest texts.
func headlines(a news.Alert) slack.RichTextElement {
	var items []slack.RichTextElement
	for _, e := range a.Evidence {
		items = append(items, evidenceLine(a, e))
	}
	if len(items) == 0 {
		return nil
	}
	return slack.NewRichTextList(slack.RTEListBullet, 0, items...)
}

// evidenceLine is a text, linked where its address is one to click on.
func evidenceLine(a news.Alert, e news.Evidence) *slack.RichTextSection {
	var shown slack.RichTextSectionElement = slack.NewRichTextSectionTextElement(headline(e), nil)
	if address := plain.Link(e.URL); address != "" {
		shown = slack.NewRichTextSectionLinkElement(address, headline(e), nil)
	}
	line := slack.NewRichTextSection(shown)
	if said := saidBy(a, e); said != "" {
		line.Elements = append(line.Elements, slack.NewRichTextSectionTextElement(" "+said, nil))
	}
	return line
}

// shownNotes is how many notes a message shows, the newest.
const shownNotes = 5

// notesOf says what people did about the alert. Corrections stand at their texts.
func notesOf(a news.Alert) []slack.MixedElement {
	var notes []slack.MixedElement
	for _, n := range a.Notes {
		switch {
		case n.Did == news.Acknowledged:
			notes = append(notes, ours("Acknowledged by "+who(n.By)))
		case n.Did == news.Muted && n.Until.IsZero():
			notes = append(notes, ours("Muted by "+who(n.By)+" until this is resolved"))
		case n.Did == news.Muted:
			notes = append(notes, ours("Muted by "+who(n.By)+" until "+slackDate(n.Until)))
		}
	}
	return notes[max(0, len(notes)-shownNotes):]
}

var slackUser = regexp.MustCompile(`^slack:([UW][A-Z0-9]{2,20})$`)

// who is a mention for people of Slack, else their name as the place knows it, without
// anything that mrkdwn would take for markup.
func who(by string) string {
	if id := slackUser.FindStringSubmatch(by); id != nil {
		return "<@" + id[1] + ">"
	}
	return slackEscape.Replace(strings.NewReplacer("*", "", "_", " ", "~", "", "`", "").Replace(plain.Line(by, 60)))
}

// ours takes our own words only: they are parsed as mrkdwn.
func ours(words string) *slack.TextBlockObject {
	return slack.NewTextBlockObject(slack.MarkdownType, words, false, true)
}

func footer(d Delivery) string {
	parts := []string{"alert " + d.Alert.ID}
	if m := model(d.Alert.Model); m != "" {
		parts = append([]string{"read by " + m}, parts...)
	}
	if d.Revision > 1 {
		parts = append(parts, fmt.Sprintf("message %d", d.Revision))
	}
	return strings.Join(parts, " · ")
}

var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

func fallback(a news.Alert) string {
	return slackEscape.Replace(fmt.Sprintf("%s. %s.", headerOf(a), plain.Line(a.Reason, 1000)))
}
