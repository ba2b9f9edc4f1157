package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/slack-go/slack"
)

// find looks for the alert's message in the channel's history; there is none in ref when it
// is not there or the bot may not look.
func (s *Slack) find(ctx context.Context, d Delivery, ref *slackRef) error {
	channel, err := s.channelID(ctx, d.Channel)
	if err != nil || channel == "" {
		return s.mayNotLook(d, err)
	}
	query := &slack.GetConversationHistoryParameters{
		ChannelID: channel, IncludeAllMetadata: true, Limit: 100,
		Oldest: fmt.Sprintf("%d.000000", d.QueuedAt.Add(-slackClockSkew).Unix()),
	}
	for range slackPages {
		page, err := s.client.GetConversationHistoryContext(ctx, query)
		if err != nil {
			return s.mayNotLook(d, err)
		}
		for _, m := range page.Messages {
			if m.Metadata.EventType == slackEvent && m.Metadata.EventPayload["alert_id"] == d.Alert.ID {
				ref.channel, ref.message = channel, m.Timestamp
				return nil
			}
		}
		if query.Cursor = page.ResponseMetaData.NextCursor; query.Cursor == "" {
			break
		}
	}
	return nil
}

// mayNotLook turns a refusal to show the history into "not found", with a warning; other
// errors (429, no answer) stay errors: the look is made again.
func (s *Slack) mayNotLook(d Delivery, err error) error {
	var refusal slack.SlackErrorResponse
	if err != nil && !errors.As(err, &refusal) {
		return err
	}
	s.log.Warn("slack: cannot look whether an alert arrived, posting it again: give the bot channels:history and invite it",
		"alert", d.Alert.ID, "channel", d.Channel, "refusal", refusal.Err)
	return nil
}

// channelID resolves a channel's name, which chat.postMessage takes but
// conversations.history does not. "" when there is none of that name to be seen.
func (s *Slack) channelID(ctx context.Context, channel string) (string, error) {
	wanted, named := strings.CutPrefix(channel, "#")
	if !named {
		return channel, nil
	}
	s.mu.Lock()
	id := s.ids[wanted]
	s.mu.Unlock()
	if id != "" {
		return id, nil
	}
	query := &slack.GetConversationsParameters{Limit: 1000, ExcludeArchived: true, Types: []string{"public_channel", "private_channel"}}
	for {
		channels, next, err := s.client.GetConversationsContext(ctx, query)
		if err != nil {
			return "", err
		}
		for _, c := range channels {
			if c.Name == wanted {
				s.mu.Lock()
				s.ids[wanted] = c.ID
				s.mu.Unlock()
				return c.ID, nil
			}
		}
		if query.Cursor = next; next == "" {
			return "", nil
		}
	}
}
