package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/segmentio/kafka-go"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sync/errgroup"
	"golang.org/x/term"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// The sample feed; demo/NOTICE.md says where the texts come from.
var (
	//go:embed demo/feed.jsonl
	demoFeed []byte
	//go:embed demo/burst.jsonl
	demoBurst []byte
	//go:embed demo/watchlist.yaml
	demoWatchList []byte
)

// The demo replays the sixteen hours up to now, twelve minutes a second, and then goes on in
// real time.
const (
	demoHistory = 16 * time.Hour
	demoSpeed   = 720
	demoWarmUp  = 6 * time.Hour
	demoBurstAt = 8 * time.Hour // the bad news begins so long after the start,
	demoBurstIn = 40 * time.Minute
	// The series start with no past of their own, which would make the usual threshold speak
	// of topics that are just gloomier than others.
	demoSurprise = 4
)

func newDemo() *cobra.Command {
	var (
		limit  time.Duration
		listen string
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the whole stream on this machine, with nothing else installed",
		Long: "Runs the monitor with a Kafka broker and a Redis inside the process, on a sample feed of English and\n" +
			"Chinese texts replayed faster than life, with a burst of bad news about one company in it. The alert\n" +
			"shows on the terminal; with SLACK_TOKEN and SLACK_CHANNEL set it is posted to Slack, too\n" +
			"(with SLACK_APP_TOKEN with buttons).",
		Example: `  barograph demo
  barograph demo --for 60s
  SLACK_TOKEN=xoxb-… SLACK_CHANNEL='#market-alerts' barograph demo`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDemo(cmd.Context(), cmd.OutOrStdout(), listen, limit)
		},
	}
	cmd.Flags().DurationVar(&limit, "for", 0, "stop so long after it is up, such as 60s; 0 = at Ctrl-C")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "address of the console and /metrics; port 0 = any that is free")
	return cmd
}

// simulated is a clock that starts in the past, runs fast until it has caught up with the
// real time, and keeps it from then on.
type simulated struct {
	start time.Time // of the simulation
	began time.Time // when that was, really
}

func (s simulated) at(real time.Time) time.Time {
	fast := s.start.Add(real.Sub(s.began) * demoSpeed)
	if fast.Before(real) {
		return fast
	}
	return real
}

func (s simulated) now() time.Time { return s.at(time.Now()) }

