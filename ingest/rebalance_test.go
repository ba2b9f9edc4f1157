package ingest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
)

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

// A member that gets no partition says so: it would stand idle without a word.
func TestReplicaWithoutAPartitionWarns(t *testing.T) {
	s := newStage(t, connect(t, startKafka(t).Addr), 1)
	handle := func(_ context.Context, d *ingest.Delivery[string]) error { d.Done(); return nil }
	var warnings atomic.Int64
	cfg := s.config()
	cfg.Log = slog.New(warned{slog.DiscardHandler, &warnings})
	run(t, cfg, handle)
	s.produce(0, 1)
	eventually(t, "the first member to read", func() bool { return s.committed(1)[0] == 1 })
	if n := warnings.Load(); n > 0 {
		t.Errorf("%d warnings while the only member has the partition", n)
	}
	run(t, cfg, handle)
	eventually(t, "the warning of the one without", func() bool { return warnings.Load() > 0 })
}

// warned counts the warnings that speak of partitions.
type warned struct {
	slog.Handler
	n *atomic.Int64
}

func (w warned) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (w warned) WithAttrs([]slog.Attr) slog.Handler { return w }

func (w warned) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		if a.Key == "partitions" {
			w.n.Add(1)
		}
		return true
	})
	return nil
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
