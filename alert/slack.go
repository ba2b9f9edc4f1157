package alert

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
)

// SlackConfig is how to reach a Slack workspace. The bot token needs the scope chat:write,
// and chat:write.public for channels that the bot has not joined. With channels:history
// (groups:history for private channels; channels:read when routes give names instead of
// IDs) and as a member of the channel, the bot can look whether a message arrived before
// it posts that message again: see Slack.
type SlackConfig struct {
	Token   secret.Secret `yaml:"token"`
	APIURL  string        `yaml:"api_url"` // "" = Slack's own
	Timeout news.Duration `yaml:"timeout"` // of one call; 0 = 10 s

	Log *slog.Logger `yaml:"-"` // nil = slog.Default()
}

// Slack is the sink that posts to Slack channels: one message an alert, edited in place
// while it grows and when it is resolved.
//
// Editing is idempotent; posting is not, and chat.postMessage has no documented
// idempotency key. So every message carries metadata with the alert's ID, and after an
// attempt of unknown outcome the sink reads the channel's history since the alert was
// queued, and adopts the message if it is there. What remains: a post that Slack shows
// only after that look (it was under way for longer than the timeout and the pause before
// the next attempt), and channels whose history the bot may not read. There the message
// is posted again: twice is better than never.
type Slack struct {
	client *slack.Client
	log    *slog.Logger

	mu    sync.Mutex
	holds map[string]time.Time // channel → Slack asked for silence until then
	ids   map[string]string    // channel name → ID
	now   func() time.Time
}

const (
	slackEvent     = "barograph_alert" // event_type of the messages' metadata
	slackPages     = 10                // of history, 100 messages each, are looked through at most
	slackClockSkew = 2 * time.Minute   // between this machine's clock and Slack's
)

// NewSlack returns the sink. It makes no network call; Verify does.
func NewSlack(cfg SlackConfig) (*Slack, error) {
	if cfg.Token == "" {
		return nil, errors.New("slack: no token (a bot token begins with xoxb-)")
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("slack: timeout %s is negative", cfg.Timeout)
	}
	orElse(&cfg.Timeout, news.Duration(10*time.Second))
	orElse(&cfg.Log, slog.Default())
	options := []slack.Option{slack.OptionHTTPClient(&http.Client{Timeout: time.Duration(cfg.Timeout)})}
	if cfg.APIURL != "" {
		options = append(options, slack.OptionAPIURL(strings.TrimSuffix(cfg.APIURL, "/")+"/"))
	}
	return &Slack{
		client: slack.New(cfg.Token.Reveal(), options...),
		log:    cfg.Log, holds: map[string]time.Time{}, ids: map[string]string{}, now: time.Now,
	}, nil
}

// Verify asks Slack who the token belongs to.
func (s *Slack) Verify(ctx context.Context) (team, user string, err error) {
	who, err := s.client.AuthTestContext(ctx)
	if err != nil {
		return "", "", fmt.Errorf("slack: auth.test: %w", err)
	}
	return who.Team, who.User, nil
}

var slackChannel = regexp.MustCompile(`^([CGD][A-Z0-9]{2,}|#[^\s|/,#]{1,80})$`)

// Check wants a channel: an ID (C0123ABCD) or a name (#alerts).
func (s *Slack) Check(channel string) error {
	if channel == "" {
		return errors.New("no channel: give its ID (C0123ABCD) or name (#alerts)")
	}
	if !slackChannel.MatchString(channel) {
		return fmt.Errorf("channel %q is neither an ID (C0123ABCD) nor a name (#alerts)", channel)
	}
	return nil
}

// Deliver posts the alert, or edits the message that it has. Ref is "CHANNEL TS".
func (s *Slack) Deliver(ctx context.Context, d Delivery) (string, error) {
	if wait := s.heldFor(d.Channel); wait > 0 {
		return d.Ref, &DeliveryError{Err: errSlackHold, After: wait, Refused: true}
	}
	ref := d.Ref
	if ref == "" && d.Unsure {
		found, err := s.find(ctx, d)
		if err != nil {
			return "", s.failure(d.Channel, "conversations.history", err)
		}
		ref = found
	}
	if ref == "" {
		return s.post(ctx, d)
	}
	return ref, s.edit(ctx, d, ref)
}

var errSlackHold = errors.New("slack asked to wait before the next message to this channel")

