package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/retry"
)

// Writer makes a writer for the topic, or for messages that name their topic where it is
// "". A nil error from it means that all in-sync replicas have the messages (kafka-go's
// own default asks for no acknowledgement and loses messages). Messages of one key go to
// one partition, the one that Kafka's own clients choose. Messages wait 5 ms at most for
// others to share a request with.
//
// Fields may be changed before the first use. The caller closes the writer.
func (c *Client) Writer(topic string) *kafka.Writer {
	return &kafka.Writer{
		Addr:         c.addr,
		Topic:        topic,
		Balancer:     balancer,
		RequiredAcks: kafka.RequireAll,
		BatchSize:    1000,
		BatchTimeout: 5 * time.Millisecond,
		ReadTimeout:  c.cfg.Timeout,
		WriteTimeout: c.cfg.Timeout,
		MaxAttempts:  5,
		Transport:    c.transport,
	}
}

// balancer is that of Kafka's own clients.
var balancer = kafka.Murmur2Balancer{}

// PartitionOf is where a Writer puts messages with the key, in a topic of so many partitions.
func PartitionOf(key []byte, partitions int) int {
	all := make([]int, partitions)
	for i := range all {
		all[i] = i
	}
	return balancer.Balance(kafka.Message{Key: key}, all...)
}

// LargeWriter is a Writer for messages of any size, each in a request of its own: the
// broker decides what is too large.
func (c *Client) LargeWriter(topic string) *kafka.Writer {
	w := c.Writer(topic)
	w.BatchSize, w.BatchBytes = 1, 1<<30
	return w
}

// Write writes messages by a writer of this package and tries again, after the policy,
// those that failed and may yet succeed: kafka-go itself gives up at once when it cannot
// learn a topic's partitions, as after a restart of the broker. A message may be written
// twice. Messages too large for the topic or a right that is missing are not tried again
// (TooLarge tells the first).
func Write(ctx context.Context, w *kafka.Writer, policy retry.Policy, messages ...kafka.Message) error {
	err := retry.Do(ctx, policy, func(ctx context.Context) error {
		err := w.WriteMessages(ctx, messages...)
		if err == nil {
			return nil
		}
		var each kafka.WriteErrors
		if errors.As(err, &each) {
			messages, err = failed(messages, each)
		}
		if !mayPass(err) {
			return retry.Permanent(err)
		}
		return err
	})
	if err == nil {
		return nil
	}
	topic := w.Topic
	if topic == "" && len(messages) > 0 {
		topic = messages[0].Topic
	}
	return fmt.Errorf("writing %d messages to topic %s: %w", len(messages), topic, err)
}

// failed keeps the messages that have an error, and the error least likely to pass.
func failed(messages []kafka.Message, each kafka.WriteErrors) (left []kafka.Message, err error) {
	for i, e := range each {
		if e == nil {
			continue
		}
		left = append(left, messages[i])
		if err == nil || !mayPass(e) {
			err = e
		}
	}
	return left, err
}

// TooLarge reports whether a write failed because the message, or the batch it was sent
// in, is larger than the writer or the topic takes.
func TooLarge(err error) bool {
	var local kafka.MessageTooLargeError
	return errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge) || errors.As(err, &local)
}

// mayPass reports whether a write that failed so may succeed later. Whatever is not a
// plain refusal of the broker (a lost connection, a timeout) may.
func mayPass(err error) bool {
	if TooLarge(err) {
		return false
	}
	var code kafka.Error
	if !errors.As(err, &code) {
		return true
	}
	// A topic is unknown for a while after it was made and after a restart.
	return code.Temporary() || code == kafka.UnknownTopicOrPartition || code == kafka.Unknown
}
