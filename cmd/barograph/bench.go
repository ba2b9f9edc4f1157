package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/ingest/watch"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

func newBench() *cobra.Command {
	var (
		path string
		each time.Duration
	)
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the speed of each stage on this machine",
		Long: "Runs each stage alone on real texts and prints how many a second it takes: decoding with the companies found,\n" +
			"each bundle (one that reads texts again for their companies: those that name some), counting in Redis, and\n" +
			"judging. The slowest bounds the stream; they share the machine there. With -c it runs the bundles and the device\n" +
			"of the configuration and counts in its Redis, under keys of its own that it removes; without, Redis is left out.\n" +
			"Stop the monitor on this machine before you believe the figures.",
		Example: `  barograph bench
  barograph bench -c barograph.yaml --for 10s`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if each <= 0 {
				return usageError{fmt.Errorf("--for is %s; it is above 0", each)}
			}
			cfg := defaults()
			if path != "" {
				var err error
				if cfg, err = readConfig(path); err != nil {
					return err
				}
			}
			return runBench(cmd.Context(), cmd.OutOrStdout(), cfg, path != "", each)
		},
	}
	configFlags(cmd, &path)
	cmd.Flags().DurationVar(&each, "for", 3*time.Second, "how long each stage is measured")
	return cmd
}

// speed is what a stage did.
type speed struct {
	stage, what string
	done        int
	took        time.Duration
}

func runBench(ctx context.Context, out io.Writer, cfg config, withRedis bool, each time.Duration) error {
	list, err := readWatchList(cfg.WatchList)
	if cfg.WatchList == "" {
		list, err = parseWatchList(bytes.NewReader(demoWatchList))
	}
	if err != nil {
		return err
	}
	items, err := benchItems(time.Now(), list)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "STAGE\tWHAT\tA SECOND\tEACH\tMEASURED")
	row := func(s speed, err error) error {
		if err != nil {
			return err
		}
		rate := float64(s.done) / s.took.Seconds()
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d in %.1f s\n", s.stage, s.what, rounded(rate), perItem(s.took, s.done), s.done, s.took.Seconds())
		return nil
	}
	if err := row(benchDecode(ctx, cfg, list, items, each)); err != nil {
		return err
	}
	readings, err := benchBundles(ctx, cfg, items, each, row)
	if err != nil {
		return err
	}
	if withRedis {
		if err := row(benchCount(ctx, cfg, readings, each)); err != nil {
			return fmt.Errorf("counting in Redis: %w", err)
		}
	}
	if err := row(benchJudge(readings, ruleOf(cfg.Trend), each), nil); err != nil {
		return err
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if !withRedis {
		fmt.Fprintln(out, "\nCounting in Redis was not measured: name a configuration by -c.")
	}
	return nil
}

// benchItems are the demo's texts as items of now.
func benchItems(now time.Time, list *watch.List) ([]news.Item, error) {
	items, err := parseItems(demoFeed)
	for i := range items {
		items[i].ID, items[i].PublishedAt = strconv.Itoa(i), now
		items[i].Entities = list.Tag(items[i])
	}
	return items, err
}

func benchDecode(ctx context.Context, cfg config, list *watch.List, items []news.Item, each time.Duration) (speed, error) {
	s := speed{stage: "decode", what: "message to item, companies found; one core"}
	decoder, err := newDecoder(cfg, topicConfig{Name: "news", Kind: news.KindNews}, nil)
	if err != nil {
		return s, err
	}
	values := make([][]byte, len(items))
	for i, item := range items {
		if values[i], err = json.Marshal(item); err != nil {
			return s, err
		}
	}
	for start := time.Now(); s.took < each && ctx.Err() == nil; s.took = time.Since(start) {
		for _, value := range values {
			item, err := decoder.Decode(value)
			if err != nil {
				return s, err
			}
			_ = list.Tag(item)
			s.done++
		}
	}
	return s, ctx.Err()
}

