package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// unsettled is the readings of an item, which may be committed only when all of them are on
// their topic and in Redis, and the alerts that they give rise to are in the outbox.
type unsettled struct {
	readings []news.Reading // one, or one for each entity
	appended time.Time      // to Kafka; zero if unknown
	delivery delivery
}

// delivery is what the settler needs of an ingest.Delivery.
type delivery interface {
	Done()      // the readings are settled
	Fail(error) // they never can be: to the dead letters
}

// settler is where readings leave the classify stage: many at once, so that each waits for
// one write to Kafka and one round trip to Redis only.
type settler struct {
	queues   []chan unsettled // one for each worker, see submit
	stopped  chan struct{}
	finished chan struct{}

	coming  func() int               // items on their way here; nil where that is not known
	topic   *kafka.Writer            // of readings; nil where they came from there
	timely  func(news.Reading) error // says why the trend stage would not count it
	trend   observer                 // nil where another process counts
	desk    decider                  // as trend
	log     *slog.Logger
	metrics settleMetrics
}

// observer is what the settler needs of a trend.Store, decider of an alert.Desk.
type (
	observer interface {
		Observe(context.Context, []news.Reading) ([]news.Spike, error)
		Told(context.Context, []news.Spike) error
	}
	decider interface {
		Consider(context.Context, []news.Spike) error
	}
)

const (
	settleBatch   = 512 // readings settled at once, about
	settleWorkers = 2   // batches under way: one writes while another counts
)

type settleMetrics struct {
	seconds  *prometheus.HistogramVec
	decision prometheus.Histogram
	retries  *prometheus.CounterVec
}

func newSettleMetrics(r prometheus.Registerer) settleMetrics {
	m := settleMetrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "barograph_settle_seconds", Help: "Time to write a batch of readings to Kafka (readings), and to count and judge it (trend).",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}, []string{"part"}),
		decision: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "barograph_append_to_decision_seconds", Help: "From the timestamp of an item's message until it is counted, judged and its alerts are in the outbox.",
			Buckets: prometheus.ExponentialBuckets(0.001, 1.25, 52),
		}),
		retries: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "barograph_settle_retries_total", Help: "Batches of readings that Kafka or Redis did not take at once.",
		}, []string{"part"}),
	}
	for _, part := range []string{"readings", "trend"} {
		m.retries.WithLabelValues(part) // shows 0
	}
	r.MustRegister(m.seconds, m.decision, m.retries)
	return m
}

// settleQueues are a settler's, each of so many items.
func settleQueues(size int) []chan unsettled {
	queues := make([]chan unsettled, settleWorkers)
	for i := range queues {
		queues[i] = make(chan unsettled, size)
	}
	return queues
}

// run settles until stop is called.
func (s *settler) run() {
	defer close(s.finished)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var workers sync.WaitGroup
	for _, queue := range s.queues {
		workers.Go(func() {
			var batch []unsettled // its memory is used again
			for {
				select {
				case <-s.stopped:
					return
				case first := <-queue:
					batch = s.gather(queue, append(batch[:0], first))
					s.settle(ctx, batch)
					clear(batch)
				}
			}
		})
	}
	<-s.stopped
	cancel()
	workers.Wait()
}

// submit queues an item's readings. It blocks while the queue is full and does nothing after
// stop: the item is then read again. What is submitted of one item is settled in its order:
// where its readings come one by one, the first is the one that everything counts.
func (s *settler) submit(u unsettled) {
	queue := s.queues[xxhash.Sum64String(u.readings[0].ID)%uint64(len(s.queues))]
	select {
	case queue <- u:
	case <-s.stopped:
	}
}

// stop gives up what is under way: its offsets are not committed. The consumer drains
// before. wait returns when nothing is.
func (s *settler) stop() { close(s.stopped) }

func (s *settler) wait() { <-s.finished }

