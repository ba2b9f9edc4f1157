package ingest_test

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
)

func TestConsumerReadsEverythingAndCommitsIt(t *testing.T) {
	client := connect(t, startKafka(t).Addr)
	for _, compression := range []kafka.Compression{0, kafka.Gzip, kafka.Snappy, kafka.Lz4, kafka.Zstd} {
		t.Run(compression.String(), func(t *testing.T) {
			s := newStage(t, client, 3)
			s.compression = compression
			s.readAndCommit(3)
		})
	}
}

// The records that end a transaction are no messages, but they are passed over and committed.
func TestTransactionsArePassedOver(t *testing.T) {
	server := startKafka(t)
	s := newStage(t, connect(t, server.Addr), 1)
	producer, err := kgo.NewClient(kgo.SeedBrokers(server.Addr), kgo.TransactionalID(s.topic), kgo.DefaultProduceTopic(s.topic))
	if err != nil {
		t.Fatal(err)
	}
	defer producer.Close()
	for _, value := range []string{"first", "second"} {
		if err := producer.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := producer.ProduceSync(t.Context(), kgo.StringRecord(value)).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := producer.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	var seen tally
	stop := run(t, s.config(), func(_ context.Context, d *ingest.Delivery[string]) error {
		seen.add(d.Value)
		d.Done()
		return nil
	})
	// Two messages and two ends.
	eventually(t, "the last end to be committed", func() bool { return s.committed(1)[0] == 4 })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if !seen.has("first") || !seen.has("second") || seen.distinct() != 2 {
		t.Errorf("read %v", seen.times)
	}
}

// The demo's embedded broker serves the very same consumer.
func TestConsumerRunsOnTheEmbeddedBroker(t *testing.T) {
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Close()
	s := newStage(t, connect(t, cluster.ListenAddrs()[0]), 3)
	s.sessionTimeout = 0 // the default: it accepts no shorter one
	s.readAndCommit(3)
}

func TestConsumerConnectsWithTLSAndSASL(t *testing.T) {
	server := startKafka(t)
	client, err := broker.New(broker.Config{Brokers: []string{server.SecureAddr}, TLS: &broker.TLSConfig{CAFile: server.CAFile},
		SASL: &broker.SASLConfig{Mechanism: "scram-sha-512", Username: "alice", Password: "wonderland"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	newStage(t, client, 3).readAndCommit(3)
}

func (s *stage) readAndCommit(partitions int) {
	s.t.Helper()
	const n = 3000
	s.produce(0, n)
	var seen tally
	stop := run(s.t, s.config(), func(_ context.Context, d *ingest.Delivery[string]) error {
		seen.add(d.Value)
		d.Done()
		return nil
	})
	eventually(s.t, "all messages", func() bool { return seen.distinct() == n })
	if err := stop(); err != nil {
		s.t.Error(err)
	}
	if d := seen.duplicates(); d != 0 {
		s.t.Errorf("%d duplicates without a rebalance", d)
	}
	for p, position := range s.committed(partitions) {
		if position != n/int64(partitions) {
			s.t.Errorf("partition %d: committed %d, want %d", p, position, n/partitions)
		}
	}
}

func TestWorkInFlightIsBounded(t *testing.T) {
	const limit, n = 64, 2000
	s := newStage(t, connect(t, startKafka(t).Addr), 4)
	s.produce(0, n)
	cfg := s.config()
	cfg.MaxItems = limit
	registry := prometheus.NewRegistry()
	cfg.Registerer = registry
	var inFlight, most, done atomic.Int64
	work := make(chan *ingest.Delivery[string], n)
	stop := run(t, cfg, func(_ context.Context, d *ingest.Delivery[string]) error {
		now := inFlight.Add(1)
		for {
			old := most.Load()
			if now <= old || most.CompareAndSwap(old, now) {
				break
			}
		}
		work <- d
		return nil
	})
	eventually(t, "the bound to be reached", func() bool { return inFlight.Load() == limit })
	go func() {
		for d := range work {
			inFlight.Add(-1)
			done.Add(1)
			d.Done()
		}
	}()
	eventually(t, "all messages", func() bool { return done.Load() == n })
	if err := stop(); err != nil {
		t.Error(err)
	}
	close(work)
	if most.Load() > limit {
		t.Errorf("%d in flight, at most %d allowed", most.Load(), limit)
	}
	if got := testutil.CollectAndCount(registry, "barograph_ingest_in_flight_items"); got != 1 {
		t.Errorf("%d series of in-flight items", got)
	}
}

// Prometheus sees a step only from a value that it has seen.
func TestDeadLettersAreCountedFromNone(t *testing.T) {
	client, err := broker.New(broker.Config{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	_, err = ingest.NewConsumer(ingest.ConsumerConfig[string]{Broker: client, Group: "g", Topics: []string{"news", "comments"},
		DeadLetters: "letters", Registerer: registry, Decode: func(kafka.Message) (string, error) { return "", nil }})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := testutil.CollectAndCount(registry, "barograph_ingest_dead_letters_total"), 2*len(ingest.Classes()); got != want {
		t.Errorf("%d series of dead letters, want one for each topic and class: %d", got, want)
	}
}

// The messages of one partition are never done, or their handler blocks: the others' are.
func TestStuckPartitionDoesNotStopTheOthers(t *testing.T) {
	const n = 900
	for name, stuck := range map[string]func(context.Context) error{
		"never done":      func(context.Context) error { return nil },
		"handler blocked": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, connect(t, startKafka(t).Addr), 3)
			s.produce(0, n)
			cfg := s.config()
			cfg.MaxItems = 12
			cfg.DrainTimeout = 50 * time.Millisecond
			var seen tally
			var isStuck atomic.Bool
			stop := run(t, cfg, func(ctx context.Context, d *ingest.Delivery[string]) error {
				if d.Partition == 0 {
					isStuck.Store(true)
					return stuck(ctx)
				}
				seen.add(d.Value)
				d.Done()
				return nil
			})
			eventually(t, "the other partitions", func() bool { return isStuck.Load() && seen.distinct() == 2*n/3 })
			if err := stop(); !errors.Is(err, ingest.ErrDrain) {
				t.Errorf("end with work in flight: %v, want %v", err, ingest.ErrDrain)
			}
			if got := s.committed(3); !slices.Equal(got, []int64{0, n / 3, n / 3}) {
				t.Errorf("committed %v", got)
			}
		})
	}
}

func TestDrainWaitsForWhatIsInFlight(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	s.produce(0, 3)
	held := make(chan *ingest.Delivery[string], 3)
	consumer, err := ingest.NewConsumer(s.config())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- consumer.Run(ctx, func(_ context.Context, d *ingest.Delivery[string]) error {
			held <- d
			return nil
		})
	}()
	deliveries := []*ingest.Delivery[string]{<-held, <-held, <-held}
	cancel()
	for _, d := range slices.Backward(deliveries) {
		d.Done()
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := s.committed(1); got[0] != 3 {
		t.Errorf("committed %v, want 3", got)
	}
}
