package alert

import (
	"fmt"

	"github.com/slack-go/slack"

	"github.com/barograph/barograph/internal/plain"
)

// slackDigest is a digest in Block Kit: a list for each bundle, each line with the strongest
// text behind it. As in slackMessage, foreign words stand where Slack does not parse them.
func slackDigest(d Delivery) (blocks []slack.Block, text string) {
	g := *d.Digest
	header := g.severest() + " " + g.title()
	blocks = []slack.Block{
		slack.NewHeaderBlock(plainText(header)),
		slack.NewContextBlock("", ours(g.standing()+". Since "+slackDate(g.Since)+".")),
	}
	bundles, left := g.bundles()
	for _, b := range bundles[:min(len(bundles), 20)] {
		title := plain.Line(b.title, 100)
		if title == "" && len(bundles) > 1 {
			title = "Others"
		}
		var elements []slack.RichTextElement
		if title != "" {
			elements = append(elements, slack.NewRichTextSection(slack.NewRichTextSectionTextElement(title, &slack.RichTextSectionTextStyle{Bold: true})))
		}
		var lines []slack.RichTextElement
		for _, a := range b.alerts {
			line := slack.NewRichTextSection(words(listLine(a)))
			if address := alertPage(d.Console, a); address != "" {
				line = slack.NewRichTextSection(slack.NewRichTextSectionLinkElement(address, plain.Line(listLine(a), 300), nil))
			}
			for _, e := range a.Evidence[:min(1, len(a.Evidence))] {
				line.Elements = append(line.Elements, slack.NewRichTextSectionTextElement(". ", nil), evidenceLine(a, e).Elements[0])
			}
			lines = append(lines, line)
		}
		blocks = append(blocks, slack.NewRichTextBlock("", append(elements, slack.NewRichTextList(slack.RTEListBullet, 0, lines...))...))
	}
	if left > 0 {
		blocks = append(blocks, slack.NewContextBlock("", ours(fmt.Sprintf("and %d more", left))))
	}
	if pages := consoleLinks(d); pages != nil {
		blocks = append(blocks, pages)
	}
	return append(blocks, slack.NewContextBlock("", *plainText(footer(d)))), slackEscape.Replace(header + ": " + g.standing() + ".")
}
