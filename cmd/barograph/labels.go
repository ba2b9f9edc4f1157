package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/barograph/barograph/alert"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// labelsTopic is compacted: of the labels with one key, the last is what counts.
func labelsTopic(name string) broker.Topic {
	return broker.Topic{Name: name, Config: map[string]string{"cleanup.policy": "compact"}}
}

// newCorrections opens the way to the labels topic.
func (m *monitor) newCorrections() (err error) {
	m.labels = m.broker.Writer(m.cfg.Kafka.Labels)
	m.corrections, err = alert.NewCorrections(alert.CorrectionsConfig{
		Redis: m.redis, Prefix: m.cfg.Redis.Prefix, Writer: m.labels, Clock: m.clock, Log: m.log, Registerer: m.registry,
	})
	return err
}

// readingFinder finds what the model read, for those who say that it was wrong: alerts
// carry the titles of their evidence, not the texts.
type readingFinder struct {
	broker *broker.Client
	topic  string // of readings
}

// errNoReading says that the topic holds no such reading, any more or since then.
var errNoReading = errors.New("there is no reading of this item on the readings topic")

const (
	findTime = 30 * time.Second // a search takes at most
	findLead = time.Hour        // a text may be read before the time it gives for itself
)

// find returns the first reading of an item that came at about a time or later. Of several
// toward one company each, it is the one toward entity, and toward says so. It reads the
// item's partition from there to its present end, within findTime. Where the topic has got
// more partitions since, it is looked for in the others, too.
func (f readingFinder) find(ctx context.Context, id, entity string, since time.Time) (r news.Reading, toward string, err error) {
	ctx, cancel := context.WithTimeout(ctx, findTime)
	defer cancel()
	cluster, err := f.broker.Ping(ctx)
	if err != nil {
		return r, "", fmt.Errorf("looking for the reading of item %s: %w", id, err)
	}
	partitions := cluster.Topics[f.topic]
	if partitions == 0 {
		return r, "", fmt.Errorf("item %s: %w: there is no topic %s", id, errNoReading, f.topic)
	}
	likely := broker.PartitionOf([]byte(id), partitions)
	for i := range partitions {
		readings, err := f.inPartition(ctx, (likely+i)%partitions, id, since.Add(-findLead))
		if err == nil {
			r, toward = towardEntity(readings, entity)
			return r, toward, nil
		}
		if !errors.Is(err, errNoReading) {
			return r, "", err
		}
	}
	return r, "", fmt.Errorf("item %s: %w", id, errNoReading)
}

// towardEntity chooses among an item's readings. Several of the same companies are one that
// came again.
func towardEntity(readings []news.Reading, entity string) (r news.Reading, toward string) {
	for _, r := range readings[1:] {
		if !slices.Equal(r.Entities, readings[0].Entities) {
			if i := slices.IndexFunc(readings, func(r news.Reading) bool { return slices.Contains(r.Entities, entity) }); i >= 0 {
				return readings[i], entity
			}
		}
	}
	return readings[0], ""
}

// inPartition returns the readings of an item in the first chunk that has any: those of one
// item are written together.
func (f readingFinder) inPartition(ctx context.Context, number int, id string, since time.Time) (found []news.Reading, err error) {
	p := &partition{client: f.broker, topic: f.topic, number: number}
	err = retry.Do(ctx, retry.Policy{Attempts: 5}, func(ctx context.Context) (err error) {
		if p.next, err = p.client.OffsetAt(ctx, p.topic, number, since); err != nil {
			return err
		}
		_, p.end, err = p.client.Bounds(ctx, p.topic, number)
		return err
	})
	for err == nil && p.next < p.end {
		var chunk broker.Chunk
		err = retry.Do(ctx, retry.Policy{Attempts: 5}, func(ctx context.Context) (err error) {
			chunk, err = p.client.Fetch(ctx, p.topic, number, p.next, fetchBytes)
			return err
		})
		for _, m := range chunk.Messages {
			if string(m.Key) != id {
				continue
			}
			var reading news.Reading
			if err := json.Unmarshal(m.Value, &reading); err != nil {
				return nil, fmt.Errorf("reading of item %s in %s/%d at %d: %w", id, f.topic, number, m.Offset, err)
			}
			found = append(found, reading)
		}
		if len(found) > 0 {
			return found, nil
		}
		p.next = chunk.Next
	}
	if err != nil {
		return nil, fmt.Errorf("looking for the reading of item %s in %s/%d: %w", id, f.topic, number, err)
	}
	return nil, errNoReading
}
