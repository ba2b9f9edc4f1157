package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barograph/barograph/news"
)

// gatherer is a settler that many items are on their way to.
func gatherer(coming int) (s *settler, queue chan unsettled) {
	s = &settler{queues: settleQueues(1000), stopped: make(chan struct{}), coming: func() int { return coming }}
	return s, s.queues[0]
}

func TestGatherWaitsForAPartOfWhatIsOnItsWay(t *testing.T) {
	for _, c := range []struct {
		coming, waiting, later int // items on their way, there, and one each 10 ms after that
		want                   int
		after                  time.Duration
	}{
		{coming: 15, waiting: 1, later: 9, want: 1}, // an idle stream waits for nothing
		{coming: 15, waiting: 5, later: 9, want: 5},
		{coming: 160, waiting: 1, later: 20, want: 10, after: 90 * time.Millisecond},
		{coming: 160, waiting: 20, later: 20, want: 20},
		{coming: 4096, waiting: 1, later: 100, want: 26, after: settleWait},
		{coming: 4096, waiting: 600, want: settleBatch},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, queue := gatherer(c.coming)
			all := readingsOf(strings.Fields(strings.Repeat("x ", c.waiting+c.later))...)
			for _, u := range all[:c.waiting] {
				queue <- u
			}
			var source sync.WaitGroup
			start := time.Now()
			source.Go(func() {
				for _, u := range all[c.waiting:] {
					time.Sleep(10*time.Millisecond - time.Nanosecond)
					queue <- u
					time.Sleep(time.Nanosecond) // so that the wait never ends with it
				}
			})
			got := len(s.gather(queue, []unsettled{<-queue}))
			if took := time.Since(start).Round(time.Millisecond); got != c.want || took != c.after {
				t.Errorf("%+v: %d items after %s", c, got, took)
			}
			source.Wait()
		})
	}
}

// What is on its way is looked at again with every item, so that the last ones do not wait.
func TestGatherDoesNotWaitForWhatWillNotCome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, queue := gatherer(0)
		var left atomic.Int64
		left.Store(160)
		s.coming = func() int { return int(left.Load()) }
		go func() {
			time.Sleep(10 * time.Millisecond)
			left.Store(0)
			queue <- unsettled{readings: make([]news.Reading, 1)}
		}()
		start := time.Now()
		if got := len(s.gather(queue, readingsOf("a"))); got != 2 || time.Since(start) != 10*time.Millisecond {
			t.Errorf("%d items after %s", got, time.Since(start))
		}
	})
}

func TestGatherEndsWithTheSettler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, queue := gatherer(4096)
		time.AfterFunc(time.Millisecond, s.stop)
		start := time.Now()
		s.gather(queue, readingsOf("a"))
		if took := time.Since(start); took != time.Millisecond {
			t.Errorf("ended after %s", took)
		}
	})
}

func TestEncodeABatch(t *testing.T) {
	batch := readingsOf("a", "nan", "c", "d")
	batch[0].readings = append(batch[0].readings, news.Reading{ID: "a", Entities: []string{"AIR.PA"}})
	batch[1].readings[0].Sentiment.Neutral = math.NaN()
	batch[2].readings[0].Text = strings.Repeat("<", 9000) // six bytes each: the buffer has to grow
	messages, at, refused := encode(batch)
	if fmt.Sprint(at) != "[0 0 2 3]" || len(refused) != 1 || refused[1] == nil {
		t.Fatalf("messages of items %v, refused %v", at, refused)
	}
	for i, m := range messages {
		want := batch[at[i]].readings[0]
		if i == 1 {
			want = batch[0].readings[1]
		}
		value, err := json.Marshal(want)
		if err != nil || string(m.Key) != want.ID || string(m.Value) != string(value) {
			t.Errorf("message %d: %s %.100s, want %s %.100s, %v", i, m.Key, m.Value, want.ID, value, err)
		}
	}
}

// The settler's own memory is for a batch, not for its readings.
func TestEncodeAllocatesForABatch(t *testing.T) {
	each := func(n int) float64 {
		batch := readingsOf(strings.Fields(strings.Repeat("id ", n))...)
		for i := range batch {
			batch[i].readings[0].Text = strings.Repeat("text ", 40)
		}
		return testing.AllocsPerRun(50, func() { encode(batch) })
	}
	if few, many := each(8), each(512); few != many || many > 4 {
		t.Errorf("%v allocations for 8 readings, %v for 512", few, many)
	}
}
