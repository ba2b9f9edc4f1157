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
	"text/template"
	"time"

	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
)

// WebhookConfig is where to POST alerts.
type WebhookConfig struct {
	URL     string        `yaml:"url"`     // http or https
	Secret  secret.Secret `yaml:"secret"`  // signs the requests; "" = unsigned
	Body    string        `yaml:"body"`    // a template of the JSON to send: see Webhook; "" = the alert as it is
	Timeout news.Duration `yaml:"timeout"` // of one request; 0 = 10 s

	Clock func() time.Time `yaml:"-"` // for the signature's timestamp; nil = time.Now
}

// Webhook is the sink that POSTs an alert's JSON (the wire format of the alerts topic).
//
// Headers: Idempotency-Key is the same for every attempt of one message (alert ID, status,
// revision), so that a receiver drops what it has seen. Barograph-Timestamp is Unix
// seconds, and Barograph-Signature is "v1=" and the hex HMAC-SHA256, under the secret, of
// timestamp + "." + body: see Signature. A 5xx, 408, 425, 429 (Retry-After is obeyed) and no answer
// are tried again, and slowly what people can mend: 401, 403, 404 and redirects, which are not
// followed. Another 4xx is not.
//
// A receiver that wants another shape gets it by a template (text/template) over webhookData,
// with the function json, which makes any value JSON, quotes included: texts are foreign, so
// each belongs into it. What a template makes has to be JSON.
//
//	body: '{"text": {{json .Title}}, "level": {{json .Alert.Severity}}, "count": {{.Alert.Negative}}}'
type Webhook struct {
	cfg    WebhookConfig
	body   *template.Template // nil = the alert as it is
	client *http.Client
}

// webhookData is what a template may use.
type webhookData struct {
	Alert    news.Alert
	Action   Action // fire, escalate, annotate or resolve
	Revision int
	Key      string // of this message, for receivers that drop what they have seen
	Title    string // "🔴 AAPL: bad news (critical)"
	Series   string // "AAPL · Earnings"
}

var errNotJSON = errors.New("the body is not JSON")

// parseBody compiles a template and tries it on an alert.
func parseBody(text string) (*template.Template, error) {
	if text == "" {
		return nil, nil
	}
	body, err := template.New("body").Option("missingkey=error").Funcs(template.FuncMap{"json": func(v any) (string, error) {
		raw, err := json.Marshal(v)
		return string(raw), err
	}}).Parse(text)
	if err != nil {
		return nil, err
	}
	sample := news.Alert{ID: "0", Status: news.Firing, Series: news.Series{Entity: `A"`, Topic: "\\"}, Severity: news.Warning,
		Evidence: []news.Evidence{{ID: "1", Title: `"`}}}
	_, err = bodyOf(body, Delivery{Alert: sample, Action: Fire, Revision: 1})
	return body, err
}

func bodyOf(body *template.Template, d Delivery) ([]byte, error) {
	if body == nil {
		return json.Marshal(d.Alert)
	}
	var out bytes.Buffer
	err := body.Execute(&out, webhookData{Alert: d.Alert, Action: d.Action, Revision: d.Revision, Key: d.Key(), Title: headerOf(d.Alert), Series: name(d.Alert.Series)})
	if err == nil && !json.Valid(out.Bytes()) {
		err = fmt.Errorf("%w: %.200q", errNotJSON, out.String())
	}
	return out.Bytes(), err
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
	body, err := parseBody(cfg.Body)
	if err != nil {
		return nil, fmt.Errorf("webhook: body: %w", err)
	}
	return &Webhook{cfg: cfg, body: body, client: plainClient(cfg.Timeout)}, nil
}

// plainClient follows no redirect: a POST would become a GET, whose success delivers nothing,
// and a message or a token would go where nobody has said that it may.
func plainClient(timeout news.Duration) *http.Client {
	return &http.Client{
		Timeout:       time.Duration(timeout),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
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
	body, err := bodyOf(w.body, d)
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
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooEarly: // it may have arrived
	case code == http.StatusTooManyRequests:
		failure.Refused = true
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			failure.After = min(time.Duration(seconds)*time.Second, time.Hour)
		}
	default:
		failure.Refused, failure.Misplaced = true, misplaced(code)
		failure.Hopeless = !failure.Misplaced
	}
	return failure
}

// misplaced reports whether the address or the token is at fault: a redirect leads to a log-in, or
// to the right address.
func misplaced(code int) bool {
	return code < 400 || code == http.StatusUnauthorized || code == http.StatusForbidden || code == http.StatusNotFound
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
