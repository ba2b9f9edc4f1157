package alert

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/slackfake"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// noon is when the tests' story begins.
var noon = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

var (
	apple         = news.Series{Entity: "AAPL"}
	appleLawsuit  = news.Series{Entity: "AAPL", Topic: "Lawsuit"}
	appleEarnings = news.Series{Entity: "AAPL", Topic: "Earnings"}
	lawsuit       = news.Series{Topic: "Lawsuit"}
	tesla         = news.Series{Entity: "TSLA"}
	everything    = news.Series{}
)

// burst is a spike of so many negatives among as many items and a quarter more.
func burst(s news.Series, at time.Time, negative int, surprise float64) news.Spike {
	return news.Spike{
		Series: s, At: at, StartedAt: at.Add(-20 * time.Minute),
		Window:   news.Window{Length: 30 * time.Minute, Items: negative + negative/4, Negative: negative, Copies: 4},
		Expected: 4.2, VolumeFactor: 1, ShareBefore: .12, P: 1e-6, Surprise: surprise, Sources: 9,
		Evidence: []news.Evidence{
			{ID: "a", Title: "Apple sued over battery fires in three states", URL: "https://example.com/a?x=1&y=2", Source: "Reuters", Negative: .98},
			{ID: "b", Title: "苹果公司因电池起火被起诉", URL: "https://example.cn/b", Source: "新浪财经", Negative: .95},
			{ID: "c", Title: "Analysts see damages of $4 bn", URL: "", Negative: .91},
		},
		Model: news.Model{Name: "bge-small-en-finance", Version: "1.2.0", Digest: "0123"},
		Texts: []string{"d", "c", "b", "a"},
	}
}

// watch is a clock that only moves when told.
type watch struct {
	mu sync.Mutex
	t  time.Time
}

func (w *watch) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.t }

func (w *watch) add(d time.Duration) { w.mu.Lock(); defer w.mu.Unlock(); w.t = w.t.Add(d) }

func quietLog() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func startRedis(t *testing.T) redis.UniversalClient {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: testenv.StartRedis(t).Addr})
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// newSlack is the sink on the fake; its own pauses follow the watch.
func newSlack(t *testing.T, fake *slackfake.Server, w *watch) *Slack {
	t.Helper()
	sink, err := NewSlack(SlackConfig{Token: slackfake.Token, AppToken: slackfake.AppToken, APIURL: fake.URL, Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	sink.now = w.now
	return sink
}

const alertsChannel = "C0001ALERTS"

// office is a Redis, a Slack and the time, which several desks may share.
type office struct {
	redis   redis.UniversalClient
	slack   *slackfake.Server
	arrival *watch // Spike.At
	wall    *watch // leases and back-off; shows the real time at first, as the fake's messages do
}

func newOffice(t *testing.T) *office {
	return &office{redis: startRedis(t), slack: slackfake.Start(t), arrival: &watch{t: noon}, wall: &watch{t: time.Now()}}
}

// desk opens one more replica.
func (o *office) desk(t *testing.T, change func(*Config)) *Desk {
	t.Helper()
	cfg := Config{
		Redis: o.redis, Routes: []Route{{Sink: "slack", Channel: alertsChannel}},
		Sinks: map[string]Sink{"slack": newSlack(t, o.slack, o.wall)},
		Poll:  5 * time.Millisecond, Clock: o.arrival.now, Log: quietLog(),
	}
	if change != nil {
		change(&cfg)
	}
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	d.wall = o.wall.now
	return d
}

// drainAll makes the deliveries that are due now, without the workers.
func drainAll(t *testing.T, d *Desk) {
	t.Helper()
	for name, sink := range d.cfg.Sinks {
		d.drain(t.Context(), name, sink)
	}
}

func consider(t *testing.T, d *Desk, spikes ...news.Spike) {
	t.Helper()
	if err := d.Consider(t.Context(), spikes); err != nil {
		t.Fatal(err)
	}
}

// run starts the desk's workers for the rest of the test.
func run(t *testing.T, d *Desk) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-limit.C:
			t.Fatalf("still waiting for %s", what)
		case <-tick.C:
		}
	}
}

func waiting(t *testing.T, d *Desk) int64 {
	t.Helper()
	lanes, _, err := d.store.backlog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var n int64
	for _, waiting := range lanes {
		n += waiting
	}
	return n
}

// housekeep does what Run does at each tick.
func housekeep(t *testing.T, d *Desk) {
	t.Helper()
	if _, err := d.housekeep(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// letterbox is a sink for people that cannot change what it sent.
type letterbox struct{ got []string }

func (l *letterbox) Check(string) error { return nil }
func (l *letterbox) Edits() bool        { return false }

func (l *letterbox) Deliver(_ context.Context, d Delivery) (string, error) {
	if d.Digest != nil {
		l.got = append(l.got, fmt.Sprint("digest of ", len(d.Digest.Alerts)))
		return "", nil
	}
	l.got = append(l.got, fmt.Sprint(d.Action, " ", d.Alert.Series))
	return "", nil
}
