package main

import (
	"cmp"
	"context"
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
	"github.com/barograph/barograph/console"
	"github.com/barograph/barograph/ingest/watch"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
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
	index    *console.Index
	tail     *tail
	alerts   *kafka.Writer
	labels   *kafka.Writer
	settle   settleMetrics

	corrections *alert.Corrections
	counts      *trend.Store // for the console, and charts and pictures in Slack
	slack       *alert.SlackActions

	alertmanager *alert.Alertmanager
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
	if err = cfg.checkSecrets(); err != nil {
		return m, fmt.Errorf("configuration: %w", err)
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
	if err = m.newCorrections(); err != nil {
		return m, err
	}
	if err = m.newDecisions(p.sinks); err != nil {
		return m, err
	}
	if m.stages.classify {
		stage, err := classifyStage(cfg.Classify, m.clock, log, m.registry)
		if err != nil {
			return m, fmt.Errorf("configuration: classify.%w", err)
		}
		stage.Queue, stage.Reload, stage.Names = cfg.Kafka.MaxItems, cfg.Classify.Reload, m.watch.Names
		if m.classify, err = classify.New(stage); err != nil {
			return m, err
		}
	}
	return m, m.newConsole()
}

// newDecisions makes the trend and alert stages. A process with trend decides about alerts
// also where another delivers them.
func (m *monitor) newDecisions(sinks map[string]alert.Sink) (err error) {
	if m.stages.trend {
		m.trend, err = trend.New(trend.Config{
			Redis: m.redis, Prefix: m.cfg.Redis.Prefix, History: m.cfg.Trend.History, Clock: m.clock, Log: m.log, Registerer: m.registry,
			Rule: ruleOf(m.cfg.Trend),
		})
		if err != nil {
			return err
		}
	}
	if !m.stages.decides() {
		return nil
	}
	if m.cfg.Kafka.Alerts != "" {
		m.alerts = m.broker.Writer(m.cfg.Kafka.Alerts)
	}
	if err := m.prepareSlack(); err != nil {
		return err
	}
	all, routes, err := sinksOf(m.cfg.Alert, m.cfg.Console.PublicURL, m.alerts, sinks)
	if err != nil {
		return err
	}
	m.desk, err = alert.New(alert.Config{
		Redis: m.redis, Prefix: m.cfg.Redis.Prefix, Routes: routes, Sinks: all, Console: m.cfg.Console.PublicURL,
		Settle: alertSettle, Quiet: m.cfg.Alert.Quiet, Critical: m.cfg.Alert.Critical, Clock: m.clock, Log: m.log, Registerer: m.registry,
		DigestFrom: cmp.Or(m.cfg.Alert.DigestFrom, -1), DigestWithin: m.cfg.Alert.DigestWithin,
	})
	if err != nil {
		return err
	}
	m.alertmanager, _ = all["alertmanager"].(*alert.Alertmanager)
	return m.newSlackActions(all, routes)
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
	topics := []broker.Topic{labelsTopic(k.Labels)}
	for _, name := range append([]string{k.Readings, k.Alerts, k.DeadLetters}, topicNames(k.Topics)...) {
		if name != "" {
			topics = append(topics, broker.Topic{Name: name})
		}
	}
	return retry.Do(ctx, retry.Policy{OnRetry: func(err error) { m.log.Warn("Kafka is waited for", "error", err) }}, func(ctx context.Context) error {
		err := m.broker.EnsureTopics(ctx, topics...)
		var refused kafka.Error
		if errors.As(err, &refused) && !refused.Temporary() {
			return retry.Permanent(err)
		}
		return err
	})
}

func topicNames(topics []topicConfig) []string {
	names := make([]string, len(topics))
	for i, topic := range topics {
		names[i] = topic.Name
	}
	return names
}

// run runs the stages until ctx ends, then drains: it stops fetching, settles what is
// under way, commits and leaves the group, and delivers the alerts of the last moments.
func (m *monitor) run(ctx context.Context) error {
	defer m.close()
	beside, endBeside := context.WithCancel(context.WithoutCancel(ctx))
	defer endBeside()
	m.log.Info("serving the console, /metrics, /healthz and /readyz", "address", "http://"+m.console.Addr())

	all, running := errgroup.WithContext(ctx)
	var besides errgroup.Group
	all.Go(func() error {
		served := make(chan error, 1)
		besides.Go(func() error { served <- m.console.Run(beside); return nil })
		select {
		case err := <-served: // before the end: it cannot serve any more
			return err
		case <-running.Done():
			return nil
		}
	})
	besides.Go(func() error {
		return m.tail.run(beside, m.cfg.Kafka.Readings, m.cfg.Console.IndexItems, m.cfg.Kafka.Alerts)
	})
	if m.stages.alert {
		besides.Go(func() error { return ended(beside, m.desk.Run(beside)) })
		besides.Go(func() error { return ended(beside, m.keepOpen(beside)) })
	}
	if m.slack != nil {
		besides.Go(func() error { return ended(beside, m.slack.Run(beside)) })
	}
	all.Go(func() error { return m.consume(running) })
	err := all.Wait()
	if m.stages.alert && m.stages.trend {
		time.AfterFunc(lastAlerts, endBeside)
	} else {
		endBeside()
	}
	err = errors.Join(err, besides.Wait())
	if err != nil {
		m.log.Error("stopped by an error, or before all was drained: what was under way is read again", "error", err)
		return err
	}
	m.log.Info("drained and stopped")
	return nil
}

// alertSettle is how long an alert waits for what comes with it: longer than a burst that
// arrives at once takes to be read and counted, and too short for a person to miss.
const alertSettle = 2 * time.Second

// lastAlerts is how long a process that drains goes on delivering.
const lastAlerts = 2 * time.Second

// consume makes sure of the topics and runs what reads them; without such a stage it waits
// for the end.
func (m *monitor) consume(ctx context.Context) error {
	if err := m.ensureTopics(ctx); err != nil {
		return ended(ctx, err)
	}
	switch {
	case m.stages.classify:
		return m.classifyItems(ctx)
	case m.stages.trend:
		return m.countReadings(ctx)
	}
	<-ctx.Done()
	return nil
}

// ended takes the end of the context for success.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// close releases what newMonitor opened.
func (m *monitor) close() {
	if m.classify != nil {
		m.classify.Close()
	}
	if m.alerts != nil {
		_ = m.alerts.Close()
	}
	if m.labels != nil {
		_ = m.labels.Close()
	}
	if m.redis != nil {
		_ = m.redis.Close()
	}
	if m.broker != nil {
		m.broker.Close()
	}
}
