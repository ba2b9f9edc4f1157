// Package classify reads items: it routes each to the model of its language and says its
// sentiment and topic, both from one pass of the encoder.
//
//	Submit ─► tokenise ─► pool of rows, by length ─► batch by token budget ─► model ─► done
//	          (workers)   (one pool and one session for each model)
//
// A Model reads texts; the Stage keeps one busy for each bundle. The ONNX graph comes
// from classify/bert, what runs it from classify/onnx.
package classify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph/barograph/news"
)

// ErrClosed says that the stage takes no more items.
var ErrClosed = errors.New("the classify stage is closed")

// Config says what the stage classifies with.
type Config struct {
	Model   ModelConfig   // how bundles are run
	Bundles []string      // folders, the preferred first: it reads what no other serves
	MaxWait time.Duration // longest wait for company in a batch; 0 is 20 ms, negative none
	Queue   int           // items submitted and not done, at most; 0 is 2,048
	Copies  int           // texts whose reading is remembered for copies; 0 is 32,768, negative none

	Clock      func() time.Time      // for ClassifiedAt; nil is time.Now
	Registerer prometheus.Registerer // nil registers no metrics
}

func (c Config) withDefaults() Config {
	c.Model = c.Model.withDefaults()
	c.MaxWait = cmp.Or(c.MaxWait, 20*time.Millisecond)
	c.Queue = cmp.Or(c.Queue, 2048)
	c.Copies = cmp.Or(c.Copies, 32768)
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return c
}

// Stage classifies items. Its methods may be called by any goroutine.
type Stage struct {
	config  Config
	models  []*Model
	served  [][]string // languages, by model
	copies  *copies
	metrics *metrics

	slots    chan struct{}   // one for each item submitted and not done
	in       chan *job       // to be tokenised
	ready    []chan *job     // tokenised, by model
	upstream atomic.Int64    // items submitted and not yet tokenised
	idle     []chan struct{} // told when upstream is 0, by model

	closing  sync.RWMutex
	closed   bool
	inFlight sync.WaitGroup
	workers  sync.WaitGroup // the stage's goroutines
}

// New opens all bundles and tries each out on a text, so that what cannot run is found at
// the start. Every bundle needs a sentiment head.
func New(c Config) (_ *Stage, err error) {
	c = c.withDefaults()
	if len(c.Bundles) == 0 {
		return nil, fmt.Errorf("%w: no bundle is configured: name at least one folder", ErrBundle)
	}
	var models []*Model
	defer func() {
		if err != nil {
			closeAll(models)
		}
	}()
	for _, dir := range c.Bundles {
		m, err := OpenModel(dir, c.Model)
		if err != nil {
			return nil, fmt.Errorf("opening the bundle %s: %w", dir, err)
		}
		models = append(models, m)
		if m.Bundle.head(taskSentiment) < 0 {
			return nil, fmt.Errorf("%w: %s has no sentiment head, which every reading needs", ErrBundle, dir)
		}
	}
	return newStage(c, models)
}

// newStage starts the goroutines around opened models.
func newStage(c Config, models []*Model) (*Stage, error) {
	m, err := newMetrics(c.Registerer)
	if err != nil {
		return nil, fmt.Errorf("registering the metrics of classify: %w", err)
	}
	s := &Stage{config: c, models: models, copies: newCopies(c.Copies), metrics: m,
		slots: make(chan struct{}, c.Queue), in: make(chan *job, c.Queue)}
	for _, model := range models {
		model.onRun = m.observe(model.Bundle.Name)
		s.served = append(s.served, model.Bundle.Languages)
		s.ready = append(s.ready, make(chan *job, c.Queue))
		s.idle = append(s.idle, make(chan struct{}, 1))
	}
	// Only now, because these goroutines read what the loop above fills.
	for i := range models {
		s.workers.Go(func() { s.classify(i) })
	}
	for range max(1, runtime.GOMAXPROCS(0)/4) { // tokenising takes a hundredth of what reading does
		s.workers.Go(s.tokenize)
	}
	return s, nil
}

// Submit hands an item to the stage and returns when it has been taken; it waits while
// Queue items are not done, until the context ends. Then done is called exactly once,
// from a goroutine of the stage, in any order among items, and must not block for long:
// the model waits meanwhile. It is not called where Submit returns an error.
//
// The error that done gets is the item's own (ErrNoText, ErrTooLong, ErrPanic, a failed
// run); the reading then has what is known without a model. The end of the context does
// not recall an item that was taken.
func (s *Stage) Submit(ctx context.Context, it news.Item, done func(news.Reading, error)) error {
	s.closing.RLock()
	if s.closed {
		s.closing.RUnlock()
		return ErrClosed
	}
	s.inFlight.Add(1)
	s.closing.RUnlock()
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		s.inFlight.Done()
		return ctx.Err()
	}
	s.upstream.Add(1)
	s.metrics.waiting.Inc()
	s.in <- &job{item: it, done: done, submitted: time.Now()}
	return nil
}

// Close takes no more items, waits until those taken are done, and frees the models.
// Closing twice is fine.
func (s *Stage) Close() error {
	s.closing.Lock()
	was := s.closed
	s.closed = true
	s.closing.Unlock()
	if was {
		s.workers.Wait()
		return nil
	}
	s.inFlight.Wait()
	close(s.in)
	for _, ready := range s.ready {
		close(ready)
	}
	s.workers.Wait()
	return closeAll(s.models)
}

func closeAll(models []*Model) error {
	var errs []error
	for _, m := range models {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
