package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/testenv/kafkaserver"
	"github.com/barograph/barograph/internal/testenv/redisserver"
	"github.com/barograph/barograph/news"
)

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

// start starts the servers, with so many partitions of the news topic.
func (b *bench) start(partitions int) (err error) {
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
	b.stopMonitors()
	if b.redis != nil {
		b.redis.Kill()
	}
	if b.kafka != nil {
		b.kafka.Kill()
	}
}

// stopMonitors lets the monitors drain and commit.
func (b *bench) stopMonitors() {
	for _, m := range b.monitors {
		_ = m.Process.Signal(syscall.SIGTERM)
	}
	for _, m := range b.monitors {
		_ = m.Wait()
	}
	b.monitors, b.metrics = nil, nil
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
		"watch_list: %[3]s/%[4]s\nclassify: {bundles: [%[3]s/models/en, %[3]s/models/zh, %[3]s/models/en-company], bases: [%[3]s/.deps/bases], threads: %[5]d}\n",
		b.kafka.Addr, b.redis.Addr, working, watchList, threads)
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
