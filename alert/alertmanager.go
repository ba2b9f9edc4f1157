package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
)

// AlertmanagerConfig is where Alertmanagers are, and how alerts look there. URLs is required.
type AlertmanagerConfig struct {
	URLs     []string          `yaml:"urls"` // all members of a cluster, "http://am-1:9093"
	Username string            `yaml:"username"`
	Password secret.Secret     `yaml:"password"`
	Token    secret.Secret     `yaml:"token"`  // a bearer token instead of username and password
	Labels   map[string]string `yaml:"labels"` // further labels of every alert
	Resend   news.Duration     `yaml:"resend"` // how often open alerts are sent again; 0 = 1 min
	Timeout  news.Duration     `yaml:"timeout"`

	Console string           `yaml:"-"` // as in Config, for generatorURL
	Clock   func() time.Time `yaml:"-"` // nil = time.Now
	Log     *slog.Logger     `yaml:"-"` // nil = slog.Default()
}

// Alertmanager is the sink that hands alerts to Prometheus' Alertmanager (API v2), which then
// routes, groups, silences and pages as it does for others.
//
// As Prometheus does, it sends to every member of a cluster, and sends what is open again and
// again (Run): an Alertmanager forgets alerts when it restarts, and takes those for resolved
// of which it has not heard for alertmanagerHold × Resend. An alert there is its labels, so
// one that becomes critical is another one, and the warning is resolved.
//
// github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml
type Alertmanager struct {
	cfg    AlertmanagerConfig
	client *http.Client
}

// alertmanagerHold is after how many intervals without news an alert is taken for resolved.
const alertmanagerHold = 10

var labelName = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)

// NewAlertmanager checks the configuration and returns the sink. It makes no network call.
func NewAlertmanager(cfg AlertmanagerConfig) (*Alertmanager, error) {
	if len(cfg.URLs) == 0 {
		return nil, errors.New("alertmanager: no urls")
	}
	for _, address := range cfg.URLs {
		u, err := url.Parse(address)
		if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
			return nil, errors.New("alertmanager: urls are http or https addresses")
		}
	}
	for _, name := range sortedKeys(cfg.Labels) {
		if !labelName.MatchString(name) {
			return nil, fmt.Errorf("alertmanager: label %q: a name is of letters, digits and _", name)
		}
	}
	if cfg.Resend < 0 || cfg.Timeout < 0 {
		return nil, errors.New("alertmanager: resend and timeout cannot be negative")
	}
	orElse(&cfg.Resend, news.Duration(time.Minute))
	orElse(&cfg.Timeout, news.Duration(10*time.Second))
	orElse(&cfg.Log, slog.Default())
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Alertmanager{cfg: cfg, client: plainClient(cfg.Timeout)}, nil
}

// Check wants no channel.
func (a *Alertmanager) Check(channel string) error { return noChannel(channel) }

// Verify asks every Alertmanager how it is, and says how many answered well.
func (a *Alertmanager) Verify(ctx context.Context) (string, error) {
	for _, address := range a.cfg.URLs {
		if err := a.call(ctx, http.MethodGet, strings.TrimSuffix(address, "/")+"/api/v2/status", nil); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("%d of %d answer", len(a.cfg.URLs), len(a.cfg.URLs)), nil
}

// Deliver sends the alert as it stands. Ref is the severity under which it is known there.
func (a *Alertmanager) Deliver(ctx context.Context, d Delivery) (string, error) {
	if d.Action == Annotate {
		return d.Ref, nil
	}
	var alerts []postableAlert
	before := news.Severity(d.Ref)
	rose := before != "" && before != d.Alert.Severity
	if rose {
		milder := d.Alert
		milder.Severity, milder.Status = before, news.Resolved
		alerts = append(alerts, a.postable(milder))
	}
	if !rose || d.Alert.Status == news.Firing { // what rose under a silence was never on there
		alerts = append(alerts, a.postable(d.Alert))
	}
	if err := a.post(ctx, alerts); err != nil {
		return d.Ref, err
	}
	return string(d.Alert.Severity), nil
}

// Run sends what is open again until ctx ends, so that it stays open there. open lists the
// alerts that this sink was told of.
func (a *Alertmanager) Run(ctx context.Context, open func(context.Context) ([]news.Alert, error)) error {
	tick := time.NewTicker(time.Duration(a.cfg.Resend))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := a.resend(ctx, open); err != nil && ctx.Err() == nil {
			a.cfg.Log.Warn("alertmanager: open alerts were not sent again", "error", err)
		}
	}
}

