package trend_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// burst is n negative readings of a company, one a minute up to at, from three sources.
func burst(n int, at time.Time) []news.Reading {
	var out []news.Reading
	for i := range n {
		r := reading(fmt.Sprint("burst", i), at.Add(-time.Duration(i)*time.Minute), .6+.04*float64(i%8), "AAPL")
		r.Source = fmt.Sprint("source", i%3)
		out = append(out, r)
	}
	return out
}

func TestBurstIsASpikeWithItsEvidence(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		s := newStore(t, client, &clock{monday}, trend.Rule{WarmUp: -1})
		observe(t, s, reading("calm", monday.Add(-10*time.Hour), .9, "AAPL"))
		copied := burst(1, monday)[0]
		copied.ID, copied.Source, copied.TextDigest = "copy", "a fourth source", "d"
		readings := burst(8, monday)
		readings[0].TextDigest = "d"
		spikes := observe(t, s, append(readings, copied)...)

		of := map[news.Series]news.Spike{}
		for _, spike := range spikes {
			of[spike.Series] = spike
		}
		if len(spikes) != 4 || len(of) != 4 {
			t.Fatalf("%d spikes in %d series, want one in each of 4: %v", len(spikes), len(of), spikes)
		}
		got := of[news.Series{Entity: "AAPL"}]
		if got.Window != (news.Window{Length: time.Hour, Items: 8, Negative: 8, Copies: 1}) {
			t.Errorf("window %+v", got.Window)
		}
		if !got.At.Equal(monday) || !got.StartedAt.Equal(monday.Add(-10*time.Minute)) {
			t.Errorf("at %s, started at %s", got.At, got.StartedAt)
		}
		if got.Sources != 4 {
			t.Errorf("%d sources, want those of the negatives and of the copy: 4", got.Sources)
		}
		if got.Surprise < 2 || got.P <= 0 || got.P > 1e-4 || got.Expected <= 0 || got.VolumeFactor < .849 || got.ShareBefore <= 0 {
			t.Errorf("numbers %+v", got)
		}
		want := []news.Evidence{{ID: "burst7", Title: "title of burst7", URL: "https://example.com/burst7", Source: "source1", Negative: .88},
			{ID: "burst6", Title: "title of burst6", URL: "https://example.com/burst6", Source: "source0", Negative: .84},
			{ID: "burst5", Title: "title of burst5", URL: "https://example.com/burst5", Source: "source2", Negative: .8}}
		if !reflect.DeepEqual(got.Evidence, want) {
			t.Errorf("evidence %+v", got.Evidence)
		}
		if got.Model.Name != "m" {
			t.Errorf("model %+v", got.Model)
		}
	})
}

// A crash after counting and before the spike was passed on: the same readings come again.
func TestRepeatsAreJudgedAgain(t *testing.T) {
	client := realRedis(t)
	c := &clock{monday}
	first, err := newStore(t, client, c, trend.Rule{WarmUp: -1}).Observe(t.Context(), burst(8, monday)) // and not Told
	if err != nil {
		t.Fatal(err)
	}
	again := observe(t, newStore(t, client, c, trend.Rule{WarmUp: -1}), burst(8, monday)...)
	if len(first) == 0 || !reflect.DeepEqual(first, again) {
		t.Errorf("first %+v\nagain %+v", first, again)
	}
}

// A late reading of a source that spoke since does not hide the source from the spike.
func TestALateReadingKeepsItsSource(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		s := newStore(t, client, &clock{monday}, trend.Rule{WarmUp: -1})
		first := burst(9, monday)
		observe(t, s, first[:8]...)
		late := reading("late", monday.Add(-10*time.Hour), .9, "AAPL")
		late.Source = first[0].Source
		observe(t, s, late)
		for _, spike := range observe(t, s, first[8]) {
			if spike.Series == (news.Series{Entity: "AAPL"}) {
				if spike.Sources != 3 {
					t.Errorf("%d sources, want 3", spike.Sources)
				}
				return
			}
		}
		t.Error("no spike of AAPL")
	})
}

// A spike whose finder died before it was passed on is found again hours later; one that was
// told is over by then.
func TestASpikeIsFoundUntilItIsTold(t *testing.T) {
	for name, told := range map[string]bool{"never told": false, "told": true} {
		t.Run(name, func(t *testing.T) {
			c := &clock{monday}
			s := newStore(t, realRedis(t), c, trend.Rule{WarmUp: -1})
			found, err := s.Observe(t.Context(), burst(30, monday))
			if err != nil || len(found) == 0 {
				t.Fatalf("%d spikes, %v", len(found), err)
			}
			if told {
				if err := s.Told(t.Context(), found); err != nil {
					t.Fatal(err)
				}
			}
			c.at = monday.Add(5 * time.Hour)
			again, err := s.Observe(t.Context(), burst(30, monday))
			if err != nil {
				t.Fatal(err)
			}
			if (len(again) == 0) != told {
				t.Errorf("%d spikes five hours later", len(again))
			}
		})
	}
}

func TestWarmUp(t *testing.T) {
	c := &clock{monday.Add(-23 * time.Hour)}
	s := newStore(t, realRedis(t), c, trend.Rule{})
	observe(t, s, reading("first", c.at, .1, "AAPL"))
	c.at = monday
	if got := observe(t, s, burst(8, c.at)...); len(got) != 0 {
		t.Errorf("%d spikes 23 hours after the first reading", len(got))
	}
	c.at = monday.Add(time.Hour)
	late := reading("one more", c.at, .9, "AAPL")
	if got := observe(t, s, late); len(got) == 0 {
		t.Error("no spike 24 hours after the first reading")
	}
}

