package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

// Picture is how a series stands now, for an answer to a person.
type Picture struct {
	Series      news.Series
	Kind        news.SpikeKind // what is counted; "" = negative
	Length      time.Duration  // of the window that stands out most; 0 = none is worth a look
	Items       int            // in the window, as in news.Window
	Count       int            // of them, those of the kind
	Expected    float64        // of the kind, that the series' past leads one to expect in it
	ShareBefore float64        // usual share of the kind, 0..1
	Surprise    float64        // as in news.Spike
	TooFew      bool           // the rule abstains: too few items of the kind to tell
	DayItems    []int          // items of each of the last 24 hours, the latest last
	DayCounts   []int          // of them, those of the kind
}

// ErrUnknownSeries is Picture's error for words that name nothing that was counted.
var ErrUnknownSeries = errors.New("nothing was counted under this name")

// command answers `/barograph AAPL` with the series' picture, to the one who asked.
func (s *SlackActions) command(ctx context.Context, c slack.SlashCommand) {
	if !s.here(ctx, c.TeamID, c.ChannelID) {
		s.presses.WithLabelValues("command", "ignored").Inc()
		if c.TeamID == s.team {
			s.answer(ctx, c.ResponseURL, slack.MsgOptionText("Barograph answers in the channels that it sends alerts to.", false))
		}
		return
	}
	blocks, text, err := s.picture(ctx, strings.TrimSpace(c.Text))
	if err != nil {
		s.presses.WithLabelValues("command", "failed").Inc()
		s.log.Warn("slack: a command failed", "error", err)
		s.answer(ctx, c.ResponseURL, slack.MsgOptionText(apology(err), false))
		return
	}
	s.presses.WithLabelValues("command", "done").Inc()
	s.answer(ctx, c.ResponseURL, slack.MsgOptionText(text, false), slack.MsgOptionBlocks(blocks...))
}

func (s *SlackActions) picture(ctx context.Context, words string) ([]slack.Block, string, error) {
	if s.cfg.Picture == nil {
		return nil, "", errors.New("this command is not served here")
	}
	p, err := s.cfg.Picture(ctx, words)
	if errors.Is(err, ErrUnknownSeries) {
		text := fmt.Sprintf("Nothing was counted under %q in the last day. Try a company's ticker (AAPL), a company and a topic "+
			"(AAPL / Earnings), a topic (/ Earnings), or nothing for everything.", plain.Line(words, 100))
		return []slack.Block{slack.NewSectionBlock(plainText(text), nil, nil)}, slackEscape.Replace(text), nil
	}
	if err != nil {
		return nil, "", err
	}
	open, err := s.cfg.Desk.Open(ctx)
	if err != nil {
		return nil, "", err
	}
	blocks, text := slackPicture(p, open)
	if address := seriesPage(s.cfg.Desk.cfg.Console, p.Series); address != "" {
		blocks = append(blocks, slack.NewRichTextBlock("", slack.NewRichTextSection(
			slack.NewRichTextSectionLinkElement(address, fmt.Sprintf(english.ofSeries, name(p.Series)), nil))))
	}
	return blocks, text, nil
}

// slackPicture is the answer: what stands out, the day hour by hour, and the alerts that are
// open for the company or topic.
func slackPicture(p Picture, open []news.Alert) (blocks []slack.Block, text string) {
	kind := string(p.Kind.OrNegative())
	counted, usually := fmt.Sprintf("%d %s of %s", p.Count, kind, news.Counted(p.Items, "item")),
		fmt.Sprintf(" Usually %s of its texts are %s.", percent(p.ShareBefore), kind)
	day := fmt.Sprintf("Last 24 h, an hour a bar\n%-*s  %s  %d", len(kind), "items", sparkline(p.DayItems), total(p.DayItems))
	if p.Kind == news.SpikeVolume {
		counted, usually = news.Counted(p.Items, "item"), ""
	} else {
		day += fmt.Sprintf("\n%s  %s  %d", kind, sparkline(p.DayCounts), total(p.DayCounts))
	}
	standing := "Calm: nothing stands out." + usually
	switch {
	case p.TooFew && p.Kind == news.SpikeVolume:
		standing = "Too few to tell: not enough texts in 12 h for the rule to judge by."
	case p.TooFew:
		standing = fmt.Sprintf("Too few to tell: not enough %s texts in 12 h for the rule to judge by.%s", kind, usually)
	case p.Length > 0:
		standing = fmt.Sprintf("%s in %s, where %s are expected; surprise %.1f.%s",
			counted, news.Duration(p.Length).Words(), news.Amount(p.Expected), p.Surprise, usually)
	}
	blocks = []slack.Block{
		slack.NewHeaderBlock(plainText(name(p.Series))),
		slack.NewRichTextBlock("", slack.NewRichTextSection(words(standing))),
		slack.NewRichTextBlock("", &slack.RichTextPreformatted{Type: slack.RTEPreformatted,
			Elements: []slack.RichTextSectionElement{slack.NewRichTextSectionTextElement(day, nil)}}),
	}
	var lines []slack.RichTextElement
	for _, a := range open {
		if about(p.Series, a.Series) {
			lines = append(lines, slack.NewRichTextSection(words(headerOf(a)+", since "+utc(a.StartedAt)+". "+a.Reason+".")))
		}
	}
	if len(lines) > 0 {
		blocks = append(blocks, slack.NewRichTextBlock("", slack.NewRichTextList(slack.RTEListBullet, 0, lines[:min(10, len(lines))]...)))
	}
	return blocks, slackEscape.Replace(name(p.Series) + ": " + standing)
}

// about reports whether an alert belongs into the picture of a series.
func about(asked, alert news.Series) bool {
	return (asked.Entity == "" || strings.EqualFold(asked.Entity, alert.Entity)) &&
		(asked.Topic == "" || strings.EqualFold(asked.Topic, alert.Topic))
}

// sparkline draws counts as a row of eight heights; a count above 0 is never drawn as 0.
func sparkline(counts []int) string {
	bars := []rune("▁▂▃▄▅▆▇█")
	most := 0
	for _, n := range counts {
		most = max(most, n)
	}
	var out strings.Builder
	for _, n := range counts {
		height := 0
		if n > 0 {
			height = min(max(1, n*(len(bars)-1)/most), len(bars)-1)
		}
		out.WriteRune(bars[height])
	}
	return out.String()
}

func total(counts []int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
