package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// chunk is what one fetch brought.
type chunk struct {
	messages  []kafka.Message
	next      int64 // offset to fetch after it
	highWater int64
}

// fetchWait is how long the broker holds a fetch of a partition without new messages.
const fetchWait = time.Second

// fetch asks for messages from an offset on. kafka-go's Reader is not used: it moves a lost
// position silently and reads ahead without a bound in bytes.
//
// Messages of transactions are read when they are written, before the transaction ends and
// also when it is aborted: kafka-go does not tell aborted ones apart.
func (g *group) fetch(ctx context.Context, topic string, partition int, offset, maxBytes int64) (chunk, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWait+g.broker.Timeout())
	defer cancel()
	response, err := g.broker.API().Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: maxBytes, MaxWait: fetchWait,
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return chunk{}, fmt.Errorf("fetching %s/%d at %d: %w", topic, partition, offset, err)
	}
	c, err := readRecords(response.Records, topic, partition, offset)
	if err != nil {
		return chunk{}, fmt.Errorf("reading the records of %s/%d at %d: %w", topic, partition, offset, err)
	}
	c.highWater = response.HighWatermark
	return c, nil
}

// readRecords copies the messages from the offset on. Brokers send whole batches, so there
// may be earlier ones before them; control records (ends of transactions) and offsets that
// compaction has emptied are passed over.
func readRecords(records kafka.RecordReader, topic string, partition int, offset int64) (chunk, error) {
	c := chunk{next: offset}
	stream, ok := records.(*protocol.RecordStream)
	if !ok {
		return c, nil // kafka-go's way of saying that there are none
	}
	for _, batch := range stream.Records {
		_, control := batch.(*protocol.ControlBatch)
		for {
			record, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return chunk{}, err
			}
			m, err := copyRecord(record, topic, partition)
			if err != nil {
				return chunk{}, err
			}
			if m.Offset < c.next {
				continue
			}
			c.next = m.Offset + 1
			if !control {
				c.messages = append(c.messages, m)
			}
		}
	}
	if c.next == offset && len(stream.Records) > 0 {
		c.next++ // a batch without a record at this offset or later
	}
	return c, nil
}

// copyRecord takes key and value out of kafka-go's pooled pages.
func copyRecord(r *kafka.Record, topic string, partition int) (kafka.Message, error) {
	m := kafka.Message{Topic: topic, Partition: partition, Offset: r.Offset, Time: r.Time, Headers: r.Headers}
	for _, part := range []struct {
		from kafka.Bytes
		to   *[]byte
	}{{r.Key, &m.Key}, {r.Value, &m.Value}} {
		if part.from == nil {
			continue
		}
		copied, err := kafka.ReadAll(part.from)
		part.from.Close()
		if err != nil {
			return kafka.Message{}, err
		}
		*part.to = copied
	}
	return m, nil
}

// bounds are the offsets of the first message and after the last.
func (g *group) bounds(ctx context.Context, topic string, partition int) (first, last int64, err error) {
	offsets, err := g.listOffsets(ctx, topic, kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition))
	return offsets.FirstOffset, offsets.LastOffset, err
}

// startOffset is the offset to start at in a partition without a committed one.
func (g *group) startOffset(ctx context.Context, topic string, partition int, start Start) (int64, error) {
	if !start.at.IsZero() {
		offsets, err := g.listOffsets(ctx, topic, kafka.TimeOffsetOf(partition, start.at))
		for offset := range offsets.Offsets {
			if offset >= 0 {
				return offset, err
			}
		}
		if err != nil {
			return 0, err
		}
		// No message is as young: the next one is the first.
		start = Latest()
	}
	first, last, err := g.bounds(ctx, topic, partition)
	if start.latest {
		return last, err
	}
	return first, err
}

func (g *group) listOffsets(ctx context.Context, topic string, requests ...kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, g.broker.Timeout())
	defer cancel()
	response, err := g.broker.API().ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: requests}})
	if err != nil {
		return kafka.PartitionOffsets{}, fmt.Errorf("asking for the offsets of %s/%d: %w", topic, requests[0].Partition, err)
	}
	for _, offsets := range response.Topics[topic] {
		if offsets.Error != nil {
			return kafka.PartitionOffsets{}, fmt.Errorf("asking for the offsets of %s/%d: %w", topic, offsets.Partition, offsets.Error)
		}
		return offsets, nil
	}
	return kafka.PartitionOffsets{}, fmt.Errorf("asking for the offsets of %s/%d: no answer", topic, requests[0].Partition)
}
