package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/console"
	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// newConsole makes the console: each process has one, whatever stages it runs, for what it
// shows is in Redis and on Kafka.
func (m *monitor) newConsole() (err error) {
	m.index = console.NewIndex(console.IndexConfig{
		Items: m.cfg.Console.IndexItems, Bytes: m.cfg.Console.IndexBytes, History: m.cfg.Trend.History, Clock: m.clock,
	})
	m.tail = newTail(m.broker, m.index, m.cfg.Trend.History, m.clock, m.log, m.registry)
	if err := m.openCounts(); err != nil {
		return err
	}
	desk := m.desk
	if desk == nil {
		if desk, err = alert.New(alert.Config{Redis: m.redis, Prefix: m.cfg.Redis.Prefix, Clock: m.clock, Log: m.log}); err != nil {
			return err
		}
	}
	access, err := m.cfg.Console.access()
	if err != nil {
		return err
	}
	models := bundleList{dirs: m.cfg.Classify.Bundles, bases: m.cfg.Classify.Bases, classifies: m.stages.classify}
	m.console, err = console.New(console.Config{
		Listen: m.cfg.Console.Listen, Gatherer: m.registry, Checks: m.checks(), Log: m.log, Access: access,
		Sources: &console.Sources{
			Index: m.index, Outlook: outlookOf(m.counts), Course: courseOf(m.counts), Windows: trend.WindowLengths(), Firing: desk.Open,
			Annotate: annotate(desk), Mute: mute(desk),
			Silences: silencesOf{alert.NewSilences(m.redis, m.cfg.Redis.Prefix, m.clock)}, Corrections: correctionsOf{m.corrections},
			Models: models.list, Lag: lagOf(m.registry), Keeps: m.cfg.Trend.History, Clock: m.clock,
		},
	})
	return err
}

// access checks what does not need the network.
func (c consoleConfig) access() (console.Access, error) {
	a := console.Access{Token: c.Token, TrustedHeader: c.TrustedHeader}
	if err := secret.Check("console", c); err != nil {
		return a, err
	}
	for _, text := range c.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			address, notAddress := netip.ParseAddr(text)
			if notAddress != nil {
				return a, fmt.Errorf("configuration: console.trusted_proxies: %q is no address such as 10.1.2.3 and no network such as 10.0.0.0/8", text)
			}
			prefix = netip.PrefixFrom(address, address.BitLen())
		}
		a.TrustedProxies = append(a.TrustedProxies, prefix)
	}
	return a, nil
}

func outlookOf(counts *trend.Store) func(context.Context, []news.Series) ([]console.Outlook, error) {
	return func(ctx context.Context, of []news.Series) ([]console.Outlook, error) {
		found, err := counts.Outlook(ctx, of)
		out := make([]console.Outlook, len(found))
		for i, o := range found {
			out[i] = console.Outlook{Series: o.Series, Kind: o.Kind, Window: news.Duration(o.Window.Length), Items: o.Window.Items, Negative: o.Window.Negative,
				Positive: o.Window.Positive, Copies: o.Window.Copies, Expected: o.Expected, Surprise: o.Surprise, ShareBefore: o.ShareBefore, TooFew: o.TooFew}
			for _, b := range o.Recent {
				out[i].Recent = append(out[i].Recent, console.Count{Start: b.Start, Items: b.Items, Negative: b.Negative, Positive: b.Positive})
			}
		}
		return out, err
	}
}

func courseOf(counts *trend.Store) func(context.Context, news.Series, news.SpikeKind, time.Time, time.Time, time.Duration) ([]console.Step, error) {
	return func(ctx context.Context, of news.Series, kind news.SpikeKind, from, to time.Time, step time.Duration) ([]console.Step, error) {
		found, err := counts.Course(ctx, of, kind, from, to, step)
		out := make([]console.Step, len(found))
		for i, s := range found {
			out[i] = console.Step(s)
		}
		return out, err
	}
}

func annotate(desk *alert.Desk) func(context.Context, string, news.Note) error {
	return func(ctx context.Context, id string, n news.Note) error { return deedError(desk.Annotate(ctx, id, n)) }
}

func mute(desk *alert.Desk) func(context.Context, string, string, time.Time, time.Duration) error {
	return func(ctx context.Context, id, by string, at time.Time, long time.Duration) error {
		return deedError(desk.Mute(ctx, id, by, at, long))
	}
}

func deedError(err error) error {
	switch {
	case errors.Is(err, alert.ErrNoSuchAlert):
		return fmt.Errorf("%w: %w", console.ErrNotFound, err)
	case errors.Is(err, alert.ErrInvalidNote):
		return fmt.Errorf("%w: %w", console.ErrInvalid, err)
	}
	return err
}

// silencesOf and correctionsOf say in the console's words what alert's errors mean.
type (
	silencesOf    struct{ *alert.Silences }
	correctionsOf struct{ *alert.Corrections }
)

// Add mutes. What is wrong with the silence is console.ErrInvalid.
func (s silencesOf) Add(ctx context.Context, m console.Silence) (console.Silence, error) {
	added, err := s.Silences.Add(ctx, alert.Silence{Entity: m.Entity, Topic: m.Topic, Until: m.Until, Author: m.Author, Comment: m.Comment})
	if errors.Is(err, alert.ErrInvalidSilence) {
		err = fmt.Errorf("%w: %w", console.ErrInvalid, err)
	}
	return silenceOf(added), err
}

// List gives the silences in force.
func (s silencesOf) List(ctx context.Context) ([]console.Silence, error) {
	list, err := s.Silences.List(ctx)
	out := make([]console.Silence, len(list))
	for i, m := range list {
		out[i] = silenceOf(m)
	}
	return out, err
}

// Remove ends a silence; console.ErrNotFound where there is none of that id.
func (s silencesOf) Remove(ctx context.Context, id string) error {
	err := s.Silences.Remove(ctx, id)
	if errors.Is(err, alert.ErrNoSuchSilence) {
		err = fmt.Errorf("%w: %w", console.ErrNotFound, err)
	}
	return err
}

func silenceOf(m alert.Silence) console.Silence {
	return console.Silence{ID: m.ID, Entity: m.Entity, Topic: m.Topic, Until: m.Until, Author: m.Author, Comment: m.Comment, CreatedAt: m.CreatedAt,
		Exact: m.Exact, Alert: m.Alert}
}

// Add records a label. What is wrong with it is console.ErrInvalid.
func (c correctionsOf) Add(ctx context.Context, l news.Label) error {
	err := c.Corrections.Add(ctx, l)
	if errors.Is(err, alert.ErrInvalidLabel) {
		err = fmt.Errorf("%w: %w", console.ErrInvalid, err)
	}
	return err
}

// lagOf sums up the ingest stage's own metric, so that the console and Prometheus agree.
func lagOf(registry *prometheus.Registry) func() (int64, bool) {
	return func() (lag int64, known bool) {
		families, err := registry.Gather()
		if err != nil {
			return 0, false
		}
		for _, f := range families {
			if f.GetName() == "barograph_ingest_lag" && f.GetType() == dto.MetricType_GAUGE {
				for _, metric := range f.GetMetric() {
					lag, known = lag+int64(metric.GetGauge().GetValue()), true
				}
			}
		}
		return lag, known
	}
}
