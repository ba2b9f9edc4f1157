package trend_test

import (
	"errors"
	"iter"
	"maps"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// past is what a key-space is warmed by: the readings before a time, as History and as readings.
func past(until time.Time) (h *trend.History, before []news.Reading, after []news.Reading, arrivals []time.Time) {
	h = trend.NewHistory(trend.Rule{}, 0)
	readings, at := fortnight(5)
	for i, r := range readings {
		if at[i].Before(until) {
			h.Observe(&r, at[i])
			before = append(before, r)
			continue
		}
		after, arrivals = append(after, r), append(arrivals, at[i])
	}
	return h, before, after, arrivals
}

// warmed gives a store the readings before a time.
func warmed(t *testing.T, s *trend.Store, until time.Time) trend.Adopted {
	t.Helper()
	h, before, _, _ := past(until)
	if err := s.Count(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	a, err := s.Adopt(t.Context(), h, nil)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// fifth is on the fifth day of the fortnight, some hours before its first burst.
var fifth = monday.Add(5*24*time.Hour - 3*time.Hour - 10*time.Minute)

// told is the highest surprise that was found of each series, by either of two.
type told map[string]float64

func (t told) add(spikes iter.Seq[news.Spike]) {
	for s := range spikes {
		t[s.Series.Key()+string(s.Kind)] = max(t[s.Series.Key()+string(s.Kind)], s.Surprise)
	}
}

// about reports whether a spike was found before, as surprising but for what the two differ by and for an
// eighth, by which one has to grow.
func (t told) about(s news.Spike) bool { return s.Surprise < t[s.Series.Key()+string(s.Kind)]+.1+.125 }

// A cold store says nothing for a day. A warmed one finds what History finds, from the first
// reading on.
func TestAWarmedStoreSpeaksAtOnce(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		c := &clock{fifth}
		s := troubledStore(t, client, c, trend.Rule{})
		if since, err := s.Since(t.Context()); err != nil || !since.IsZero() {
			t.Errorf("an empty key-space has counted since %s, %v", since, err)
		}
		a := warmed(t, s, fifth)
		since, err := s.Since(t.Context())
		if err != nil || !since.Equal(a.Since) || since.Sub(monday) > time.Hour || a.Series < 10 {
			t.Errorf("warmed %+v, since %s, %v", a, since, err)
		}
		cold := troubledStore(t, realRedis(t), c, trend.Rule{})
		h, _, after, arrivals := past(fifth)
		found, told := 0, told{}
		for i, r := range after {
			if arrivals[i].After(fifth.Add(24 * time.Hour)) {
				break
			}
			c.at = arrivals[i]
			if spikes := observe(t, cold, r); len(spikes) > 0 {
				t.Fatalf("a cold store finds %+v", spikes)
			}
			got, want := bySeries(observe(t, s, r)), bySeries(h.Observe(&r, c.at))
			// They differ by up to .1, and so does what is a spike, or goes on.
			sure := h.Threshold(c.at) + .1
			for of, w := range want {
				g, too := got[of]
				if !too && w.Surprise > sure && !told.about(w) || too && math.Abs(g.Surprise-w.Surprise) > .1 {
					t.Errorf("%s after %s\nstore   %+v\nhistory %+v", of, arrivals[i].Sub(fifth), g, w)
				}
				if too {
					found++
				}
			}
			for of, g := range got {
				if _, too := want[of]; !too && g.Surprise > sure && !told.about(g) {
					t.Errorf("%s after %s: history has no spike, the store %+v", of, arrivals[i].Sub(fifth), g)
				}
			}
			told.add(maps.Values(got))
			told.add(maps.Values(want))
		}
		if found == 0 {
			t.Error("history finds nothing: the test says nothing")
		}
	})
}

// Keys and values of a Redis.
func contents(t *testing.T, client redis.UniversalClient) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, key := range client.Keys(t.Context(), "*").Val() {
		dump, err := client.Dump(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		all[key] = dump
	}
	return all
}

func TestWarmingAgainChangesNothing(t *testing.T) {
	c := &clock{fifth}
	client := realRedis(t)
	s := troubledStore(t, client, c, trend.Rule{})
	warmed(t, s, fifth)
	once := contents(t, client)
	a := warmed(t, s, fifth)
	if twice := contents(t, client); !reflect.DeepEqual(once, twice) || a.Series != 0 {
		t.Errorf("%+v; %d keys, then %d", a, len(once), len(twice))
	}
	// Nor does it when the monitor has gone on for a day.
	_, _, after, arrivals := past(fifth)
	for i, r := range after[:200] {
		c.at = arrivals[i]
		observe(t, s, r)
	}
	once = contents(t, client)
	warmed(t, s, fifth)
	if twice := contents(t, client); !reflect.DeepEqual(once, twice) {
		t.Error("warming again changes what the monitor has learnt since")
	}
}

// A monitor that has run for some hours is warmed while it runs: what it has counted is not
// counted again, and in the end it finds what one finds that was warmed before.
func TestWarmingBesideAMonitor(t *testing.T) {
	c := &clock{}
	client := realRedis(t)
	s := troubledStore(t, client, c, trend.Rule{})
	h, before, after, arrivals := past(fifth)
	readings, at := fortnight(5)
	started := fifth.Add(-9 * time.Hour)
	for i, r := range readings { // the monitor, from its start on
		if at[i].After(started) && at[i].Before(fifth) {
			c.at = at[i]
			observe(t, s, r)
		}
	}
	c.at = fifth
	// Half of the warming, then a reading, then the rest.
	if err := s.Count(t.Context(), before); err != nil {
		t.Fatal(err)
	}
	c.at = arrivals[0]
	observe(t, s, after[0])
	if a, err := s.Adopt(t.Context(), h, nil); err != nil || a.Series == 0 {
		t.Fatalf("%+v, %v", a, err)
	}
	h.Observe(&after[0], arrivals[0])
	found := 0
	for i, r := range after[1:] {
		if c.at = arrivals[i+1]; c.at.After(fifth.Add(24 * time.Hour)) {
			break
		}
		got, want := bySeries(observe(t, s, r)), bySeries(h.Observe(&r, c.at))
		for of, w := range want {
			if g, too := got[of]; !too || math.Abs(g.Surprise-w.Surprise) > .1 {
				t.Errorf("%s after %s\nstore   %+v\nhistory %+v", of, c.at.Sub(fifth), g, w)
			}
			found++
		}
	}
	if found == 0 {
		t.Error("history finds nothing: the test says nothing")
	}
}

// Replicas learn, judge and count while a key-space is warmed.
func TestWarmingRacesWithReplicas(t *testing.T) {
	c := &clock{fifth}
	client := realRedis(t)
	s := troubledStore(t, client, c, trend.Rule{})
	h, before, _, _ := past(fifth)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		rng := rand.New(rand.NewPCG(1, 1))
		for n := 0; ; n++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			r := before[len(before)-1-rng.IntN(100)]
			if _, err := s.Observe(t.Context(), []news.Reading{r}); err != nil {
				done <- err
				return
			}
		}
	}()
	if err := s.Count(t.Context(), before); err != nil {
		t.Error(err)
	}
	a, err := s.Adopt(t.Context(), h, nil)
	close(stop)
	if failed := <-done; failed != nil || err != nil {
		t.Fatal(failed, err)
	}
	if since, err := s.Since(t.Context()); err != nil || !since.Equal(a.Since) {
		t.Errorf("since %s, %v, want %s", since, err, a.Since)
	}
	window, err := s.Window(t.Context(), news.Series{}, fifth, 12*time.Hour)
	once := trend.NewHistory(trend.Rule{}, 0)
	readings, at := fortnight(5)
	for i, r := range readings {
		if at[i].Before(fifth) {
			once.Observe(&r, at[i])
		}
	}
	want := 0
	for _, b := range once.Buckets(news.Series{}, "", fifth.Add(trend.BucketLength-12*time.Hour), fifth.Add(trend.BucketLength)) {
		want += b.Items
	}
	if err != nil || window.Items != want {
		t.Errorf("%d items counted in 12 h, %v, want %d", window.Items, err, want)
	}
}

