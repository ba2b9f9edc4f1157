package alert

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/slackfake"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// One message an alert: posted, edited as it grows, edited when it is over.
func TestOneMessageAnAlert(t *testing.T) {
	o := newOffice(t)
	registry := prometheus.NewRegistry()
	d := o.desk(t, func(c *Config) { c.Registerer = registry })
	shows := func(want string) {
		t.Helper()
		o.slack.Wait(t, 20*time.Second, want, func() bool {
			m := o.slack.Messages(alertsChannel)
			return len(m) == 1 && header(m[0]) == want
		})
	}
	stop := run(t, d)
	consider(t, d, burst(apple, noon, 10, 3))
	consider(t, d, burst(apple, noon, 10, 3))
	shows("🟠 AAPL: bad news (warning)")
	open, err := d.Open(t.Context())
	if err != nil || len(open) != 1 || open[0].Series != apple || open[0].Negative != 10 || open[0].Status != news.Firing {
		t.Errorf("open: %+v, %v", open, err)
	}
	consider(t, d, burst(apple, noon.Add(time.Minute), 40, 7))
	shows("🔴 AAPL: bad news (critical)")
	o.arrival.add(2 * time.Hour)
	shows("✅ AAPL: bad news (resolved)")
	eventually(t, "an empty outbox", func() bool { return waiting(t, d) == 0 })
	stop()
	if posts, edits := posts(o), len(o.slack.Calls("chat.update")); posts != 1 || edits != 2 {
		t.Errorf("%d posts and %d edits, want 1 and 2", posts, edits)
	}
	if open, err := d.Open(t.Context()); err != nil || len(open) != 0 {
		t.Errorf("open at the end: %+v, %v", open, err)
	}
	if got := testutil.ToFloat64(d.metrics.deliveries.WithLabelValues("slack", "delivered")); got != 3 {
		t.Errorf("metric counts %v deliveries, want 3", got)
	}
	if keys := o.redis.Keys(t.Context(), "*").Val(); !onlyUnder("barograph:{alert}:", keys) {
		t.Errorf("keys outside the hash tag: %q", keys)
	}
	if left := o.redis.HLen(t.Context(), "barograph:{alert}:refs").Val() + o.redis.HLen(t.Context(), "barograph:{alert}:lease").Val(); left != 0 {
		t.Errorf("%d lanes left something behind", left)
	}
}

func onlyUnder(prefix string, keys []string) bool {
	return !slices.ContainsFunc(keys, func(k string) bool { return !strings.HasPrefix(k, prefix) })
}

