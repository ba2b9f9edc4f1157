package alert

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/internal/secret"
)

// DingTalk is the sink that posts to a DingTalk group by its robot.
//
// open.dingtalk.com/document/robots/custom-robot-access
type DingTalk struct{ robot }

// NewDingTalk checks the configuration and returns the sink. It makes no network call.
func NewDingTalk(cfg RobotConfig) (*DingTalk, error) {
	r, err := newRobot("dingtalk", cfg)
	return &DingTalk{r}, err
}

// DingTalkSignature is what DingTalk calls sign: the HMAC-SHA256 under the secret of the
// timestamp (Unix milliseconds), a line feed and the secret, in base64.
func DingTalkSignature(key secret.Secret, timestamp string) string {
	return base64.StdEncoding.EncodeToString(mac(key.Reveal(), timestamp+"\n"+key.Reveal()))
}

// Deliver posts a markdown message.
func (k *DingTalk) Deliver(ctx context.Context, d Delivery) (string, error) {
	if d.Action == Annotate {
		return "", nil
	}
	u, err := url.Parse(k.cfg.URL.Reveal()) // New has parsed it before
	if err != nil {
		return "", fmt.Errorf("dingtalk: %w", hideURL(err))
	}
	if k.cfg.Secret != "" {
		stamp := strconv.FormatInt(k.cfg.Clock().UnixMilli(), 10)
		query := u.Query()
		query.Set("timestamp", stamp)
		query.Set("sign", DingTalkSignature(k.cfg.Secret, stamp))
		u.RawQuery = query.Encode()
	}
	code, words, err := k.send(ctx, u.String(), dingTalkMessage(d, k.cfg.Language, k.cfg.Keyword))
	if err != nil || code == 0 {
		return "", err
	}
	failure := &DeliveryError{Err: fmt.Errorf("dingtalk: %w: errcode %d: %s", errRobot, code, words), Refused: true}
	switch {
	case code == 130101, code == 410100: // more than 20 a minute: nothing is taken for ten minutes
		failure.After = 10 * time.Minute
	case code >= 430101 && code <= 430104: // words or links that DingTalk does not let through
		failure.Hopeless = true
	case code == -1, code == 500: // it is busy
	default: // 310000: signature, keyword or address; 300001, 4001xx: the robot is gone
		failure.Misplaced = true
	}
	return "", failure
}

// dingTalkMessage is a markdown message; its title is what a notification shows. Lines are
// paragraphs: a single line feed is not shown as one.
func dingTalkMessage(d Delivery, language, keyword string) map[string]any {
	title, lines := robotMessage(d, language)
	text := "### " + foreign(title, 200) + "\n\n" + strings.Join(lines, "\n\n") + "\n\n" + foreign(footer(d), 200)
	return map[string]any{"msgtype": "markdown", "markdown": map[string]any{
		"title": plain.Line(title, 100), "text": withKeyword(text, keyword)}}
}
