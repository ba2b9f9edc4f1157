package alert

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

// press does what a button says, and tells who pressed it where that did not work.
func (s *SlackActions) press(ctx context.Context, at slack.InteractionCallback, a *slack.BlockAction) {
	kind := pressKind(a.ActionID)
	if kind == "" || at.Type != slack.InteractionTypeBlockActions || !s.here(ctx, at.Team.ID, at.Channel.ID) {
		s.presses.WithLabelValues("any", "ignored").Inc()
		s.log.Info("slack: a press was ignored", "team", at.Team.ID, "channel", at.Channel.ID, "action", a.ActionID)
		return
	}
	err := s.do(ctx, at, a)
	if err == nil {
		s.presses.WithLabelValues(kind, "done").Inc()
		return
	}
	s.presses.WithLabelValues(kind, "failed").Inc()
	s.log.Warn("slack: a press failed", "action", a.ActionID, "user", at.User.ID, "error", err)
	s.answer(ctx, at.ResponseURL, slack.MsgOptionText(apology(err), false))
}

// pressKind is the metric's word for a button; "" for one that is not ours.
func pressKind(action string) string {
	_, muted := mutes[action]
	_, wrong := wrongSentiments[action]
	switch {
	case action == pressAck:
		return "acknowledge"
	case muted:
		return "mute"
	case wrong, action == pressNotAbout:
		return "correct"
	}
	return ""
}

// here reports whether a press or command counts: from the bot's workspace, in a channel of
// the routes.
func (s *SlackActions) here(ctx context.Context, team, channel string) bool {
	if team != s.team || channel == "" {
		return false
	}
	for _, c := range s.cfg.Channels {
		if c == channel {
			return true
		}
		if id, err := s.cfg.Slack.channelID(ctx, c); err == nil && id == channel {
			return true
		}
	}
	return false
}

func (s *SlackActions) do(ctx context.Context, at slack.InteractionCallback, a *slack.BlockAction) error {
	p, err := pressedOf(a.Value)
	if err != nil {
		return err
	}
	when, err := pressTime(a.ActionTs)
	if err != nil {
		return err
	}
	by := "slack:" + at.User.ID
	if long, is := mutes[a.ActionID]; is {
		return s.cfg.Desk.Mute(ctx, p.Alert, by, when, long)
	}
	if a.ActionID == pressAck {
		return s.cfg.Desk.Annotate(ctx, p.Alert, news.Note{At: when, By: by, Did: news.Acknowledged})
	}
	return s.correct(ctx, at, a, p, news.Note{At: when, By: by, Did: news.Corrected, Item: p.Item})
}

// pressTime is when a button was pressed, by Slack's clock: the same for a press that is
// given again, which makes what it does repeatable.
func pressTime(ts string) (time.Time, error) {
	whole, fraction, _ := strings.Cut(ts, ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds <= 0 {
		return time.Time{}, fmt.Errorf("action_ts %q: %w", ts, errNotOurs)
	}
	micros, _ := strconv.ParseInt((fraction + "000000")[:6], 10, 64)
	return time.Unix(seconds, micros*1000).UTC(), nil
}

var errNoCorrections = errors.New("corrections are not taken here")

// correct finds what the model read, records the label, and shows thanks where it was said.
func (s *SlackActions) correct(ctx context.Context, at slack.InteractionCallback, a *slack.BlockAction, p pressed, n news.Note) error {
	if s.cfg.Corrections == nil {
		return errNoCorrections
	}
	r, toward, err := s.cfg.Reading(ctx, p.Item, p.Entity, time.Unix(p.Since, 0))
	if err != nil {
		return err
	}
	l := labelOf(r, a.ActionID, toward, n)
	if a.ActionID == pressNotAbout {
		l.Task, l.Label, l.Was, l.Entity = news.TaskEntity, news.NotAbout, "", p.Entity
	}
	if err := s.cfg.Corrections.Add(ctx, l); err != nil {
		return err
	}
	n.Task, n.Label = l.Task, l.Label
	err = s.cfg.Desk.Annotate(ctx, p.Alert, n)
	if errors.Is(err, ErrNoSuchAlert) { // resolved: its message is nobody's but the presser's
		return s.thank(ctx, at, a.BlockID, n)
	}
	return err
}

// labelOf is what a "wrong" button says of a reading, which may be one toward a company.
func labelOf(r news.Reading, action, toward string, n news.Note) news.Label {
	return news.Label{ID: r.ID, At: n.At, Author: n.By, Task: news.TaskSentiment, Label: wrongSentiments[action],
		Was: r.Sentiment.Label(), Entity: toward, Lang: r.Lang, Text: r.Text, Model: r.Model}
}

// thank puts thanks in the place of the buttons that were pressed.
func (s *SlackActions) thank(ctx context.Context, at slack.InteractionCallback, block string, n news.Note) error {
	blocks := at.Message.Blocks.BlockSet
	for i, b := range blocks {
		if b.ID() == block {
			blocks[i] = slack.NewContextBlock("", thanksFor(n))
		}
	}
	_, _, _, err := s.cfg.Slack.client.UpdateMessageContext(ctx, at.Channel.ID, at.Container.MessageTs,
		slack.MsgOptionText(at.Message.Text, false), slack.MsgOptionBlocks(blocks...))
	if err != nil {
		return fmt.Errorf("the correction was recorded, but not shown: %w", err)
	}
	return nil
}

// apology is an error for the one who pressed, as mrkdwn.
func apology(err error) string {
	if errors.Is(err, ErrNoSuchAlert) {
		return "That did not work: this alert has been resolved."
	}
	return slackEscape.Replace("That did not work: " + plain.Line(err.Error(), 500) + ". Please try again, or tell who runs Barograph.")
}

// answer tells the one who asked; only they see it.
func (s *SlackActions) answer(ctx context.Context, url string, options ...slack.MsgOption) {
	if url == "" {
		return
	}
	options = append(options, slack.MsgOptionResponseURL(url, slack.ResponseTypeEphemeral))
	if _, _, err := s.cfg.Slack.client.PostMessageContext(ctx, "", options...); err != nil {
		s.log.Warn("slack: an answer did not arrive", "error", hideURL(err))
	}
}
