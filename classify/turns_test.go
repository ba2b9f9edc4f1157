package classify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/news"
)

func TestTheOldestIsNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cores := &turns{free: 2}
		var mu sync.Mutex
		var order []string
		run := func() string { mu.Lock(); defer mu.Unlock(); return strings.Join(order, ", ") }
		batch := func(name string, need, age int) {
			go func() {
				cores.take(need, t0.Add(-time.Duration(age)*time.Second))
				mu.Lock()
				defer mu.Unlock()
				order = append(order, name)
			}()
			synctest.Wait()
		}
		batch("first", 1, 1)
		batch("second", 1, 1)
		batch("young", 1, 2)
		batch("old and wide", 2, 9)
		batch("middle", 1, 5)
		cores.give(1)
		synctest.Wait()
		if got := run(); got != "first, second" {
			t.Errorf("%s have run: a batch of one core has overtaken the older one of two", got)
		}
		for range 3 {
			cores.give(1)
			synctest.Wait()
		}
		if got, want := run(), "first, second, old and wide, middle, young"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
}

// crowd is a wordModel that notes how many batches run at once, in all models that share it.
type crowd struct {
	wordModel
	of *crowding
}

type crowding struct {
	mu            sync.Mutex
	running, most int
	release       chan struct{}
}

func (c *crowd) Run(b onnx.Batch) ([]onnx.Logits, error) {
	c.of.mu.Lock()
	c.of.running++
	c.of.most = max(c.of.most, c.of.running)
	c.of.mu.Unlock()
	<-c.of.release
	c.of.mu.Lock()
	c.of.running--
	c.of.mu.Unlock()
	return c.wordModel.Run(b)
}

// Two models on the CPU share its cores: as many batches run at once as there are cores, of
// whichever model, and no more. On CUDA each model has one of its own.
func TestModelsShareTheCores(t *testing.T) {
	for _, c := range []struct {
		device        onnx.Device
		threads, each int
		want          int
	}{
		{onnx.CPU, 1, 1, 1},
		{onnx.CPU, 3, 1, 3},
		{onnx.CPU, 4, 2, 2},
		{onnx.CUDA, 8, 1, 2},
	} {
		t.Run(fmt.Sprintf("%s, %d threads, %d for a batch", c.device, c.threads, c.each), func(t *testing.T) {
			of := &crowding{release: make(chan struct{})}
			config := Config{Model: ModelConfig{Threads: c.threads, BatchThreads: c.each, TokenBudget: 8}, Queue: 64, Copies: -1}.withDefaults()
			var models []*Model
			for _, lang := range []string{"en", "zh"} {
				m := wordBundle(t, &crowd{of: of}, config.Model)
				m.Device, m.Bundle.Languages = c.device, []string{lang}
				models = append(models, m)
			}
			s, err := newStage(config, models)
			if err != nil {
				t.Fatal(err)
			}
			var done sync.WaitGroup
			for i := range 40 {
				done.Add(1)
				item := news.Item{ID: fmt.Sprint(i), Text: "good word word", Lang: []string{"en", "zh"}[i%2]}
				if err := s.Submit(context.Background(), item, func([]news.Reading, error) { done.Done() }); err != nil {
					t.Fatal(err)
				}
			}
			most := func() int { of.mu.Lock(); defer of.mu.Unlock(); return of.most }
			waitFor(t, func() bool { return most() == c.want })
			close(of.release)
			done.Wait()
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			if most() != c.want {
				t.Errorf("%d batches ran at once, want %d", most(), c.want)
			}
		})
	}
}

// A text's windows may run at once: its reading is the same as when they run one by one.
func TestWindowsReadAtOnce(t *testing.T) {
	long := strings.Repeat("bad word ", 200) + strings.Repeat("good ", 100)
	var said []news.Sentiment
	for _, threads := range []int{1, 4} {
		s := wordStage(t, &wordModel{}, Config{Model: ModelConfig{Threads: threads, TokenBudget: 40}})
		readings, errs := read(t, s, texts(long, "good", long+"good", "bad")...)
		if err := errs[0]; err != nil || !slices.Equal(errs, make([]error, 4)) {
			t.Fatal(errs)
		}
		said = append(said, readings[0].Sentiment)
	}
	if d := said[0].Negative - said[1].Negative; d > 1e-9 || d < -1e-9 {
		t.Errorf("one by one %v, at once %v", said[0], said[1])
	}
}

func TestBusyIsTheUnion(t *testing.T) {
	at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
	var b busy
	b.begin(at(0))
	b.begin(at(1)) // beside the first
	b.end(at(2))
	if got := b.until(at(3)); got != 3*time.Second {
		t.Errorf("while one runs: %v", got)
	}
	b.end(at(4))
	b.begin(at(10))
	b.end(at(11))
	if got := b.until(at(20)); got != 5*time.Second {
		t.Errorf("got %v, want 5s", got)
	}
}
