package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
)

// topicHistory reads the readings topic between two times of its messages. Partitions are
// put together by arrival.
func topicHistory(ctx context.Context, cfg config, o replayOptions, says io.Writer) (iter.Seq[moment], func(), error) {
	from, _ := ingest.ParseTime(o.from) // checked before
	to, _ := ingest.ParseTime(o.to)
	client, err := broker.New(cfg.Kafka.Config)
	if err != nil {
		return nil, nil, err
	}
	cluster, err := client.Ping(ctx)
	if err == nil && cluster.Topics[cfg.Kafka.Readings] == 0 {
		err = fmt.Errorf("there is no topic %s: see kafka.readings", cfg.Kafka.Readings)
	}
	if err != nil {
		client.Close()
		return nil, nil, err
	}
	return func(yield func(moment) bool) {
		var heads []*partition
		for number := range cluster.Topics[cfg.Kafka.Readings] {
			p := &partition{client: client, topic: cfg.Kafka.Readings, number: number}
			if err := p.seek(ctx, from, to); err != nil {
				yield(moment{err: err})
				return
			}
			heads = append(heads, p)
		}
		if text := keptFrom(ctx, heads); text != "" {
			fmt.Fprintf(says, "%s: %s\n", cfg.Kafka.Readings, text)
		}
		for {
			var first *partition
			for _, p := range heads {
				m, ok := p.head(ctx)
				if ok && m.err != nil { // said first: it has no place in time
					first = p
					break
				}
				if ok && (first == nil || m.at.Before(first.ready[0].at)) {
					first = p
				}
			}
			if first == nil || !yield(first.ready[0]) {
				return
			}
			first.ready = first.ready[1:]
		}
	}, client.Close, nil
}

// partition is a stretch of a partition, read as it is needed.
type partition struct {
	client    *broker.Client
	topic     string
	number    int
	next, end int64 // offsets
	cut       bool  // older messages are deleted, and of the time asked for there may have been some
	ready     []moment
}

// keptFrom says where history begins later than it was asked for; "" where it does not. It looks
// at the first messages.
func keptFrom(ctx context.Context, all []*partition) string {
	cut, empty := 0, 0
	var from time.Time
	for _, p := range all {
		if !p.cut {
			continue
		}
		cut++
		if m, ok := p.head(ctx); !ok {
			empty++
		} else if m.at.After(from) {
			from = m.at
		}
	}
	switch {
	case cut == 0:
		return ""
	case cut == empty:
		return fmt.Sprintf("what %d of %d partitions had of the time asked for is deleted: see the topic's retention", cut, len(all))
	}
	return fmt.Sprintf("what %d of %d partitions had before %s UTC is deleted, so that history is whole from there, not from --from: see the topic's retention",
		cut, len(all), stampOf(from))
}

// fetchBytes is how much of a partition is in memory at once.
const fetchBytes = 4 << 20

func (p *partition) seek(ctx context.Context, from, to time.Time) (err error) {
	return retry.Do(ctx, retry.Policy{Attempts: 5}, func(ctx context.Context) (err error) {
		if p.next, err = p.client.OffsetAt(ctx, p.topic, p.number, from); err != nil {
			return err
		}
		if p.end, err = p.client.OffsetAt(ctx, p.topic, p.number, to); err != nil {
			return err
		}
		first, _, err := p.client.Bounds(ctx, p.topic, p.number)
		p.cut = first > 0 && p.next <= first
		return err
	})
}

func (p *partition) head(ctx context.Context) (moment, bool) {
	for len(p.ready) == 0 && p.next < p.end && ctx.Err() == nil {
		var chunk broker.Chunk
		err := retry.Do(ctx, retry.Policy{Attempts: 5}, func(ctx context.Context) (err error) {
			chunk, err = p.client.Fetch(ctx, p.topic, p.number, p.next, fetchBytes)
			return err
		})
		if err != nil {
			p.ready, p.next = []moment{{err: err}}, p.end
			break
		}
		for _, message := range chunk.Messages {
			if message.Offset >= p.end {
				break
			}
			m, err := readingMoment(message.Value)
			if err != nil {
				m = moment{err: fmt.Errorf("%s/%d at %d: %w", p.topic, p.number, message.Offset, err)}
			}
			p.ready = append(p.ready, m)
		}
		p.next = chunk.Next
	}
	if len(p.ready) == 0 {
		return moment{}, false
	}
	return p.ready[0], true
}
