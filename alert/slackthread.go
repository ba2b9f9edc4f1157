package alert

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/slack-go/slack"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// thread brings the alert's thread up to date: the message with its texts, and a chart. It
// does what ref does not say was done, and notes there what it did. With look it looks first
// whether an earlier attempt did it.
func (s *Slack) thread(ctx context.Context, d Delivery, ref *slackRef, look bool) error {
	if d.Digest != nil {
		return nil
	}
	blocks, text := slackEvidence(d.Alert, s.buttons)
	if blocks == nil {
		s.addChart(ctx, d, ref, nil)
		return nil
	}
	var there []slack.Message
	if look && ref.evidence == "" {
		var err error
		if there, err = s.replies(ctx, d, *ref); err != nil {
			return s.failure(d.Channel, "conversations.replies", err)
		}
		for _, m := range there {
			if m.Metadata.EventType == threadEvent && m.Metadata.EventPayload["alert_id"] == d.Alert.ID {
				ref.evidence = m.Timestamp
			}
		}
	}
	shown, err := digestOf(blocks)
	if err != nil {
		return &DeliveryError{Err: fmt.Errorf("slack: encoding the texts of alert %s: %w", d.Alert.ID, err), Hopeless: true}
	}
	options := messageOptions(threadEvent, d, blocks, text)
	switch {
	case ref.evidence == "":
		_, ts, err := s.client.PostMessageContext(ctx, ref.channel, append(options, slack.MsgOptionTS(ref.message))...)
		if err != nil {
			return s.failure(d.Channel, "chat.postMessage", err)
		}
		ref.evidence, ref.shown = ts, shown
	case ref.shown != shown:
		_, _, _, err := s.client.UpdateMessageContext(ctx, ref.channel, ref.evidence, options...)
		if err != nil && !refusedAs(err, "message_not_found") {
			return s.failure(d.Channel, "chat.update", err)
		}
		ref.shown = shown
	}
	s.addChart(ctx, d, ref, there)
	return nil
}

func digestOf(blocks []slack.Block) (string, error) {
	raw, err := json.Marshal(blocks)
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:6]), err
}

// replies are the messages of the alert's thread; none where the bot may not look.
func (s *Slack) replies(ctx context.Context, d Delivery, ref slackRef) ([]slack.Message, error) {
	messages, _, _, err := s.client.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
		ChannelID: ref.channel, Timestamp: ref.message, Limit: 200, IncludeAllMetadata: true})
	if err != nil {
		return nil, s.mayNotLook(d, err)
	}
	return messages, nil
}

// chartTries and chartTime bound what a chart may cost: the alert itself has been told.
const (
	chartTries = 3
	chartTime  = 12 * time.Second
)

// addChart uploads a chart when the alert fires and when it is resolved. It is done for the
// reader's comfort: when it fails the alert goes without.
func (s *Slack) addChart(ctx context.Context, d Delivery, ref *slackRef, there []slack.Message) {
	// A chart shows negatives, so other kinds of spike have none.
	if s.chart == nil || d.Alert.Kind.OrNegative() != news.SpikeNegative || d.Action == Annotate || ref.charted == string(d.Alert.Status) {
		return
	}
	file := fmt.Sprintf("barograph-%s-%s.png", d.Alert.ID, d.Alert.Status)
	ref.charted = string(d.Alert.Status)
	for _, m := range there {
		for _, f := range m.Files {
			if f.Name == file {
				return
			}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, chartTime)
	defer cancel()
	if err := s.upload(ctx, d.Alert, file, *ref); err != nil {
		s.charts.WithLabelValues("failed").Inc()
		s.log.Warn("slack: no chart for this alert", "alert", d.Alert.ID, "error", err)
		return
	}
	s.charts.WithLabelValues("uploaded").Inc()
}

func (s *Slack) upload(ctx context.Context, a news.Alert, file string, ref slackRef) error {
	picture, err := s.chart(ctx, a)
	if err != nil {
		return fmt.Errorf("drawing: %w", err)
	}
	return retry.Do(ctx, retry.Policy{Attempts: chartTries}, func(ctx context.Context) error {
		_, err := s.client.UploadFileContext(ctx, slack.UploadFileParameters{
			Reader: bytes.NewReader(picture), FileSize: len(picture), Filename: file,
			Title: name(a.Series), AltTxt: plain.Line("Chart of "+name(a.Series)+": "+a.Reason, 1000), Channel: ref.channel, ThreadTimestamp: ref.message,
		})
		var refusal slack.SlackErrorResponse
		if errors.As(err, &refusal) && !passing[refusal.Err] {
			return retry.Permanent(err)
		}
		return err
	})
}
