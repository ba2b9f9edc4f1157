package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/slack-go/slack"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

// The buttons' action IDs.
const (
	pressAck          = "barograph-acknowledge"
	pressMuteHour     = "barograph-mute-1h"
	pressMuteDay      = "barograph-mute-24h"
	pressMuteResolved = "barograph-mute-resolved"
	pressNeutral      = "barograph-wrong-neutral"
	pressPositive     = "barograph-wrong-positive"
	pressNegative     = "barograph-wrong-negative"
	pressNotAbout     = "barograph-wrong-not-about"
)

// mutes are how long the mute buttons mute; 0 = until the alert is resolved.
var mutes = map[string]time.Duration{pressMuteHour: time.Hour, pressMuteDay: 24 * time.Hour, pressMuteResolved: 0}

// wrongSentiments are what the buttons say that a text is.
var wrongSentiments = map[string]string{pressNeutral: "neutral", pressPositive: "positive", pressNegative: "negative"}

// pressed is the value of a button: all that its press needs to know, also when the alert
// has been resolved since.
type pressed struct {
	Alert  string `json:"a"`
	Item   string `json:"i,omitempty"`
	Entity string `json:"e,omitempty"`
	Since  int64  `json:"s,omitempty"` // Unix seconds of Alert.StartedAt
}

var errNotOurs = errors.New("not a button of Barograph's")

func pressedOf(value string) (p pressed, err error) {
	if json.Unmarshal([]byte(value), &p) != nil || p.Alert == "" {
		return p, errNotOurs
	}
	return p, nil
}

// button has a plain label, which may hold foreign words. nil where its value is longer than
// Slack takes: 2000 characters.
func button(action, label string, p pressed) *slack.ButtonBlockElement {
	value, err := json.Marshal(p)
	if err != nil || len(value) > 2000 {
		return nil
	}
	return slack.NewButtonBlockElement(action, string(value), plainText(plain.Line(label, 70)))
}

func alertButtons(a news.Alert) slack.Block {
	p := pressed{Alert: a.ID}
	var all []slack.BlockElement
	if !slices.ContainsFunc(a.Notes, func(n news.Note) bool { return n.Did == news.Acknowledged }) {
		all = append(all, button(pressAck, "Acknowledge", p).WithStyle(slack.StylePrimary))
	}
	return slack.NewActionBlock("barograph-alert", append(all,
		button(pressMuteHour, "Mute 1 h", p), button(pressMuteDay, "Mute 24 h", p),
		button(pressMuteResolved, "Mute until resolved", p))...)
}

// slackEvidence is the thread's message: each text with what may be wrong about it. nil where
// the alert shows no texts.
func slackEvidence(a news.Alert, buttons bool) (blocks []slack.Block, text string) {
	if len(a.Evidence) == 0 {
		return nil, ""
	}
	text = "The strongest texts behind it"
	if buttons {
		text += ". Say so where one was misread: models learn from it"
	}
	blocks = append(blocks, slack.NewContextBlock("", *plainText(text + ".")))
	for i, e := range a.Evidence {
		blocks = append(blocks, slack.NewRichTextBlock("", evidenceLine(a, e)))
		if thanks := correctionsOf(a, e.ID); len(thanks) > 0 {
			blocks = append(blocks, slack.NewContextBlock("", thanks...))
		} else if b := wrongButtons(a, e, i); buttons && b != nil {
			blocks = append(blocks, b)
		}
	}
	if thanks := formerCorrections(a); len(thanks) > 0 {
		blocks = append(blocks, slack.NewContextBlock("", thanks...))
	}
	return blocks, text + "."
}

// mostFormer is how many elements a context block may have.
const mostFormer = 10

// formerCorrections are the thanks for what was said of texts that the thread no longer shows:
// stronger ones took their place. Whoever pressed sees that it was heard.
func formerCorrections(a news.Alert) (thanks []slack.MixedElement) {
	for _, n := range a.Notes {
		gone := !slices.ContainsFunc(a.Evidence, func(e news.Evidence) bool { return e.ID == n.Item })
		if n.Did == news.Corrected && gone && len(thanks) < mostFormer {
			former := thanksFor(n)
			former.Text += " (A text that was shown before.)"
			thanks = append(thanks, former)
		}
	}
	return thanks
}

func wrongButtons(a news.Alert, e news.Evidence, i int) slack.Block {
	p := pressed{Alert: a.ID, Item: e.ID, Entity: a.Series.Entity, Since: a.StartedAt.Unix()}
	var all []*slack.ButtonBlockElement
	switch a.Kind.OrNegative() {
	case news.SpikeNegative:
		all = append(all, button(pressNeutral, "Wrong: it is neutral", p), button(pressPositive, "Wrong: it is positive", p))
	case news.SpikePositive:
		all = append(all, button(pressNeutral, "Wrong: it is neutral", p), button(pressNegative, "Wrong: it is negative", p))
	}
	if a.Series.Entity != "" {
		all = append(all, button(pressNotAbout, "Wrong: not about "+plain.Line(a.Series.Entity, 40), p))
	}
	var elements []slack.BlockElement
	for _, b := range all {
		if b == nil {
			return nil
		}
		elements = append(elements, b)
	}
	if len(elements) == 0 {
		return nil
	}
	return slack.NewActionBlock(fmt.Sprintf("barograph-text-%d", i+1), elements...)
}

// correctionsOf are the thanks for what was said of a text.
func correctionsOf(a news.Alert, item string) (thanks []slack.MixedElement) {
	for _, n := range a.Notes {
		if n.Did == news.Corrected && n.Item == item {
			thanks = append(thanks, thanksFor(n))
		}
	}
	return thanks
}

func thanksFor(n news.Note) *slack.TextBlockObject {
	if n.Task == news.TaskEntity {
		return ours("Thanks, " + who(n.By) + ": it is not about this company.")
	}
	return ours("Thanks, " + who(n.By) + ": it is " + slackEscape.Replace(plain.Line(n.Label, 60)) + ".")
}
