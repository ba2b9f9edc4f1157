package alert

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
)

// WebhookConfig is where to POST alerts.
type WebhookConfig struct {
	URL     string        `yaml:"url"`     // http or https
	Secret  secret.Secret `yaml:"secret"`  // signs the requests; "" = unsigned
	Timeout news.Duration `yaml:"timeout"` // of one request; 0 = 10 s

	Clock func() time.Time `yaml:"-"` // for the signature's timestamp; nil = time.Now
}

// Webhook is the sink that POSTs an alert's JSON (the wire format of the alerts topic).
//
// Headers: Idempotency-Key is the same for every attempt of one message (alert ID, status,
// revision), so that a receiver drops what it has seen. Barograph-Timestamp is Unix
// seconds, and Barograph-Signature is "v1=" and the hex HMAC-SHA256, under the secret, of
// timestamp + "." + body: see Signature. A 5xx, a 429 (Retry-After is obeyed) and no answer
// are tried again; another 4xx is not, redirects are not followed.
type Webhook struct {
	cfg    WebhookConfig
	client *http.Client
}

// NewWebhook checks the address and returns the sink. It makes no network call.
func NewWebhook(cfg WebhookConfig) (*Webhook, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errors.New("webhook: url is not an http or https address") // not shown: it may hold a token
	}
	if cfg.Timeout < 0 {
		return nil, fmt.Errorf("webhook: timeout %s is negative", cfg.Timeout)
	}
	orElse(&cfg.Timeout, news.Duration(10*time.Second))
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Webhook{cfg: cfg, client: &http.Client{
		Timeout:       time.Duration(cfg.Timeout),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Check wants no channel.
func (w *Webhook) Check(channel string) error { return noChannel(channel) }

func noChannel(channel string) error {
	if channel != "" {
		return fmt.Errorf("channel %q: this sink has no channels", channel)
	}
	return nil
}

// Signature is the hex HMAC-SHA256 that a receiver compares with, in constant time.
func Signature(key secret.Secret, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Deliver POSTs the alert once.
func (w *Webhook) Deliver(ctx context.Context, d Delivery) (string, error) {
	body, err := json.Marshal(d.Alert)
	if err != nil {
		return "", &DeliveryError{Err: fmt.Errorf("webhook: encoding alert %s: %w", d.Alert.ID, err), Hopeless: true}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("webhook: %w", hideURL(err))
	}
	stamp := strconv.FormatInt(w.cfg.Clock().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "barograph")
	req.Header.Set("Idempotency-Key", d.Key())
	req.Header.Set("Barograph-Timestamp", stamp)
	if w.cfg.Secret != "" {
		req.Header.Set("Barograph-Signature", "v1="+Signature(w.cfg.Secret, stamp, body))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return "", fmt.Errorf("webhook: %w", hideURL(err))
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // so that the connection is used again
	return "", answered(resp)
}

func answered(resp *http.Response) error {
	code := resp.StatusCode
	if code >= 200 && code < 300 {
		return nil
	}
	failure := &DeliveryError{Err: fmt.Errorf("webhook: %w: %s", errStatus, resp.Status)}
	switch {
	case code == http.StatusTooManyRequests:
		failure.Refused = true
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			failure.After = min(time.Duration(seconds)*time.Second, time.Hour)
		}
	case code < 500:
		failure.Refused, failure.Hopeless = true, true
	}
	return failure
}

var errStatus = errors.New("the receiver answered")

// hideURL drops the address from an HTTP client's error: it may hold a token.
func hideURL(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
