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

// alone is a writer to the same place for messages of any size, each in a request of its own:
// the broker decides what is too large.
func alone(w *kafka.Writer) *kafka.Writer {
	return &kafka.Writer{
		Addr:         w.Addr,
		Topic:        w.Topic,
		Balancer:     w.Balancer,
		RequiredAcks: w.RequiredAcks,
		BatchSize:    1,
		BatchBytes:   1 << 30,
		ReadTimeout:  w.ReadTimeout,
		WriteTimeout: w.WriteTimeout,
		MaxAttempts:  w.MaxAttempts,
		Transport:    w.Transport,
	}
}

// RefusedError says that messages are too large for their topic, each by itself. The others of
// the call were written.
type RefusedError struct {
	At  []int // their positions among the messages of the call, ascending
	Err error // of the last; TooLarge tells it
}

// Error is the topic's.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap is the topic's error.
func (e *RefusedError) Unwrap() error { return e.Err }

// Write writes messages by a writer of this package and tries again, after the policy,
// those that failed and may yet succeed: kafka-go itself gives up at once when it cannot
// learn a topic's partitions, as after a restart of the broker. A message may be written
// twice. What is too large together is written in parts, so that one message that
// is too large alone does not keep the others out: the error is then a RefusedError, where
// nothing else went wrong. A right that is missing is not asked for again.
func Write(ctx context.Context, w *kafka.Writer, policy retry.Policy, messages ...kafka.Message) error {
	at := make([]int, len(messages))
	for i := range at {
		at[i] = i
	}
	refused := &RefusedError{}
	if err := write(ctx, w, policy, messages, at, refused); err != nil {
		return err
	}
	if refused.Err == nil {
		return nil
	}
	return writing(w, messages[refused.At[0]:], len(refused.At), refused)
}

// write is Write for messages at some positions; what is refused is added.
func write(ctx context.Context, w *kafka.Writer, policy retry.Policy, messages []kafka.Message, at []int, refused *RefusedError) error {
	try := func(ctx context.Context) error {
		err := w.WriteMessages(ctx, messages...)
		if err == nil {
			return nil
		}
		var each kafka.WriteErrors
		if errors.As(err, &each) {
			messages, at, err = failed(messages, at, each)
		}
		if !mayPass(err) {
			return retry.Permanent(err)
		}
		return err
	}
	err := retry.Do(ctx, policy, try)
	if half := len(messages) / 2; TooLarge(err) && half > 0 {
		if err := write(ctx, w, policy, messages[:half], at[:half], refused); err != nil {
			return err
		}
		return write(ctx, w, policy, messages[half:], at[half:], refused)
	}
	if TooLarge(err) { // for w, or with what others write by it
		w = alone(w)
		err = retry.Do(ctx, policy, try)
		_ = w.Close()
	}
	switch {
	case err == nil:
		return nil
	case TooLarge(err):
		refused.At, refused.Err = append(refused.At, at...), err
		return nil
	}
	return writing(w, messages, len(messages), err)
}

func writing(w *kafka.Writer, messages []kafka.Message, n int, err error) error {
	topic := w.Topic
	if topic == "" && len(messages) > 0 {
		topic = messages[0].Topic
	}
	return fmt.Errorf("writing %d messages to topic %s: %w", n, topic, err)
}

// failed keeps the messages that have an error, their positions, and the error least likely to
// pass.
func failed(messages []kafka.Message, at []int, each kafka.WriteErrors) (left []kafka.Message, leftAt []int, err error) {
	for i, e := range each {
		if e == nil {
			continue
		}
		left, leftAt = append(left, messages[i]), append(leftAt, at[i])
		if err == nil || !mayPass(e) {
			err = e
		}
	}
	return left, leftAt, err
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
