package main

import (
	"fmt"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/alert"
)

// sinksOf makes the configured sinks and routes. The alerts topic gets every alert, and
// so does each sink handed in by name.
func sinksOf(c alertConfig, topic *kafka.Writer, more map[string]alert.Sink) (map[string]alert.Sink, []alert.Route, error) {
	sinks, routes := map[string]alert.Sink{}, []alert.Route{}
	for name, sink := range more {
		sinks[name] = sink
		routes = append(routes, alert.Route{Sink: name, Continue: true})
	}
	if topic != nil {
		sinks["kafka"] = alert.NewKafka(topic)
		routes = append(routes, alert.Route{Sink: "kafka", Continue: true})
	}
	for _, hook := range c.Webhooks {
		sink, err := alert.NewWebhook(hook.WebhookConfig)
		if err != nil {
			return nil, nil, fmt.Errorf("alert.webhooks: %s: %w", hook.Name, err)
		}
		if _, taken := sinks[hook.Name]; taken || hook.Name == "slack" || hook.Name == "kafka" {
			return nil, nil, fmt.Errorf("alert.webhooks: the name %s is taken", hook.Name)
		}
		sinks[hook.Name] = sink
	}
	routes = append(routes, c.Routes...)
	if c.Slack != nil {
		sink, err := alert.NewSlack(c.Slack.SlackConfig)
		if err != nil {
			return nil, nil, fmt.Errorf("alert.%w", err)
		}
		sinks["slack"] = sink
		if c.Slack.Channel != "" {
			routes = append(routes, alert.Route{Sink: "slack", Channel: c.Slack.Channel})
		}
	}
	return sinks, routes, nil
}