func (s *Slack) post(ctx context.Context, d Delivery) (string, error) {
	channel, ts, err := s.client.PostMessageContext(ctx, d.Channel, options(d)...)
	if err != nil {
		return "", s.failure(d.Channel, "chat.postMessage", err)
	}
	return channel + " " + ts, nil
}

func (s *Slack) edit(ctx context.Context, d Delivery, ref string) error {
	channel, ts, _ := strings.Cut(ref, " ")
	_, _, _, err := s.client.UpdateMessageContext(ctx, channel, ts, options(d)...)
	var refusal slack.SlackErrorResponse
	if errors.As(err, &refusal) && refusal.Err == "message_not_found" {
		s.log.Info("slack message was deleted: not posted again", "alert", d.Alert.ID, "channel", channel)
		return nil
	}
	if err != nil {
		return s.failure(d.Channel, "chat.update", err)
	}
	return nil
}

func options(d Delivery) []slack.MsgOption {
	blocks, text := slackMessage(d)
	return []slack.MsgOption{
		slack.MsgOptionText(text, false), slack.MsgOptionBlocks(blocks...),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: slackEvent, EventPayload: map[string]any{
			"alert_id": d.Alert.ID, "status": string(d.Alert.Status), "revision": d.Revision,
		}}),
	}
}

// find looks for the alert's message in the channel's history; "" when it is not there or
// the bot may not look.
func (s *Slack) find(ctx context.Context, d Delivery) (string, error) {
	channel, err := s.channelID(ctx, d.Channel)
	if err != nil || channel == "" {
		return "", s.mayNotLook(d, err)
	}
	query := &slack.GetConversationHistoryParameters{
		ChannelID: channel, IncludeAllMetadata: true, Limit: 100,
		Oldest: fmt.Sprintf("%d.000000", d.QueuedAt.Add(-slackClockSkew).Unix()),
	}
	for range slackPages {
		page, err := s.client.GetConversationHistoryContext(ctx, query)
		if err != nil {
			return "", s.mayNotLook(d, err)
		}
		for _, m := range page.Messages {
			if m.Metadata.EventType == slackEvent && m.Metadata.EventPayload["alert_id"] == d.Alert.ID {
				return channel + " " + m.Timestamp, nil
			}
		}
		if query.Cursor = page.ResponseMetaData.NextCursor; query.Cursor == "" {
			break
		}
	}
	return "", nil
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

// heldFor is how long Slack still wants no message to the channel.
func (s *Slack) heldFor(channel string) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holds[channel].Sub(s.now())
}

// hopeless are the answers that no further attempt with the same message can change.
// docs.slack.dev/reference/methods/chat.postMessage#errors
var hopeless = map[string]bool{
	"invalid_blocks": true, "invalid_blocks_format": true, "msg_too_long": true, "msg_blocks_too_long": true,
	"no_text": true, "too_many_attachments": true, "invalid_arguments": true, "invalid_metadata_format": true,
	"invalid_metadata_schema": true, "metadata_too_large": true, "edit_window_closed": true, "cant_update_message": true,
}

// passing are refusals that go away by themselves.
var passing = map[string]bool{
	"ratelimited": true, "rate_limited": true, "message_limit_exceeded": true, "internal_error": true,
	"fatal_error": true, "service_unavailable": true, "request_timeout": true, "team_added_to_org": true, "update_failed": true,
}

// failure says what a failed call means for the delivery. An answer with ok:false is a
// refusal, except for Slack's own internal errors; no answer, or one of 5xx, leaves it open.
func (s *Slack) failure(channel, method string, err error) error {
	known := &DeliveryError{Err: fmt.Errorf("slack: %s to %s: %w", method, channel, err)}
	var limited *slack.RateLimitedError
	var status slack.StatusCodeError
	var refusal slack.SlackErrorResponse
	switch {
	case errors.As(err, &status):
		known.Refused = status.Code == http.StatusTooManyRequests
	case errors.As(err, &limited):
		known.After, known.Refused = limited.RetryAfter, true
		s.mu.Lock()
		s.holds[channel] = s.now().Add(limited.RetryAfter)
		s.mu.Unlock()
	case errors.As(err, &refusal):
		known.Hopeless = hopeless[refusal.Err]
		known.Refused = refusal.Err != "internal_error" && refusal.Err != "fatal_error"
		known.Misplaced = !known.Hopeless && !passing[refusal.Err]
	}
	return known
}
