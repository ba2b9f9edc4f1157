package ingest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
)

// group is a consumer's membership of its group, whatever its messages decode to.
type group struct {
	broker *broker.Client
	id     string
	topics []string
	start  Start

	commitInterval time.Duration
	revokeWait     time.Duration
	drainTimeout   time.Duration
	sessionTimeout time.Duration

	log     *slog.Logger
	metrics *metrics
	budget  *budget
	letters *deadLetters

	first map[string]int // partitions of each topic when the group was first joined
	left  int            // messages in flight when the last generation ended

	mu      sync.Mutex
	over    bool           // run has ended: nothing starts any more
	running sync.WaitGroup // readers and writers of dead letters
}

// spawn runs f beside the others, unless run has ended.
func (g *group) spawn(f func()) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.over {
		return false
	}
	g.running.Go(f)
	return true
}

const (
	// topicsInterval is how often the group looks for new topics and partitions.
	topicsInterval = 5 * time.Second
	// leaveTimeout bounds the last goodbyes of Run; a member that does not manage to leave
	// is taken for dead after SessionTimeout.
	leaveTimeout = 5 * time.Second
)

// run is Consumer.Run. deliver is called by each partition's reader.
func (g *group) run(ctx context.Context, deliver deliver) error {
	for ctx.Err() == nil {
		topics, err := g.waitForTopics(ctx)
		if err != nil {
			break // ctx ended
		}
		if g.first == nil {
			g.first = topics
		}
		if err := g.join(ctx, topics, deliver); err != nil {
			return err
		}
	}
	g.mu.Lock()
	g.over = true
	g.mu.Unlock()
	if !within(leaveTimeout, g.running.Wait) {
		g.log.Error("a handler did not return when its context ended")
	}
	within(leaveTimeout, g.letters.close)
	if g.left > 0 {
		return fmt.Errorf("group %s: %d: %w", g.id, g.left, ErrDrain)
	}
	return nil
}

// waitForTopics waits until one of the topics exists, and tells the partitions of those
// that do. kafka-go assigns nothing at all to a group that names a missing topic.
func (g *group) waitForTopics(ctx context.Context) (partitions map[string]int, err error) {
	warned := false
	policy := retry.Policy{First: 200 * time.Millisecond, Max: 2 * time.Second, OnRetry: func(err error) {
		if !warned {
			g.log.Warn("waiting for topics", "topics", g.topics, "error", err)
		}
		warned = true
	}}
	err = retry.Do(ctx, policy, func(ctx context.Context) error {
		if partitions, err = g.partitions(ctx); err == nil && len(partitions) == 0 {
			err = kafka.UnknownTopicOrPartition
		}
		return err
	})
	for _, topic := range g.topics {
		if err == nil && partitions[topic] == 0 {
			g.log.Warn("topic does not exist; it is read once it does", "topic", topic)
		}
	}
	return partitions, err
}

// partitions counts the partitions of each of the group's topics that exists.
func (g *group) partitions(ctx context.Context) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, g.broker.Timeout())
	defer cancel()
	metadata, err := g.broker.API().Metadata(ctx, &kafka.MetadataRequest{Topics: g.topics})
	if err != nil {
		g.metrics.errors.WithLabelValues("metadata").Inc()
		return nil, fmt.Errorf("asking for the partitions of %v: %w", g.topics, broker.Cause(err))
	}
	partitions := map[string]int{}
	for _, topic := range metadata.Topics {
		if topic.Error == nil && len(topic.Partitions) > 0 {
			partitions[topic.Name] = len(topic.Partitions)
		}
	}
	return partitions, nil
}

// join takes part in the group, generation after generation, until ctx ends or the set of
// topics changes.
func (g *group) join(ctx context.Context, topics map[string]int, deliver deliver) error {
	names := slices.Sorted(maps.Keys(topics))
	member, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:                g.id,
		Brokers:           g.broker.Brokers(),
		Dialer:            g.broker.Dialer(),
		Topics:            names,
		SessionTimeout:    g.sessionTimeout,
		HeartbeatInterval: g.sessionTimeout / 10,
		RebalanceTimeout:  g.revokeWait + 30*time.Second,
		JoinGroupBackoff:  500 * time.Millisecond,
		Timeout:           g.broker.Timeout(),
		StartOffset:       kafka.FirstOffset, // a negative offset, by which we see that none is committed
		ErrorLogger:       kafka.LoggerFunc(func(format string, args ...any) { g.log.Debug(fmt.Sprintf(format, args...)) }),
	})
	if err != nil {
		return fmt.Errorf("group %s: %w", g.id, err)
	}
	defer func() {
		if !within(leaveTimeout, func() { _ = member.Close() }) {
			g.log.Warn("could not leave the group in time")
		}
	}()
	failures := 0
	for {
		generation, err := member.Next(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			// kafka-go pauses and joins again by itself.
			g.metrics.errors.WithLabelValues("join").Inc()
			if failures++; failures == 1 || failures%30 == 0 {
				g.log.Warn("joining the group failed; trying again", "failures", failures, "error", err)
			}
			continue
		}
		failures = 0
		g.metrics.rebalances.Inc()
		ended := make(chan bool)
		generation.Start(func(alive context.Context) { ended <- g.generation(ctx, alive, generation, topics, deliver) })
		if sameTopics := <-ended; !sameTopics || ctx.Err() != nil {
			return nil
		}
		// A partition more is no other set of topics.
		if now, err := g.partitions(ctx); err == nil {
			topics = now
		}
	}
}

// within reports whether f returned in that time; it goes on by itself otherwise.
func within(limit time.Duration, f func()) bool {
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