func (s *settler) settle(ctx context.Context, batch []unsettled) {
	var unwritten, uncounted map[int]error // items that can never be settled, by position
	both, settling := errgroup.WithContext(ctx)
	if s.topic != nil {
		both.Go(func() (err error) {
			unwritten, err = s.write(settling, batch)
			return err
		})
	}
	if s.trend != nil {
		both.Go(func() error {
			return s.until(settling, "trend", func(ctx context.Context) (err error) {
				uncounted, err = s.judge(ctx, batch)
				return err
			})
		})
	}
	if err := both.Wait(); err != nil {
		s.log.Warn("readings were not settled before the end; their items will be read again", "items", len(batch), "error", err)
		return
	}
	for i, u := range batch {
		if err := cmp.Or(unwritten[i], uncounted[i]); err != nil {
			u.delivery.Fail(err)
			continue
		}
		u.delivery.Done()
		if s.trend != nil && !u.appended.IsZero() {
			s.metrics.decision.Observe(time.Since(u.appended).Seconds())
		}
	}
}

// until tries until it works or the context ends: Kafka or Redis being away holds the
// stream, and loses nothing.
func (s *settler) until(ctx context.Context, part string, op func(context.Context) error) error {
	start := time.Now()
	err := retry.Do(ctx, retry.Policy{OnRetry: func(err error) {
		s.metrics.retries.WithLabelValues(part).Inc()
		s.log.Warn("readings wait", "for", part, "error", err)
	}, OnReturn: func() { s.log.Info("readings go on", "after_waiting_for", part) }}, op)
	s.metrics.seconds.WithLabelValues(part).Observe(time.Since(start).Seconds())
	return err
}

// write puts the readings on their topic. Those that JSON cannot hold or that the topic refuses
// for their size are returned by their item's position.
func (s *settler) write(ctx context.Context, batch []unsettled) (refused map[int]error, err error) {
	messages, at, refused := encode(batch)
	var some *broker.RefusedError
	err = s.until(ctx, "readings", func(ctx context.Context) error {
		err := broker.Write(ctx, s.topic, retry.Policy{Attempts: 3}, messages...)
		if errors.As(err, &some) {
			return nil
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if some != nil {
		for _, j := range some.At {
			refused[at[j]] = &ingest.Rejection{Class: ingest.TooLarge, Detail: "the reading is larger than its topic takes", Err: some}
		}
	}
	return refused, nil
}

// judge counts the batch, and decides about the spikes it shows. Readings that the trend
// stage would not count, or that make it panic (found by taking the batch one by one), are
// returned by their item's position.
func (s *settler) judge(ctx context.Context, batch []unsettled) (refused map[int]error, err error) {
	refused = map[int]error{}
	readings, at := make([]news.Reading, 0, len(batch)), make([]int, 0, len(batch))
	behind := mostBehind(batch)
	for i, u := range batch {
		for _, r := range u.readings {
			if err := s.timely(r); err != nil {
				refused[i] = err
				continue
			}
			readings, at = append(readings, r), append(at, i)
		}
	}
	panicked, err := s.decide(ctx, readings, behind)
	if !panicked {
		return refused, err
	}
	for j := range readings {
		switch panicked, err := s.decide(ctx, readings[j:j+1], behind); {
		case panicked:
			refused[at[j]] = &ingest.Rejection{Class: ingest.Panicked, Err: err}
		case err != nil:
			return nil, err
		}
	}
	return refused, nil
}

// mostBehind is how long ago the oldest of the batch was appended to Kafka, as far as that is known.
func mostBehind(batch []unsettled) (most time.Duration) {
	for _, u := range batch {
		if !u.appended.IsZero() {
			most = max(most, time.Since(u.appended))
		}
	}
	return most
}

// decide counts readings that were read so far behind, and passes the spikes on. It may be repeated.
func (s *settler) decide(ctx context.Context, readings []news.Reading, behind time.Duration) (panicked bool, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			s.log.Error("trend or alert panicked", "cause", cause, "stack", string(debug.Stack()))
			panicked, err = true, fmt.Errorf("trend or alert: panic: %v", cause)
		}
	}()
	spikes, err := s.trend.Observe(ctx, readings)
	if err != nil || len(spikes) == 0 {
		return false, err
	}
	for i := range spikes {
		spikes[i].Behind = behind
	}
	if err := s.desk.Consider(ctx, spikes); err != nil {
		return false, err
	}
	return false, s.trend.Told(ctx, spikes)
}
