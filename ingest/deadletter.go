package ingest

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/internal/retry"
)

// Headers of a dead letter, added to the message's own.
const (
	HeaderReason    = "barograph-reason"    // "class: detail"
	HeaderTopic     = "barograph-topic"     // where the message was read
	HeaderPartition = "barograph-partition" // decimal
	HeaderOffset    = "barograph-offset"    // decimal
	HeaderTime      = "barograph-time"      // when it was given up, RFC 3339 with nanoseconds

	// HeaderTruncated is there only when the dead-letter topic refused the message for its
	// size: the bytes that key, value and headers had together. The value is cut then.
	HeaderTruncated = "barograph-truncated"

	// HeaderRedelivered counts how often a dead letter was put back on its topic.
	HeaderRedelivered = "barograph-redelivered"
)

// deadLetters writes messages that cannot be processed.
type deadLetters struct {
	topic   string
	writer  *kafka.Writer
	clock   func() time.Time
	log     *slog.Logger
	metrics *metrics

	mu      sync.Mutex
	written map[Class]int // letters of this process
}

func newDeadLetters(b *broker.Client, topic string, clock func() time.Time, log *slog.Logger, m *metrics) *deadLetters {
	return &deadLetters{topic: topic, writer: b.Writer(topic), clock: clock, log: log, metrics: m}
}

func (d *deadLetters) close() {
	// What is worth waiting for was waited for by write.
	_ = d.writer.Close()
}

// write returns when the letter is on the topic; until then it tries again, so that an
// error is always the context's. A letter may be written twice.
func (d *deadLetters) write(ctx context.Context, m kafka.Message, reason *Rejection) error {
	letter := deadLetter(m, reason, d.clock())
	err := d.try(ctx, letter)
	for _, keep := range []int{512 << 10, 64 << 10, 4 << 10, 0} {
		if !broker.TooLarge(err) {
			break
		}
		err = d.try(ctx, truncated(letter, sizeOf(m), keep))
	}
	if err != nil {
		return err
	}
	d.metrics.deadLetters.WithLabelValues(m.Topic, string(reason.Class)).Inc()
	level := slog.LevelDebug
	n := d.count(reason.Class)
	if isPowerOfTen(n) {
		level = slog.LevelWarn
	}
	d.log.Log(ctx, level, "dead letter", "class", reason.Class, "of_this_class", n,
		"topic", m.Topic, "partition", m.Partition, "offset", m.Offset, "reason", plain.Line(reason.Error(), 256))
	return nil
}

// count counts letters by class, so that a topic full of bad messages does not fill the log:
// it has the first of a class, the tenth, the hundredth and so on.
func (d *deadLetters) count(class Class) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.written == nil {
		d.written = map[Class]int{}
	}
	d.written[class]++
	return d.written[class]
}

func isPowerOfTen(n int) bool {
	for n%10 == 0 && n > 0 {
		n /= 10
	}
	return n == 1
}

// try writes until it works, the context ends or the size is refused.
func (d *deadLetters) try(ctx context.Context, letter kafka.Message) error {
	policy := retry.Policy{First: 200 * time.Millisecond, Max: 5 * time.Second, OnRetry: func(err error) {
		d.metrics.deadLetterRetries.Inc()
		d.log.Error("cannot write a dead letter; its partition's offset stays until it is written", "topic", d.topic, "error", err)
	}}
	return retry.Do(ctx, policy, func(ctx context.Context) error {
		err := broker.Write(ctx, d.writer, retry.Policy{Attempts: 1}, letter)
		if broker.TooLarge(err) {
			return retry.Permanent(err)
		}
		return err
	})
}

// deadLetter is the message as it came with the headers that say where from and why.
func deadLetter(m kafka.Message, reason *Rejection, now time.Time) kafka.Message {
	headers := append(make([]kafka.Header, 0, len(m.Headers)+5), m.Headers...)
	for _, h := range [][2]string{
		{HeaderReason, plain.Line(reason.Error(), 1024)},
		{HeaderTopic, m.Topic},
		{HeaderPartition, strconv.Itoa(m.Partition)},
		{HeaderOffset, strconv.FormatInt(m.Offset, 10)},
		{HeaderTime, now.UTC().Format(time.RFC3339Nano)},
	} {
		headers = append(headers, kafka.Header{Key: h[0], Value: []byte(h[1])})
	}
	return kafka.Message{Key: m.Key, Value: m.Value, Headers: headers}
}

// truncated keeps the first bytes of the value, or, where even few do not fit beside key
// and headers, our own headers only.
func truncated(letter kafka.Message, before int64, keep int) kafka.Message {
	size := kafka.Header{Key: HeaderTruncated, Value: strconv.AppendInt(nil, before, 10)}
	if keep > 0 {
		letter.Value = letter.Value[:min(keep, len(letter.Value))]
		letter.Headers = append(letter.Headers[:len(letter.Headers):len(letter.Headers)], size)
		return letter
	}
	ours := letter.Headers[len(letter.Headers)-5:]
	return kafka.Message{Headers: append(ours[:5:5], size)}
}
