// Command stream measures the whole stream on this machine: a real Kafka, a real Redis and
// one `barograph run`, on real English and Chinese texts.
//
//	go run ./bench/stream -data DIR [-texts 10000] [-for 40s]
//	go run ./bench/stream -data DIR -scale
//
// First a backlog: texts a second from the first decision to the last, and CPU time a text,
// beside what `barograph classify` does on the same texts and their companies without a stream (the peer: same
// process image, same models, those of the default, same cores, in turn; the servers have been warmed up by some other
// texts), and where the time goes. Then the latency
// from append to decision at half of that rate. `make build` must have run.
//
// With -scale it compares one and two replicas instead, each of one thread. Two of them need
// more cores than two beside Kafka and Redis, so the slower machine is simulated: each replica
// is stopped (SIGSTOP) for three fifths of every 25 ms, and the two run at different times.
package main

import (
	"encoding/csv"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/barograph/barograph/bench/summary"
	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/ingest/watch"
	"github.com/barograph/barograph/news"
)

func main() {
	log.SetFlags(0)
	data := flag.String("data", os.Getenv("BAROGRAPH_DATA"), "folder of the data sets")
	texts := flag.Int("texts", 10000, "texts of the backlog")
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
	items, err := sample(data, 2*n+n/4)
	if err != nil {
		return err
	}
	b := &bench{dir: dir}
	if err := b.start(4); err != nil {
		return err
	}
	defer b.stop()
	if err := b.warm(items[2*n:]); err != nil {
		return err
	}
	bare, bareCPU, err := b.bare(items[:n])
	if err != nil {
		return err
	}
	d, cpu, err := b.backlog(items[:n])
	if err != nil {
		return err
	}
	each := func(cpu float64) float64 { return 1000 * cpu / float64(n) }
	fmt.Printf("backlog of %d texts\n", n)
	fmt.Printf("  barograph classify, no stream (peer)  %7.0f texts/s   %.2f ms of CPU time a text\n", bare, each(bareCPU))
	fmt.Printf("  barograph run, Kafka to decision      %7.0f texts/s   %.2f ms\n", d.rate, each(cpu))
	fmt.Printf("  against the peer                      %7.2f           %.2f\n", d.rate/bare, cpu/bareCPU)
	d.where()
	if err := summary.Row("Kafka to decision, a backlog", fmt.Sprintf("%.0f texts/s", d.rate), fmt.Sprintf("barograph classify: %.0f", bare),
		fmt.Sprintf("%.2f of it", d.rate/bare)); err != nil {
		return err
	}
	return b.halfLoad(items[n:2*n], d.rate/2, steady)
}

const watchList = "cmd/barograph/demo/watchlist.yaml"

// sample draws real texts, four English for one Chinese, in random order, with the companies that the
// monitor would find. Those of links alone, which nothing can be read from, are left out.
func sample(data string, n int) ([]news.Item, error) {
	if data == "" {
		return nil, errors.New("name the folder of the data sets by -data or BAROGRAPH_DATA")
	}
	text, err := os.ReadFile(watchList)
	if err != nil {
		return nil, err
	}
	var entries []watch.Entry
	if err := yaml.Unmarshal(text, &entries); err != nil {
		return nil, fmt.Errorf("%s: %w", watchList, err)
	}
	companies, err := watch.New(entries)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", watchList, err)
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
		rows = slices.DeleteFunc(rows[1:], func(row []string) bool { return strings.TrimSpace(classify.StripURLs(row[0])) == "" })
		if want := n * share / 5; want < len(rows) {
			rows = rows[:want]
		}
		for i, row := range rows {
			item := news.Item{ID: fmt.Sprintf("%s-%d", set, i), Kind: news.KindComment, Source: set, Text: row[0]}
			item.Entities = companies.Tag(item)
			items = append(items, item)
		}
	}
	if len(items) < n-4 {
		return nil, fmt.Errorf("the data sets have %d texts, want %d", len(items), n)
	}
	random := rand.New(rand.NewPCG(11, 0))
	random.Shuffle(len(items), func(i, j int) { items[i], items[j] = items[j], items[i] })
	return items, nil
}