// A decision made on a state that has moved on is refused: by another replica's decision,
// or by a silence.
func TestStaleDecisionIsRefused(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	tests := []struct {
		name      string
		meanwhile func()
		want      bool
	}{
		{"nothing happened", func() {}, true},
		{"another decision", func() { consider(t, d, burst(tesla, noon, 10, 3)) }, false},
		{"a silence", func() {
			if _, err := NewSilences(o.redis, "", o.arrival.now).Add(t.Context(), Silence{Entity: "AAPL", Until: noon.Add(time.Hour)}); err != nil {
				t.Fatal(err)
			}
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := d.store.load(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			outcomes := d.rules().consider(s, []news.Spike{burst(apple, noon, 10, 3)}, noon)
			tt.meanwhile()
			if committed, err := d.store.commit(t.Context(), s, outcomes, d.wall()); err != nil || committed != tt.want {
				t.Errorf("committed %v (%v), want %v", committed, err, tt.want)
			}
		})
	}
}

// Two replicas see the same spikes and deliver the same outbox: every alert is posted once.
func TestTwoReplicas(t *testing.T) {
	o := newOffice(t)
	const companies = 25
	var spikes []news.Spike
	for i := range companies {
		spikes = append(spikes, burst(news.Series{Entity: fmt.Sprintf("C%02d", i)}, noon, 10, 3))
	}
	apart := func(c *Config) { c.DigestFrom = -1 }
	replicas := []*Desk{o.desk(t, apart), o.desk(t, apart)}
	var wg sync.WaitGroup
	for _, d := range replicas {
		run(t, d)
		wg.Go(func() {
			for _, s := range spikes {
				if err := d.Consider(t.Context(), []news.Spike{s}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	eventually(t, "an empty outbox", func() bool { return waiting(t, replicas[0]) == 0 })
	got := headers(o.slack.Messages(alertsChannel))
	slices.Sort(got)
	if len(slices.Compact(slices.Clone(got))) != companies || len(got) != companies {
		t.Errorf("%d messages, %d different, want %d: %q", len(got), len(slices.Compact(got)), companies, got)
	}
}

// Redis goes away and comes back empty of nothing: Consider says so when it stays away,
// and Run goes on when it is back.
func TestRedisAway(t *testing.T) {
	server := testenv.StartRedis(t, "--appendonly", "no")
	client := redis.NewClient(&redis.Options{Addr: server.Addr, MaxRetries: -1})
	t.Cleanup(func() { _ = client.Close() })
	o := &office{redis: client, slack: slackfake.Start(t), arrival: &watch{t: noon}, wall: &watch{t: time.Now()}}
	away, back := &hearing{words: []byte("in Redis: trying again")}, &hearing{words: []byte("Redis answers again")}
	d := o.desk(t, func(c *Config) { c.Log = slog.New(slog.NewTextHandler(io.MultiWriter(away, back), nil)) })
	run(t, d)
	server.Kill()
	eventually(t, "the log to say that Redis is away", away.heard.Load)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := d.Consider(ctx, []news.Spike{burst(apple, noon, 10, 3)}); err == nil {
		t.Error("Consider returned nil without Redis")
	}
	server.Restart()
	consider(t, d, burst(apple, noon, 10, 3))
	o.slack.Wait(t, 20*time.Second, "the alert", func() bool { return len(o.slack.Messages(alertsChannel)) == 1 })
	eventually(t, "the log to say that Redis is back", back.heard.Load)
}

// hearing waits for words in a log.
type hearing struct {
	words []byte
	heard atomic.Bool
}

func (h *hearing) Write(line []byte) (int, error) {
	if bytes.Contains(line, h.words) {
		h.heard.Store(true)
	}
	return len(line), nil
}

func TestSilences(t *testing.T) {
	o := newOffice(t)
	d := o.desk(t, nil)
	silences := NewSilences(o.redis, "", o.arrival.now)
	for _, wrong := range []Silence{{Until: noon.Add(time.Hour)}, {Entity: "AAPL", Until: noon}} {
		if _, err := silences.Add(t.Context(), wrong); !errors.Is(err, ErrInvalidSilence) {
			t.Errorf("Add(%+v): %v", wrong, err)
		}
	}
	added, err := silences.Add(t.Context(), Silence{Entity: "AAPL", Until: noon.Add(time.Hour), Author: "kim", Comment: "known"})
	if err != nil {
		t.Fatal(err)
	}
	if list, err := silences.List(t.Context()); err != nil || len(list) != 1 || list[0].ID != added.ID || list[0].Author != "kim" || !list[0].CreatedAt.Equal(noon) {
		t.Errorf("list: %+v, %v", list, err)
	}
	consider(t, d, burst(apple, noon, 10, 3), burst(tesla, noon, 10, 3))
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "🟠 TSLA: bad news (warning)")
	if err := silences.Remove(t.Context(), added.ID); err != nil {
		t.Error(err)
	}
	if err := silences.Remove(t.Context(), added.ID); !errors.Is(err, ErrNoSuchSilence) {
		t.Errorf("removing twice: %v", err)
	}
	consider(t, d, burst(apple, noon.Add(time.Minute), 10, 3))
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "🟠 TSLA: bad news (warning)", "🟠 AAPL: bad news (warning)")
}

// Scripts keep to one slot of a Redis Cluster.
func TestOnARedisCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts three servers")
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: testenv.StartRedisCluster(t)})
	t.Cleanup(func() { _ = client.Close() })
	o := &office{redis: client, slack: slackfake.Start(t), arrival: &watch{t: noon}, wall: &watch{t: time.Now()}}
	d := o.desk(t, nil)
	consider(t, d, burst(apple, noon, 10, 3))
	consider(t, d, burst(apple, noon.Add(time.Minute), 40, 7))
	drainAll(t, d)
	o.arrival.add(3 * time.Hour)
	housekeep(t, d)
	drainAll(t, d)
	wantMessages(t, o, alertsChannel, "✅ AAPL: bad news (resolved)")
}

// One call of Consider with a spike of each of four series, while fifty others are open.
func BenchmarkConsider(b *testing.B) {
	client := redis.NewClient(&redis.Options{Addr: testenv.StartRedis(b).Addr})
	defer client.Close()
	d, err := New(Config{Redis: client, Clock: func() time.Time { return noon }, Log: quietLog()})
	if err != nil {
		b.Fatal(err)
	}
	for i := range 50 {
		if err := d.Consider(b.Context(), []news.Spike{burst(news.Series{Entity: fmt.Sprint("C", i)}, noon, 10, 3)}); err != nil {
			b.Fatal(err)
		}
	}
	spikes := []news.Spike{burst(everything, noon, 34, 3), burst(lawsuit, noon, 31, 4), burst(apple, noon, 32, 5), burst(appleLawsuit, noon, 30, 6)}
	for b.Loop() {
		if err := d.Consider(b.Context(), spikes); err != nil {
			b.Fatal(err)
		}
	}
}
