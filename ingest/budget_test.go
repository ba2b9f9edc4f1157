package ingest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
)

func TestOffsetsCommitOnlyWhatIsDoneBefore(t *testing.T) {
	o := offsets{next: 5}
	a, b, c := o.add(5), o.add(6), o.add(9) // 7 and 8 were compacted away
	steps := []struct{ done, want int64 }{{b, 5}, {a, 9}, {c, 10}}
	if o.position() != 5 {
		t.Errorf("position %d with nothing done, want 5", o.position())
	}
	for _, step := range steps {
		o.finish(step.done)
		if o.position() != step.want {
			t.Errorf("position %d after number %d was done, want %d", o.position(), step.done, step.want)
		}
	}
	o.next = 20 // control records
	if o.position() != 20 {
		t.Errorf("position %d after skipping, want 20", o.position())
	}
}

// In any order of done, the position is the smallest offset that is not.
func TestOffsetsInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		o := offsets{}
		open := map[int64]int64{} // numbers, by offset
		for next := int64(0); next < 50 || len(open) > 0; {
			if next < 50 && random.IntN(2) == 0 {
				open[next] = o.add(next)
				next++
			} else {
				for offset, number := range open {
					o.finish(number)
					delete(open, offset)
					break
				}
			}
			want := next
			for offset := range open {
				want = min(want, offset)
			}
			if o.position() != want {
				t.Fatalf("position %d, want %d", o.position(), want)
			}
		}
	}
}

// While the first message does not get done, a partition stops so far ahead of it, and goes on
// once it is; the end of its generation is not held up.
func TestPartitionWaitsForItsFirstMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{max: amount{100, 1 << 20}}
		p := &partition{share: b.divide(1)[0], most: 50, room: make(chan struct{}, 1), count: prometheus.NewCounter(prometheus.CounterOpts{})}
		var first *message
		taken := 0
		deliver := func(from origin) {
			m := &message{origin: from}
			if taken++; taken == 1 {
				first = m
				return
			}
			m.done()
		}
		running := false
		read := func(ctx context.Context) {
			running = true
			for taken < 200 && p.take(ctx, kafka.Message{Offset: int64(taken)}, deliver) {
			}
			running = false
		}
		ctx, cancel := context.WithCancel(t.Context())
		go read(ctx)
		synctest.Wait()
		if !running || taken != p.most || p.offsets.position() != 0 {
			t.Errorf("%d taken while the first is not done, position %d; want %d, and 0", taken, p.offsets.position(), p.most)
		}
		cancel()
		synctest.Wait()
		if running {
			t.Error("it reads on after the end of its generation")
		}
		go read(t.Context())
		synctest.Wait()
		first.done()
		synctest.Wait()
		if running || taken != 200 || p.offsets.position() != 200 {
			t.Errorf("%d taken after the first was done, position %d", taken, p.offsets.position())
		}
	})
}

func TestBudget(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	// Without waiting: does a message fit?
	fits := func(s *share, bytes int64) bool {
		err := s.acquire(ended, bytes)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		return err == nil
	}
	t.Run("a partition gets its reserve and the common half", func(t *testing.T) {
		b := &budget{max: amount{16, 1 << 20}}
		shares := b.divide(4)
		n := 0
		for fits(shares[0], 1) {
			n++
		}
		if n != 2+8 {
			t.Errorf("%d messages of one partition, want 10 of 16", n)
		}
		for _, s := range shares[1:] {
			if !fits(s, 1) || !fits(s, 1) || fits(s, 1) {
				t.Error("the others have not their reserves of two")
			}
		}
		if items, bytes := b.inFlight(); items != 16 || bytes != 16 {
			t.Errorf("in flight %d, %d; want 16, 16", items, bytes)
		}
	})
	t.Run("bytes count too", func(t *testing.T) {
		b := &budget{max: amount{100, 1000}}
		shares := b.divide(1)
		if !fits(shares[0], 900) || fits(shares[0], 101) || !fits(shares[0], 100) {
			t.Error("1000 bytes are not the bound")
		}
	})
	t.Run("one message always fits", func(t *testing.T) {
		b := &budget{max: amount{4, 10}}
		shares := b.divide(3)
		for _, s := range shares {
			if !fits(s, 1000) || fits(s, 1) {
				t.Error("not exactly one large message")
			}
			s.release(1000)
			if !fits(s, 1) {
				t.Error("no room after the large message")
			}
		}
	})
	t.Run("work of an ended generation uses the common half", func(t *testing.T) {
		b := &budget{max: amount{8, 1 << 20}}
		old := b.divide(1)[0]
		for range 8 {
			fits(old, 1)
		}
		old.retire()
		fresh := b.divide(2)
		if !fits(fresh[0], 1) || !fits(fresh[0], 1) || fits(fresh[0], 1) {
			t.Error("the new generation has not just its reserve of two")
		}
		for range 8 {
			old.release(1)
		}
		if !fits(fresh[0], 1) {
			t.Error("no room after the old work is done")
		}
		if b.common != (amount{1, 0}) {
			t.Errorf("common half in use: %+v", b.common)
		}
	})
	t.Run("who waits is let in", func(t *testing.T) {
		b := &budget{max: amount{2, 1 << 20}}
		s := b.divide(1)[0]
		fits(s, 1)
		fits(s, 1)
		granted := make(chan error)
		go func() { granted <- s.acquire(t.Context(), 1) }()
		s.release(1)
		if err := <-granted; err != nil {
			t.Error(err)
		}
	})
}
