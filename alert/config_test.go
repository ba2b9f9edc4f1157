package alert

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/barograph/barograph/news"
)

// The configuration as people write it: unknown keys are errors.
func TestConfigInYAML(t *testing.T) {
	t.Setenv("SLACK_TOKEN_OF_TEST", "xoxb-1")
	var got struct {
		Slack   SlackConfig
		Webhook WebhookConfig
		Routes  []Route
	}
	const text = `
slack: {token: "env:SLACK_TOKEN_OF_TEST", api_url: "http://localhost:1", timeout: 5s}
webhook: {url: "https://example.com/hook", secret: "env:SLACK_TOKEN_OF_TEST", timeout: 3s}
routes:
  - entities: [AAPL, TSLA]
    topics: [Lawsuit]
    min_severity: critical
    sink: slack
    channel: "#alerts"
    continue: true
`
	if err := yaml.UnmarshalWithOptions([]byte(text), &got, yaml.Strict()); err != nil {
		t.Fatal(err)
	}
	r := got.Routes[0]
	if got.Slack.Token.Reveal() != "xoxb-1" || got.Slack.Timeout != news.Duration(5*time.Second) || got.Webhook.URL == "" ||
		len(r.Entities) != 2 || r.MinSeverity != news.Critical || r.Channel != "#alerts" || !r.Continue {
		t.Errorf("read %+v", got)
	}
}

// The attempts of each sink are there from the start, at 0: a rule that waits for the first one
// delivered would never speak of a sink that delivers none.
func TestSinksAreCountedFromNone(t *testing.T) {
	o := newOffice(t)
	registry := prometheus.NewRegistry()
	if _, err := New(Config{Redis: o.redis, Sinks: map[string]Sink{"pager": &Webhook{}, "hook": &Webhook{}}, Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	if got := testutil.CollectAndCount(registry, "barograph_alert_deliveries_total"); got != 2*3 {
		t.Errorf("%d series of deliveries, want three results of each of two sinks", got)
	}
}

// What is wrong is said in words that name it: see testdata/config-errors.txt.
func TestConfigFaultsAreNamed(t *testing.T) {
	o := newOffice(t)
	slack := map[string]Sink{"slack": newSlack(t, o.slack, o.wall), "hook": &Webhook{}}
	tests := []struct {
		name string
		cfg  Config
	}{
		{"no Redis", Config{}},
		{"unknown sink", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slak", Channel: "C1"}}}},
		{"no sink", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Channel: "C1"}}}},
		{"no channel", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slack"}}}},
		{"channel without #", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slack", Channel: "alerts"}}}},
		{"channel of a webhook", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "hook", Channel: "C1"}}}},
		{"severity", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slack", Channel: "C12", MinSeverity: "fatal"}}}},
		{"empty entity", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slack", Channel: "C12", Entities: []string{""}}}}},
		{"second route", Config{Redis: o.redis, Sinks: slack, Routes: []Route{{Sink: "slack", Channel: "C12"}, {}}}},
		{"sink name", Config{Redis: o.redis, Sinks: map[string]Sink{"a|b": panicky{}}}},
		{"braces", Config{Redis: o.redis, Prefix: "{x}"}},
		{"negative", Config{Redis: o.redis, Quiet: -time.Hour}},
	}
	var texts strings.Builder
	for _, tt := range tests {
		_, err := New(tt.cfg)
		if err == nil {
			t.Errorf("%s: no error", tt.name)
		}
		fmt.Fprintf(&texts, "%s: %v\n", tt.name, err)
	}
	golden(t, "config-errors.txt", []byte(texts.String()))
}
