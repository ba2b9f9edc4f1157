package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/trend"
)

// lookAtSeries says what is kept in Redis, what that costs, and whether the monitor speaks yet.
func lookAtSeries(ctx context.Context, cfg config) (string, error) {
	client, err := openRedis(cfg.Redis)
	if err != nil {
		return "", err
	}
	defer client.Close()
	store, err := trend.New(trend.Config{Redis: client, Prefix: cfg.Redis.Prefix, History: cfg.Trend.History,
		Rule: ruleOf(cfg.Trend), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		return "", err
	}
	since, err := store.Since(ctx)
	if err != nil {
		return "", err
	}
	if since.IsZero() {
		return "none judged yet under the prefix " + cfg.Redis.Prefix + "\n" + warmth(since, cfg.Trend.WarmUp, time.Now()), nil
	}
	memory, err := store.Memory(ctx, 0)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d under the prefix %s, some %s together\n%s%s", memory.Series, cfg.Redis.Prefix, sized(seriesTotal(memory)),
		costs(memory), warmth(since, cfg.Trend.WarmUp, time.Now())), nil
}

// warmth says whether the monitor speaks yet.
func warmth(since time.Time, warmUp time.Duration, now time.Time) string {
	if warmUp < 0 {
		return "no warm-up: trend.warm_up is negative"
	}
	const hint = "; barograph replay --warm shortens that where there is history"
	ready := since.Add(warmUp)
	switch stamp := "2006-01-02 15:04"; {
	case since.IsZero():
		return fmt.Sprintf("the warm-up of %s begins with the first reading", warmUp) + hint
	case now.Before(ready):
		return fmt.Sprintf("warming up: silent until %s UTC, trend.warm_up after the first reading", ready.UTC().Format(stamp)) + hint
	default:
		return fmt.Sprintf("warm: it knows the past since %s UTC", since.UTC().Format(stamp))
	}
}

// costs is the sizes of series in a table.
func costs(m trend.Memory) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name string
		trend.Cost
	}{{"quiet", m.Quiet}, {fmt.Sprintf("busy (%d items a day)", trend.BusyItems), m.Busy}} {
		if row.Sampled == 0 {
			fmt.Fprintf(w, "%s\tnone met\n", row.name)
			continue
		}
		fmt.Fprintf(w, "%s\t%d sampled\t%s each\tat most %s (%s)\n", row.name, row.Sampled, sized(row.Median), sized(row.Max),
			plain.Line(row.Largest.String(), 60))
	}
	w.Flush()
	return out.String()
}

// seriesTotal is what all series take, by the sample.
func seriesTotal(m trend.Memory) int {
	sampled := m.Quiet.Sampled + m.Busy.Sampled
	if sampled == 0 {
		return 0
	}
	return m.Series * (m.Quiet.Sampled*m.Quiet.Median + m.Busy.Sampled*m.Busy.Median) / sampled
}

// sized is a number of bytes for people: 812 B, 1.8 kB, 41 MB.
func sized(bytes int) string {
	size, unit := float64(bytes), "B"
	for _, larger := range []string{"kB", "MB", "GB", "TB"} {
		if size < 1000 {
			break
		}
		size, unit = size/1000, larger
	}
	if unit != "B" && size < 10 {
		return fmt.Sprintf("%.1f %s", size, unit)
	}
	return fmt.Sprintf("%.0f %s", size, unit)
}

// usedMemory is what Redis holds, on all masters of a cluster together.
func usedMemory(ctx context.Context, client redis.UniversalClient) (int, error) {
	var total atomic.Int64
	add := func(ctx context.Context, server redis.Cmdable) error {
		info, err := server.Info(ctx, "memory").Result()
		if err != nil {
			return err
		}
		_, rest, _ := strings.Cut(info, "used_memory:")
		text, _, _ := strings.Cut(rest, "\r\n")
		used, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return fmt.Errorf("INFO memory has no used_memory: %w", err)
		}
		total.Add(used)
		return nil
	}
	cluster, ok := client.(*redis.ClusterClient)
	if !ok {
		err := add(ctx, client)
		return int(total.Load()), err
	}
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error { return add(ctx, master) })
	return int(total.Load()), err
}
