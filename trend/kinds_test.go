package trend_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// A week of a company as usual, then two hours of bad news, of good news, or of neither: each is
// found by its kind, and as much news. The usual week, from a cold start on, has no spikes.
func TestKindsOfSpike(t *testing.T) {
	all := []news.SpikeKind{news.SpikeNegative, news.SpikePositive, news.SpikeVolume}
	bad, good, neither := news.Sentiment{Negative: .9}, news.Sentiment{Positive: .9}, news.Sentiment{Neutral: .9}
	for mood, want := range map[news.Sentiment]map[news.SpikeKind]bool{
		bad:     {news.SpikeNegative: true, news.SpikeVolume: true},
		good:    {news.SpikePositive: true, news.SpikeVolume: true},
		neither: {news.SpikeVolume: true},
	} {
		history := trend.NewHistory(trend.Rule{Spikes: all}, 0)
		rng := rand.New(rand.NewPCG(41, 1))
		found := map[news.SpikeKind]bool{}
		end := monday.Add(7 * 24 * time.Hour)
		for at, i := monday, 0; at.Before(end.Add(2 * time.Hour)); i++ {
			r := reading(fmt.Sprint(i), at, .1, "BA")
			switch rng.IntN(7) {
			case 0:
				r.Sentiment = bad
			case 1:
				r.Sentiment = good
			}
			wait := 8 * time.Minute
			if burst := !at.Before(end); burst {
				wait, r.Sentiment = time.Minute, mood
			}
			for _, spike := range history.Observe(&r, at) {
				if at.Before(end) {
					t.Fatalf("a %s spike in a usual week, at %s: %s", spike.Kind, at, spike.Reason())
				}
				if spike.Series == (news.Series{Entity: "BA"}) {
					found[spike.Kind] = true
				}
			}
			at = at.Add(time.Duration(rng.ExpFloat64() * float64(wait)))
		}
		for _, kind := range all {
			if found[kind] != want[kind] {
				t.Errorf("two hours of %v: a %s spike is %t", mood, kind, found[kind])
			}
		}
	}
	if _, err := trend.New(trend.Config{Redis: realRedis(t), Rule: trend.Rule{Spikes: []news.SpikeKind{"neutral"}}}); err == nil {
		t.Error("there is no neutral spike")
	}
}

// A kind that is looked for from now on has no counts of its own where all that comes was counted
// before.
func TestAKindOfSpikeIsAdded(t *testing.T) {
	client := realRedis(t)
	c := &clock{monday}
	readings := burst(8, monday)
	before := observe(t, newStore(t, client, c, trend.Rule{WarmUp: -1}), readings...)
	s := newStore(t, client, c, trend.Rule{WarmUp: -1, Spikes: []news.SpikeKind{news.SpikeNegative, news.SpikePositive, news.SpikeVolume}})
	again, err := s.Observe(t.Context(), readings)
	if err != nil || len(before) == 0 {
		t.Fatalf("%d spikes before, then %v", len(before), err)
	}
	for _, spike := range again {
		if spike.Kind != news.SpikeNegative {
			t.Errorf("of repeats: %+v", spike)
		}
	}
}
