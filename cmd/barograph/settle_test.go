package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// trendFake counts ids, panics over "poison", and fails as often as it is told.
type trendFake struct {
	mu      sync.Mutex
	failing int
	counted map[string]int
}

func (f *trendFake) Observe(_ context.Context, readings []news.Reading) (spikes []news.Spike, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing > 0 {
		f.failing--
		return nil, errors.New("redis is away")
	}
	for _, r := range readings {
		if r.ID == "poison" {
			panic("poison")
		}
		f.counted[r.ID]++
		if r.Negative() {
			spikes = append(spikes, news.Spike{Series: news.Series{Entity: r.ID}})
		}
	}
	return spikes, nil
}

func (f *trendFake) Told(context.Context, []news.Spike) error { return nil }

type deskFake struct {
	told   []string
	behind []time.Duration
}

func (d *deskFake) Consider(_ context.Context, spikes []news.Spike) error {
	for _, s := range spikes {
		d.told, d.behind = append(d.told, s.Series.Entity), append(d.behind, s.Behind)
	}
	return nil
}

// outcome is what a settler says of an item.
type outcome struct {
	done func()
	fail func(error)
}

func (o outcome) Done()          { o.done() }
func (o outcome) Fail(err error) { o.fail(err) }

// settled runs a batch through a settler and says what became of each reading.
func settled(t *testing.T, s *settler, batch []unsettled) map[string]string {
	t.Helper()
	outcomes := map[string]string{}
	for i := range batch {
		id := batch[i].readings[0].ID
		batch[i].delivery = outcome{func() { outcomes[id] += "done" }, func(error) { outcomes[id] += "failed" }}
	}
	s.settle(t.Context(), batch)
	return outcomes
}

func newFakeSettler(trend *trendFake, desk *deskFake) *settler {
	timely := func(r news.Reading) error {
		if r.ID == "old" {
			return errors.New("too old")
		}
		return nil
	}
	return &settler{timely: timely, trend: trend, desk: desk, log: slog.New(slog.DiscardHandler), metrics: newSettleMetrics(prometheus.NewRegistry())}
}

func readingsOf(ids ...string) []unsettled {
	batch := make([]unsettled, len(ids))
	for i, id := range ids {
		batch[i].readings = []news.Reading{{ID: id, Sentiment: news.Sentiment{Negative: 0.9}}}
	}
	return batch
}

// What has never been tried again shows as 0, so that the first times are a rise.
func TestRetriesAreCountedFromNone(t *testing.T) {
	registry := prometheus.NewRegistry()
	newSettleMetrics(registry)
	if got := testutil.CollectAndCount(registry, "barograph_settle_retries_total"); got != 2 {
		t.Errorf("%d series of retries, want readings and trend", got)
	}
}

// A process that does not count has decided nothing.
func TestOnlyWhatIsCountedIsDecided(t *testing.T) {
	batch := readingsOf("a")
	batch[0].appended = time.Now()
	for _, c := range []struct {
		trend observer
		want  int
	}{{nil, 0}, {&trendFake{counted: map[string]int{}}, 1}} {
		s := newFakeSettler(nil, &deskFake{})
		s.trend = c.trend
		settled(t, s, batch)
		var m dto.Metric
		if err := s.metrics.decision.Write(&m); err != nil || m.Histogram.GetSampleCount() != uint64(c.want) {
			t.Errorf("with the trend stage %v: %d decisions, want %d (%v)", c.trend != nil, m.Histogram.GetSampleCount(), c.want, err)
		}
	}
}

// When Redis is back, the log says so.
func TestSettleSaysThatItGoesOn(t *testing.T) {
	for failing, want := range []int{0, 1, 1} {
		var log strings.Builder
		s := newFakeSettler(&trendFake{counted: map[string]int{}, failing: failing}, &deskFake{})
		s.log = slog.New(slog.NewTextHandler(&log, nil))
		settled(t, s, readingsOf("a"))
		if got := strings.Count(log.String(), "readings go on"); got != want {
			t.Errorf("after %d failures the log says %d times that readings go on, want %d", failing, got, want)
		}
	}
}

// The desk hears how long the oldest of what was judged had lain in Kafka.
func TestSettleSaysHowFarBehindItIs(t *testing.T) {
	for _, c := range []struct{ a, b, least time.Duration }{{time.Minute, time.Hour, time.Hour}, {0, time.Minute, time.Minute}, {0, 0, 0}} {
		batch := readingsOf("a", "b")
		for i, ago := range []time.Duration{c.a, c.b} {
			if ago > 0 { // else it is not known
				batch[i].appended = time.Now().Add(-ago)
			}
		}
		desk := &deskFake{}
		settled(t, newFakeSettler(&trendFake{counted: map[string]int{}}, desk), batch)
		if len(desk.behind) != 2 || desk.behind[0] != desk.behind[1] || desk.behind[0] < c.least || desk.behind[0] > c.least+time.Minute/2 {
			t.Errorf("appended %s and %s ago: the desk heard %s", c.a, c.b, desk.behind)
		}
	}
}

