package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// CorrectionsConfig is what Corrections need. Redis and Writer are required.
type CorrectionsConfig struct {
	Redis  redis.UniversalClient
	Prefix string // of every key; "" = "barograph"
	Writer writer // to the labels topic, as broker.Client.Writer makes them
	Keep   int    // labels kept for listing, the newest; 0 = 10,000. The topic keeps all

	Clock      func() time.Time // for labels without a time; nil = time.Now
	Log        *slog.Logger     // nil = slog.Default()
	Registerer prometheus.Registerer
}

// Corrections take what people say of texts. The labels topic is the record that training
// reads; Redis holds the newest of them for people to see.
type Corrections struct {
	cfg    CorrectionsConfig
	prefix string
	labels *prometheus.CounterVec
}

// ErrInvalidLabel is Add's error for a label that says too little or something impossible.
var ErrInvalidLabel = errors.New("invalid label")

// NewCorrections checks the configuration. It makes no network call.
func NewCorrections(cfg CorrectionsConfig) (*Corrections, error) {
	switch {
	case cfg.Redis == nil:
		return nil, errors.New("corrections: no Redis client")
	case cfg.Writer == nil:
		return nil, errors.New("corrections: no writer of the labels topic")
	case cfg.Keep < 0:
		return nil, fmt.Errorf("corrections: keep is %d: it cannot be negative", cfg.Keep)
	}
	orElse(&cfg.Prefix, "barograph")
	orElse(&cfg.Keep, 10000)
	orElse(&cfg.Log, slog.Default())
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	c := &Corrections{cfg: cfg, prefix: cfg.Prefix + ":{labels}:", labels: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "barograph_alert_labels_total", Help: "Labels that people gave, by task and result (taken, invalid, failed)."}, []string{"task", "result"})}
	if cfg.Registerer != nil {
		if err := cfg.Registerer.Register(c.labels); err != nil {
			return nil, fmt.Errorf("corrections: registering metrics: %w", err)
		}
	}
	return c, nil
}

// Add records a label: on the topic first, so that what is listed is also trained on. One
// without a time gets the clock's. It tries again for a while; after an error the label may
// be on the topic, and adding it again does no harm: a label replaces an earlier one of its
// Key. The error is ErrInvalidLabel where the label is at fault.
func (c *Corrections) Add(ctx context.Context, l news.Label) error {
	if err := checkLabel(l); err != nil {
		c.labels.WithLabelValues(taskOf(l), "invalid").Inc()
		return err
	}
	if l.At.IsZero() {
		l.At = c.cfg.Clock()
	}
	l.At = l.At.UTC().Truncate(time.Millisecond)
	err := c.record(ctx, l)
	if err != nil {
		c.labels.WithLabelValues(l.Task, "failed").Inc()
		return fmt.Errorf("recording the label of item %s: %w", l.ID, err)
	}
	c.labels.WithLabelValues(l.Task, "taken").Inc()
	c.cfg.Log.Info("label", "item", l.ID, "task", l.Task, "label", l.Label, "was", l.Was, "author", l.Author)
	return nil
}

