// Command stream measures the whole stream on this machine: a real Kafka, a real Redis and
// one `barograph run`, on real English and Chinese texts.
//
//	go run ./bench/stream -data DIR [-texts 5000] [-for 40s]
//	go run ./bench/stream -data DIR -scale
//
// First a backlog: texts a second from the first reading to the last, beside what
// `barograph classify` does on the same texts without a stream (the peer: same process
// image, same models, same threads, in turn), and where the time goes. Then the latency from
// append to decision at half of that rate. With -scale it compares one and two replicas of
// one thread each on a backlog instead. `make build` must have run.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/testenv/kafkaserver"
	"github.com/barograph/barograph/internal/testenv/redisserver"
	"github.com/barograph/barograph/news"
)

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("BAROGRAPH_DATA"), "folder of the data sets")
	texts := flag.Int("texts", 5000, "texts of the backlog")
	steady := flag.Duration("for", 40*time.Second, "how long the half load lasts")
	scale := flag.Bool("scale", false, "compare one and two replicas")
	flag.Parse()
	run := func() error { return measure(*data, *texts, *steady) }
	if *scale {
		run = func() error { return measureScale(*data, *texts) }
	}
	if err := run(); err != nil {
		log.Fatal("bench/stream: ", err)
	}
}

func measure(data string, n int, steady time.Duration) error {
	dir, err := os.MkdirTemp("", "barograph-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	items, err := sample(data, 2*n)
	if err != nil {
		return err
	}
	b := &bench{dir: dir}
	if err := b.start(); err != nil {
		return err
	}
	defer b.stop()
	bare, err := b.classify(items[:n])
	if err != nil {
		return err
	}
	rate, before, err := b.backlog(items[:n])
	if err != nil {
		return err
	}
	fmt.Printf("backlog of %d texts\n", n)
	fmt.Printf("  barograph classify, no stream (peer)  %7.0f texts/s\n", bare)
	fmt.Printf("  barograph run, Kafka to decision      %7.0f texts/s   %.2f of the peer\n", rate, rate/bare)
	b.where(before, float64(n)/rate)
	return b.halfLoad(items[n:], rate/2, steady)
}

// sample draws real texts, four English for one Chinese, in random order.
func sample(data string, n int) ([]news.Item, error) {
	if data == "" {
		return nil, errors.New("name the folder of the data sets by -data or BAROGRAPH_DATA")
	}
	var items []news.Item
	for _, part := range []struct {
		set    string
		fifths int
	}{{"tfns-sentiment", 2}, {"tfn-topic", 2}, {"finfe-zh-sentiment", 1}} {
		set, share := part.set, part.fifths
		file, err := os.Open(filepath.Join(data, set, "train.csv"))
		if err != nil {
			return nil, err
		}
		rows, err := csv.NewReader(file).ReadAll()
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", set, err)
		}
		rows = rows[1:]
		if want := n * share / 5; want < len(rows) {
			rows = rows[:want]
		}
		for i, row := range rows {
			items = append(items, news.Item{ID: fmt.Sprintf("%s-%d", set, i), Kind: news.KindComment, Source: set, Text: row[0]})
		}
	}
	if len(items) < n-4 {
		return nil, fmt.Errorf("the data sets have %d texts, want %d", len(items), n)
	}
	random := rand.New(rand.NewPCG(11, 0))
	random.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return items, nil
}

// bench is the world around the monitor: its servers and, when started, its processes.
type bench struct {
	dir      string
	kafka    *kafkaserver.Server
	redis    *redisserver.Server
	client   *broker.Client
	writer   *kafka.Writer
	monitors []*exec.Cmd
	metrics  []string // URLs
}

// partitions are those of the news topic.
const partitions = 4

func (b *bench) start() (err error) {
	libs, err := filepath.Abs(".deps/kafka/libs")
	if err != nil {
		return err
	}
	if b.kafka, err = kafkaserver.Start(kafkaserver.Config{Libs: libs, Dir: filepath.Join(b.dir, "kafka")}); err != nil {
		return err
	}
	if b.redis, err = redisserver.Start(redisserver.Config{Dir: b.dir}); err != nil {
		return err
	}
	if b.client, err = broker.New(broker.Config{Brokers: []string{b.kafka.Addr}}); err != nil {
		return err
	}
	b.writer = b.client.Writer("news")
	return b.client.EnsureTopics(context.Background(), broker.Topic{Name: "news", Partitions: partitions}, broker.Topic{Name: "barograph.readings", Partitions: 1})
}

