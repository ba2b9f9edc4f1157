package alert

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/secret"
)

// Feishu is the sink that posts cards to a Feishu (Lark) group by its robot.
//
// open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
type Feishu struct{ robot }

// NewFeishu checks the configuration and returns the sink. It makes no network call.
func NewFeishu(cfg RobotConfig) (*Feishu, error) {
	r, err := newRobot("feishu", cfg)
	return &Feishu{r}, err
}

// FeishuSignature is what Feishu calls sign: the HMAC-SHA256 of nothing under the timestamp
// (Unix seconds), a line feed and the secret, in base64.
func FeishuSignature(key secret.Secret, timestamp string) string {
	return base64.StdEncoding.EncodeToString(mac(timestamp+"\n"+key.Reveal(), ""))
}

// Deliver posts a card.
func (f *Feishu) Deliver(ctx context.Context, d Delivery) (string, error) {
	if d.Action == Annotate {
		return "", nil
	}
	message := feishuCard(d, f.cfg.Language, f.cfg.Keyword)
	if f.cfg.Secret != "" {
		stamp := strconv.FormatInt(f.cfg.Clock().Unix(), 10)
		message["timestamp"], message["sign"] = stamp, FeishuSignature(f.cfg.Secret, stamp)
	}
	code, words, err := f.send(ctx, f.cfg.URL.Reveal(), message)
	if err != nil || code == 0 {
		return "", err
	}
	failure := &DeliveryError{Err: fmt.Errorf("feishu: %w: code %d: %s", errRobot, code, words), Refused: true}
	switch code {
	case 11232, 9499: // too many messages at once: 5 a second and 100 a minute are taken
		failure.After = time.Minute
	case 19021, 19022, 19024, 19001, 19002: // signature or clock, address not allowed, keyword missing, robot gone
		failure.Misplaced = true
	case 10208, 11246, 230099: // a card that Feishu does not take
		failure.Hopeless = true
	}
	return "", failure
}

// feishuCard is an interactive card: open.feishu.cn/document/uAjLw4CM/ukzMukzMukzM/feishu-cards.
// Its title is plain text, its text markdown.
func feishuCard(d Delivery, language, keyword string) map[string]any {
	title, lines := robotMessage(d, language)
	colour := "orange"
	switch {
	case strings.HasPrefix(title, "✅"):
		colour = "green"
	case strings.HasPrefix(title, "🔴"):
		colour = "red"
	}
	return map[string]any{"msg_type": "interactive", "card": map[string]any{
		"header": map[string]any{"template": colour, "title": map[string]any{"tag": "plain_text", "content": withKeyword(title, keyword)}},
		"elements": []any{
			map[string]any{"tag": "markdown", "content": strings.Join(lines, "\n")},
			map[string]any{"tag": "note", "elements": []any{map[string]any{"tag": "plain_text", "content": footer(d)}}},
		},
	}}
}