func TestSettleConfinesAPanicToItsReading(t *testing.T) {
	trend, desk := &trendFake{counted: map[string]int{}}, &deskFake{}
	outcome := settled(t, newFakeSettler(trend, desk), readingsOf("a", "old", "poison", "b"))
	if want := map[string]string{"a": "done", "old": "failed", "poison": "failed", "b": "done"}; fmt.Sprint(outcome) != fmt.Sprint(want) {
		t.Errorf("outcome %v, want %v", outcome, want)
	}
	if !slices.Contains(desk.told, "a") || !slices.Contains(desk.told, "b") {
		t.Errorf("the desk heard of %v, want a and b", desk.told)
	}
}

// An item with a reading for each of its entities is settled when all of them are, and goes
// to the dead letters with any of them.
func TestSettleAnItemWithItsReadings(t *testing.T) {
	several := func(id string, ids ...string) (u unsettled) {
		for _, r := range readingsOf(append([]string{id}, ids...)...) {
			u.readings = append(u.readings, r.readings...)
		}
		return u
	}
	trend, desk := &trendFake{counted: map[string]int{}}, &deskFake{}
	outcome := settled(t, newFakeSettler(trend, desk), []unsettled{several("a", "a", "a"), several("b", "poison", "b"), several("c", "old")})
	if want := map[string]string{"a": "done", "b": "failed", "c": "failed"}; fmt.Sprint(outcome) != fmt.Sprint(want) {
		t.Errorf("outcome %v, want %v", outcome, want)
	}
	if trend.counted["a"] < 3 {
		t.Errorf("counted %v, want all three readings of a", trend.counted)
	}
}

// slowTrend holds each call until it is released, and says in which order readings came.
type slowTrend struct {
	trendFake
	release chan struct{}
	order   []string
}

func (f *slowTrend) Observe(_ context.Context, readings []news.Reading) ([]news.Spike, error) {
	f.mu.Lock()
	for _, r := range readings {
		f.order = append(f.order, r.Entities[0])
	}
	f.mu.Unlock()
	<-f.release
	return nil, nil
}

// Readings of one item that come one by one are counted in their order, whatever the other
// worker does meanwhile: which of them everything counts depends on it.
func TestSettleKeepsTheOrderOfAnItemsReadings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trend := &slowTrend{release: make(chan struct{})}
		s := newFakeSettler(&trend.trendFake, &deskFake{})
		s.trend, s.queues, s.stopped, s.finished = trend, settleQueues(8), make(chan struct{}), make(chan struct{})
		go s.run()
		done := 0
		for _, company := range []string{"AAPL", "MSFT", "NOK"} {
			s.submit(unsettled{readings: []news.Reading{{ID: "a", Entities: []string{company}}}, delivery: outcome{done: func() { done++ }}})
			synctest.Wait()
		}
		if got := strings.Join(trend.order, " "); got != "AAPL" {
			t.Errorf("%s were counted while the first was under way", got)
		}
		close(trend.release)
		synctest.Wait()
		if got := strings.Join(trend.order, " "); got != "AAPL MSFT NOK" || done != 3 {
			t.Errorf("%s were counted, %d are done", got, done)
		}
		s.stop()
		s.wait()
	})
}

func TestSettleWaitsForRedis(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trend, desk := &trendFake{counted: map[string]int{}, failing: 7}, &deskFake{}
		outcome := settled(t, newFakeSettler(trend, desk), readingsOf("a"))
		if outcome["a"] != "done" || trend.counted["a"] != 1 {
			t.Errorf("outcome %v, counted %v", outcome, trend.counted)
		}
	})
}

func TestSettleGivesUpAtTheEnd(t *testing.T) {
	trend := &trendFake{counted: map[string]int{}, failing: 1 << 30}
	s := newFakeSettler(trend, &deskFake{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	batch := readingsOf("a")
	batch[0].delivery = outcome{
		func() { t.Error("acknowledged what was not counted") },
		func(error) { t.Error("given to the dead letters what was not counted") },
	}
	s.settle(ctx, batch)
}

// A reading that its topic refuses for its size fails alone: the rest of the batch goes on.
func TestSettleFailsAReadingTooLargeForItsTopic(t *testing.T) {
	server := testenv.StartKafka(t)
	server.CreateTopic("readings", 1)
	client := openBroker(t, server.Addr)
	trend := &trendFake{counted: map[string]int{}}
	s := newFakeSettler(trend, &deskFake{})
	s.topic = client.Writer("readings")
	defer s.topic.Close()
	batch := readingsOf("a", "large", "b")
	batch[1].readings[0].Title = strings.Repeat("x", 2<<20)
	outcome := settled(t, s, batch)
	if want := map[string]string{"a": "done", "large": "failed", "b": "done"}; fmt.Sprint(outcome) != fmt.Sprint(want) {
		t.Errorf("outcome %v, want %v", outcome, want)
	}
	consume(t, client, "readings").until(t, time.Minute, "the other two", atLeast(2))
}