func (b *bench) stop() {
	for _, m := range b.monitors {
		_ = m.Process.Signal(syscall.SIGTERM)
	}
	for _, m := range b.monitors {
		_ = m.Wait()
	}
	if b.redis != nil {
		b.redis.Kill()
	}
	if b.kafka != nil {
		b.kafka.Kill()
	}
}

// classify is the peer: the same texts through the models alone.
func (b *bench) classify(items []news.Item) (perSecond float64, err error) {
	var lines bytes.Buffer
	for _, item := range items {
		if err := json.NewEncoder(&lines).Encode(item); err != nil {
			return 0, err
		}
	}
	command := exec.Command("bin/barograph", "classify")
	command.Stdin = &lines
	var report bytes.Buffer
	command.Stderr = &report
	if err := command.Run(); err != nil {
		return 0, fmt.Errorf("barograph classify: %w\n%s", err, report.String())
	}
	var count int
	var seconds float64
	if _, err := fmt.Sscanf(strings.TrimSpace(report.String()), "%d texts in %f s", &count, &seconds); err != nil {
		return 0, fmt.Errorf("barograph classify said %q", report.String())
	}
	return float64(count) / seconds, nil
}

// backlog appends all texts, starts the monitor and times it from its first reading to its
// last. It returns the metrics at the end.
func (b *bench) backlog(items []news.Item) (perSecond float64, end families, err error) {
	if err := b.append(items, time.Now(), 0); err != nil {
		return 0, nil, err
	}
	if err := b.launch(0); err != nil {
		return 0, nil, err
	}
	return b.drained(len(items))
}

// drained waits until n texts have been decided about and times them from the first seen.
func (b *bench) drained(n int) (perSecond float64, end families, err error) {
	var first time.Time
	var already float64
	for deadline := time.Now().Add(patience); ; {
		if time.Now().After(deadline) {
			return 0, nil, fmt.Errorf("the backlog was not read within %s", patience)
		}
		time.Sleep(20 * time.Millisecond)
		end, err = b.scrape()
		if err != nil {
			return 0, nil, err
		}
		done := end.sum("barograph_append_to_decision_seconds")
		if first.IsZero() && done > 0 {
			first, already = time.Now(), done
		}
		if done >= float64(n) {
			return (done - already) / time.Since(first).Seconds(), end, nil
		}
	}
}

// patience bounds each wait for the monitor.
const patience = 5 * time.Minute

// append writes the items, timed when they were due: from then on the latency counts, also
// where the writer itself was late.
func (b *bench) append(items []news.Item, due time.Time, apart time.Duration) error {
	messages := make([]kafka.Message, len(items))
	for i, item := range items {
		item.PublishedAt = due.Add(time.Duration(i) * apart)
		value, err := json.Marshal(item)
		if err != nil {
			return err
		}
		messages[i] = kafka.Message{Key: []byte(item.ID), Value: value, Time: item.PublishedAt}
	}
	return broker.Write(context.Background(), b.writer, retry.Policy{Attempts: 10}, messages...)
}

// launch starts a replica of the monitor and returns when it serves its metrics. With threads
// it uses so many, for the models and for all else.
func (b *bench) launch(threads int) error {
	config := filepath.Join(b.dir, "barograph.yaml")
	working, err := os.Getwd()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("kafka: {brokers: ['%s'], start: earliest, topics: [{name: news, kind: news}]}\nredis: {addresses: ['%s']}\nconsole: {listen: 127.0.0.1:0}\n"+
		"watch_list: %s/cmd/barograph/demo/watchlist.yaml\nclassify: {bundles: [%s/models/en, %s/models/zh], bases: [%s/.deps/bases], threads: %d}\n",
		b.kafka.Addr, b.redis.Addr, working, working, working, working, threads)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	monitor := exec.Command("bin/barograph", "run", "-c", config)
	if threads > 0 {
		monitor.Env = append(os.Environ(), fmt.Sprint("GOMAXPROCS=", threads))
	}
	stderr, err := monitor.StderrPipe()
	if err != nil {
		return err
	}
	if err := monitor.Start(); err != nil {
		return err
	}
	b.monitors = append(b.monitors, monitor)
	lines := bufio.NewScanner(stderr)
	for lines.Scan() {
		if _, address, found := strings.Cut(lines.Text(), "address=http://"); found {
			b.metrics = append(b.metrics, "http://"+address+"/metrics")
			go func() { _, _ = io.Copy(io.Discard, stderr) }()
			return nil
		}
		fmt.Fprintln(os.Stderr, lines.Text())
	}
	return errors.New("barograph run ended before it served")
}

// families are metrics by name, as scraped.
type families map[string]*dto.MetricFamily