// wait returns when the simulated time has come, or with the context's error.
func (s simulated) wait(ctx context.Context, until time.Time) error {
	for {
		left := until.Sub(s.now())
		if left <= 0 {
			return ctx.Err()
		}
		pause := left // the clock never runs slower than real time
		if fast := left / demoSpeed; s.now().Before(time.Now().Add(-time.Second)) {
			pause = fast
		}
		timer := time.NewTimer(max(pause, time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
	}
}

// runDemo returns limit after the models are loaded, which takes half a minute the first time; 0 is no limit.
func runDemo(ctx context.Context, out io.Writer, listen string, limit time.Duration) error {
	began := time.Now()
	fmt.Fprintln(out, "Starting a Kafka broker and a Redis in this process, and loading the models …")
	kafkaServer, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(4, "news", "comments"),
		kfake.SeedTopics(4, "barograph.readings", "barograph.alerts", "barograph.dead-letters"))
	if err != nil {
		return fmt.Errorf("starting the embedded broker: %w", err)
	}
	defer kafkaServer.Close()
	redisServer, err := miniredis.Run()
	if err != nil {
		return fmt.Errorf("starting the embedded store: %w", err)
	}
	defer redisServer.Close()

	cfg := demoConfig(kafkaServer.ListenAddrs(), redisServer.Addr(), listen)
	watched, err := parseWatchList(bytes.NewReader(demoWatchList))
	if err != nil {
		return fmt.Errorf("the demo's watch list: %w", err)
	}
	var clock atomic.Pointer[simulated] // starts when the models are loaded
	clock.Store(&simulated{start: time.Now().Add(-demoHistory), began: time.Now()})
	counted := &countingSink{Sink: alert.NewTerminal(out)}
	m, err := newMonitor(cfg, parts{
		clock: func() time.Time { return clock.Load().now() }, watch: watched,
		sinks: map[string]alert.Sink{"terminal": counted},
	}, newLogger(cfg.Log))
	if err != nil {
		return err
	}
	start := time.Now()
	clock.Store(&simulated{start: start.Add(-demoHistory), began: start})
	fmt.Fprintf(out, "\n    Console: http://%s\n\nUp after %.1f s. Metrics: http://%[1]s/metrics\n", m.console.Addr(), time.Since(began).Seconds())
	fmt.Fprintf(out, "One second here is %d minutes there, from %s on. Alerts speak after %s there;\n"+
		"bad news about Boeing (BA) begins after %s there, %.0f s from now.\n\n", demoSpeed/60,
		clock.Load().start.Format("Mon 15:04"), news.Duration(demoWarmUp).Words(), news.Duration(demoBurstAt).Words(), demoBurstAt.Seconds()/demoSpeed)

	d := &demo{monitor: m, clock: *clock.Load(), alerts: counted, out: out}
	var all errgroup.Group
	running, stop := context.WithCancel(ctx)
	defer stop()
	if limit > 0 {
		defer time.AfterFunc(limit, stop).Stop()
	}
	all.Go(func() error { defer stop(); return m.run(running) })
	all.Go(func() error { defer stop(); return ended(running, d.feed(running)) })
	all.Go(func() error { d.report(running); return nil })
	all.Go(func() error { d.expire(running, redisServer); return nil })
	<-running.Done()
	d.summary(context.WithoutCancel(ctx), start)
	return all.Wait()
}

func demoConfig(brokers []string, redis, listen string) config {
	cfg := defaults()
	cfg.Kafka.Brokers = brokers
	cfg.Kafka.Start = ingest.Earliest()
	cfg.Kafka.Topics = []topicConfig{{Name: "news", Kind: news.KindNews}, {Name: "comments", Kind: news.KindComment}}
	cfg.Redis.Addresses = []string{redis}
	cfg.Trend.WarmUp, cfg.Trend.Surprise = demoWarmUp, demoSurprise
	cfg.Console.Listen = listen
	cfg.Log.Level = slog.LevelWarn
	if token, channel := os.Getenv("SLACK_TOKEN"), os.Getenv("SLACK_CHANNEL"); token != "" && channel != "" {
		cfg.Alert.Slack = &slackConfig{Channel: channel}
		cfg.Alert.Slack.Token, cfg.Alert.Slack.APIURL = secret.Secret(token), os.Getenv("SLACK_API_URL")
		cfg.Alert.Slack.AppToken = secret.Secret(os.Getenv("SLACK_APP_TOKEN"))
	}
	return cfg
}

// demo is a run of the monitor on the sample feed.
type demo struct {
	monitor *monitor
	clock   simulated
	alerts  *countingSink
	out     io.Writer
	fed     atomic.Int64
}

// countingSink counts the alerts that fired.
type countingSink struct {
	alert.Sink
	mu    sync.Mutex
	fired []news.Alert
}

// Deliver counts an alert that fires, and hands all on.
func (c *countingSink) Deliver(ctx context.Context, d alert.Delivery) (string, error) {
	if d.Action == alert.Fire {
		c.mu.Lock()
		c.fired = append(c.fired, d.Alert)
		c.mu.Unlock()
	}
	return c.Sink.Deliver(ctx, d)
}

// feed writes the sample texts to Kafka as their time comes, over and over. The same text
// comes again only a round later, which takes the history's length.
func (d *demo) feed(ctx context.Context) error {
	texts, err := parseItems(demoFeed)
	if err != nil {
		return err
	}
	burst, err := parseItems(demoBurst)
	if err != nil {
		return err
	}
	writer := d.monitor.broker.Writer("")
	defer writer.Close()
	apart := demoHistory / time.Duration(len(texts))
	nextBurst := 0
	for i := 0; ; i++ {
		at := d.clock.start.Add(time.Duration(i) * apart)
		for nextBurst < len(burst) {
			burstAt := d.clock.start.Add(demoBurstAt + demoBurstIn*time.Duration(nextBurst)/time.Duration(len(burst)))
			if burstAt.After(at) {
				break
			}
			if err := d.write(ctx, writer, burst[nextBurst], burstAt, fmt.Sprintf("burst-%d", nextBurst)); err != nil {
				return err
			}
			nextBurst++
		}
		if err := d.write(ctx, writer, texts[i%len(texts)], at, fmt.Sprintf("demo-%d", i)); err != nil {
			return err
		}
	}
}

func (d *demo) write(ctx context.Context, writer *kafka.Writer, item news.Item, at time.Time, id string) error {
	if err := d.clock.wait(ctx, at); err != nil {
		return err
	}
	item.ID, item.PublishedAt = id, at
	value, err := json.Marshal(item)
	if err != nil {
		return err
	}
	topic := "news"
	if item.Kind == news.KindComment {
		topic = "comments"
	}
	d.fed.Add(1)
	return broker.Write(ctx, writer, retry.Policy{Attempts: 5}, kafka.Message{Topic: topic, Key: []byte(id), Value: value})
}

func parseItems(lines []byte) ([]news.Item, error) {
	var items []news.Item
	scanner := bufio.NewScanner(bytes.NewReader(lines))
	for scanner.Scan() {
		var item news.Item
		if err := json.Unmarshal(scanner.Bytes(), &item); err != nil {
			return nil, fmt.Errorf("sample feed, line %d: %w", len(items)+1, err)
		}
		items = append(items, item)
	}
	return items, scanner.Err()
}

// expire lets the embedded store's keys age by the simulated clock: it has none of its own.
func (d *demo) expire(ctx context.Context, store *miniredis.Miniredis) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	last := d.clock.now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			now := d.clock.now()
			store.FastForward(now.Sub(last))
			last = now
		}
	}
}

