// Package ingest is the stage between Kafka and the rest: it reads topics as a member of a
// consumer group, turns messages into items (or, for other stages, into whatever Decode
// makes of them), commits what is done and sends what cannot be read to a dead-letter topic.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
)

// ConsumerConfig says what a Consumer reads and how much of it at once. Broker, Group,
// Topics, Decode and DeadLetters are required.
type ConsumerConfig[T any] struct {
	Broker *broker.Client
	Group  string
	Topics []string // one that does not exist yet is read once it does; the others do not wait for it
	Start  Start    // of partitions without a committed offset

	// Decode is called for each message, for those of one partition in order, for several
	// partitions at once. An error or a panic sends the message to the dead letters.
	Decode func(kafka.Message) (T, error)

	DeadLetters string // topic; must exist

	// Bounds on the deliveries that are not done, over all partitions. Half is common, half
	// is divided into reserves, so that a stuck partition leaves room for the others; a
	// partition may always have one message in flight. Each partition holds, on top, one
	// fetched chunk: MaxBytes/4 over all partitions, at least 64 KiB and at most 1 MiB each,
	// as compressed as it was produced.
	MaxItems int   // 0 = 4096
	MaxBytes int64 // of keys, values and headers; 0 = 64 MiB

	CommitInterval time.Duration // between commits; 0 = 500 ms
	RevokeWait     time.Duration // how long a rebalance waits for what is in flight; 0 = 3 s, at most half of SessionTimeout
	DrainTimeout   time.Duration // how long the end of Run waits for it; 0 = 20 s
	SessionTimeout time.Duration // after which a dead member's partitions go to others; 0 = 10 s, brokers refuse less than 6 s

	Clock      func() time.Time      // nil = time.Now
	Log        *slog.Logger          // nil = slog.Default()
	Registerer prometheus.Registerer // nil = no metrics; the label "group" tells consumers apart
}

// Consumer is one member of a consumer group. Make it by NewConsumer.
type Consumer[T any] struct {
	cfg   ConsumerConfig[T]
	group *group
}

// NewConsumer checks the configuration; it does not connect.
func NewConsumer[T any](cfg ConsumerConfig[T]) (*Consumer[T], error) {
	switch {
	case cfg.Broker == nil:
		return nil, errors.New("consumer: no broker configured")
	case cfg.Group == "":
		return nil, errors.New("consumer: no group configured")
	case len(cfg.Topics) == 0:
		return nil, errors.New("consumer: no topics configured")
	case cfg.Decode == nil:
		return nil, errors.New("consumer: no decoder configured")
	case cfg.DeadLetters == "":
		return nil, errors.New("consumer: no dead-letter topic configured")
	}
	orDefault(&cfg.MaxItems, 4096)
	orDefault(&cfg.MaxBytes, 64<<20)
	orDefault(&cfg.CommitInterval, 500*time.Millisecond)
	orDefault(&cfg.RevokeWait, 3*time.Second)
	orDefault(&cfg.DrainTimeout, 20*time.Second)
	orDefault(&cfg.SessionTimeout, 10*time.Second)
	// The broker hears nothing of a member that waits.
	cfg.RevokeWait = min(cfg.RevokeWait, cfg.SessionTimeout/2)
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	cfg.Log = cfg.Log.With("group", cfg.Group)
	g := &group{
		broker: cfg.Broker, id: cfg.Group, topics: cfg.Topics, start: cfg.Start,
		commitInterval: cfg.CommitInterval, revokeWait: cfg.RevokeWait, drainTimeout: cfg.DrainTimeout,
		sessionTimeout: cfg.SessionTimeout, log: cfg.Log,
		budget: &budget{max: amount{cfg.MaxItems, cfg.MaxBytes}},
	}
	metrics, err := newMetrics(cfg.Group, cfg.Topics, g.budget, cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("consumer: metrics: %w", err)
	}
	g.metrics = metrics
	g.letters = newDeadLetters(cfg.Broker, cfg.DeadLetters, cfg.Clock, cfg.Log, metrics)
	return &Consumer[T]{cfg: cfg, group: g}, nil
}

func orDefault[V int | int64 | time.Duration](value *V, otherwise V) {
	if *value <= 0 {
		*value = otherwise
	}
}

// ErrDrain is returned by Run when work was still in flight at the end of DrainTimeout.
// Nothing is lost: the messages are read again by whoever gets their partitions.
var ErrDrain = errors.New("messages still in flight at the end of the drain")

// Run reads until ctx ends: a broker that is down, a topic that is missing or a partition
// that cannot be read is waited for. Then it stops fetching, waits up to DrainTimeout for
// deliveries to be done, commits and leaves the group. It may be called once.
//
// handle is called for each decoded message: in order within a partition, at once for
// several partitions. It may keep the delivery and call Done or Fail on it later, from any
// goroutine; as long as it blocks, its partition waits and the others go on. When it
// returns an error (or panics) the delivery has failed with it. Its context ends when the
// partition is taken away or the drain is over: it must return then, and the delivery
// counts for nothing.
//
// At a rebalance fetching stops, deliveries have RevokeWait to be done, what is done is
// committed and the group joined again. What was not done by then is delivered again, here
// or to another member; the old delivery's Done no longer matters.
func (c *Consumer[T]) Run(ctx context.Context, handle func(context.Context, *Delivery[T]) error) error {
	return c.group.run(ctx, func(from origin) { c.deliver(from, handle) })
}

// deliver turns a message into a delivery; it confines what goes wrong to the message.
func (c *Consumer[T]) deliver(from origin, handle func(context.Context, *Delivery[T]) error) {
	d := &Delivery[T]{Topic: from.Topic, Partition: from.Partition, Offset: from.Offset, Appended: from.Time, message: message{origin: from}}
	m := &d.message
	defer func() {
		if p := recover(); p != nil {
			c.cfg.Log.Error("panic over a message", "topic", m.Topic, "partition", m.Partition, "offset", m.Offset,
				"panic", p, "stack", string(debug.Stack()))
			m.fail(reject(Panicked, "", "%v", p))
		}
	}()
	var err error
	if d.Value, err = c.cfg.Decode(m.Message); err != nil {
		m.fail(rejection(err))
		return
	}
	ctx := m.partition.ctx
	switch err = handle(ctx, d); {
	case err == nil:
	case ctx.Err() != nil:
		m.abandon()
	default:
		m.fail(rejection(err))
	}
}