// scrape reads the metrics of all replicas as if they were of one.
func (b *bench) scrape() (families, error) {
	all := families{}
	for _, url := range b.metrics {
		its, err := scrape(url)
		if err != nil {
			return nil, err
		}
		for name, family := range its {
			if all[name] == nil {
				all[name] = family
			} else {
				all[name].Metric = append(all[name].Metric, family.Metric...)
			}
		}
	}
	return all, nil
}

func scrape(url string) (families, error) {
	response, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(response.Body)
}

// sum is a histogram's count over all of its labels.
func (f families) sum(name string) (count float64) {
	for _, m := range f[name].GetMetric() {
		count += float64(m.GetHistogram().GetSampleCount())
	}
	return count
}

// seconds is a histogram's sum where a label has the value.
func (f families) seconds(name, value string) (total float64) {
	for _, m := range f[name].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetValue() == value {
				total += m.GetHistogram().GetSampleSum()
			}
		}
	}
	return total
}

// where prints how busy each part was over the backlog's time. The parts overlap: they are
// shares of the elapsed time, not of a whole.
func (b *bench) where(f families, elapsed float64) {
	var padding, text float64
	for _, m := range f["barograph_classify_tokens_total"].GetMetric() {
		for _, label := range m.GetLabel() {
			switch label.GetValue() {
			case "padding":
				padding += m.GetCounter().GetValue()
			case "text":
				text += m.GetCounter().GetValue()
			}
		}
	}
	fmt.Printf("  where the time goes, of %.1f s elapsed (parts overlap)\n", elapsed)
	for _, part := range []struct{ name, metric, label string }{
		{"tokenise", "barograph_classify_seconds", "tokenise"},
		{"infer", "barograph_classify_seconds", "infer"},
		{"readings to Kafka", "barograph_settle_seconds", "readings"},
		{"counts and decisions in Redis", "barograph_settle_seconds", "trend"},
	} {
		busy := f.seconds(part.metric, part.label)
		fmt.Printf("    %-30s %7.2f s  %5.1f %%\n", part.name, busy, 100*busy/elapsed)
	}
	fmt.Printf("  tokens: %.0f of text, %.0f of padding (%.1f %%)\n", text, padding, 100*padding/(text+padding))
}

// halfLoad appends texts at an even rate and reports how long each took to its decision.
func (b *bench) halfLoad(items []news.Item, rate float64, steady time.Duration) error {
	before, err := b.scrape()
	if err != nil {
		return err
	}
	count := min(int(rate*steady.Seconds()), len(items))
	start := time.Now()
	const tick = 10 * time.Millisecond
	for sent := 0; sent < count; {
		due := min(int(rate*time.Since(start).Seconds()), count)
		if due > sent {
			apart := time.Duration(float64(time.Second) / rate)
			if err := b.append(items[sent:due], start.Add(time.Duration(sent)*apart), apart); err != nil {
				return err
			}
			sent = due
		}
		time.Sleep(tick)
	}
	took := time.Since(start)
	const name = "barograph_append_to_decision_seconds"
	var after families
	for deadline := time.Now().Add(patience); after.sum(name) < before.sum(name)+float64(count); {
		if time.Now().After(deadline) {
			return fmt.Errorf("the half load was not read within %s", patience)
		}
		time.Sleep(50 * time.Millisecond)
		if after, err = b.scrape(); err != nil {
			return err
		}
	}
	fmt.Printf("half load: %d texts at %.0f a second\n", count, float64(count)/took.Seconds())
	for _, q := range []float64{0.5, 0.9, 0.99} {
		fmt.Printf("  append to decision, p%-2.0f  %6.0f ms\n", 100*q, 1000*quantile(before[name], after[name], q))
	}
	return nil
}

// quantile is the upper bound of the bucket in which the quantile of what came between two
// scrapes lies: buckets are a quarter apart.
func quantile(before, after *dto.MetricFamily, q float64) float64 {
	then := map[float64]uint64{}
	for _, bucket := range before.GetMetric()[0].GetHistogram().GetBucket() {
		then[bucket.GetUpperBound()] = bucket.GetCumulativeCount()
	}
	now := after.GetMetric()[0].GetHistogram()
	total := now.GetSampleCount() - before.GetMetric()[0].GetHistogram().GetSampleCount()
	for _, bucket := range now.GetBucket() {
		if float64(bucket.GetCumulativeCount()-then[bucket.GetUpperBound()]) >= q*float64(total) {
			return bucket.GetUpperBound()
		}
	}
	return now.GetBucket()[len(now.GetBucket())-1].GetUpperBound()
}
