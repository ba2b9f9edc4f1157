package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/news"
)

// newSettler starts a settler. What the consumer waits for in its drain must not end with
// the consumer's context: the settler works on until it is stopped.
func (m *monitor) newSettler(topic *kafka.Writer, coming func() int) *settler {
	s := &settler{
		queues: settleQueues(m.cfg.Kafka.MaxItems), stopped: make(chan struct{}), finished: make(chan struct{}),
		coming: coming, topic: topic, timely: m.timely, log: m.log, metrics: m.settle,
	}
	if m.trend != nil { // not an interface that holds nil
		s.trend, s.desk = m.trend, m.desk
	}
	go s.run()
	return s
}

// classifyItems is ingest, classify and, where the process has it, trend.
func (m *monitor) classifyItems(ctx context.Context) error {
	decode, err := m.decoder()
	if err != nil {
		return err
	}
	consumer, err := newConsumer(m, m.cfg.Kafka.Group, topicNames(m.cfg.Kafka.Topics), m.cfg.Kafka.Start, decode)
	if err != nil {
		return err
	}
	readings := m.broker.Writer(m.cfg.Kafka.Readings)
	readings.BatchSize = 128 // kafka-go takes the memory for so many messages at each write
	defer readings.Close()
	settler := m.newSettler(readings, m.classify.InFlight)
	defer settler.wait()
	defer m.classify.Stop() // the drain is over: what it left counts for nothing and is read again
	defer settler.stop()
	return consumer.Run(ctx, func(ctx context.Context, d *ingest.Delivery[news.Item]) error {
		return m.classify.Submit(ctx, d.Value, func(readings []news.Reading, err error) {
			switch {
			case errors.Is(err, classify.ErrClosed):
			case err != nil:
				d.Fail(rejectionOf(err))
			default:
				settler.submit(unsettled{readings: readings, appended: d.Appended, delivery: d})
			}
		})
	})
}

// rejectionOf classes what the models could not read, for the dead letter's reason.
func rejectionOf(err error) error {
	switch {
	case errors.Is(err, classify.ErrNoText):
		return &ingest.Rejection{Class: ingest.NoText, Err: err}
	case errors.Is(err, classify.ErrTooLong):
		return &ingest.Rejection{Class: ingest.TooLarge, Err: err}
	case errors.Is(err, classify.ErrPanic):
		return &ingest.Rejection{Class: ingest.Panicked, Err: err}
	}
	return err
}

// decoder maps each topic's messages to items, and finds the companies in them.
func (m *monitor) decoder() (func(kafka.Message) (news.Item, error), error) {
	byTopic, sources := map[string]*ingest.Decoder{}, map[string]string{}
	for _, topic := range m.cfg.Kafka.Topics {
		decoder, err := newDecoder(m.cfg, topic, m.clock)
		if err != nil {
			return nil, err
		}
		byTopic[topic.Name], sources[topic.Name] = decoder, or(topic.Source, topic.Name)
	}
	items := ingest.Items(byTopic)
	return func(message kafka.Message) (news.Item, error) {
		item, err := items(message)
		if err != nil {
			return item, err
		}
		item.Source = or(item.Source, sources[message.Topic])
		item.Entities = m.watch.Tag(item)
		return item, nil
	}, nil
}

func newDecoder(cfg config, topic topicConfig, clock func() time.Time) (*ingest.Decoder, error) {
	decoder, err := ingest.NewDecoder(ingest.DecoderConfig{
		Kind: topic.Kind, Mapping: topic.Mapping, Clock: clock,
		MaxTextBytes: cfg.Kafka.MaxTextBytes, MaxAhead: asWritten(cfg.Kafka.MaxFuture), History: cfg.Trend.History,
	})
	if err != nil {
		return nil, fmt.Errorf("kafka.topics: %s: %w", topic.Name, err)
	}
	return decoder, nil
}

// countReadings is trend alone: it counts what other processes have classified.
func (m *monitor) countReadings(ctx context.Context) error {
	// Readings whose items are committed must be counted, also those from before this group's
	// first start: a replay changes no count.
	start := ingest.StartAt(m.clock().Add(-m.cfg.Trend.History))
	consumer, err := newConsumer(m, m.cfg.Kafka.Group+"-trend", []string{m.cfg.Kafka.Readings}, start, decodeReading)
	if err != nil {
		return err
	}
	settler := m.newSettler(nil, nil)
	defer settler.wait()
	defer settler.stop()
	return consumer.Run(ctx, func(_ context.Context, d *ingest.Delivery[news.Reading]) error {
		settler.submit(unsettled{readings: []news.Reading{d.Value}, appended: d.Appended, delivery: d})
		return nil
	})
}

func decodeReading(message kafka.Message) (news.Reading, error) {
	var r news.Reading
	if err := json.Unmarshal(message.Value, &r); err != nil {
		return r, &ingest.Rejection{Class: ingest.NotJSON, Err: err}
	}
	if r.ID == "" || r.PublishedAt.IsZero() {
		return r, &ingest.Rejection{Class: ingest.BadValue, Detail: "a reading needs id and published_at"}
	}
	if err := r.Sentiment.Check(); err != nil {
		return r, &ingest.Rejection{Class: ingest.BadValue, Detail: err.Error()}
	}
	return r, nil
}

// timely refuses what the trend stage would leave out, a minute early for the time in
// between: nothing is dropped silently.
func (m *monitor) timely(r news.Reading) error {
	now := m.clock()
	switch {
	case r.PublishedAt.Before(now.Add(time.Minute - m.cfg.Trend.History)):
		return &ingest.Rejection{Class: ingest.TooOld, Field: "published_at",
			Detail: fmt.Sprintf("%s is before the history kept, %s", r.PublishedAt.Format(time.RFC3339), news.Duration(m.cfg.Trend.History))}
	case r.PublishedAt.After(now.Add(maxFuture)):
		return &ingest.Rejection{Class: ingest.Future, Field: "published_at", Detail: r.PublishedAt.Format(time.RFC3339) + " is in the future"}
	}
	return nil
}

func newConsumer[T any](m *monitor, group string, topics []string, start ingest.Start, decode func(kafka.Message) (T, error)) (*ingest.Consumer[T], error) {
	return ingest.NewConsumer(ingest.ConsumerConfig[T]{
		Broker: m.broker, Group: group, Topics: topics, Start: start, Decode: decode, DeadLetters: m.cfg.Kafka.DeadLetters,
		MaxItems: m.cfg.Kafka.MaxItems, MaxBytes: m.cfg.Kafka.MaxBytes, DrainTimeout: asWritten(m.cfg.DrainTimeout),
		Log: m.log, Registerer: m.registry,
	})
}
