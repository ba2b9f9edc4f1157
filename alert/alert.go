// Package alert decides when to speak, to whom, and does so once.
//
// A spike of the trend stage goes through pure functions (decide.go, inhibit.go,
// route.go) that say fire, escalate, hold, silence or resolve, each with a named reason.
// What they decide is written to Redis in one script together with the deliveries it
// gives rise to, so that a crash in between neither loses nor doubles an alert:
//
//	spikes ──► Consider ──► decisions ──┐ one script      ┌──► Slack
//	                 timer ──► resolve ─┴──► open, outbox ─┼──► webhook
//	                                                       └──► Kafka, terminal
//
// Any number of replicas may share one Redis: decisions are made on a version of the
// state and refused when it has moved on, and a delivery belongs to whoever holds its
// lease.
package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// Config is what a Desk needs. Redis and, with routes, Sinks are required.
type Config struct {
	Redis  redis.UniversalClient
	Prefix string // of every key; "" = "barograph"

	Routes []Route         // tried in order; see Route. None: alerts are kept but nobody is told
	Sinks  map[string]Sink // by the name that routes use

	Console string // the console's http or https address as people reach it, for links; "" = messages have none

	Critical     float64       // surprise from which an alert is critical; 0 = 6
	Escalate     float64       // a rise of surprise since the last message that is told; 0 = 1
	Settle       time.Duration // an alert waits so long from its first spike, so that what comes with it is judged with it; 0 = not at all
	Quiet        time.Duration // resolved after so long without a spike, and never before the spike's Until; 0 = 1 h
	DigestFrom   int           // after so many alerts at once to a channel, further ones share a message there; 0 = 6, negative = never
	DigestWithin time.Duration // at once: within this time; 0 = 10 min

	MaxAge    time.Duration // deliveries that fail for longer go to the dead list; 0 = 24 h
	Lease     time.Duration // how long a delivery may take before another replica takes over; 0 = 1 min
	Poll      time.Duration // how often Run looks for work of other replicas and for quiet alerts; 0 = 1 s
	Remember  time.Duration // how long a resolved alert is known, so that a replay is not told again; 0 = 7 d
	Workers   int           // concurrent deliveries for each sink; 0 = 4
	MaxPause  time.Duration // longest pause between two attempts where few wait; ten times that where many do, and where token, channel or address are at fault; 0 = 1 min
	FirstWait time.Duration // upper bound of the first pause between two attempts; 0 = 1 s

	Clock      func() time.Time // of arrival, as in Spike.At; nil = time.Now. Deliveries always keep Redis' time
	Log        *slog.Logger     // nil = slog.Default()
	Registerer prometheus.Registerer
}

// Desk is the alert stage. It keeps no state of its own: all of it is in Redis, under one
// hash tag, so that every script stays within one slot of a Redis Cluster.
type Desk struct {
	cfg     Config
	store   *store
	metrics *metrics
	log     *slog.Logger
	clock   func() time.Time
	wall    func() time.Time // for leases and back-off; tests replace it
	wake    chan struct{}    // capacity 1: something was just queued here
}

