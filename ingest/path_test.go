package ingest

import (
	"context"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/news"
)

// From the fetched message to the stage and back, an item takes its strings and one struct, its
// delivery.
func TestConsumerAllocatesAnItemAndItsDelivery(t *testing.T) {
	client, err := broker.New(broker.Config{Brokers: []string{"127.0.0.1:1"}}) // is not asked
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	published := time.Date(2026, 3, 10, 11, 30, 0, 0, time.UTC)
	d, err := NewDecoder(DecoderConfig{Clock: func() time.Time { return published }})
	if err != nil {
		t.Fatal(err)
	}
	consumer, err := NewConsumer(ConsumerConfig[news.Item]{Broker: client, Group: "g", Topics: []string{"news"}, DeadLetters: "dead", MaxItems: 64,
		Decode: Items(map[string]*Decoder{"news": d})})
	if err != nil {
		t.Fatal(err)
	}
	generation := &kafka.Generation{Assignments: map[string][]kafka.PartitionAssignment{"news": {{ID: 0}, {ID: 1}}}}
	p := consumer.group.assigned(t.Context(), generation, make(chan struct{}, 1))[0]

	const strings = 4 // id, source, text, url
	message := kafka.Message{Topic: "news", Value: []byte(`{"id":"7f3a","source":"wire","published_at":"2026-03-10T11:30:00Z","text":"fell 8%","url":"https://a.example/7"}`)}
	var flying [16]*Delivery[news.Item] // done in another order than they came in
	handle := func(_ context.Context, d *Delivery[news.Item]) error {
		at := d.Offset * d.Offset % int64(len(flying))
		if before := flying[at]; before != nil {
			before.Done()
		}
		flying[at] = d
		return nil
	}
	deliver := func(from origin) { consumer.deliver(from, handle) }
	take := func() {
		message.Offset++
		if !p.take(t.Context(), message, deliver) {
			t.Fatal("not taken")
		}
	}
	for range 100 {
		take()
	}
	if got := testing.AllocsPerRun(1000, take); got != strings+1 {
		t.Errorf("%v allocations, of which %d are strings", got, strings)
	}
	if position, _, _ := p.position(); p.inFlight() > 2*len(flying) {
		t.Errorf("position %d, %d in flight", position, p.inFlight())
	}
}
