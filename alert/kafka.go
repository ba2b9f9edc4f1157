package alert

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/segmentio/kafka-go"
)

// writer is what the sink needs of a *kafka.Writer: it knows the topic, waits for all
// replicas, and returns once the broker has the messages.
type writer interface {
	WriteMessages(ctx context.Context, messages ...kafka.Message) error
}

// Kafka is the sink that writes alerts to a topic, keyed by alert ID so that the messages
// of one alert stay in order. A message whose acknowledgement was lost is written again:
// readers drop what they have by the header idempotency-key.
type Kafka struct{ to writer }

// NewKafka returns the sink for a writer of the alerts topic. The writer stays the
// caller's to close, after Run has returned.
func NewKafka(to writer) *Kafka { return &Kafka{to: to} }

// Check wants no channel.
func (k *Kafka) Check(channel string) error { return noChannel(channel) }

// Deliver writes the alert.
func (k *Kafka) Deliver(ctx context.Context, d Delivery) (string, error) {
	value, err := json.Marshal(d.Alert)
	if err != nil {
		return "", &DeliveryError{Err: fmt.Errorf("kafka: encoding alert %s: %w", d.Alert.ID, err), Hopeless: true}
	}
	message := kafka.Message{
		Key: []byte(d.Alert.ID), Value: value,
		Headers: []kafka.Header{{Key: "idempotency-key", Value: []byte(d.Key())}},
	}
	if err := k.to.WriteMessages(ctx, message); err != nil {
		return "", fmt.Errorf("kafka: writing alert %s: %w", d.Alert.ID, err)
	}
	return "", nil
}