// A key-space that has long counted on its own keeps what it has learnt.
func TestAGrownKeySpaceIsNotWarmed(t *testing.T) {
	c := &clock{}
	client := realRedis(t)
	s := troubledStore(t, client, c, trend.Rule{})
	readings, at := fortnight(5)
	for i, r := range readings {
		if at[i].After(fifth.Add(-50*time.Hour)) && at[i].Before(fifth) {
			c.at = at[i]
			observe(t, s, r)
		}
	}
	before := contents(t, client)
	h, _, _, _ := past(fifth)
	if _, err := s.Adopt(t.Context(), h, nil); !errors.Is(err, trend.ErrGrown) || !reflect.DeepEqual(before, contents(t, client)) {
		t.Errorf("error %v, or the store has changed", err)
	}
	if _, err := s.Adopt(t.Context(), trend.NewHistory(trend.Rule{}, 0), nil); err == nil {
		t.Error("a history without readings is one")
	}
}

// What is looked for in place of negative spikes has its past, too: each kind is warmed, and finds
// what History finds. A history of other kinds is refused before anything is changed.
func TestEachKindIsWarmed(t *testing.T) {
	rule := trend.Rule{Spikes: []news.SpikeKind{news.SpikePositive, news.SpikeVolume}}
	c, client := &clock{fifth}, realRedis(t)
	s := newStore(t, client, c, rule)
	other, _, _, _ := past(fifth)
	if _, err := s.Adopt(t.Context(), other, nil); err == nil || len(contents(t, client)) > 0 {
		t.Errorf("a history of negative spikes was taken for one of others: %v", err)
	}
	h := trend.NewHistory(rule, 0)
	readings, at := fortnight(5)
	for i := range readings { // good news for bad
		of := &readings[i].Sentiment
		of.Negative, of.Positive = of.Positive, of.Negative
	}
	recent := 0
	for ; at[recent].Before(fifth); recent++ {
		h.Observe(&readings[recent], at[recent])
	}
	if err := s.Count(t.Context(), readings[:recent]); err != nil {
		t.Fatal(err)
	}
	steps, of := 0, 0
	a, err := s.Adopt(t.Context(), h, func(done, all int) { steps, of = done, all })
	if err != nil || a.Series != h.Series() || of != 2*(h.Series()-1) || steps != of {
		t.Fatalf("%+v of %d series, %d of %d, %v", a, h.Series(), steps, of, err)
	}
	if since, err := s.Since(t.Context()); err != nil || !since.Equal(a.Since) || since.Sub(monday) > time.Hour {
		t.Errorf("warmed %+v, since %s, %v", a, since, err)
	}
	once := contents(t, client)
	if a, err := s.Adopt(t.Context(), h, nil); err != nil || a.Series != 0 || !reflect.DeepEqual(once, contents(t, client)) {
		t.Errorf("again %+v, %v, or the store has changed", a, err)
	}
	found, told := map[news.SpikeKind]int{}, told{}
	for i := recent; at[i].Before(fifth.Add(24 * time.Hour)); i++ {
		c.at = at[i]
		type subject struct {
			of   news.Series
			kind news.SpikeKind
		}
		got := map[subject]news.Spike{}
		for _, spike := range observe(t, s, readings[i]) {
			got[subject{spike.Series, spike.Kind}] = spike
		}
		want := h.Observe(&readings[i], c.at)
		for _, w := range want {
			g, too := got[subject{w.Series, w.Kind}]
			if !too && w.Surprise > h.Threshold(c.at)+.1 && !told.about(w) || too && math.Abs(g.Surprise-w.Surprise) > .1 {
				t.Errorf("%s %s after %s\nstore   %+v\nhistory %+v", w.Kind, w.Series, c.at.Sub(fifth), g, w)
			}
			if too {
				found[w.Kind]++
			}
		}
		told.add(maps.Values(got))
		told.add(slices.Values(want))
	}
	if found[news.SpikePositive] == 0 || found[news.SpikeVolume] == 0 {
		t.Errorf("found %v: the test says nothing", found)
	}
}
