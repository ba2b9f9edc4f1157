package feed

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
)

// RedeliverConfig says which dead letters are put back. Broker and DeadLetters are required.
type RedeliverConfig struct {
	Broker      *broker.Client
	DeadLetters string // topic

	// Group keeps the position up to which letters were put back; "" = DeadLetters and
	// "-redeliver". With a Reason, that class's own position is kept beside it.
	Group  string
	Reason ingest.Class // only letters of this class; "" = all
	DryRun bool         // writes nothing and keeps the position

	Report func(Letter) // told of each letter, after it was put back; nil = not told
}

// Letter is one dead letter and what was done with it.
type Letter struct {
	Offset      int64  // on the dead-letter topic
	Partition   int    // likewise
	Topic       string // where it came from, and was put back
	Reason      string // "class: detail"
	Redelivered int    // how often it was put back, this time included
	Skipped     string // why it was not; "" = it was, or would be but for DryRun
	Other       bool   // of another class than was asked for, and Skipped for that
}

// RedeliverResult counts letters.
type RedeliverResult struct {
	PutBack int // or would be, with DryRun
	Skipped int // of another reason, cut for their size, too large for their topic, or without one to go to
	Refused int // of the skipped, those too large for their topic
}

// Redeliver reads the dead-letter topic from where it stopped the last time to the end that
// the topic has now, and puts each message back on the topic it came from: key, value and
// headers as they were, with a count in barograph-redelivered by which a message that fails
// again and again is seen. A position is kept only after the messages before it are back,
// so that an error loses none and may double some. Only one Redeliver of a group may run at
// a time.
func Redeliver(ctx context.Context, cfg RedeliverConfig) (RedeliverResult, error) {
	if cfg.Broker == nil || cfg.DeadLetters == "" {
		return RedeliverResult{}, errors.New("feed: broker and dead-letter topic are needed")
	}
	if cfg.Group == "" {
		cfg.Group = cfg.DeadLetters + "-redeliver"
	}
	if cfg.Reason != "" {
		cfg.Group += "-" + string(cfg.Reason)
	}
	cluster, err := cfg.Broker.Ping(ctx)
	if err == nil && cluster.Topics[cfg.DeadLetters] == 0 {
		err = kafka.UnknownTopicOrPartition
	}
	r := &redelivery{cfg: cfg, topics: cluster.Topics, writer: cfg.Broker.Writer("")}
	defer r.writer.Close()
	for partition := 0; err == nil && partition < cluster.Topics[cfg.DeadLetters]; partition++ {
		err = r.partition(ctx, partition)
	}
	if err != nil {
		return r.result, fmt.Errorf("putting back the dead letters of %s: %w", cfg.DeadLetters, err)
	}
	return r.result, nil
}

type redelivery struct {
	cfg    RedeliverConfig
	topics map[string]int // those that exist
	writer *kafka.Writer
	result RedeliverResult
}

// partition puts back one partition's letters up to its present end.
func (r *redelivery) partition(ctx context.Context, partition int) error {
	first, end, err := r.cfg.Broker.Bounds(ctx, r.cfg.DeadLetters, partition)
	if err != nil {
		return err
	}
	position, err := r.position(ctx, partition)
	if err != nil {
		return err
	}
	for position = max(position, first); position < end; {
		var chunk broker.Chunk
		err := retry.Do(ctx, retry.Policy{Attempts: 10}, func(ctx context.Context) (err error) {
			chunk, err = r.cfg.Broker.Fetch(ctx, r.cfg.DeadLetters, partition, position, 1<<20)
			return err
		})
		if err != nil {
			return err
		}
		// What fails again meanwhile is for the next time, or this would not end.
		messages := slices.DeleteFunc(chunk.Messages, func(m kafka.Message) bool { return m.Offset >= end })
		if err := r.putBack(ctx, messages); err != nil {
			return err
		}
		position = min(chunk.Next, end)
		if err := r.keep(ctx, partition, position); err != nil {
			return err
		}
	}
	return nil
}

