package ingest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
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

// A second member joins, the first leaves: nothing is lost and the group never moves back.
func TestRebalanceLosesNothingAndNeverMovesBack(t *testing.T) {
	const partitions, n = 4, 6000
	s := newStage(t, connect(t, startKafka(t).Addr), partitions)
	var seen tally
	handle := func(_ context.Context, d *ingest.Delivery[string]) error {
		// Done comes from elsewhere and out of order, as from a classifier's batches.
		go func() {
			seen.add(d.Value)
			d.Done()
		}()
		return nil
	}
	watched := make(chan struct{})
	watching, stopWatching := context.WithCancel(t.Context())
	var backwards atomic.Int64
	go func() {
		defer close(watched)
		last := make([]int64, partitions)
		for watching.Err() == nil {
			for p, position := range s.committed(partitions) {
				if position >= 0 && position < last[p] {
					backwards.Add(1)
				}
				last[p] = max(last[p], position)
			}
		}
	}()
	stopFirst := run(t, s.config(), handle)
	s.produce(0, n/3)
	eventually(t, "the first member to read", func() bool { return seen.distinct() > 0 })
	stopSecond := run(t, s.config(), handle)
	s.produce(n/3, 2*n/3)
	eventually(t, "both members to read", func() bool { return seen.distinct() == 2*n/3 })
	if err := stopFirst(); err != nil {
		t.Error(err)
	}
	s.produce(2*n/3, n)
	eventually(t, "the second member to read the rest", func() bool { return seen.distinct() == n })
	if err := stopSecond(); err != nil {
		t.Error(err)
	}
	stopWatching()
	<-watched
	if backwards.Load() > 0 {
		t.Errorf("the group moved back %d times", backwards.Load())
	}
	for p, position := range s.committed(partitions) {
		if position != n/partitions {
			t.Errorf("partition %d: committed %d, want %d", p, position, n/partitions)
		}
	}
	t.Logf("%d duplicates over %d messages", seen.duplicates(), n)
}

// A member holds on to a message while its partition goes to another one: when it says Done
// at last, that does not commit anything.
func TestLateDoneOfARevokedPartitionCommitsNothing(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 2)
	s.produce(0, 2)
	cfg := s.config()
	cfg.RevokeWait = 50 * time.Millisecond
	cfg.DrainTimeout = 50 * time.Millisecond
	held := make(chan *ingest.Delivery[string], 16)
	hold := func(_ context.Context, d *ingest.Delivery[string]) error {
		held <- d
		return nil
	}
	stopFirst := run(t, cfg, hold)
	old := []*ingest.Delivery[string]{<-held, <-held}
	_ = run(t, cfg, hold)
	// Both messages come again, now that the group has two members.
	<-held
	<-held
	for _, d := range old {
		d.Done()
	}
	if err := stopFirst(); !errors.Is(err, ingest.ErrDrain) {
		t.Errorf("the end of a member with work in flight: %v, want %v", err, ingest.ErrDrain)
	}
	for p, position := range s.committed(2) {
		if position > 0 {
			t.Errorf("partition %d: committed %d by its old owner", p, position)
		}
	}
}

func TestBrokerRestartIsSurvived(t *testing.T) {
	const n = 2000
	server := startKafka(t)
	s := newStage(t, connect(t, server.Addr), 2)
	var seen tally
	stop := run(t, s.config(), func(_ context.Context, d *ingest.Delivery[string]) error {
		seen.add(d.Value)
		d.Done()
		return nil
	})
	s.produce(0, n/2)
	eventually(t, "the first half", func() bool { return seen.distinct() == n/2 })
	server.Kill()
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	s.produce(n/2, n)
	eventually(t, "the second half", func() bool { return seen.distinct() == n })
	if err := stop(); err != nil {
		t.Error(err)
	}
	if got := s.committed(2); !slices.Equal(got, []int64{n / 2, n / 2}) {
		t.Errorf("committed %v", got)
	}
}

const (
	childTopic = "BAROGRAPH_TEST_CHILD_TOPIC"
	childAddr  = "BAROGRAPH_TEST_CHILD_ADDR"
)

