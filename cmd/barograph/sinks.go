package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
)

// sinksOf makes the configured sinks and routes. The alerts topic gets every alert, and
// so does each sink handed in by name. console is console.public_url.
func sinksOf(c alertConfig, console string, topic *kafka.Writer, more map[string]alert.Sink) (map[string]alert.Sink, []alert.Route, error) {
	if err := secret.Check("alert", c); err != nil {
		return nil, nil, err
	}
	sinks, routes := map[string]alert.Sink{}, []alert.Route{}
	for name, sink := range more {
		sinks[name] = sink
		routes = append(routes, alert.Route{Sink: name, Continue: true})
	}
	if topic != nil {
		sinks["kafka"] = alert.NewKafka(topic)
		routes = append(routes, alert.Route{Sink: "kafka", Continue: true})
	}
	if err := namedSinks(c, console, sinks); err != nil {
		return nil, nil, err
	}
	if c.Slack != nil {
		sink, err := alert.NewSlack(c.Slack.SlackConfig)
		if err != nil {
			return nil, nil, fmt.Errorf("alert.%w", err)
		}
		sinks["slack"] = sink
	}
	return sinks, append(routes, c.ownRoutes()...), nil
}

// ownRoutes are those of the configuration, with that of Slack's own channel behind them.
func (c alertConfig) ownRoutes() []alert.Route {
	routes := slices.Clone(c.Routes)
	if c.Slack != nil && c.Slack.Channel != "" {
		routes = append(routes, alert.Route{Sink: "slack", Channel: c.Slack.Channel})
	}
	return routes
}

// reservedSinks are names that mean one thing only.
var reservedSinks = []string{"slack", "kafka", "terminal", "alertmanager", "email"}

// namedSinks makes the sinks that routes call by the section's or by their own name.
func namedSinks(c alertConfig, console string, sinks map[string]alert.Sink) error {
	add := func(section, name string, sink alert.Sink, err error) error {
		if err != nil {
			return fmt.Errorf("alert.%s: %s: %w", section, name, err)
		}
		if _, taken := sinks[name]; taken || name == "" || slices.Contains(reservedSinks, name) && section != name {
			return fmt.Errorf("alert.%s: the name %q is empty or taken", section, name)
		}
		sinks[name] = sink
		return nil
	}
	for _, hook := range c.Webhooks {
		sink, err := alert.NewWebhook(hook.WebhookConfig)
		if err := add("webhooks", hook.Name, sink, err); err != nil {
			return err
		}
	}
	for _, robot := range c.Feishu {
		sink, err := alert.NewFeishu(robot.RobotConfig)
		if err := add("feishu", robot.Name, sink, err); err != nil {
			return err
		}
	}
	for _, robot := range c.DingTalk {
		sink, err := alert.NewDingTalk(robot.RobotConfig)
		if err := add("dingtalk", robot.Name, sink, err); err != nil {
			return err
		}
	}
	if c.Email != nil {
		sink, err := alert.NewEmail(*c.Email)
		if err := add("email", "email", sink, err); err != nil {
			return err
		}
	}
	if c.Alertmanager != nil {
		config := *c.Alertmanager
		config.Console = console
		sink, err := alert.NewAlertmanager(config)
		return add("alertmanager", "alertmanager", sink, err)
	}
	return nil
}

// keepOpen sends what is open to Alertmanager again and again, where there is one.
func (m *monitor) keepOpen(ctx context.Context) error {
	if m.alertmanager == nil {
		return nil
	}
	return m.alertmanager.Run(ctx, func(ctx context.Context) ([]news.Alert, error) { return m.desk.OpenAt(ctx, "alertmanager") })
}
