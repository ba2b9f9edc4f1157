// Package feed puts items into Kafka from outside: RSS, Atom and JSON feeds polled over
// HTTP, files of JSON lines, and dead letters put back on their topics.
package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// Config says which feeds are polled, and where their items go. Broker, Topic and URLs are
// required.
type Config struct {
	Broker *broker.Client
	Topic  string
	URLs   []string  // http or https
	Kind   news.Kind // of the items; "" = news

	Interval  time.Duration // between polls of one feed, give or take a tenth; 0 = 5 min
	StateFile string        // remembers between runs what was seen; "" = this run only
	MaxBytes  int64         // of one feed, uncompressed; 0 = 8 MiB
	Timeout   time.Duration // of one request; 0 = 30 s
	Attempts  int           // of one poll; 0 = 3

	Client *http.Client     // nil = one with default settings
	Clock  func() time.Time // nil = time.Now
	Log    *slog.Logger     // nil = slog.Default()
}

// Poller polls feeds. Make it by NewPoller.
type Poller struct {
	cfg    Config
	unlock func() // of the state file

	mu    sync.Mutex // of state
	state state
}

// NewPoller checks the configuration, takes the state file for itself until Close, and reads it, if
// there is one. A state file that cannot be read is an error: starting without it would send all
// items again.
func NewPoller(cfg Config) (*Poller, error) {
	if cfg.Broker == nil || cfg.Topic == "" || len(cfg.URLs) == 0 {
		return nil, errors.New("feed: broker, topic and at least one URL are needed")
	}
	for _, u := range cfg.URLs {
		if !isWebURL(u) {
			return nil, fmt.Errorf("feed %q: not an http or https URL", Shown(u))
		}
	}
	if cfg.Kind == "" {
		cfg.Kind = news.KindNews
	}
	if cfg.Kind != news.KindNews && cfg.Kind != news.KindComment {
		return nil, fmt.Errorf("kind %q: known are %s and %s", cfg.Kind, news.KindNews, news.KindComment)
	}
	if cfg.Interval <= 0 {
		cfg.Interval = 5 * time.Minute
	}
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = 8 << 20
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.Attempts <= 0 {
		cfg.Attempts = 3
	}
	if cfg.Client == nil {
		cfg.Client = &http.Client{}
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	unlock, err := lockState(cfg.StateFile)
	if err != nil {
		return nil, err
	}
	known, err := readState(cfg.StateFile)
	if err != nil {
		unlock()
		return nil, err
	}
	return &Poller{cfg: cfg, unlock: unlock, state: known}, nil
}

// Close lets another poller have the state file. Nothing may be polled after it.
func (p *Poller) Close() { p.unlock() }

// Run polls each feed at once and then in its interval until ctx ends. What goes wrong with
// one feed is logged, and tried again at its next turn.
func (p *Poller) Run(ctx context.Context) {
	var feeds sync.WaitGroup
	for _, url := range p.cfg.URLs {
		feeds.Go(func() {
			for {
				p.turn(ctx, url)
				// Feeds started together do not stay together.
				pause := time.Duration(float64(p.cfg.Interval) * (0.9 + 0.2*rand.Float64()))
				timer := time.NewTimer(pause)
				select {
				case <-ctx.Done():
					timer.Stop()
					return
				case <-timer.C:
				}
			}
		})
	}
	feeds.Wait()
}

func (p *Poller) turn(ctx context.Context, url string) {
	n, err := p.Poll(ctx, url)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		p.cfg.Log.Warn("polling a feed failed; it is tried again at its next turn", "feed", Shown(url), "error", err)
	case n > 0:
		p.cfg.Log.Info("new items", "feed", Shown(url), "items", n)
	}
}

// Shown is a feed's address as logs and people see it: without what may be secret, the user's
// name and password and the query.
func Shown(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that is none"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

// withoutURL drops the address from an HTTP client's error: Shown says it better.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// Poll asks for one feed once, with a few attempts, and puts the items that it has not seen
// into Kafka. It returns their number. They are remembered only after Kafka has them, so
// that an error loses nothing; an item may be sent twice, with the same id. One that is too
// large for the topic is logged, and left out for good.
func (p *Poller) Poll(ctx context.Context, url string) (n int, err error) {
	p.mu.Lock()
	before := p.state.Feeds[url]
	p.mu.Unlock()

	var got fetched
	policy := retry.Policy{Attempts: p.cfg.Attempts, First: time.Second, Max: 30 * time.Second}
	err = retry.Do(ctx, policy, func(ctx context.Context) (err error) {
		got, err = p.fetch(ctx, url, before)
		return err
	})
	if err != nil {
		return 0, err
	}
	now := p.cfg.Clock()
	if got.unchanged {
		return 0, p.remember(url, before.unchanged(now))
	}
	items, err := parse(got.body, url, p.cfg.Kind)
	if err != nil {
		return 0, fmt.Errorf("feed %s: %w", Shown(url), err)
	}
	fresh := before.unseen(items)
	if undated := date(fresh, before.Read, now); undated > 0 && before.Read.IsZero() {
		p.cfg.Log.Info("a feed read for the first time has items without a date; they are dated half a day back, for they may be old",
			"feed", Shown(url), "items", undated)
	}
	refused, err := p.write(ctx, fresh)
	if err != nil {
		return 0, fmt.Errorf("feed %s: %w", Shown(url), err)
	}
	for _, i := range refused {
		p.cfg.Log.Warn("an item is left out: it is "+tooLarge, "feed", Shown(url), "id", fresh[i].ID, "topic", p.cfg.Topic)
	}
	return len(fresh) - len(refused), p.remember(url, before.after(got, items, now))
}

// remember keeps what is known of a feed now, also in the state file.
func (p *Poller) remember(url string, known feedState) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state.Feeds[url] = known
	if err := p.state.write(p.cfg.StateFile); err != nil {
		return fmt.Errorf("feed %s: %w", Shown(url), err)
	}
	return nil
}

// write puts items into Kafka, and gives the positions of those that are too large for the topic.
func (p *Poller) write(ctx context.Context, items []news.Item) (refused []int, err error) {
	messages := make([]kafka.Message, len(items))
	for i, item := range items {
		value, err := json.Marshal(item)
		if err != nil {
			return nil, fmt.Errorf("item %s: %w", item.ID, err)
		}
		messages[i] = kafka.Message{Key: []byte(item.ID), Value: value}
	}
	writer := p.cfg.Broker.Writer(p.cfg.Topic)
	defer writer.Close()
	return writeAll(ctx, writer, messages)
}
