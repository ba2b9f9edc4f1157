package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/console"
	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/ingest/watch"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// monitor is the stream in one process, or a part of it:
//
//	             items              readings             spikes
//	consumer ───────────► classify ───────────► settler ─────────► desk ──► sinks
//	    ▲                                      │   │ counts           │
//	    │ offsets, when settled                │   ▼                  ▼
//	    └──────────────────────────────────────┘  trend: Redis       outbox: Redis
type monitor struct {
	cfg    config
	stages stages
	log    *slog.Logger
	clock  func() time.Time

	registry *prometheus.Registry
	broker   *broker.Client
	redis    redis.UniversalClient
	watch    *watch.List
	classify *classify.Stage
	trend    *trend.Store
	desk     *alert.Desk
	console  *console.Server
	alerts   *kafka.Writer
	settle   settleMetrics
}

// parts are what `barograph demo` replaces. The zero value is the real thing.
type parts struct {
	clock func() time.Time
	sinks map[string]alert.Sink // beside those of the configuration
	watch *watch.List           // instead of the configuration's
}

// newMonitor puts the stages together. It connects to nothing but loads the models.
func newMonitor(cfg config, p parts, log *slog.Logger) (m *monitor, err error) {
	m = &monitor{cfg: cfg, log: log, clock: p.clock, watch: p.watch, registry: prometheus.NewRegistry()}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	if m.clock == nil {
		m.clock = time.Now
	}
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.settle = newSettleMetrics(m.registry)
	if m.stages, err = parseStages(cfg.Stages); err != nil {
		return m, err
	}
	if m.stages.classify && len(cfg.Kafka.Topics) == 0 {
		return m, errors.New("configuration: kafka.topics is empty: name at least one topic with news or comments")
	}
	if m.broker, err = broker.New(cfg.Kafka.Config); err != nil {
		return m, err
	}
	if m.redis, err = openRedis(cfg.Redis); err != nil {
		return m, err
	}
	if m.watch == nil {
		if m.watch, err = readWatchList(cfg.WatchList); err != nil {
			return m, err
		}
	}
	if err = m.newDecisions(p.sinks); err != nil {
		return m, err
	}
	if m.console, err = console.New(console.Config{Listen: cfg.Console.Listen, Gatherer: m.registry, Checks: m.checks(), Log: log}); err != nil {
		return m, err
	}
	if !m.stages.classify {
		return m, nil
	}
	stage, err := classifyStage(cfg.Classify, m.clock, log, m.registry)
	if err != nil {
		return m, fmt.Errorf("configuration: classify.%w", err)
	}
	stage.Queue = cfg.Kafka.MaxItems
	m.classify, err = classify.New(stage)
	return m, err
}

