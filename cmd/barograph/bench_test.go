package main

import (
	"context"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/testenv"
)

// TestBenchMeasuresEachStage runs every stage for a moment on a real Redis: each has a row, and
// what it wrote is gone.
func TestBenchMeasuresEachStage(t *testing.T) {
	server := testenv.StartRedis(t)
	cfg := defaults()
	cfg.Redis.Addresses = []string{server.Addr}
	cfg.Classify.Bundles = nil
	for _, bundle := range []string{"en", "zh", "en-company"} {
		cfg.Classify.Bundles = append(cfg.Classify.Bundles, filepath.Join(testenv.Root(t), "models", bundle))
	}
	cfg.Classify.Bases = []string{filepath.Join(testenv.Deps(t), "bases")}
	var out strings.Builder
	if err := runBench(t.Context(), &out, cfg, true, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	stages := map[string]int{}
	for _, row := range regexp.MustCompile(`(?m)^(\w+) .* (\d+) in [0-9.]+ s$`).FindAllStringSubmatch(out.String(), -1) {
		stages[row[1]]++
		if n, err := strconv.Atoi(row[2]); err != nil || n == 0 {
			t.Errorf("nothing was done: %s", row[0])
		}
	}
	for stage, rows := range map[string]int{"decode": 1, "classify": 3, "count": 1, "judge": 1} {
		if stages[stage] != rows {
			t.Errorf("%d rows of %s, want %d:\n%s", stages[stage], stage, rows, out.String())
		}
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer client.Close()
	if n, err := client.DBSize(context.Background()).Result(); err != nil || n != 0 {
		t.Errorf("%d keys are left, %v", n, err)
	}
}