var sinkName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]*$`)

// New checks the configuration and returns a desk. It makes no network call. Its error
// names every fault at once.
func New(cfg Config) (*Desk, error) {
	faults := faultsOf(cfg)
	if len(faults) > 0 {
		return nil, fmt.Errorf("alert: %w", errors.Join(faults...))
	}
	cfg = withDefaults(cfg)
	m := newMetrics(sortedKeys(cfg.Sinks))
	if cfg.Registerer != nil {
		if err := m.register(cfg.Registerer); err != nil {
			return nil, fmt.Errorf("alert: registering metrics: %w", err)
		}
	}
	store := newStore(cfg.Redis, cfg.Prefix)
	return &Desk{
		cfg:     cfg,
		store:   store,
		metrics: m,
		log:     cfg.Log,
		clock:   cfg.Clock,
		wall:    store.now,
		wake:    make(chan struct{}, 1),
	}, nil
}

func faultsOf(cfg Config) []error {
	var faults []error
	if cfg.Redis == nil {
		faults = append(faults, errors.New("no Redis client"))
	}
	if strings.ContainsAny(cfg.Prefix, "{}") {
		faults = append(faults, fmt.Errorf("prefix %q: braces are taken by the hash tag", cfg.Prefix))
	}
	for _, name := range sortedKeys(cfg.Sinks) {
		if !sinkName.MatchString(name) {
			faults = append(faults, fmt.Errorf("sink %q: a name is of a-z, 0-9, _ and -", name))
		}
		if cfg.Sinks[name] == nil {
			faults = append(faults, fmt.Errorf("sink %q is nil", name))
		}
	}
	for i, r := range cfg.Routes {
		if err := r.check(cfg.Sinks); err != nil {
			faults = append(faults, fmt.Errorf("route %d: %w", i+1, err))
		}
	}
	durations := map[string]time.Duration{
		"settle": cfg.Settle, "quiet": cfg.Quiet, "max age": cfg.MaxAge, "lease": cfg.Lease, "poll": cfg.Poll,
		"remember": cfg.Remember, "max pause": cfg.MaxPause, "first wait": cfg.FirstWait, "digest within": cfg.DigestWithin,
	}
	for _, name := range sortedKeys(durations) {
		if durations[name] < 0 {
			faults = append(faults, fmt.Errorf("%s is %s: it cannot be negative", name, durations[name]))
		}
	}
	return faults
}

func withDefaults(cfg Config) Config {
	orElse(&cfg.Prefix, "barograph")
	orElse(&cfg.Critical, 6)
	orElse(&cfg.Escalate, 1)
	orElse(&cfg.Quiet, time.Hour)
	orElse(&cfg.DigestFrom, 6)
	orElse(&cfg.DigestWithin, 10*time.Minute)
	orElse(&cfg.MaxAge, 24*time.Hour)
	orElse(&cfg.Lease, time.Minute)
	orElse(&cfg.Poll, time.Second)
	orElse(&cfg.Remember, 7*24*time.Hour)
	orElse(&cfg.Workers, 4)
	orElse(&cfg.MaxPause, time.Minute)
	orElse(&cfg.FirstWait, time.Second)
	orElse(&cfg.Log, slog.Default())
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return cfg
}

func orElse[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Consider judges spikes and returns once what was decided is in Redis, deliveries
// included: only then may the caller acknowledge the items behind them. The same spikes
// again change nothing, so a replay tells nobody twice. Spikes of one call are judged
// together, and with those of the Config.Settle before: of the several series that one story
// hits, one speaks (see inhibit.go). What waits for that long is decided on by Run.
//
// It tries again for a while when Redis fails; its error means that nothing was decided.
func (d *Desk) Consider(ctx context.Context, spikes []news.Spike) error {
	if len(spikes) == 0 {
		return nil
	}
	err := d.change(ctx, func(s *state) []outcome { return d.rules().consider(s, spikes, d.clock()) })
	if err != nil {
		return fmt.Errorf("alert: considering %d spikes: %w", len(spikes), err)
	}
	return nil
}

// Open lists the alerts that are firing now and that somebody was told of, the most
// surprising first.
func (d *Desk) Open(ctx context.Context) ([]news.Alert, error) {
	return d.list(ctx, func(r record) (news.Alert, bool) { return r.Alert, true })
}

// OpenAt lists those of Open that were told at a sink, in the severity that was told: one that
// has risen under a silence since is nobody's to hear of.
func (d *Desk) OpenAt(ctx context.Context, sink string) ([]news.Alert, error) {
	return d.list(ctx, func(r record) (news.Alert, bool) {
		r.Alert.Severity = r.ToldSeverity
		return r.Alert, slices.ContainsFunc(r.Destinations, func(to Destination) bool { return to.Sink == sink })
	})
}

func (d *Desk) list(ctx context.Context, match func(record) (news.Alert, bool)) ([]news.Alert, error) {
	s, err := d.store.load(ctx)
	if err != nil {
		return nil, fmt.Errorf("alert: listing open alerts: %w", err)
	}
	var open []news.Alert
	for _, r := range s.open {
		if a, matches := match(r); r.Told && matches {
			open = append(open, a)
		}
	}
	slices.SortFunc(open, func(a, b news.Alert) int {
		return cmp.Or(cmp.Compare(b.Surprise, a.Surprise), strings.Compare(a.ID, b.ID))
	})
	return open, nil
}

func (d *Desk) rules() rules {
	u := rules{
		critical: d.cfg.Critical, escalate: d.cfg.Escalate, settle: d.cfg.Settle,
		quiet: d.cfg.Quiet, remember: d.cfg.Remember, routes: d.cfg.Routes,
		digestFrom: d.cfg.DigestFrom, digestWithin: d.cfg.DigestWithin, edits: map[string]bool{},
	}
	for name, sink := range d.cfg.Sinks {
		if digester, is := sink.(Digester); is {
			u.edits[name] = digester.Edits()
		}
	}
	return u
}

// change loads the state, lets judge alter it, and commits it with the deliveries. When
// another replica committed first it starts again from the new state.
func (d *Desk) change(ctx context.Context, judge func(*state) []outcome) error {
	policy := retry.Policy{Attempts: 8, First: 50 * time.Millisecond, Max: 2 * time.Second,
		OnRetry: func(err error) {
			d.metrics.redisRetries.Inc()
			d.log.Warn("alert state in Redis: trying again", "error", err)
		},
		OnReturn: d.sayRedisIsBack}
	return retry.Do(ctx, policy, func(ctx context.Context) error {
		for ctx.Err() == nil {
			s, err := d.store.load(ctx)
			if err != nil {
				return err
			}
			outcomes := judge(s)
			outcomes = append(outcomes, d.rules().flush(s, d.clock())...)
			committed, err := d.store.commit(ctx, s, outcomes, d.wall())
			if err != nil {
				return err
			}
			if committed {
				d.report(s, outcomes)
				return nil
			}
			d.metrics.conflicts.Inc()
		}
		return ctx.Err()
	})
}

// report counts and logs what was decided, and wakes the workers of this process.
func (d *Desk) report(s *state, outcomes []outcome) {
	d.metrics.observe(s, outcomes)
	queued := false
	for _, o := range outcomes {
		queued = queued || len(o.deliveries) > 0
		if o.repeats {
			continue
		}
		d.log.Info("alert "+string(o.Action), "series", o.alert.Series.String(), "alert", o.alert.ID,
			"reason", string(o.Reason), "surprise", o.alert.Surprise, "deliveries", len(o.deliveries))
	}
	if queued {
		select {
		case d.wake <- struct{}{}:
		default:
		}
	}
}