// Readings that are not negative, or are old, are no reason to judge.
func TestOnlyRecentNegativesAreJudged(t *testing.T) {
	s := newStore(t, realRedis(t), &clock{monday}, trend.Rule{WarmUp: -1})
	observe(t, s, burst(8, monday)...)
	if got := observe(t, s, reading("good", monday, .1, "AAPL"), reading("old", monday.Add(-13*time.Hour), .9, "AAPL")); len(got) != 0 {
		t.Errorf("spikes %v", got)
	}
}

// Store and Replay find the same spikes with the same numbers in a fortnight of one company.
func TestStoreAgreesWithReplay(t *testing.T) {
	c := &clock{}
	s := newStore(t, realRedis(t), c, trend.Rule{})
	replay := trend.NewReplay(trend.Rule{})
	rng := rand.New(rand.NewPCG(3, 1))
	var opened []news.Spike
	at := monday
	for i := 0; at.Before(monday.Add(8 * 24 * time.Hour)); i++ {
		day := 1 + .8*math.Cos(2*math.Pi*float64(at.Hour()-15)/24)
		at = at.Add(time.Duration(rng.ExpFloat64() / day * float64(20*time.Minute)))
		negative := rng.Float64() < .2 || at.Sub(monday) > 6*24*time.Hour && at.Sub(monday) < 6*24*time.Hour+8*time.Hour
		r := news.Reading{ID: fmt.Sprint(i), Entities: []string{"E"}, PublishedAt: at, TextDigest: fmt.Sprint(i - i%4/3)}
		if rng.IntN(10) == 0 {
			r.PublishedAt = at.Add(-time.Duration(rng.Int64N(int64(3 * time.Hour))))
		}
		if negative {
			r.Sentiment.Negative = 1
		}
		c.at = at
		var got, want news.Spike
		for _, spike := range observe(t, s, r) {
			if spike.Series == (news.Series{Entity: "E"}) {
				got = spike
			}
		}
		want, opens := replay.Add(trend.Event{ID: r.ID, Series: news.Series{Entity: "E"}, Arrival: at, At: r.PublishedAt, Negative: negative, Text: r.TextDigest})
		if math.Abs(got.Surprise-want.Surprise) > 1e-4 || got.Window != want.Window || !got.StartedAt.Equal(want.StartedAt) || math.Abs(got.Expected-want.Expected) > 1e-4*want.Expected {
			t.Fatalf("reading %d at %s\nstore  %+v\nreplay %+v", i, at, got, want)
		}
		if opens {
			opened = append(opened, want)
		}
	}
	if len(opened) == 0 || opened[0].At.Before(monday.Add(6*24*time.Hour)) || len(opened) > 3 {
		t.Errorf("opened %+v, want the planted spike", opened)
	}
}

// What is kept of a series is bounded, whether or not it is ever judged, and expires.
func TestSeriesStaysSmall(t *testing.T) {
	client := realRedis(t)
	c := &clock{monday}
	s := newStore(t, client, c, trend.Rule{})
	for i := range 5 * 24 * 4 {
		c.at = monday.Add(time.Duration(i) * 15 * time.Minute)
		observe(t, s, reading(fmt.Sprint(i), c.at, .1, "QUIET"))
	}
	buckets, err := s.Buckets(t.Context(), news.Series{Entity: "QUIET"}, "", monday, c.at.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if kept := c.at.Sub(buckets[0].Start); kept < 23*time.Hour || kept > 25*time.Hour {
		t.Errorf("counts of %s are kept, want those of 24 h", kept)
	}
	ctx := context.Background()
	names, err := client.Keys(ctx, "*").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if ttl := client.TTL(ctx, name).Val(); ttl <= 0 {
			t.Errorf("key %q does not expire: %s", name, ttl)
		}
	}
}

// Decisions use nothing that was not there yet: what follows changes no spike before it.
func TestReplayIsPointInTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(19, 1))
	var events []trend.Event
	for at := monday; at.Before(monday.Add(10 * 24 * time.Hour)); at = at.Add(time.Duration(rng.ExpFloat64() * float64(8*time.Minute))) {
		i := len(events)
		day := at.Sub(monday).Hours() / 24
		company := fmt.Sprint("E", rng.IntN(3))
		burst := company == "E0" && (day > 4 && day < 4.3 || day > 7 && day < 7.2)
		events = append(events, trend.Event{ID: fmt.Sprint(i), Series: news.Series{Entity: company}, Arrival: at,
			At: at.Add(-time.Duration(rng.ExpFloat64() * float64(10*time.Minute))), Negative: burst || rng.Float64() < .2, Text: fmt.Sprint(i - i%4/3)})
	}
	spikes := func(events []trend.Event) (out []news.Spike) {
		r := trend.NewReplay(trend.Rule{})
		for _, e := range events {
			if spike, opened := r.Add(e); opened {
				out = append(out, spike)
			}
		}
		return out
	}
	whole := spikes(events)
	if len(whole) < 2 {
		t.Fatalf("%d spikes, want the two planted ones at least", len(whole))
	}
	for range 8 {
		n := rng.IntN(len(events))
		var want []news.Spike
		for _, spike := range whole {
			if n > 0 && !spike.At.After(events[n-1].Arrival) {
				want = append(want, spike)
			}
		}
		if got := spikes(events[:n]); !reflect.DeepEqual(got, want) {
			t.Errorf("first %d events: %v, want %v", n, got, want)
		}
	}
}
