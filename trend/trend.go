// Package trend counts readings in windows of event time and says which series stand
// out: a rule on negative readings against what the series' own past, at today's volume,
// leads one to expect.
//
//	readings ──► plans, one a shard ──► search ──► observe.lua ──► series to judge ──► learn, judge ──► spikes
//	             (plan.go)          (lists.go)  (arguments.go)  (encode.go)        (learn.go, rule.go)
//
// The rule is made of pure functions (rule.go, baseline.go); Store keeps their state in
// Redis for any number of replicas, Replay keeps it in memory for history.
package trend

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// Config says where and how to count.
type Config struct {
	// Redis is a single server or a cluster. Required. Give it time-outs; Store adds one of
	// 10 s to each attempt.
	Redis redis.UniversalClient

	// Prefix starts every key. It must not contain braces. "" = "barograph".
	Prefix string

	// Rule is when a series stands out. The zero value is the rule as benchmarked.
	Rule Rule

	// History is how long counts are kept for display, and how old an item may be to be
	// counted at all. At least the 12 h of the longest window; 0 = DefaultHistory.
	History time.Duration

	Clock      func() time.Time      // nil = time.Now
	Log        *slog.Logger          // nil = slog.Default()
	Registerer prometheus.Registerer // nil = metrics are not registered
}

const (
	// DefaultHistory is how long buckets are kept, and how old an item may be to be counted.
	DefaultHistory = 24 * time.Hour

	future         = time.Hour           // how far ahead of the clock an item may be
	keepSeries     = 30 * 24 * time.Hour // after a series' last reading it is forgotten
	keepEvidence   = longestWindow + time.Hour
	learnWithin    = 18 * time.Hour // a series written to has learnt up to here
	batch          = 512            // readings a round trip, so that no script call holds Redis for long
	attempts       = 5
	attemptTimeout = 10 * time.Second
	learnAttempts  = 3
)

// Store counts in Redis. Any number of Stores, in any number of processes, may share the
// same Redis and prefix. It is safe for concurrent use; of its own it only holds the
// threshold, for an hour.
type Store struct {
	redis   redis.UniversalClient
	keys    keys
	rule    Rule
	kinds   []news.SpikeKind
	marks   marks // of the kinds
	history time.Duration
	clock   func() time.Time
	log     *slog.Logger
	metrics metrics
	limit   limit
}

// New checks the configuration. It does not talk to Redis.
func New(cfg Config) (*Store, error) {
	s := &Store{redis: cfg.Redis, keys: keys{cfg.Prefix}, rule: cfg.Rule.withDefaults(), kinds: cfg.Rule.Kinds(),
		history: cfg.History, clock: cfg.Clock, log: cfg.Log}
	if s.redis == nil {
		return nil, errors.New("trend: no Redis client")
	}
	if s.keys.prefix == "" {
		s.keys.prefix = "barograph"
	}
	if strings.ContainsAny(s.keys.prefix, "{}") {
		return nil, fmt.Errorf("trend: prefix %q has braces, which Redis Cluster would take for a hash tag: leave them out", s.keys.prefix)
	}
	if r := s.rule; r.Surprise < 0 || r.MinNegative < 0 || r.FalseAlertsPerDay < 0 {
		return nil, fmt.Errorf("trend: surprise %g, fewest negatives %d and false alerts a day %g must not be negative",
			r.Surprise, r.MinNegative, r.FalseAlertsPerDay)
	}
	if err := checkKinds(s.rule.Spikes); err != nil {
		return nil, err
	}
	for _, kind := range s.kinds {
		s.marks |= markOf(kind)
	}
	if s.history == 0 {
		s.history = DefaultHistory
	}
	if s.history < longestWindow {
		return nil, fmt.Errorf("trend: history of %s is shorter than the longest window: keep at least %s", s.history, longestWindow)
	}
	if s.clock == nil {
		s.clock = time.Now
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	var err error
	if s.metrics, err = newMetrics(cfg.Registerer, s.rule.Market); err != nil {
		return nil, fmt.Errorf("trend: registering metrics: %w", err)
	}
	if m := s.rule.Market; m != nil && m.RunsOut(s.clock()) {
		s.log.Warn("the holidays known of trend.market end; from then on its week has weekends only: take a newer version of Barograph",
			"market", m.String(), "known_until", m.KnownUntil())
	}
	return s, nil
}

// Observe counts the readings in all their series and judges, at the clock's time, each
// series that got a negative one published in the last 12 hours. It returns at most one
// spike a series and kind.
//
// A reading counts once by its Source and ID, whichever Store brings it and how often: the ID must
// keep its event time. Repeats are judged again, so when Observe returns an error, or its
// caller dies before it has passed the spikes on, the same readings are to be observed
// again: nothing is counted twice and no spike is lost. Told says that they were passed on. A text already
// counted in a series within a day of event time, or nearly the same by its sketch, is only counted as a copy. A reading older than History, more
// than an hour ahead of the clock, or without an ID is not counted; metrics say how many.
//
// An error means that Redis was down or refused writes over several attempts, some of
// the readings may be counted, and none must be acknowledged.
func (s *Store) Observe(ctx context.Context, readings []news.Reading) ([]news.Spike, error) {
	now := s.clock()
	readings = s.acceptable(readings, now)
	if len(readings) == 0 {
		return nil, nil
	}
	found := map[subject]*stored{}
	for first := 0; first < len(readings); first += batch {
		plans := s.plans(readings[first:min(first+batch, len(readings))], now)
		if err := s.count(ctx, plans, now, found); err != nil {
			return nil, fmt.Errorf("counting %d readings in Redis: %w", len(readings), err)
		}
	}
	if err := s.judge(ctx, found, now); err != nil {
		return nil, fmt.Errorf("keeping baselines and threshold in Redis: %w", err)
	}
	spikes, err := s.explain(ctx, found, now)
	if err != nil {
		return nil, fmt.Errorf("reading evidence from Redis: %w", err)
	}
	s.metrics.spikes.Add(float64(len(spikes)))
	return spikes, nil
}

// acceptable leaves out what cannot be counted.
func (s *Store) acceptable(readings []news.Reading, now time.Time) []news.Reading {
	oldest, newest := now.Add(-s.history), now.Add(future)
	out := make([]news.Reading, 0, len(readings))
	refused := 0
	for _, r := range readings {
		reason := ""
		switch {
		case r.ID == "":
			reason = "no_id"
		case r.PublishedAt.Before(oldest):
			reason = "too_old"
		case r.PublishedAt.After(newest):
			reason = "too_new"
		default:
			out = append(out, r)
			continue
		}
		refused++
		s.metrics.readings.WithLabelValues(reason).Inc()
		s.log.Debug("reading not counted", "id", r.ID, "reason", reason, "published_at", r.PublishedAt)
	}
	if refused > 0 {
		s.log.Warn("readings not counted: too old, ahead of the clock or without an id", "readings", refused)
	}
	return out
}

// retry runs op with the one policy for Redis.
func (s *Store) retry(ctx context.Context, op func(context.Context) error) error {
	policy := retry.Policy{Attempts: attempts, First: 50 * time.Millisecond, Max: time.Second,
		OnRetry: func(err error) {
			s.metrics.retries.Inc()
			s.log.Warn("Redis refused, trying again", "error", err)
		},
		OnReturn: func() { s.log.Info("Redis answers again: counting goes on") }}
	return retry.Do(ctx, policy, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
		defer cancel()
		begun := time.Now()
		defer func() { s.metrics.seconds.Observe(time.Since(begun).Seconds()) }()
		return op(ctx)
	})
}
