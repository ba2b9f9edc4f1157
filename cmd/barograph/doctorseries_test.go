package main

import (
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

func TestWarmth(t *testing.T) {
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		since  time.Time
		warmUp time.Duration
		want   string
	}{
		{time.Time{}, 24 * time.Hour, "begins with the first reading"},
		{noon.Add(-time.Hour), 24 * time.Hour, "silent until 2026-11-25 11:00 UTC"},
		{noon.Add(-24 * time.Hour), 24 * time.Hour, "warm: it knows the past since 2026-11-23 12:00 UTC"},
		{noon, -1, "no warm-up"},
	} {
		if got := warmth(tt.since, tt.warmUp, noon); !strings.Contains(got, tt.want) {
			t.Errorf("since %s with %s: %q, want %q", tt.since, tt.warmUp, got, tt.want)
		}
	}
}

func TestSized(t *testing.T) {
	for bytes, want := range map[int]string{0: "0 B", 999: "999 B", 1800: "1.8 kB", 41_200_000: "41 MB", 2_000_000_000: "2.0 GB"} {
		if got := sized(bytes); got != want {
			t.Errorf("%d bytes are %q, want %q", bytes, got, want)
		}
	}
}

// The doctor tells what series cost and that the monitor is silent yet; columns align, and a
// hostile name stays on its line.
func TestDoctorLooksAtSeries(t *testing.T) {
	server := testenv.StartRedis(t)
	cfg := defaults()
	cfg.Redis.Addresses = []string{server.Addr}
	empty, err := lookAtSeries(t.Context(), cfg)
	if err != nil || !strings.Contains(empty, "none judged yet") {
		t.Errorf("an empty Redis: %v\n%s", err, empty)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer client.Close()
	store, err := trend.New(trend.Config{Redis: client})
	if err != nil {
		t.Fatal(err)
	}
	var readings []news.Reading
	for i := range trend.BusyItems {
		readings = append(readings, news.Reading{ID: time.Duration(i).String(), Source: "wire", PublishedAt: time.Now(), Entities: []string{"ACME"},
			Sentiment: news.Sentiment{Negative: float64(i % 2)}})
	}
	readings[0].Entities, readings[0].Sentiment.Negative = []string{"a\x1b[31mname that is\nhostile and very much longer than all the other ones"}, 1
	readings = append(readings, readings[1])
	readings[len(readings)-1].ID = "one more"
	if _, err := store.Observe(t.Context(), readings); err != nil {
		t.Fatal(err)
	}
	said, err := lookAtSeries(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	rows := strings.Split(said, "\n")
	if len(rows) != 4 || !strings.HasPrefix(rows[0], "3 under the prefix barograph, some ") || !strings.Contains(rows[3], "silent until") {
		t.Fatalf("it says\n%s", said)
	}
	if strings.ContainsAny(said, "\x1b") || strings.Index(rows[1], " each") < 0 || !strings.HasPrefix(rows[2], "busy (500 items a day)  ") {
		t.Errorf("it says\n%s", said)
	}
	if column := strings.Index(rows[1], "at most"); column < 0 || column != strings.Index(rows[2], "at most") {
		t.Errorf("columns do not align\n%s", said)
	}
	t.Log("\n" + said)
}