func (a *Alertmanager) resend(ctx context.Context, open func(context.Context) ([]news.Alert, error)) error {
	alerts, err := open(ctx)
	if err != nil || len(alerts) == 0 {
		return err
	}
	all := make([]postableAlert, len(alerts))
	for i, alert := range alerts {
		all[i] = a.postable(alert)
	}
	return a.post(ctx, all)
}

// postableAlert is the API's object of that name.
type postableAlert struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL,omitempty"`
}

func (a *Alertmanager) postable(alert news.Alert) postableAlert {
	now := a.cfg.Clock()
	p := postableAlert{Labels: map[string]string{}, StartsAt: alert.FiredAt, EndsAt: now.Add(alertmanagerHold * time.Duration(a.cfg.Resend))}
	if alert.Status == news.Resolved {
		p.EndsAt = now
		if alert.ResolvedAt != nil && alert.ResolvedAt.Before(now) {
			p.EndsAt = *alert.ResolvedAt
		}
	}
	maps.Copy(p.Labels, a.cfg.Labels)
	for label, value := range map[string]string{
		"alertname": "BarographSpike", "entity": alert.Series.Entity, "topic": alert.Series.Topic,
		"kind": string(alert.Kind.OrNegative()), "severity": string(alert.Severity), "barograph_alert": alert.ID,
	} {
		if value != "" {
			p.Labels[label] = strings.ToValidUTF8(value, "�")
		}
	}
	var texts []string
	for _, e := range alert.Evidence {
		texts = append(texts, strings.TrimSpace(headline(e)+" "+plain.Link(e.URL)))
	}
	p.Annotations = map[string]string{"summary": headerOf(alert), "description": alert.Reason + ".", "evidence": strings.Join(texts, "\n")}
	p.GeneratorURL = alertPage(a.cfg.Console, alert)
	return p
}

// post sends alerts to every Alertmanager. One that takes them is enough: members tell each
// other what they have sent, and Run tries the others again.
func (a *Alertmanager) post(ctx context.Context, alerts []postableAlert) error {
	body, err := json.Marshal(alerts)
	if err != nil {
		return &DeliveryError{Err: fmt.Errorf("alertmanager: encoding alerts: %w", err), Hopeless: true}
	}
	var failed error
	taken := 0
	for _, address := range a.cfg.URLs {
		if err := a.call(ctx, http.MethodPost, strings.TrimSuffix(address, "/")+"/api/v2/alerts", body); err != nil {
			failed = err
			a.cfg.Log.Debug("alertmanager: alerts were not taken", "error", err)
			continue
		}
		taken++
	}
	if taken > 0 {
		return nil
	}
	return failed
}

func (a *Alertmanager) call(ctx context.Context, method, address string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("alertmanager: %w", hideURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	switch {
	case a.cfg.Token != "":
		req.Header.Set("Authorization", "Bearer "+a.cfg.Token.Reveal())
	case a.cfg.Username != "":
		req.SetBasicAuth(a.cfg.Username, a.cfg.Password.Reveal())
	}
	resp, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("alertmanager: %w", hideURL(err))
	}
	defer resp.Body.Close()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 2000))
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	failure := &DeliveryError{Err: fmt.Errorf("alertmanager: %w: %s: %.200q", errStatus, resp.Status, said), Refused: resp.StatusCode < 500}
	failure.Hopeless, failure.Misplaced = resp.StatusCode == http.StatusBadRequest, misplaced(resp.StatusCode)
	return failure
}