// child is a member of the group in a process of its own, to be killed. It prints what it
// has done.
func child() {
	client, err := broker.New(broker.Config{Brokers: []string{os.Getenv(childAddr)}})
	if err != nil {
		panic(err)
	}
	s := &stage{client: client, topic: os.Getenv(childTopic), dead: "dead", group: os.Getenv(childTopic)}
	consumer, err := ingest.NewConsumer(s.config())
	if err != nil {
		panic(err)
	}
	var out sync.Mutex
	err = consumer.Run(context.Background(), func(_ context.Context, d *ingest.Delivery[string]) error {
		out.Lock()
		defer out.Unlock()
		fmt.Println(d.Value)
		d.Done()
		return nil
	})
	fmt.Fprintln(os.Stderr, err)
}

func TestKilledMemberIsTakenOverFrom(t *testing.T) {
	const n = 30_000 // more than fits into the pipe: the child cannot finish
	server := startKafka(t)
	s := newStage(t, connect(t, server.Addr), 2)
	s.group = s.topic
	s.produce(0, n)
	var seen tally
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childTopic+"="+s.topic, childAddr+"="+server.Addr)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for seen.distinct() < n/2 && lines.Scan() {
		seen.add(strings.TrimSpace(lines.Text()))
	}
	eventually(t, "a commit", func() bool { return s.sumCommitted(2) > 0 })
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		seen.add(strings.TrimSpace(lines.Text()))
	}
	_ = cmd.Wait() // killed
	did, committed := seen.distinct(), s.sumCommitted(2)
	if did >= n {
		t.Fatalf("the first member did all %d", n)
	}
	_ = run(t, s.config(), func(_ context.Context, d *ingest.Delivery[string]) error {
		seen.add(d.Value)
		d.Done()
		return nil
	})
	eventually(t, "the rest", func() bool { return seen.distinct() == n })
	// Its last line may be half written.
	if got := int64(seen.duplicates()); got > int64(did)-committed+1 {
		t.Errorf("%d duplicates; %d were done and %d of them committed", got, did, committed)
	}
}