func (c *Corrections) record(ctx context.Context, l news.Label) error {
	value, err := json.Marshal(l)
	if err != nil {
		return err
	}
	policy := retry.Policy{Attempts: 4, Max: 2 * time.Second, OnRetry: func(err error) {
		c.cfg.Log.Warn("label: trying again", "item", l.ID, "error", err)
	}}
	err = retry.Do(ctx, policy, func(ctx context.Context) error {
		err := c.cfg.Writer.WriteMessages(ctx, kafka.Message{Key: []byte(l.Key()), Value: value})
		if broker.TooLarge(err) {
			return retry.Permanent(err)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("writing to the labels topic: %w", err)
	}
	return retry.Do(ctx, policy, func(ctx context.Context) error { return c.list(ctx, l, value) })
}

// listScript keeps a label for listing unless a later one of its key is there, and drops
// the oldest beyond so many.
//
// KEYS: labels by key (hash), keys by time in ms (sorted set).
// ARGV: key, time in ms, JSON, how many to keep. Returns nothing.
var listScript = redis.NewScript(`
local at = redis.call('ZSCORE', KEYS[2], ARGV[1])
if at and tonumber(at) > tonumber(ARGV[2]) then return end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
redis.call('ZADD', KEYS[2], ARGV[2], ARGV[1])
local old = redis.call('ZRANGE', KEYS[2], 0, -1 - tonumber(ARGV[4]))
for _, key in ipairs(old) do
  redis.call('ZREM', KEYS[2], key)
  redis.call('HDEL', KEYS[1], key)
end`)

func (c *Corrections) list(ctx context.Context, l news.Label, value []byte) error {
	err := listScript.Run(ctx, c.cfg.Redis, c.keys(), l.Key(), l.At.UnixMilli(), value, c.cfg.Keep).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return fmt.Errorf("listing it in Redis: %w", err)
	}
	return nil
}

func (c *Corrections) keys() []string { return []string{c.prefix + "labels", c.prefix + "times"} }

// newestScript reads labels, the newest first.
//
// KEYS: as of listScript. ARGV: how many. Returns their JSON.
var newestScript = redis.NewScript(`
local out = {}
for _, key in ipairs(redis.call('ZREVRANGE', KEYS[2], 0, ARGV[1] - 1)) do
  out[#out + 1] = redis.call('HGET', KEYS[1], key)
end
return out`)

// List returns the newest labels, at most limit, the newest first. Of several with one Key
// there is only the last.
func (c *Corrections) List(ctx context.Context, limit int) ([]news.Label, error) {
	if limit <= 0 {
		return nil, nil
	}
	raws, err := newestScript.Run(ctx, c.cfg.Redis, c.keys(), limit).StringSlice()
	if err != nil {
		return nil, fmt.Errorf("listing labels: %w", err)
	}
	labels := make([]news.Label, len(raws))
	for i, raw := range raws {
		if err := json.Unmarshal([]byte(raw), &labels[i]); err != nil {
			return nil, fmt.Errorf("listing labels: %w", err)
		}
	}
	return labels, nil
}

// checkLabel names every fault at once.
func checkLabel(l news.Label) error {
	var faults []string
	fault := func(format string, a ...any) { faults = append(faults, fmt.Sprintf(format, a...)) }
	for _, f := range []struct{ name, value string }{{"id", l.ID}, {"author", l.Author}, {"label", l.Label}} {
		if f.value == "" {
			fault("%s is missing", f.name)
		}
	}
	for _, f := range []struct{ name, value string }{
		{"id", l.ID}, {"author", l.Author}, {"label", l.Label}, {"was", l.Was}, {"entity", l.Entity}, {"lang", l.Lang},
	} {
		if len(f.value) > 1000 || !utf8.ValidString(f.value) || strings.ContainsFunc(f.value, unicode.IsControl) {
			fault("%s is longer than 1000 bytes, not UTF-8, or has control characters", f.name)
		}
	}
	switch {
	case strings.TrimSpace(l.Text) == "":
		fault("text is missing")
	case len(l.Text) > news.MaxReadingText || !utf8.ValidString(l.Text):
		fault("text is longer than %d bytes or not UTF-8", news.MaxReadingText)
	}
	switch l.Task {
	case news.TaskSentiment:
		if !slices.Contains([]string{"negative", "neutral", "positive"}, l.Label) {
			fault("label %q is no sentiment: it is negative, neutral or positive", l.Label)
		}
	case news.TaskTopic:
	case news.TaskEntity:
		if l.Label != news.NotAbout || l.Entity == "" {
			fault("a label of the task %s is %q, and names the entity", news.TaskEntity, news.NotAbout)
		}
	default:
		fault("task %q: there are %s, %s and %s", l.Task, news.TaskSentiment, news.TaskTopic, news.TaskEntity)
	}
	if len(faults) > 0 {
		return fmt.Errorf("%w: %s", ErrInvalidLabel, strings.Join(faults, "; "))
	}
	return nil
}

// taskOf keeps foreign words out of the metric's labels.
func taskOf(l news.Label) string {
	switch l.Task {
	case news.TaskSentiment, news.TaskTopic, news.TaskEntity:
		return l.Task
	}
	return "unknown"
}
