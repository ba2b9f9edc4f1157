// Package classify reads items: it routes each to the model of its language and says its
// sentiment and topic, both from one pass of the encoder.
//
//	Submit ─► tokenise ─► pool of rows, by length ─► batch by token budget ─► model ─► done
//	          (workers)   (one pool and one session for each model)
//
// A text of several entities goes round twice where there is a bundle for that: see Served.
//
// A Model reads texts; the Stage keeps one busy for each bundle, and takes another where
// one is promoted into a bundle's place. The ONNX graph comes from classify/bert, what runs
// it from classify/onnx.
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

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/news"
)

// ErrClosed says that the stage takes no more items, or did not read one before Stop.
var ErrClosed = errors.New("the classify stage is closed")

// Config says what the stage classifies with.
type Config struct {
	Model   ModelConfig   // how bundles are run
	Bundles []string      // folders, the preferred first: it reads what no other serves
	MaxWait time.Duration // longest wait for company in a batch; 0 is 20 ms, negative none
	Queue   int           // items submitted and not done, at most; 0 is 2,048
	Copies  int           // texts whose reading is remembered for copies; 0 is 32,768, negative none

	// Reload is how often the bundles' folders are looked at for another bundle, promoted or
	// copied into them; 0 is never.
	Reload time.Duration
	// Names are what the text calls the item's entities, by entity. It is asked where a bundle
	// reads a text for an entity; nil, and an entity that is not in it, means the entity itself.
	Names func(news.Item) map[string]string

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
	lanes   []*lane
	served  atomic.Pointer[served]
	models  atomic.Int64 // put live so far
	copies  *copies
	busy    busy
	metrics *metrics

	slots    chan struct{} // one for each item submitted and not done
	in       chan *job     // to be tokenised
	upstream atomic.Int64  // items submitted and not yet tokenised

	closing  sync.RWMutex
	closed   bool
	stopped  chan struct{} // closed by Stop
	stop     sync.Once
	ended    chan struct{} // closed by Close
	inFlight sync.WaitGroup
	workers  sync.WaitGroup // the stage's goroutines
}

// served is what Served says of the live bundles.
type served struct {
	texts [][]string
	again map[string]int
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
	var seen []string
	for _, dir := range c.Bundles {
		look, _ := fingerprint(dir) // before it is opened: what changes since then is opened again
		m, err := openServing(dir, c.Model)
		if err != nil {
			return nil, fmt.Errorf("opening the bundle %s: %w", dir, err)
		}
		models, seen = append(models, m), append(seen, look)
	}
	s, err := newStage(c, models)
	if err != nil {
		return nil, err
	}
	if c.Reload > 0 {
		go s.reload(seen) // Close does not wait for it: loading may take half a minute
	}
	return s, nil
}

// openServing opens a bundle that is to make readings.
func openServing(dir string, c ModelConfig) (*Model, error) {
	m, err := OpenModel(dir, c)
	if err != nil {
		return nil, err
	}
	if m.Bundle.head(taskSentiment) < 0 {
		return nil, errors.Join(fmt.Errorf("%w: %s has no sentiment head, which every reading needs", ErrBundle, dir), m.Close())
	}
	return m, nil
}

// newStage starts the goroutines around opened models.
func newStage(c Config, models []*Model) (*Stage, error) {
	s := &Stage{config: c, copies: newCopies(c.Copies), slots: make(chan struct{}, c.Queue), in: make(chan *job, c.Queue),
		stopped: make(chan struct{}), ended: make(chan struct{})}
	var err error
	if s.metrics, err = newMetrics(c.Registerer, &s.busy); err != nil {
		return nil, fmt.Errorf("registering the metrics of classify: %w", err)
	}
	cores := &turns{free: c.Model.Threads}
	for i, model := range models {
		l := &lane{ready: make(chan *job, c.Queue), idle: make(chan struct{}, 1), turns: cores}
		if model.Device == onnx.CUDA {
			l.turns = &turns{free: 1}
		}
		if i < len(c.Bundles) {
			l.dir = c.Bundles[i]
		}
		s.lanes = append(s.lanes, l)
		s.serve(l, model)
	}
	// Only now, because these goroutines read what the loop above fills.
	for _, l := range s.lanes {
		s.workers.Go(func() { s.classify(l) })
	}
	for range max(1, runtime.GOMAXPROCS(0)/4) { // tokenising takes a hundredth of what reading does
		s.workers.Go(s.tokenize)
	}
	return s, nil
}

// serve puts a model live in a lane. The one before reads what was cut for it, and is closed.
func (s *Stage) serve(l *lane, m *Model) {
	m.onRun, m.busy = s.metrics.observe(m.Bundle.Name), &s.busy
	before := l.replace(m, s.models.Add(1))
	s.metrics.info(l.dir, m.Bundle)
	var bundles []*Bundle
	for _, l := range s.lanes {
		bundles = append(bundles, l.live.Bundle)
	}
	texts, again := Served(bundles)
	s.served.Store(&served{texts, again})
	if before == nil {
		return
	}
	if err := before.release(); err != nil {
		s.config.Model.Log.Warn("a replaced model did not close well", "model", before.Bundle.Name, "error", err)
	}
}

// Submit hands an item to the stage and returns when it has been taken; it waits while
// Queue items are not done, until the context ends. Then done is called exactly once,
// from a goroutine of the stage, in any order among items, and must not block for long:
// the model waits meanwhile. It is not called where Submit returns an error.
//
// There is one reading; from a bundle that reads a text for an entity there is one for
// each of the item's entities, in their order, or one of the text alone where it has none.
// Where another bundle serves the language, too, that bundle reads all texts, and those of
// two to eight entities are read for each of them besides: the text's own reading comes
// first then, without entities, and the others have its topic.
//
// The error that done gets is the item's own (ErrNoText, ErrTooLong, ErrPanic, a failed
// run) or, after Stop, ErrClosed; the one reading then has what is known without a model.
// The end of the context does not recall an item that was taken.
func (s *Stage) Submit(ctx context.Context, it news.Item, done func([]news.Reading, error)) error {
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

// InFlight is how many items were submitted and are not done.
func (s *Stage) InFlight() int { return len(s.slots) }

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
	close(s.ended)
	s.inFlight.Wait()
	close(s.in)
	for _, l := range s.lanes {
		close(l.ready)
	}
	s.workers.Wait()
	var errs []error
	for _, l := range s.lanes {
		errs = append(errs, l.live.release())
	}
	return errors.Join(errs...)
}

// Stop is Close for who cannot wait: the batches under way are finished, and all other
// items are done with ErrClosed.
func (s *Stage) Stop() error {
	s.stop.Do(func() { close(s.stopped) })
	return s.Close()
}

func (s *Stage) stopping() bool {
	select {
	case <-s.stopped:
		return true
	default:
		return false
	}
}

func closeAll(models []*Model) error {
	var errs []error
	for _, m := range models {
		errs = append(errs, m.Close())
	}
	return errors.Join(errs...)
}
