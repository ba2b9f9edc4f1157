package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
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
	Token    secret.Secret `yaml:"token"`
	AppToken secret.Secret `yaml:"app_token"` // of Socket Mode, scope connections:write: see SlackActions. "" = no buttons
	APIURL   string        `yaml:"api_url"`   // "" = Slack's own
	Timeout  news.Duration `yaml:"timeout"`   // of one call; 0 = 10 s

	// Chart draws the alert's window with what was expected, as PNG. It is uploaded to the
	// thread when the alert fires and when it is resolved, which needs the scope files:write;
	// where that fails the alert goes without. nil = no charts.
	Chart func(context.Context, news.Alert) ([]byte, error) `yaml:"-"`

	Log        *slog.Logger          `yaml:"-"` // nil = slog.Default()
	Registerer prometheus.Registerer `yaml:"-"`
}

// Slack is the sink that posts to Slack channels: one message an alert, edited in place
// while it grows and when it is resolved. Its thread has the texts behind it, edited in
// place likewise, and charts.
//
// Editing is idempotent; posting is not, and chat.postMessage has no documented
// idempotency key. So every message carries metadata with the alert's ID, and after an
// attempt of unknown outcome the sink reads the channel's history since the alert was
// queued, and adopts the message if it is there. What remains: a post that Slack shows
// only after that look (it was under way for longer than the timeout and the pause before
// the next attempt), and channels whose history the bot may not read. There the message
// is posted again: twice is better than never.
type Slack struct {
	client  *slack.Client
	buttons bool
	chart   func(context.Context, news.Alert) ([]byte, error)
	charts  *prometheus.CounterVec
	log     *slog.Logger

	mu    sync.Mutex
	holds map[string]time.Time // channel → Slack asked for silence until then
	ids   map[string]string    // channel name → ID
	now   func() time.Time
}

const (
	slackEvent     = "barograph_alert"    // event_type of the messages' metadata
	threadEvent    = "barograph_evidence" // likewise of the threads' messages
	slackPages     = 10                   // of history, 100 messages each, are looked through at most
	slackClockSkew = 2 * time.Minute      // between this machine's clock and Slack's
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
	if cfg.AppToken != "" {
		options = append(options, slack.OptionAppLevelToken(cfg.AppToken.Reveal()))
	}
	charts := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_alert_charts_total", Help: "Charts for Slack, by result (uploaded, failed)."}, []string{"result"})
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(charts); err != nil {
			return nil, fmt.Errorf("slack: registering metrics: %w", err)
		}
	}
	return &Slack{
		client:  slack.New(cfg.Token.Reveal(), options...),
		buttons: cfg.AppToken != "", chart: cfg.Chart, charts: charts,
		log: cfg.Log, holds: map[string]time.Time{}, ids: map[string]string{}, now: time.Now,
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

// VerifyButtons asks Slack for a connection in Socket Mode, without making it.
func (s *Slack) VerifyButtons(ctx context.Context) error {
	if _, _, err := s.client.StartSocketModeContext(ctx); err != nil {
		return fmt.Errorf("slack: app_token: apps.connections.open: %w", err)
	}
	return nil
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

// slackRef is what Deliver returns: where the alert's message is, the one with its texts in
// the thread, and what was uploaded there.
type slackRef struct {
	channel, message string
	evidence         string // ts; "" = none yet
	shown            string // digest of what the evidence message shows
	charted          string // the last status of which there is a chart
}

// String is what slackRefOf reads, "" without a message.
func (r slackRef) String() string {
	if r.message == "" {
		return ""
	}
	return strings.TrimRight(strings.Join([]string{r.channel, r.message,
		cmp.Or(r.evidence, "-"), cmp.Or(r.shown, "-"), cmp.Or(r.charted, "-")}, " "), " -")
}

func slackRefOf(s string) (r slackRef) {
	parts := strings.Fields(s)
	for i, field := range []*string{&r.channel, &r.message, &r.evidence, &r.shown, &r.charted} {
		if i < len(parts) && parts[i] != "-" {
			*field = parts[i]
		}
	}
	return r
}

// Deliver posts the alert, or edits the message that it has; then the thread.
func (s *Slack) Deliver(ctx context.Context, d Delivery) (string, error) {
	if wait := s.heldFor(d.Channel); wait > 0 {
		return d.Ref, &DeliveryError{Err: errSlackHold, After: wait, Refused: true}
	}
	ref := slackRefOf(d.Ref)
	if ref.message == "" && d.Unsure {
		if err := s.find(ctx, d, &ref); err != nil {
			return "", s.failure(d.Channel, "conversations.history", err)
		}
	}
	var err error
	if ref.message == "" {
		if err = s.post(ctx, d, &ref); err == nil {
			err = s.thread(ctx, d, &ref, false)
		}
		return ref.String(), err
	}
	deleted, err := s.edit(ctx, d, ref)
	if err == nil && !deleted {
		err = s.thread(ctx, d, &ref, d.Unsure)
	}
	return ref.String(), err
}

// Edits reports that a digest is one message that changes.
func (s *Slack) Edits() bool { return true }

var errSlackHold = errors.New("slack asked to wait before the next message to this channel")

func (s *Slack) post(ctx context.Context, d Delivery, ref *slackRef) (err error) {
	ref.channel, ref.message, err = s.client.PostMessageContext(ctx, d.Channel, s.options(d)...)
	if err != nil {
		ref.message = ""
		return s.failure(d.Channel, "chat.postMessage", err)
	}
	return nil
}

// edit reports whether somebody has deleted the message: it is not posted again then.
func (s *Slack) edit(ctx context.Context, d Delivery, ref slackRef) (deleted bool, err error) {
	_, _, _, err = s.client.UpdateMessageContext(ctx, ref.channel, ref.message, s.options(d)...)
	if refusedAs(err, "message_not_found") {
		s.log.Info("slack message was deleted: not posted again", "alert", d.Alert.ID, "channel", ref.channel)
		return true, nil
	}
	if err != nil {
		return false, s.failure(d.Channel, "chat.update", err)
	}
	return false, nil
}

func refusedAs(err error, reason string) bool {
	var refusal slack.SlackErrorResponse
	return errors.As(err, &refusal) && refusal.Err == reason
}

func (s *Slack) options(d Delivery) []slack.MsgOption {
	if d.Digest != nil {
		blocks, text := slackDigest(d)
		return messageOptions(slackEvent, d, blocks, text)
	}
	blocks, text := slackMessage(d, s.buttons)
	return messageOptions(slackEvent, d, blocks, text)
}

func messageOptions(event string, d Delivery, blocks []slack.Block, text string) []slack.MsgOption {
	return []slack.MsgOption{
		slack.MsgOptionText(text, false), slack.MsgOptionBlocks(blocks...),
		slack.MsgOptionDisableLinkUnfurl(), slack.MsgOptionDisableMediaUnfurl(),
		slack.MsgOptionMetadata(slack.SlackMetadata{EventType: event, EventPayload: map[string]any{
			"alert_id": d.Alert.ID, "status": string(d.Alert.Status), "revision": d.Revision,
		}}),
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
