package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
)

// partition is one partition during one generation: its reader and what is in flight of it.
type partition struct {
	group *group
	ctx   context.Context // of the work on its messages: ends with the generation, after the last wait
	topic string
	id    int
	begin int64              // committed offset; negative = none
	chunk int64              // bytes of one fetch
	share *share             // of the budget
	count prometheus.Counter // of the messages read

	most     int             // messages from the first that is not done on, about
	room     chan struct{}   // of one: told of each message that is done
	progress chan<- struct{} // likewise, of all partitions

	mu        sync.Mutex
	started   bool // offsets is valid
	offsets   offsets
	committed int64
	highWater int64 // offset after the topic's last message, as of the last fetch
}

// read fetches and delivers messages until ctx ends. Whatever goes wrong is tried again;
// no other partition notices.
func (p *partition) read(ctx context.Context, deliver deliver) {
	position, err := p.beginning(ctx)
	if err != nil {
		return // ctx ended
	}
	p.mu.Lock()
	p.started, p.offsets.next = true, position
	p.mu.Unlock()
	for {
		fetched, err := p.next(ctx, position)
		if err != nil {
			return // ctx ended
		}
		for _, m := range fetched.Messages {
			if !p.take(ctx, m, deliver) {
				return
			}
		}
		position = fetched.Next
		p.advance(position, fetched.HighWater)
	}
}

// take delivers a message when there is room for it; false when ctx has ended. There is none
// while one message that does not get done, such as a dead letter that cannot be written, holds
// the offsets of very many behind it: they take memory, and are all read again after a restart.
func (p *partition) take(ctx context.Context, m kafka.Message, deliver deliver) bool {
	for p.inFlight() >= p.most {
		select {
		case <-p.room:
		case <-ctx.Done():
			return false
		}
	}
	size := sizeOf(m)
	if p.share.acquire(ctx, size) != nil {
		return false
	}
	if ctx.Err() != nil {
		p.share.release(size)
		return false
	}
	p.count.Inc()
	p.mu.Lock()
	number := p.offsets.add(m.Offset)
	p.mu.Unlock()
	deliver(origin{m, size, p, number})
	return true
}

// advance notes offsets that hold no message for us, and the topic's end.
func (p *partition) advance(next, highWater int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.offsets.next = next
	p.highWater = highWater
}

// finish notes that a message is done.
func (p *partition) finish(m *message) {
	p.mu.Lock()
	p.offsets.finish(m.number)
	p.mu.Unlock()
	p.share.release(m.size)
	for _, told := range []chan<- struct{}{p.room, p.progress} {
		select {
		case told <- struct{}{}:
		default:
		}
	}
}

// drop gives a message's room back without its being done.
func (p *partition) drop(m *message) { p.share.release(m.size) }

func (p *partition) inFlight() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offsets.pending()
}

// position is what may be committed, whether it differs from what is, and how many messages
// there are from it to the end (negative: not known yet). The start of a partition without
// a committed offset is committed too: "latest" must mean the same after a crash.
func (p *partition) position() (position, lag int64, moved bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.started {
		return 0, -1, false
	}
	position = p.offsets.position()
	return position, p.highWater - position, position != p.committed
}

func (p *partition) setCommitted(position int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.committed = position
}

// beginning is the offset to read first.
func (p *partition) beginning(ctx context.Context) (position int64, err error) {
	if p.begin >= 0 {
		return p.begin, nil
	}
	start := p.group.start
	if start.latest && p.id >= p.group.first[p.topic] {
		start = Earliest() // added while we were reading
	}
	err = retry.Do(ctx, p.policy("offsets"), func(ctx context.Context) error {
		position, err = p.startOffset(ctx, start)
		return err
	})
	return position, err
}

func (p *partition) startOffset(ctx context.Context, start Start) (int64, error) {
	if !start.at.IsZero() {
		return p.group.broker.OffsetAt(ctx, p.topic, p.id, start.at)
	}
	first, last, err := p.group.broker.Bounds(ctx, p.topic, p.id)
	if start.latest {
		return last, err
	}
	return first, err
}

// next is the next chunk of messages from the position on. Where the position is no longer
// on the topic, it is empty and says where to go on.
func (p *partition) next(ctx context.Context, position int64) (c broker.Chunk, err error) {
	err = retry.Do(ctx, p.policy("fetch"), func(ctx context.Context) error {
		c, err = p.group.broker.Fetch(ctx, p.topic, p.id, position, p.chunk)
		if errors.Is(err, kafka.OffsetOutOfRange) {
			c, err = p.reposition(ctx, position)
		}
		return err
	})
	return c, err
}

// reposition finds the earliest message, when the position is before it (retention) or
// behind the last one (the topic was made anew).
func (p *partition) reposition(ctx context.Context, position int64) (broker.Chunk, error) {
	first, last, err := p.group.broker.Bounds(ctx, p.topic, p.id)
	if err != nil {
		return broker.Chunk{}, err
	}
	if first <= position && position <= last {
		return broker.Chunk{}, fmt.Errorf("offset %d is within %d and %d: %w", position, first, last, kafka.OffsetOutOfRange)
	}
	p.group.metrics.resets.WithLabelValues(p.topic).Inc()
	p.group.log.Warn("the position is not on the topic any more; reading goes on at the earliest message",
		"topic", p.topic, "partition", p.id, "position", position, "earliest", first, "end", last, "missed", max(0, first-position))
	return broker.Chunk{Next: first, HighWater: last}, nil
}

// policy tries for ever, counts every failure and logs the first of a row.
func (p *partition) policy(request string) retry.Policy {
	failures := 0
	return retry.Policy{First: 100 * time.Millisecond, Max: 2 * time.Second, OnRetry: func(err error) {
		failures++
		p.group.metrics.errors.WithLabelValues(request).Inc()
		if failures == 1 || failures%30 == 0 {
			p.group.log.Warn("reading a partition failed; trying again", "topic", p.topic, "partition", p.id, "failures", failures, "error", err)
		}
	}}
}
