package alert

import (
	"testing"
	"time"

	"github.com/goccy/go-yaml"

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
