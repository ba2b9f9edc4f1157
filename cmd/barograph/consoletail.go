package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/barograph/barograph/console"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// tail feeds the console's index from the readings and alerts topics. It belongs to no
// consumer group: each process with a console reads all of both, from as far back as the
// index reaches.
type tail struct {
	broker  *broker.Client
	index   *console.Index
	log     *slog.Logger
	clock   func() time.Time
	history time.Duration
	retries prometheus.Counter
	skipped *prometheus.CounterVec
}

const (
	tailBytes = 1 << 20          // of one fetch
	tailLook  = 30 * time.Second // how often new partitions are looked for
	tailWait  = time.Second      // while the topic is not there
)

func newTail(client *broker.Client, index *console.Index, history time.Duration, clock func() time.Time, log *slog.Logger, r prometheus.Registerer) *tail {
	t := &tail{broker: client, index: index, log: log, clock: clock, history: history,
		retries: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "barograph_console_kafka_retries_total", Help: "Requests for the console's index that Kafka did not answer at once."}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_console_skipped_total", Help: "Messages that the console's index could not take, by topic."}, []string{"topic"}),
	}
	r.MustRegister(t.retries, t.skipped)
	return t
}

// run reads until the context ends. most bounds how many readings are read of those that
// are there at the start. alerts may be "": there is no such topic then.
func (t *tail) run(ctx context.Context, readings string, most int, alerts string) error {
	var both errgroup.Group
	both.Go(func() error { return t.follow(ctx, readings, most, t.takeReadings, t.index.Caught) })
	if alerts != "" {
		both.Go(func() error { return t.follow(ctx, alerts, 0, t.takeAlerts, func() {}) })
	}
	return both.Wait()
}

// follow reads all partitions of a topic, also those that it gets later. caught is called
// once, when all that was there at the start has been taken. most = 0 is no bound.
func (t *tail) follow(ctx context.Context, topic string, most int, take func([]kafka.Message, bool), caught func()) error {
	var all errgroup.Group
	known := 0
	for ctx.Err() == nil {
		cluster, err := t.broker.Ping(ctx)
		if err != nil {
			t.retries.Inc()
		}
		partitions := cluster.Topics[topic]
		var behind sync.WaitGroup
		for number := known; number < partitions; number++ {
			behind.Add(1)
			done := sync.OnceFunc(behind.Done)
			all.Go(func() error {
				defer done()
				return t.partition(ctx, topic, number, share(most, partitions), take, done)
			})
		}
		if known == 0 && partitions > 0 {
			all.Go(func() error { behind.Wait(); caught(); return nil })
		}
		known = max(known, partitions)
		pause := tailLook
		if known == 0 {
			pause = tailWait
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	return all.Wait()
}

// share is a partition's part of a bound, which is never 0: that would be none.
func share(most, partitions int) int64 {
	if most == 0 {
		return 0
	}
	return int64(max(1, most/partitions))
}

// partition takes one partition's messages until the context ends.
func (t *tail) partition(ctx context.Context, topic string, number int, most int64, take func([]kafka.Message, bool), caught func()) error {
	policy := retry.Policy{OnRetry: func(err error) {
		t.retries.Inc()
		t.log.Warn("the console waits for Kafka", "topic", topic, "partition", number, "error", err)
	}}
	var next, end int64
	err := retry.Do(ctx, policy, func(ctx context.Context) (err error) {
		next, end, err = t.start(ctx, topic, number, most)
		return err
	})
	for err == nil {
		if next >= end {
			caught()
		}
		var chunk broker.Chunk
		err = retry.Do(ctx, policy, func(ctx context.Context) (err error) {
			chunk, err = t.broker.Fetch(ctx, topic, number, next, tailBytes)
			if errors.Is(err, kafka.OffsetOutOfRange) { // retention was faster
				next, _, err = t.broker.Bounds(ctx, topic, number)
				chunk = broker.Chunk{Next: next}
			}
			return err
		})
		if err == nil && len(chunk.Messages) > 0 {
			t.safely(topic, number, func() { take(chunk.Messages, next >= end) })
		}
		next = max(next, chunk.Next)
	}
	return ended(ctx, err)
}

// start is where to begin, and where what is there already ends.
func (t *tail) start(ctx context.Context, topic string, number int, most int64) (next, end int64, err error) {
	first, end, err := t.broker.Bounds(ctx, topic, number)
	if err != nil {
		return 0, 0, err
	}
	next, err = t.broker.OffsetAt(ctx, topic, number, time.Now().Add(-t.history))
	if most > 0 {
		next = max(next, end-most)
	}
	return max(first, next), end, err
}

// safely keeps a panic over foreign messages from ending the process.
func (t *tail) safely(topic string, number int, take func()) {
	defer func() {
		if panicked := recover(); panicked != nil {
			t.skipped.WithLabelValues(topic).Inc()
			t.log.Error("the console's index could not take messages", "topic", topic, "partition", number, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
		}
	}()
	take()
}

func (t *tail) takeReadings(messages []kafka.Message, live bool) {
	readings := make([]news.Reading, 0, len(messages))
	for _, m := range messages {
		var r news.Reading
		if err := json.Unmarshal(m.Value, &r); err != nil {
			t.skip(m, err)
			continue
		}
		readings = append(readings, r)
	}
	t.index.AddReadings(readings, live)
}

func (t *tail) takeAlerts(messages []kafka.Message, live bool) {
	ahead := t.clock().Sub(time.Now()) // the demo's clock is not the one of Kafka's messages
	for _, m := range messages {
		var a news.Alert
		if err := json.Unmarshal(m.Value, &a); err != nil {
			t.skip(m, err)
			continue
		}
		key := fmt.Sprint(m.Partition, "/", m.Offset)
		for _, h := range m.Headers {
			if h.Key == "idempotency-key" {
				key = string(h.Value)
			}
		}
		t.index.AddAlert(a, m.Time.Add(ahead), key, live)
	}
}

func (t *tail) skip(m kafka.Message, err error) {
	t.skipped.WithLabelValues(m.Topic).Inc()
	t.log.Debug("the console's index skipped a message", "topic", m.Topic, "partition", m.Partition, "offset", m.Offset, "error", err)
}
