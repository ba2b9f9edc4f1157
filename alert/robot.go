package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
)

// RobotConfig is a robot of a Feishu or DingTalk group.
type RobotConfig struct {
	URL      secret.Secret `yaml:"url"`      // the robot's address; it holds a token
	Secret   secret.Secret `yaml:"secret"`   // signs the messages; "" = the robot asks for none
	Keyword  string        `yaml:"keyword"`  // a word that the robot wants in each message; "" = none
	Language string        `yaml:"language"` // of our own words: zh or en; "" = zh
	Timeout  news.Duration `yaml:"timeout"`  // of one request; 0 = 10 s

	Clock func() time.Time `yaml:"-"` // for the signature's timestamp; nil = time.Now
}

// robot is what Feishu and DingTalk have in common: a POST of JSON, whose answer holds a
// code. Robots cannot edit: a message is sent when an alert fires, escalates and is resolved.
type robot struct {
	name   string
	cfg    RobotConfig
	client *http.Client
}

func newRobot(name string, cfg RobotConfig) (robot, error) {
	u, err := url.Parse(cfg.URL.Reveal())
	switch {
	case cfg.URL == "":
		return robot{}, fmt.Errorf("%s: no url", name)
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return robot{}, fmt.Errorf("%s: url is not an http or https address", name) // not shown: it holds a token
	case cfg.Language != "" && cfg.Language != "zh" && cfg.Language != "en":
		return robot{}, fmt.Errorf("%s: language %q: want zh or en", name, cfg.Language)
	case cfg.Timeout < 0:
		return robot{}, fmt.Errorf("%s: timeout %s is negative", name, cfg.Timeout)
	}
	orElse(&cfg.Timeout, news.Duration(10*time.Second))
	orElse(&cfg.Language, "zh")
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return robot{name: name, cfg: cfg, client: plainClient(cfg.Timeout)}, nil
}

// Check wants no channel: a robot belongs to one group.
func (r *robot) Check(channel string) error { return noChannel(channel) }

// Edits reports that a message stays as it was sent.
func (r *robot) Edits() bool { return false }

// robotAnswer is what either says: Feishu code and msg, DingTalk errcode and errmsg.
type robotAnswer struct {
	Code    *int   `json:"code"`
	Msg     string `json:"msg"`
	ErrCode *int   `json:"errcode"`
	ErrMsg  string `json:"errmsg"`
}

var errRobot = errors.New("the robot answered")

// send POSTs a message and returns its answer's code and words.
func (r *robot) send(ctx context.Context, address string, message any) (code int, words string, err error) {
	body, err := json.Marshal(message)
	if err != nil {
		return 0, "", &DeliveryError{Err: fmt.Errorf("%s: encoding a message: %w", r.name, err), Hopeless: true}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, "", fmt.Errorf("%s: %w", r.name, hideURL(err))
	}
	req.Header.Set("Content-Type", "application/json; charset=utf-8")
	resp, err := r.client.Do(req)
	if err != nil {
		return 0, "", fmt.Errorf("%s: %w", r.name, hideURL(err))
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil {
		return 0, "", fmt.Errorf("%s: reading the answer: %w", r.name, err)
	}
	var a robotAnswer
	if json.Unmarshal(raw, &a) != nil || (a.Code == nil && a.ErrCode == nil) {
		return 0, "", r.withoutCode(resp)
	}
	if a.Code != nil {
		return *a.Code, a.Msg, nil
	}
	return *a.ErrCode, a.ErrMsg, nil
}

// withoutCode judges an answer that is not the robot's own: a gateway's, or another
// address's altogether, which only people can mend.
func (r *robot) withoutCode(resp *http.Response) error {
	failure := &DeliveryError{Err: fmt.Errorf("%s: %w: %s", r.name, errRobot, resp.Status)}
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		failure.Refused, failure.After = true, time.Minute
	case resp.StatusCode < 500:
		failure.Refused, failure.Misplaced = true, true
	}
	return failure
}

func mac(key, message string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(message))
	return h.Sum(nil)
}

// withKeyword makes sure that a robot's keyword stands in a text.
func withKeyword(text, keyword string) string {
	if keyword == "" || strings.Contains(text, keyword) {
		return text
	}
	return text + " " + keyword
}
