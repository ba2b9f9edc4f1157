package trend_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// trips counts what waits for an answer of Redis: a command alone or a pipeline.
type trips int

func (n *trips) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

func (n *trips) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { *n++; return next(ctx, cmd) }
}

func (n *trips) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error { *n++; return next(ctx, cmds) }
}

// What Observe asks of one server, as docs/rule.md and bench/RESULTS.md say.
func TestRoundTripsOfObserve(t *testing.T) {
	client := realRedis(t)
	c := &clock{monday}
	s := newStore(t, client, c, trend.Rule{WarmUp: -1})
	observe(t, s, reading("first", monday, .1, "AAPL")) // the server knows the scripts from here on
	n := new(trips)
	client.AddHook(n)
	next := 0
	count := func(what string, want trips, readings int, negative float64, sketches bool) []news.Spike {
		t.Helper()
		batch := make([]news.Reading, readings)
		for i := range batch {
			next++
			batch[i] = reading(fmt.Sprint(next), c.at, negative, "AAPL")
			if sketches {
				batch[i].TextSketch = fmt.Sprintf("abcd%012x", uint64(next)*0x9e3779b97f4a7c15>>16)
			}
		}
		before := *n
		spikes, err := s.Observe(t.Context(), batch)
		if err != nil {
			t.Fatal(err)
		}
		if got := *n - before; got != want {
			t.Errorf("%s: %d round trips, want %d", what, got, want)
		}
		return spikes
	}
	c.at = c.at.Add(time.Minute)
	count("texts without sketches", 1, 10, .1, false)
	count("texts", 2, 10, .1, true)
	count("more than one call takes", 4, 520, .1, true)
	c.at = c.at.Add(48 * time.Hour)
	count("series that learn for the first time, and a threshold that is an hour old", 5, 1, .1, true)
	c.at = c.at.Add(50 * time.Minute)
	count("everything learns half an hour", 3, 1, .1, true)
	c.at = c.at.Add(time.Minute)
	if spikes := count("a burst", 5, 30, .9, true); len(spikes) == 0 {
		t.Error("the burst is no spike")
	}
}