// newDecisions makes the trend and alert stages. A process with trend decides about alerts
// also where another delivers them.
func (m *monitor) newDecisions(sinks map[string]alert.Sink) (err error) {
	if m.stages.trend {
		m.trend, err = trend.New(trend.Config{
			Redis: m.redis, Prefix: m.cfg.Redis.Prefix, History: m.cfg.Trend.History, Clock: m.clock, Log: m.log, Registerer: m.registry,
			Rule: trend.Rule{FalseAlertsPerDay: m.cfg.Trend.FalseAlertsPerDay, Surprise: m.cfg.Trend.Surprise,
				MinNegative: m.cfg.Trend.MinNegative, WarmUp: m.cfg.Trend.WarmUp},
		})
		if err != nil {
			return err
		}
	}
	if !m.stages.trend && !m.stages.alert {
		return nil
	}
	if m.cfg.Kafka.Alerts != "" {
		m.alerts = m.broker.Writer(m.cfg.Kafka.Alerts)
	}
	all, routes, err := sinksOf(m.cfg.Alert, m.alerts, sinks)
	if err != nil {
		return err
	}
	m.desk, err = alert.New(alert.Config{
		Redis: m.redis, Prefix: m.cfg.Redis.Prefix, Routes: routes, Sinks: all,
		Quiet: m.cfg.Alert.Quiet, Critical: m.cfg.Alert.Critical, Clock: m.clock, Log: m.log, Registerer: m.registry,
	})
	return err
}

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
		if _, taken := sinks[hook.Name]; taken || hook.Name == "slack" {
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

// classifyStage is the classify stage's own form of what is configured.
func classifyStage(c classifyConfig, clock func() time.Time, log *slog.Logger, r prometheus.Registerer) (classify.Config, error) {
	model, err := modelConfig(c, log)
	return classify.Config{Bundles: c.Bundles, Model: model, MaxWait: c.MaxWait, Clock: clock, Registerer: r}, err
}

func modelConfig(c classifyConfig, log *slog.Logger) (classify.ModelConfig, error) {
	m := classify.ModelConfig{Bases: c.Bases, Threads: c.Threads, TokenBudget: c.TokenBudget, Log: log}
	if err := m.Device.UnmarshalText([]byte(c.Device)); err != nil {
		return m, fmt.Errorf("device: %w", err)
	}
	switch c.Precision {
	case "", "auto":
	case "fp32", "fp16", "int8":
		m.Precision = bert.Precision(c.Precision)
	default:
		return m, fmt.Errorf("precision is %q; it is auto, fp32, fp16 or int8", c.Precision)
	}
	return m, nil
}

// checks are what /readyz asks. The models need none: they are loaded before it listens.
func (m *monitor) checks() []console.Check {
	return []console.Check{
		{Name: "kafka", Run: func(ctx context.Context) error { _, err := m.broker.Ping(ctx); return err }},
		{Name: "redis", Run: func(ctx context.Context) error { return m.redis.Ping(ctx).Err() }},
	}
}

// ensureTopics makes the topics that are missing, where that is wanted.
func (m *monitor) ensureTopics(ctx context.Context) error {
	k := m.cfg.Kafka
	if !k.CreateTopics {
		return nil
	}
	var topics []broker.Topic
	for _, name := range append([]string{k.Readings, k.Alerts, k.DeadLetters}, topicNames(k.Topics)...) {
		if name != "" {
			topics = append(topics, broker.Topic{Name: name})
		}
	}
	return m.broker.EnsureTopics(ctx, topics...)
}

func topicNames(topics []topicConfig) []string {
	names := make([]string, len(topics))
	for i, topic := range topics {
		names[i] = topic.Name
	}
	return names
}

// run runs the stages until ctx ends, then drains: it stops fetching, settles what is
// under way, commits and leaves the group.
func (m *monitor) run(ctx context.Context) error {
	defer m.close()
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	var beside errgroup.Group
	beside.Go(func() error { return m.console.Run(serving) })
	m.log.Info("serving /metrics, /healthz and /readyz", "address", "http://"+m.console.Addr())

	all, running := errgroup.WithContext(ctx)
	all.Go(func() error {
		if err := m.ensureTopics(running); err != nil {
			return ended(running, err)
		}
		switch {
		case m.stages.classify:
			return m.classifyItems(running)
		case m.stages.trend:
			return m.countReadings(running)
		}
		return nil
	})
	if m.stages.alert {
		all.Go(func() error { return ended(running, m.desk.Run(running)) })
	}
	err := all.Wait()
	stopServing()
	return errors.Join(err, beside.Wait())
}

// ended takes the end of the context for success.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// newSettler starts a settler. What the consumer waits for in its drain must not end with
// the consumer's context: the settler works on until it is stopped.
func (m *monitor) newSettler(topic *kafka.Writer) *settler {
	s := &settler{
		in: make(chan unsettled, m.cfg.Kafka.MaxItems), stopped: make(chan struct{}), finished: make(chan struct{}),
		topic: topic, trend: m.trend, desk: m.desk, log: m.log, metrics: m.settle,
	}
	go s.run()
	return s
}

// classifyItems is ingest, classify and, where the process has it, trend.
func (m *monitor) classifyItems(ctx context.Context) error {
	decode, err := m.decoder()
	if err != nil {
		return err
	}
	consumer, err := newConsumer(m, m.cfg.Kafka.Group, topicNames(m.cfg.Kafka.Topics), decode)
	if err != nil {
		return err
	}
	readings := m.broker.Writer(m.cfg.Kafka.Readings)
	defer readings.Close()
	settler := m.newSettler(readings)
	defer settler.wait()
	defer m.classify.Close()
	defer settler.stop()
	return consumer.Run(ctx, func(ctx context.Context, d *ingest.Delivery[news.Item]) error {
		return m.classify.Submit(ctx, d.Value, func(r news.Reading, err error) {
			if err != nil {
				d.Fail(rejectionOf(err))
				return
			}
			settler.submit(unsettled{reading: r, appended: d.Appended, done: d.Done, fail: d.Fail})
		})
	})
}

// rejectionOf classes what the models could not read, for the dead letter's reason.
func rejectionOf(err error) error {
	switch {
	case errors.Is(err, classify.ErrNoText):
		return &ingest.Rejection{Class: ingest.NoText, Err: err}
	case errors.Is(err, classify.ErrTooLong):
		return &ingest.Rejection{Class: ingest.TooLarge, Err: err}
	case errors.Is(err, classify.ErrPanic):
		return &ingest.Rejection{Class: ingest.Panicked, Err: err}
	}
	return err
}

// decoder maps each topic's messages to items, and finds the companies in them.
func (m *monitor) decoder() (func(kafka.Message) (news.Item, error), error) {
	byTopic, sources := map[string]*ingest.Decoder{}, map[string]string{}
	for _, topic := range m.cfg.Kafka.Topics {
		decoder, err := newDecoder(m.cfg, topic, m.clock)
		if err != nil {
			return nil, err
		}
		byTopic[topic.Name], sources[topic.Name] = decoder, or(topic.Source, topic.Name)
	}
	items := ingest.Items(byTopic)
	return func(message kafka.Message) (news.Item, error) {
		item, err := items(message)
		if err != nil {
			return item, err
		}
		item.Source = or(item.Source, sources[message.Topic])
		item.Entities = m.watch.Tag(item)
		return item, nil
	}, nil
}

func newDecoder(cfg config, topic topicConfig, clock func() time.Time) (*ingest.Decoder, error) {
	decoder, err := ingest.NewDecoder(ingest.DecoderConfig{
		Kind: topic.Kind, Mapping: topic.Mapping, Clock: clock,
		MaxTextBytes: cfg.Kafka.MaxTextBytes, MaxAhead: cfg.Kafka.MaxFuture, History: cfg.Trend.History,
	})
	if err != nil {
		return nil, fmt.Errorf("configuration: kafka.topics: %s: %w", topic.Name, err)
	}
	return decoder, nil
}

// countReadings is trend alone: it counts what other processes have classified.
func (m *monitor) countReadings(ctx context.Context) error {
	consumer, err := newConsumer(m, m.cfg.Kafka.Group+"-trend", []string{m.cfg.Kafka.Readings}, m.decodeReading)
	if err != nil {
		return err
	}
	settler := m.newSettler(nil)
	defer settler.wait()
	defer settler.stop()
	return consumer.Run(ctx, func(_ context.Context, d *ingest.Delivery[news.Reading]) error {
		settler.submit(unsettled{reading: d.Value, appended: d.Appended, done: d.Done, fail: d.Fail})
		return nil
	})
}

// decodeReading refuses what the trend stage would not count: nothing is dropped silently.
func (m *monitor) decodeReading(message kafka.Message) (news.Reading, error) {
	var r news.Reading
	if err := json.Unmarshal(message.Value, &r); err != nil {
		return r, fmt.Errorf("not a reading: %w", err)
	}
	if r.ID == "" || r.PublishedAt.IsZero() {
		return r, errors.New("not a reading: id or published_at is missing")
	}
	now := m.clock()
	if age := now.Sub(r.PublishedAt); age > m.cfg.Trend.History {
		return r, fmt.Errorf("published at %s, before the history of %s that is kept", r.PublishedAt.Format(time.RFC3339), m.cfg.Trend.History)
	}
	if ahead := r.PublishedAt.Sub(now); ahead > m.cfg.Kafka.MaxFuture {
		return r, fmt.Errorf("published at %s, in the future", r.PublishedAt.Format(time.RFC3339))
	}
	return r, nil
}

func newConsumer[T any](m *monitor, group string, topics []string, decode func(kafka.Message) (T, error)) (*ingest.Consumer[T], error) {
	return ingest.NewConsumer(ingest.ConsumerConfig[T]{
		Broker: m.broker, Group: group, Topics: topics, Start: m.cfg.Kafka.Start, Decode: decode, DeadLetters: m.cfg.Kafka.DeadLetters,
		MaxItems: m.cfg.Kafka.MaxItems, MaxBytes: m.cfg.Kafka.MaxBytes, DrainTimeout: m.cfg.DrainTimeout,
		Log: m.log, Registerer: m.registry,
	})
}

// close releases what newMonitor opened.
func (m *monitor) close() {
	if m.classify != nil {
		m.classify.Close()
	}
	if m.alerts != nil {
		_ = m.alerts.Close()
	}
	if m.redis != nil {
		_ = m.redis.Close()
	}
	if m.broker != nil {
		m.broker.Close()
	}
}
