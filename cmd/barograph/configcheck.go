package main

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
)

// check names every fault at once.
func (c *config) check() error {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf(format, a...)) }
	if _, err := parseStages(c.Stages); err != nil {
		faults = append(faults, err)
	}
	for i, topic := range c.Kafka.Topics {
		if topic.Name == "" {
			fault("kafka.topics: entry %d has no name", i+1)
		}
		if topic.Kind != news.KindNews && topic.Kind != news.KindComment {
			fault("kafka.topics: %s: kind is %q; it is news or comment", topic.Name, topic.Kind)
		}
		if _, err := newDecoder(*c, topic, nil); err != nil {
			faults = append(faults, err)
		}
	}
	k := c.Kafka
	if k.Readings == "" || k.DeadLetters == "" || k.Labels == "" {
		fault("kafka.readings, kafka.dead_letters and kafka.labels need a topic")
	}
	names := append([]string{k.Readings, k.DeadLetters, k.Labels}, topicNames(k.Topics)...)
	if k.Alerts != "" {
		names = append(names, k.Alerts)
	}
	slices.Sort(names)
	for i := range names[1:] {
		if names[i] == names[i+1] {
			fault("kafka: the topic %s is named twice: each has one use", names[i])
		}
	}
	if k.MaxItems <= 0 || k.MaxBytes <= 0 || k.MaxTextBytes <= 0 {
		fault("kafka.max_items, max_bytes and max_text_bytes are above 0")
	}
	if k.MaxFuture < 0 || k.MaxFuture > maxFuture {
		fault("kafka.max_future is %s; it is between 0 and %s", k.MaxFuture, maxFuture)
	}
	if c.Classify.Reload < 0 {
		fault("classify.reload is %s; it is a time, or 0s for never", c.Classify.Reload)
	}
	if _, err := modelConfig(c.Classify, nil); err != nil {
		fault("classify.%w", err)
	}
	if c.Trend.FalseAlertsPerDay < 0 || c.Trend.Surprise < 0 || c.Trend.MinNegative < 0 {
		fault("trend.false_alerts_per_day is %g, surprise %g and min_negative %d; none can be negative", c.Trend.FalseAlertsPerDay, c.Trend.Surprise, c.Trend.MinNegative)
	}
	for _, kind := range c.Trend.Spikes {
		if !slices.Contains([]news.SpikeKind{news.SpikeNegative, news.SpikePositive, news.SpikeVolume}, kind) {
			fault("trend.spikes: %q is none; there are negative, positive and volume", kind)
		}
	}
	if _, err := marketOf(c.Trend.Market); err != nil {
		fault("trend.market: %w", err)
	}
	if c.Trend.History < 12*time.Hour {
		fault("trend.history is %s; the longest window needs 12h", c.Trend.History)
	}
	if len(c.Redis.Addresses) == 0 {
		fault("redis.addresses is empty")
	}
	if strings.ContainsAny(c.Redis.Prefix, "{}") {
		fault("redis.prefix is %q; braces are taken by the hash tag", c.Redis.Prefix)
	}
	if c.Redis.DB != 0 && (c.Redis.Cluster || len(c.Redis.Addresses) > 1) {
		fault("redis.db: a Redis Cluster has only database 0")
	}
	if !slices.Contains([]string{"text", "json"}, c.Log.Format) {
		fault("log.format is %q; it is text or json", c.Log.Format)
	}
	for i, route := range c.Alert.Routes {
		if err := route.CheckConditions(); err != nil {
			fault("alert.routes: route %d: %w", i+1, err)
		}
	}
	for i, hook := range c.Alert.Webhooks {
		if hook.Name == "" || hook.URL == "" {
			fault("alert.webhooks: entry %d needs a name and a url", i+1)
		}
	}
	if c.Alert.Quiet < 0 || c.Alert.DigestWithin < 0 || c.DrainTimeout < 0 {
		fault("alert.quiet is %s, alert.digest_within %s and drain_timeout %s; none can be negative", c.Alert.Quiet, c.Alert.DigestWithin, c.DrainTimeout)
	}
	if err := checkListen(c.Console.Listen); err != nil {
		fault("console.listen is %q; it is an address and a port, such as 127.0.0.1:8095: %w", c.Console.Listen, err)
	}
	if c.Console.IndexItems <= 0 || c.Console.IndexBytes <= 0 {
		fault("console.index_items and console.index_bytes are above 0")
	}
	if public := c.Console.PublicURL; public != "" && (plain.Link(public) == "" || strings.ContainsAny(public, "?#")) {
		fault("console.public_url is %q; it is the http or https address by which people reach the console, such as https://barograph.example", public)
	}
	if slack := c.Alert.Slack; slack != nil && slack.Token == "" {
		fault("alert.slack: token is missing: write token: env:SLACK_TOKEN, or leave the section out")
	}
	return errors.Join(faults...)
}

// asWritten is a configured time as the stages take it, for whom 0 is a default of their own: a
// configured 0s is the shortest time that there is.
func asWritten(d time.Duration) time.Duration { return max(d, 1) }

// checkListen tells what is no host:port, without the network; "" is the default.
func checkListen(address string) error {
	if address == "" {
		return nil
	}
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	return err
}

// checkSecrets names every secret that is not there and that a monitor of the configured stages
// needs. Other commands need few of them, and learn of one when they use it.
func (c *config) checkSecrets() error {
	faults := []error{secret.Check("kafka", c.Kafka), secret.Check("redis", c.Redis), secret.Check("console", c.Console)}
	if parts, err := parseStages(c.Stages); err == nil && parts.decides() {
		faults = append(faults, secret.Check("alert", c.Alert))
	}
	return errors.Join(faults...)
}