func (s *stage) sumCommitted(partitions int) (sum int64) {
	for _, position := range s.committed(partitions) {
		sum += max(0, position)
	}
	return sum
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

func TestStart(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	writer := s.client.Writer(s.topic)
	defer writer.Close()
	day := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 4 {
		m := kafka.Message{Value: fmt.Append(nil, i), Time: day.AddDate(0, 0, i)}
		if err := writer.WriteMessages(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		start ingest.Start
		first string
	}{
		{ingest.Earliest(), "0"},
		{ingest.StartAt(day.AddDate(0, 0, 1).Add(time.Second)), "2"},
		{ingest.StartAt(day.AddDate(1, 0, 0)), "after"},
		{ingest.Latest(), "after"},
	}
	var stops []func() error
	firsts := make([]chan string, len(tests))
	for i, tt := range tests {
		first := make(chan string, 100)
		firsts[i] = first
		cfg := s.config()
		cfg.Group = fmt.Sprintf("%s-%d", s.group, i)
		cfg.Start = tt.start
		stops = append(stops, run(t, cfg, func(_ context.Context, d *ingest.Delivery[string]) error {
			first <- d.Value
			d.Done()
			return nil
		}))
		// The start is settled, and kept, before anything is read.
		own := &stage{t: t, client: s.client, topic: s.topic, group: cfg.Group}
		eventually(t, "the start to be committed", func() bool { return own.committed(1)[0] >= 0 })
	}
	if err := writer.WriteMessages(t.Context(), kafka.Message{Value: []byte("after")}); err != nil {
		t.Fatal(err)
	}
	for i, tt := range tests {
		if got := <-firsts[i]; got != tt.first {
			t.Errorf("start %s: first message %q, want %q", tt.start, got, tt.first)
		}
		if err := stops[i](); err != nil {
			t.Error(err)
		}
	}
}

// What the group has not read is gone when it comes back: it says so and goes on.
func TestLostPositionGoesOnAtTheEarliest(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	s.produce(0, 10)
	cfg := s.config()
	var seen tally
	handle := func(_ context.Context, d *ingest.Delivery[string]) error {
		seen.add(d.Value)
		d.Done()
		return nil
	}
	stop := run(t, cfg, handle)
	eventually(t, "the messages", func() bool { return seen.distinct() == 10 })
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	// A topic made anew under the name: position 10 is behind its end.
	response, err := s.client.API().DeleteTopics(t.Context(), &kafka.DeleteTopicsRequest{Topics: []string{s.topic}})
	if err != nil || response.Errors[s.topic] != nil {
		t.Fatal(err, response)
	}
	eventually(t, "the topic to be gone", func() bool {
		cluster, err := s.client.Ping(t.Context())
		return err == nil && cluster.Topics[s.topic] == 0
	})
	if err := s.client.EnsureTopics(t.Context(), broker.Topic{Name: s.topic, Partitions: 1, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	cfg.Registerer = registry
	s.rewindTo(10)
	_ = run(t, cfg, handle)
	s.produce(100, 103)
	eventually(t, "the new topic's messages", func() bool { return seen.has("100") && seen.has("102") })
	if got := testutil.CollectAndCount(registry, "barograph_ingest_offset_resets_total"); got != 1 {
		t.Errorf("%d series of resets, want the topic's", got)
	}
}

// Retention has deleted what the group has not read yet.
func TestRetentionPassedThePosition(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	s.topic += "-short"
	err := s.client.EnsureTopics(t.Context(), broker.Topic{Name: s.topic, Partitions: 1, Replication: 1, Config: map[string]string{"retention.ms": "3600000"}})
	if err != nil {
		t.Fatal(err)
	}
	yesterday := time.Now().AddDate(0, 0, -1)
	write(t, s.client, s.topic, kafka.Message{Value: []byte("old"), Time: yesterday}, kafka.Message{Value: []byte("old"), Time: yesterday})
	s.rewindTo(0)
	eventually(t, "the retention", func() bool {
		first, _, err := s.client.Bounds(t.Context(), s.topic, 0)
		return err == nil && first == 2
	})
	registry := prometheus.NewRegistry()
	cfg := s.config()
	cfg.Registerer = registry
	got := make(chan string, 10)
	_ = run(t, cfg, func(_ context.Context, d *ingest.Delivery[string]) error {
		got <- d.Value
		d.Done()
		return nil
	})
	write(t, s.client, s.topic, kafka.Message{Value: []byte("new")})
	if first := <-got; first != "new" {
		t.Errorf("read %q first", first)
	}
	if got := testutil.CollectAndCount(registry, "barograph_ingest_offset_resets_total"); got != 1 {
		t.Errorf("%d series of resets, want the topic's", got)
	}
}

// rewindTo commits a position for a group without members.
func (s *stage) rewindTo(offset int64) {
	s.t.Helper()
	response, err := s.client.API().OffsetCommit(s.t.Context(), &kafka.OffsetCommitRequest{GroupID: s.group, GenerationID: -1,
		Topics: map[string][]kafka.OffsetCommit{s.topic: {{Partition: 0, Offset: offset}}}})
	if err != nil || response.Topics[s.topic][0].Error != nil {
		s.t.Fatal(err, response)
	}
}

// One of two topics comes later: the other is read meanwhile.
func TestMissingTopicIsReadOnceItExists(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	late := newStageNamed(s, s.topic+"-late")
	cfg := s.config()
	cfg.Topics = []string{late.topic, s.topic}
	var seen tally
	_ = run(t, cfg, func(_ context.Context, d *ingest.Delivery[string]) error {
		seen.add(d.Topic + " " + d.Value)
		d.Done()
		return nil
	})
	s.produce(0, 1)
	eventually(t, "the topic that exists", func() bool { return seen.has(s.topic + " 0") })
	if err := s.client.EnsureTopics(t.Context(), broker.Topic{Name: late.topic, Partitions: 1, Replication: 1}); err != nil {
		t.Fatal(err)
	}
	late.produce(0, 1)
	eventually(t, "the late topic", func() bool { return seen.has(late.topic + " 0") })
}

func newStageNamed(s *stage, topic string) *stage {
	other := *s
	other.topic = topic
	return &other
}
