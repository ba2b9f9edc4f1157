package trend_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// monday is a Monday noon in UTC.
var monday = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// clock is a clock that tests set.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// eachRedis runs a test on a real server and on the embedded one of the demo.
func eachRedis(t *testing.T, test func(t *testing.T, client redis.UniversalClient)) {
	t.Run("redis-server", func(t *testing.T) { test(t, realRedis(t)) })
	t.Run("miniredis", func(t *testing.T) {
		test(t, connect(t, &redis.Options{Addr: miniredis.RunT(t).Addr()}))
	})
}

func realRedis(t testing.TB) redis.UniversalClient {
	return connect(t, &redis.Options{Addr: testenv.StartRedis(t).Addr})
}

func connect(t testing.TB, options *redis.Options) redis.UniversalClient {
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

// newStore is a store in whose life nothing may go wrong: a warning fails the test.
func newStore(t testing.TB, client redis.UniversalClient, c *clock, rule trend.Rule) *trend.Store {
	t.Helper()
	return storeThatLogs(t, client, c, rule, failOnWarning{slog.DiscardHandler, t})
}

// troubledStore is a store that may warn.
func troubledStore(t testing.TB, client redis.UniversalClient, c *clock, rule trend.Rule) *trend.Store {
	t.Helper()
	return storeThatLogs(t, client, c, rule, slog.DiscardHandler)
}

type failOnWarning struct {
	slog.Handler
	t testing.TB
}

func (f failOnWarning) Enabled(context.Context, slog.Level) bool { return true }
func (f failOnWarning) Handle(_ context.Context, r slog.Record) error {
	if r.Level >= slog.LevelWarn {
		r.Attrs(func(a slog.Attr) bool { f.t.Errorf("logged %q: %s", r.Message, a); return true })
	}
	return nil
}

func storeThatLogs(t testing.TB, client redis.UniversalClient, c *clock, rule trend.Rule, log slog.Handler) *trend.Store {
	t.Helper()
	s, err := trend.New(trend.Config{Redis: client, Rule: rule, Clock: c.now, Log: slog.New(log)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// observe passes what it finds on at once, as far as the store can tell.
func observe(t testing.TB, s *trend.Store, readings ...news.Reading) []news.Spike {
	t.Helper()
	spikes, err := s.Observe(context.Background(), readings)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Told(context.Background(), spikes); err != nil {
		t.Fatal(err)
	}
	return spikes
}

// reading is a reading of one entity; p is its probability of negative.
func reading(id string, at time.Time, p float64, entities ...string) news.Reading {
	return news.Reading{ID: id, PublishedAt: at, Entities: entities, Source: "wire", Title: "title of " + id,
		URL: "https://example.com/" + id, Sentiment: news.Sentiment{Negative: p, Neutral: 1 - p},
		Topic: news.Topic{Label: "Earnings"}, Model: news.Model{Name: "m", Version: "1", Digest: "d"}}
}

func window(t testing.TB, s *trend.Store, of news.Series, end time.Time, length time.Duration) news.Window {
	t.Helper()
	w, err := s.Window(t.Context(), of, end, length)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestReadingCountsInAllItsSeries(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		s := newStore(t, client, &clock{monday}, trend.Rule{})
		observe(t, s, reading("1", monday.Add(-time.Minute), .9, "AAPL", "MSFT"), reading("2", monday.Add(-20*time.Minute), .1, "AAPL"))
		for of, want := range map[news.Series]news.Window{
			{}: {Items: 2, Negative: 1}, {Topic: "Earnings"}: {Items: 2, Negative: 1},
			{Entity: "AAPL"}: {Items: 2, Negative: 1}, {Entity: "AAPL", Topic: "Earnings"}: {Items: 2, Negative: 1},
			{Entity: "MSFT"}: {Items: 1, Negative: 1}, {Entity: "MSFT", Topic: "Earnings"}: {Items: 1, Negative: 1},
			{Entity: "IBM"}: {},
		} {
			want.Length = time.Hour
			if got := window(t, s, of, monday, time.Hour); got != want {
				t.Errorf("%s: %+v, want %+v", of, got, want)
			}
		}
		if got := window(t, s, news.Series{}, monday, 15*time.Minute); got.Items != 1 {
			t.Errorf("quarter of an hour: %d items, want 1", got.Items)
		}
	})
}

func TestRepeatsAndCopies(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		s := newStore(t, client, &clock{monday}, trend.Rule{})
		first, copied := reading("1", monday, .9, "AAPL"), reading("2", monday, .9, "AAPL")
		first.TextDigest, copied.TextDigest = "aa", "aa"
		for range 3 {
			observe(t, s, first, copied, first)
			observe(t, s, copied)
		}
		// A new model may file the repeat under another topic: still it counts once.
		copied.Topic.Label = "Legal"
		observe(t, s, copied)
		want := news.Window{Length: time.Hour, Items: 1, Negative: 1, Copies: 1}
		for _, of := range []news.Series{{}, {Topic: "Earnings"}, {Entity: "AAPL"}, {Entity: "AAPL", Topic: "Earnings"}} {
			if got := window(t, s, of, monday, time.Hour); got != want {
				t.Errorf("%s: %+v, want %+v", of, got, want)
			}
		}
		// The same text of another company is no copy there.
		other := reading("3", monday, .9, "MSFT")
		other.TextDigest = "aa"
		observe(t, s, other)
		if got := window(t, s, news.Series{Entity: "MSFT"}, monday, time.Hour); got.Items != 1 || got.Copies != 0 {
			t.Errorf("MSFT: %+v, want one item", got)
		}
	})
}

// Two feeds may number their items alike.
func TestAnIDIsThatOfItsSource(t *testing.T) {
	s := newStore(t, realRedis(t), &clock{monday}, trend.Rule{})
	one, other := reading("1", monday, .9, "AAPL"), reading("1", monday, .9, "AAPL")
	other.Source = "another wire"
	observe(t, s, one, other, one, other)
	if got := window(t, s, news.Series{Entity: "AAPL"}, monday, time.Hour); got.Items != 2 {
		t.Errorf("%d items, want that of each source once", got.Items)
	}
}

func TestWhatCannotBeCountedIsNot(t *testing.T) {
	s := troubledStore(t, realRedis(t), &clock{monday}, trend.Rule{})
	observe(t, s, reading("old", monday.Add(-25*time.Hour), .9), reading("ahead", monday.Add(2*time.Hour), .9),
		reading("", monday, .9), reading("late", monday.Add(-23*time.Hour), .9))
	buckets, err := s.Buckets(t.Context(), news.Series{}, "", monday.Add(-48*time.Hour), monday.Add(48*time.Hour))
	if err != nil || len(buckets) != 1 || !buckets[0].Start.Equal(monday.Add(-23*time.Hour)) {
		t.Errorf("buckets %v, %v: want the late reading in its own", buckets, err)
	}
}

// stream is a random stream, seeded, in order of arrival, over the hours before end.
func stream(seed uint64, n int, end time.Time, hours int) []news.Reading {
	rng := rand.New(rand.NewPCG(seed, 1))
	out := make([]news.Reading, n)
	for i := range out {
		r := reading(fmt.Sprint("id", i), end.Add(-time.Duration(rng.Int64N(int64(hours)*int64(time.Hour)))), rng.Float64())
		for _, e := range []string{"AAPL", "MSFT", "腾讯", "A{}B"} {
			if rng.IntN(3) == 0 {
				r.Entities = append(r.Entities, e)
			}
		}
		r.Topic.Label = []string{"Earnings", "Legal", ""}[rng.IntN(3)]
		r.TextDigest = fmt.Sprint(i)
		out[i] = r
	}
	return out
}

// model counts in plain Go what Redis should hold.
func model(readings []news.Reading) map[news.Series]map[time.Time]trend.Bucket {
	counts, ids := map[news.Series]map[time.Time]trend.Bucket{}, map[string]bool{}
	for _, r := range readings {
		if ids[r.ID] {
			continue
		}
		ids[r.ID] = true
		start := r.PublishedAt.Truncate(trend.BucketLength)
		for _, of := range news.SeriesOf(r) {
			if counts[of] == nil {
				counts[of] = map[time.Time]trend.Bucket{}
			}
			b := counts[of][start]
			b.Start = start
			b.Items++
			if r.Negative() {
				b.Negative++
			}
			counts[of][start] = b
		}
	}
	return counts
}

func wantCounts(t *testing.T, s *trend.Store, want map[news.Series]map[time.Time]trend.Bucket) {
	t.Helper()
	for of, buckets := range want {
		got, err := s.Buckets(t.Context(), of, "", monday.Add(-48*time.Hour), monday.Add(48*time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(buckets) {
			t.Errorf("%s: %d buckets, want %d", of, len(got), len(buckets))
		}
		for _, b := range got {
			if b != buckets[b.Start] {
				t.Errorf("%s: %+v, want %+v", of, b, buckets[b.Start])
			}
		}
	}
}

// Order, repeats, and how the stream is split over batches and replicas change nothing.
func TestCountsEqualAPlainModel(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		c := &clock{monday}
		replicas := []*trend.Store{newStore(t, client, c, trend.Rule{}), newStore(t, client, c, trend.Rule{})}
		readings := stream(7, 1500, monday, 20)
		rng := rand.New(rand.NewPCG(7, 2))
		deliveries := append(append([]news.Reading(nil), readings...), readings[:700]...)
		rng.Shuffle(len(deliveries), func(i, j int) { deliveries[i], deliveries[j] = deliveries[j], deliveries[i] })
		for len(deliveries) > 0 {
			n := min(len(deliveries), 1+rng.IntN(9)*rng.IntN(100))
			observe(t, replicas[rng.IntN(2)], deliveries[:n]...)
			deliveries = deliveries[n:]
		}
		wantCounts(t, replicas[0], model(readings))
	})
}