func (r *redelivery) putBack(ctx context.Context, messages []kafka.Message) error {
	var letters []Letter
	var back []kafka.Message
	var at []int // of back among the letters
	for i, m := range messages {
		letter, original := r.open(m)
		letters = append(letters, letter)
		if letter.Skipped == "" {
			back, at = append(back, original), append(at, i)
		}
	}
	var refused []int
	if !r.cfg.DryRun {
		var err error
		if refused, err = writeAll(ctx, r.writer, back); err != nil {
			return err
		}
	}
	for _, i := range refused {
		letters[at[i]].Skipped = tooLarge
	}
	r.result.PutBack += len(back) - len(refused)
	r.result.Skipped += len(letters) - len(back) + len(refused)
	r.result.Refused += len(refused)
	if r.cfg.Report != nil {
		for _, letter := range letters {
			r.cfg.Report(letter)
		}
	}
	return nil
}

// open turns a dead letter back into the message it was.
func (r *redelivery) open(m kafka.Message) (Letter, kafka.Message) {
	letter := Letter{Offset: m.Offset, Partition: m.Partition}
	original := kafka.Message{Key: m.Key, Value: m.Value}
	truncated := false
	for _, h := range m.Headers {
		switch h.Key {
		case ingest.HeaderReason:
			letter.Reason = string(h.Value)
		case ingest.HeaderTopic:
			letter.Topic = string(h.Value)
		case ingest.HeaderTruncated:
			truncated = true
		case ingest.HeaderRedelivered:
			letter.Redelivered, _ = strconv.Atoi(string(h.Value)) // one that we did not write counts as none
		case ingest.HeaderPartition, ingest.HeaderOffset, ingest.HeaderTime:
		default:
			original.Headers = append(original.Headers, h)
		}
	}
	letter.Redelivered++
	original.Topic = letter.Topic
	original.Headers = append(original.Headers, kafka.Header{Key: ingest.HeaderRedelivered, Value: strconv.AppendInt(nil, int64(letter.Redelivered), 10)})
	class, _, _ := strings.Cut(letter.Reason, ":")
	switch {
	case r.cfg.Reason != "" && class != string(r.cfg.Reason):
		letter.Skipped, letter.Other = "another reason", true
	case truncated:
		letter.Skipped = "cut for its size"
	case r.topics[letter.Topic] == 0 || letter.Topic == r.cfg.DeadLetters:
		letter.Skipped = "no topic to go to"
	}
	return letter, original
}

// position is where the last run stopped; negative when there was none.
func (r *redelivery) position(ctx context.Context, partition int) (position int64, err error) {
	topic := r.cfg.DeadLetters
	err = r.ask(ctx, "asking for", func(ctx context.Context) error {
		response, err := r.cfg.Broker.API().OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: r.cfg.Group, Topics: map[string][]int{topic: {partition}}})
		if err != nil {
			return err
		}
		for _, p := range response.Topics[topic] {
			position = p.CommittedOffset
			err = errors.Join(err, p.Error)
		}
		return errors.Join(err, response.Error)
	})
	return position, err
}

// keep commits the position as that of a group without members.
func (r *redelivery) keep(ctx context.Context, partition int, position int64) error {
	if r.cfg.DryRun {
		return nil
	}
	topic := r.cfg.DeadLetters
	return r.ask(ctx, "keeping", func(ctx context.Context) error {
		response, err := r.cfg.Broker.API().OffsetCommit(ctx, &kafka.OffsetCommitRequest{GroupID: r.cfg.Group, GenerationID: -1,
			Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: partition, Offset: position}}}})
		if err != nil {
			return err
		}
		for _, p := range response.Topics[topic] {
			err = errors.Join(err, p.Error)
		}
		return err
	})
}

// ask tries a request to the group's coordinator, which may have to be made first.
func (r *redelivery) ask(ctx context.Context, what string, request func(context.Context) error) error {
	err := retry.Do(ctx, retry.Policy{Attempts: 10, Max: 3 * time.Second}, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, r.cfg.Broker.Timeout())
		defer cancel()
		return request(ctx)
	})
	if err != nil {
		return fmt.Errorf("%s the position of group %s: %w", what, r.cfg.Group, broker.Cause(err))
	}
	return nil
}
