package broker

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// Chunk is what one fetch brought.
type Chunk struct {
	Messages  []kafka.Message
	Next      int64 // offset to fetch after it
	HighWater int64 // offset after the partition's last message
}

// fetchWait is how long the broker holds a fetch of a partition without new messages.
const fetchWait = time.Second

// Fetch asks for a partition's messages from an offset on, about maxBytes of them or the
// first one if that is larger; it waits up to a second for one to come. The error matches
// kafka.OffsetOutOfRange when there is no such offset. kafka-go's Reader moves a lost
// position silently and reads ahead without a bound in bytes; this does neither.
//
// Messages of transactions are read when they are written, before the transaction ends and
// also when it is aborted: kafka-go does not tell aborted ones apart.
func (c *Client) Fetch(ctx context.Context, topic string, partition int, offset, maxBytes int64) (Chunk, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchWait+c.cfg.Timeout)
	defer cancel()
	response, err := c.client.Fetch(ctx, &kafka.FetchRequest{
		Topic: topic, Partition: partition, Offset: offset, MinBytes: 1, MaxBytes: maxBytes, MaxWait: fetchWait,
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return Chunk{}, fmt.Errorf("fetching %s/%d at %d: %w", topic, partition, offset, Cause(err))
	}
	chunk, err := readRecords(response.Records, topic, partition, offset)
	if err != nil {
		return Chunk{}, fmt.Errorf("reading the records of %s/%d at %d: %w", topic, partition, offset, err)
	}
	chunk.HighWater = response.HighWatermark
	return chunk, nil
}

// readRecords copies the messages from the offset on. Brokers send whole batches, so there
// may be earlier ones before them; control records (ends of transactions) and offsets that
// compaction has emptied are passed over.
func readRecords(records kafka.RecordReader, topic string, partition int, offset int64) (Chunk, error) {
	chunk := Chunk{Next: offset}
	var memory block
	stream, ok := records.(*protocol.RecordStream)
	if !ok {
		return chunk, nil // kafka-go's way of saying that there are none
	}
	for _, batch := range stream.Records {
		_, control := batch.(*protocol.ControlBatch)
		for {
			record, err := batch.ReadRecord()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return Chunk{}, err
			}
			m, err := memory.message(record, topic, partition)
			if err != nil {
				return Chunk{}, err
			}
			if m.Offset < chunk.Next {
				continue
			}
			chunk.Next = m.Offset + 1
			if !control {
				chunk.Messages = append(chunk.Messages, m)
			}
		}
	}
	if chunk.Next == offset && len(stream.Records) > 0 {
		chunk.Next++ // a batch without a record at this offset or later
	}
	return chunk, nil
}

// block is memory that messages share, so that one takes none by itself.
type block []byte

// Blocks of a chunk double from the smallest size to the largest: a fetch of one message takes
// little, and a message keeps no more than the largest from being freed beside its own bytes.
const (
	smallestBlock = 1 << 10
	largestBlock  = 16 << 10
)

// message takes key and value out of kafka-go's pooled pages.
func (b *block) message(r *kafka.Record, topic string, partition int) (m kafka.Message, err error) {
	m = kafka.Message{Topic: topic, Partition: partition, Offset: r.Offset, Time: r.Time, Headers: r.Headers}
	if m.Key, err = b.read(r.Key); err == nil {
		m.Value, err = b.read(r.Value)
	}
	return m, err
}

func (b *block) read(from kafka.Bytes) ([]byte, error) {
	if from == nil {
		return nil, nil
	}
	defer from.Close()
	n := from.Len()
	if n == 0 {
		return []byte{}, nil // which Kafka tells from null
	}
	if n > cap(*b)-len(*b) {
		if n > largestBlock/4 {
			return kafka.ReadAll(from)
		}
		*b = make([]byte, 0, min(max(2*cap(*b), 2*n, smallestBlock), largestBlock))
	}
	begin := len(*b)
	*b = (*b)[:begin+n]
	read := (*b)[begin : begin+n : begin+n]
	_, err := io.ReadFull(from, read)
	return read, err
}

// Bounds are the offsets of a partition's first message and after its last.
func (c *Client) Bounds(ctx context.Context, topic string, partition int) (first, last int64, err error) {
	offsets, err := c.listOffsets(ctx, topic, kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition))
	return offsets.FirstOffset, offsets.LastOffset, err
}

// OffsetAt is the offset of a partition's first message with a timestamp of t or later; the
// one after the last where there is none.
func (c *Client) OffsetAt(ctx context.Context, topic string, partition int, t time.Time) (int64, error) {
	offsets, err := c.listOffsets(ctx, topic, kafka.TimeOffsetOf(partition, t))
	if err != nil {
		return 0, err
	}
	for offset := range offsets.Offsets {
		if offset >= 0 {
			return offset, nil
		}
	}
	_, last, err := c.Bounds(ctx, topic, partition)
	return last, err
}

func (c *Client) listOffsets(ctx context.Context, topic string, requests ...kafka.OffsetRequest) (kafka.PartitionOffsets, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	partition := requests[0].Partition
	response, err := c.client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: requests}})
	if err == nil {
		for _, offsets := range response.Topics[topic] {
			if offsets.Error == nil {
				return offsets, nil
			}
			err = offsets.Error
		}
		if err == nil {
			err = kafka.UnknownTopicOrPartition
		}
	}
	return kafka.PartitionOffsets{}, fmt.Errorf("asking for the offsets of %s/%d: %w", topic, partition, Cause(err))
}