// benchBundles reads with each bundle the texts of its languages, over and over; one that reads texts
// again for their companies reads those that name some. It returns the readings of the items that were read.
func benchBundles(ctx context.Context, cfg config, items []news.Item, each time.Duration, row func(speed, error) error) ([]news.Reading, error) {
	readings := make([]news.Reading, len(items))
	var bundles []*classify.Bundle
	for _, dir := range cfg.Classify.Bundles {
		bundle, err := classify.OpenBundle(dir, cfg.Classify.Bases)
		if err != nil {
			return nil, err
		}
		bundles = append(bundles, bundle)
	}
	served, again := classify.Served(bundles)
	its := make([][]int, len(bundles))
	for at, item := range items {
		to, lang := classify.Route(item.Lang, item.Content(), served)
		its[to] = append(its[to], at)
		if to, known := again[lang]; known && len(item.Entities) > 0 {
			its[to] = append(its[to], at)
		}
	}
	for i, dir := range cfg.Classify.Bundles {
		if len(its[i]) == 0 {
			continue // none of the sample texts is in its language
		}
		into := readings
		if len(served[i]) == 0 {
			into = make([]news.Reading, len(items)) // what is counted and judged are the readings of the texts, with topics
		}
		s, err := benchBundle(ctx, cfg, dir, items, its[i], into, each)
		if len(served[i]) == 0 {
			s.what += ", a reading for each company"
		}
		if err := row(s, err); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(readings, func(r news.Reading) bool { return r.ID == "" }), nil
}

func benchBundle(ctx context.Context, cfg config, dir string, items []news.Item, its []int, readings []news.Reading, each time.Duration) (speed, error) {
	threads := cmp.Or(cfg.Classify.Threads, runtime.GOMAXPROCS(0))
	s := speed{stage: "classify", what: fmt.Sprintf("%s, precision %s, device %s, %d threads", filepath.Join(filepath.Base(filepath.Dir(dir)), filepath.Base(dir)),
		cmp.Or(cfg.Classify.Precision, "auto"), cmp.Or(cfg.Classify.Device, "auto"), threads)}
	stageConfig, err := classifyStage(cfg.Classify, nil, newLogger(logConfig{Level: slog.LevelWarn}), nil)
	if err != nil {
		return s, usageError{err}
	}
	stageConfig.Bundles, stageConfig.Copies, stageConfig.Queue = []string{dir}, -1, 256
	stage, err := classify.New(stageConfig)
	if err != nil {
		return s, err
	}
	defer stage.Close()
	var (
		mu     sync.Mutex
		failed error
		wait   sync.WaitGroup
	)
	submit := func(at int) error {
		wait.Add(1)
		return stage.Submit(ctx, items[at], func(said []news.Reading, err error) {
			defer wait.Done()
			mu.Lock()
			defer mu.Unlock()
			if err != nil && !errors.Is(err, classify.ErrNoText) {
				failed = err
			} else if err == nil {
				readings[at] = said[0]
			}
			s.done += len(said)
		})
	}
	for _, at := range its[:min(len(its), 64)] { // the first batches find their memory
		if err := submit(at); err != nil {
			return s, err
		}
	}
	wait.Wait()
	s.done = 0
	start := time.Now()
	for n := 0; time.Since(start) < each; n++ {
		if err := submit(its[n%len(its)]); err != nil {
			return s, err
		}
	}
	wait.Wait()
	s.took = time.Since(start)
	return s, failed
}

// benchBatch is how many readings the settler counts at once when it is busy.
const benchBatch = 512

func benchCount(ctx context.Context, cfg config, readings []news.Reading, each time.Duration) (speed, error) {
	s := speed{stage: "count", what: "readings into the windows of their series in Redis, batches of " + strconv.Itoa(benchBatch)}
	client, err := openRedis(cfg.Redis)
	if err != nil {
		return s, err
	}
	defer client.Close()
	prefix := cfg.Redis.Prefix + "-bench-" + rand.Text()
	defer removeKeys(context.WithoutCancel(ctx), client, prefix)
	store, err := trend.New(trend.Config{Redis: client, Prefix: prefix, History: cfg.Trend.History, Rule: ruleOf(cfg.Trend)})
	if err != nil {
		return s, err
	}
	for start := time.Now(); s.took < each; s.took = time.Since(start) {
		if _, err := store.Observe(ctx, again(readings, s.done, time.Now())); err != nil {
			return s, err
		}
		s.done += benchBatch
	}
	return s, nil
}

// again is the next batch of readings, as new ones: other ids, other texts, now.
func again(readings []news.Reading, from int, now time.Time) []news.Reading {
	batch := make([]news.Reading, benchBatch)
	for i := range batch {
		batch[i] = readings[(from+i)%len(readings)]
		batch[i].ID = strconv.Itoa(from + i)
		batch[i].PublishedAt, batch[i].ClassifiedAt = now, now
		batch[i].TextDigest, batch[i].TextSketch = batch[i].ID, ""
	}
	return batch
}

// removeKeys removes what the bench wrote. What it cannot remove expires by itself.
func removeKeys(ctx context.Context, client redis.UniversalClient, prefix string) {
	remove := func(ctx context.Context, c redis.Cmdable) error {
		keys := c.Scan(ctx, 0, prefix+"*", 1000).Iterator()
		for keys.Next(ctx) {
			c.Unlink(ctx, keys.Val())
		}
		return keys.Err()
	}
	if cluster, ok := client.(*redis.ClusterClient); ok {
		_ = cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error { return remove(ctx, c) })
		return
	}
	_ = remove(ctx, client)
}

func benchJudge(readings []news.Reading, rule trend.Rule, each time.Duration) speed {
	s := speed{stage: "judge", what: "the same in memory, as replay does; one core"}
	history := trend.NewHistory(rule, 0)
	for start := time.Now(); s.took < each; s.took = time.Since(start) {
		now := time.Now()
		batch := again(readings, s.done, now)
		for i := range batch {
			history.Observe(&batch[i], now)
		}
		s.done += benchBatch
	}
	return s
}

// rounded is a rate with three digits: "412,000", "37.2".
func rounded(rate float64) string {
	if rate < 100 {
		return strconv.FormatFloat(rate, 'g', 3, 64)
	}
	step := 1.0
	for rate/step >= 1000 {
		step *= 10
	}
	return message.NewPrinter(language.English).Sprintf("%d", int64(rate/step+.5)*int64(step))
}

func perItem(took time.Duration, n int) string {
	each := took / time.Duration(max(n, 1))
	switch {
	case each >= time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(each)/float64(time.Millisecond))
	default:
		return fmt.Sprintf("%.1f µs", float64(took)/float64(max(n, 1))/float64(time.Microsecond))
	}
}
