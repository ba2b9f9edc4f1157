package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// past writes readings of four days that end now: ten quiet ones an hour, and a burst two days
// ago.
func past(t *testing.T, loud news.Sentiment) (path string) {
	t.Helper()
	var lines []byte
	now := time.Now()
	for i := range 4 * 24 * 10 {
		at := now.Add(time.Duration(i-4*24*10) * 6 * time.Minute)
		r := news.Reading{ID: fmt.Sprint("r", i), Source: "wire", PublishedAt: at, ClassifiedAt: at.Add(time.Second), Entities: []string{"ACME"},
			Title: fmt.Sprint("headline ", i), Sentiment: news.Sentiment{Neutral: 1}}
		if i%7 == 0 || i/10 == 2*24 {
			r.Sentiment = loud
		}
		line, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		lines = append(append(lines, line...), '\n')
	}
	path = filepath.Join(t.TempDir(), "past.jsonl")
	if err := os.WriteFile(path, lines, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// found are the spikes that a store sees in a burst that comes now.
func found(t *testing.T, store *trend.Store, loud news.Sentiment) int {
	t.Helper()
	var burst []news.Reading
	for i := range 30 {
		burst = append(burst, news.Reading{ID: fmt.Sprint("b", i), Source: "wire", PublishedAt: time.Now(), Entities: []string{"ACME"},
			Sentiment: loud})
	}
	spikes, err := store.Observe(t.Context(), burst)
	if err != nil {
		t.Fatal(err)
	}
	return len(spikes)
}

var bad, good = news.Sentiment{Negative: 1}, news.Sentiment{Positive: 1}

// A monitor on a cold Redis is silent for a day; after replay --warm it speaks at once. The
// second time there is nothing to do.
func TestReplayWarm(t *testing.T) {
	server, path := testenv.StartRedis(t), past(t, bad)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { client.Close() })
	open := func(prefix string) *trend.Store {
		store, err := trend.New(trend.Config{Redis: client, Prefix: prefix})
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	config := writeConfig(t, fmt.Sprintf("redis: {addresses: ['%s'], prefix: warm}", server.Addr))
	out, log, err := run(t, "replay", "-c", config, "--warm", path)
	if err != nil || out != "" || !strings.Contains(log, "speaks from its next reading on") {
		t.Fatalf("error %v, wrote %q, said %s", err, out, log)
	}
	counted, err := open("warm").Window(t.Context(), news.Series{Entity: "ACME"}, time.Now(), 12*time.Hour)
	if err != nil || counted.Items < 110 || counted.Items > 120 {
		t.Errorf("%+v, %v counted of the last 12 h, want some 120", counted, err)
	}
	if _, log, err = run(t, "replay", "-c", config, "--warm", path); err != nil || !strings.Contains(log, "nothing to do") {
		t.Errorf("the second time: %v, %s", err, log)
	}
	if again, err := open("warm").Window(t.Context(), news.Series{Entity: "ACME"}, time.Now(), 12*time.Hour); err != nil || again.Items > counted.Items {
		t.Errorf("%+v, %v counted after the second time, %+v after the first", again, err, counted)
	}
	if n := found(t, open("cold"), bad); n > 0 {
		t.Errorf("a cold store finds %d spikes", n)
	}
	if found(t, open("warm"), bad) == 0 {
		t.Error("a warmed store does not find the burst")
	}
}

// A monitor that is not to look for negative spikes is warmed for what it looks for, and doctor
// sees its series.
func TestReplayWarmsWithoutNegativeSpikes(t *testing.T) {
	server, path := testenv.StartRedis(t), past(t, good)
	file := writeConfig(t, fmt.Sprintf("redis: {addresses: ['%s'], prefix: warm}\ntrend: {spikes: [positive]}", server.Addr))
	_, log, err := run(t, "replay", "-c", file, "--warm", path)
	if err != nil || !strings.Contains(log, "warmed: 2 series") || !strings.Contains(log, "speaks from its next reading on") {
		t.Fatalf("error %v, said %s", err, log)
	}
	cfg, err := readConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	if said, err := lookAtSeries(t.Context(), cfg); err != nil || !strings.Contains(said, "warm: it knows the past since") {
		t.Errorf("doctor: %v, %s", err, said)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	t.Cleanup(func() { client.Close() })
	store, err := trend.New(trend.Config{Redis: client, Prefix: "warm", Rule: ruleOf(cfg.Trend)})
	if err != nil {
		t.Fatal(err)
	}
	seen, err := outlookOf(store)(t.Context(), []news.Series{{Entity: "ACME"}})
	if err != nil || seen[0].Kind != news.SpikePositive || len(seen[0].Recent) < 100 || seen[0].Recent[0].Negative != 0 {
		t.Errorf("the console sees %+v, %v", seen, err)
	}
	if found(t, store, bad) > 0 || found(t, store, good) > 0 {
		t.Error("bad news, or the same ids again, are a positive spike")
	}
	if _, log, err = run(t, "replay", "-c", file, "--warm", path); err != nil || !strings.Contains(log, "nothing to do") {
		t.Errorf("the second time: %v, %s", err, log)
	}
}

func TestReplayWarmRefuses(t *testing.T) {
	var usage usageError
	for _, args := range []string{"--warm --format bench", "--warm --budget 1"} {
		if _, _, err := replayed(t, nil, strings.Fields(args)...); !errors.As(err, &usage) {
			t.Errorf("%s: %v, want that of wrong usage", args, err)
		}
	}
	server := testenv.StartRedis(t)
	server.Kill()
	config := writeConfig(t, fmt.Sprintf("redis: {addresses: ['%s']}", server.Addr))
	if _, _, err := run(t, "replay", "-c", config, "--warm", past(t, bad)); err == nil || errors.As(err, &usage) {
		t.Errorf("without Redis: %v", err)
	}
}
