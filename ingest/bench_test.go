package ingest_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync/atomic"
	"testing"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// BenchmarkConsumer reads, decodes and commits items of 500 bytes over four partitions.
func BenchmarkConsumer(b *testing.B) {
	s := newStage(b, connect(b, startKafka(b).Addr), 4)
	item := append([]byte(`{"id":"1","published_at":1773142200,"text":"`), append(bytes.Repeat([]byte("x"), 450), `"}`...)...)
	writer := s.client.Writer(s.topic)
	writer.Balancer = &kafka.RoundRobin{}
	defer writer.Close()
	batch := make([]kafka.Message, 10_000)
	for i := range batch {
		batch[i].Value = item
	}
	for n := 0; n < b.N; n += len(batch) {
		if err := broker.Write(b.Context(), writer, retry.Policy{Attempts: 5}, batch[:min(len(batch), b.N-n)]...); err != nil {
			b.Fatal(err)
		}
	}
	d := decoder(b, ingest.DecoderConfig{})
	var done atomic.Int64
	all := make(chan struct{})
	b.ReportAllocs()
	b.SetBytes(int64(len(item)))
	b.ResetTimer()
	_ = run(b, ingest.ConsumerConfig[news.Item]{Broker: s.client, Log: slog.New(slog.DiscardHandler), Group: s.group, Topics: []string{s.topic}, DeadLetters: s.dead,
		Decode: func(m kafka.Message) (news.Item, error) { return d.Decode(m.Value) }},
		func(_ context.Context, d *ingest.Delivery[news.Item]) error {
			d.Done()
			if done.Add(1) == int64(b.N) {
				close(all)
			}
			return nil
		})
	<-all
}