// report shows where the stream is: in place on a terminal, else a line every ten seconds.
func (d *demo) report(ctx context.Context) {
	every, end := 10*time.Second, "\n"
	if file, ok := d.out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		every, end = time.Second, "\r"
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if status := d.status(ctx); ctx.Err() == nil {
				fmt.Fprintf(d.out, "%s  %s", status, end)
			}
		}
	}
}

func (d *demo) status(ctx context.Context) string {
	now := d.clock.now()
	window, err := d.monitor.trend.Window(ctx, news.Series{}, now, now.Sub(d.clock.start)+trend.BucketLength)
	if err != nil {
		return fmt.Sprintf("%s  %v", now.Format("Mon 15:04"), err)
	}
	d.alerts.mu.Lock()
	defer d.alerts.mu.Unlock()
	return fmt.Sprintf("%s  texts in: %d, read: %d, negative: %d, alerts: %d", now.Format("Mon 15:04"),
		d.fed.Load(), window.Items+window.Copies, window.Negative, len(d.alerts.fired))
}

func (d *demo) summary(ctx context.Context, start time.Time) {
	took := time.Since(start)
	fmt.Fprintf(d.out, "\n%s\n", d.status(ctx))
	fmt.Fprintf(d.out, "%.0f s, %.0f texts a second as fed; the monitor drains and stops.\n", took.Seconds(), float64(d.fed.Load())/took.Seconds())
	d.alerts.mu.Lock()
	defer d.alerts.mu.Unlock()
	for _, a := range d.alerts.fired {
		fmt.Fprintf(d.out, "  %s  %-8s  %s: %s\n", a.FiredAt.Format("15:04"), a.Severity, a.Series, a.Reason)
	}
}
