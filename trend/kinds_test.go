package trend_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
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

// Good news is judged as bad news is: where the two are swapped, positive spikes are what negative ones were, number by
// number.
func TestPositiveSpikesAreNegativeOnesSwapped(t *testing.T) {
	bad := trend.NewHistory(trend.Rule{}, 0)
	good := trend.NewHistory(trend.Rule{Spikes: []news.SpikeKind{news.SpikePositive}}, 0)
	readings, arrivals := fortnight(5)
	retold(5, readings)
	found, leaning := 0, 0
	for i, r := range readings {
		if !r.Negative() && r.Sentiment.Negative >= trend.LeansFrom {
			leaning++
		}
		swapped := r
		swapped.Sentiment.Negative, swapped.Sentiment.Positive = r.Sentiment.Positive, r.Sentiment.Negative
		want, got := bad.Observe(&r, arrivals[i]), good.Observe(&swapped, arrivals[i])
		for j := range got {
			w := &got[j].Window
			w.Negative, w.Positive = w.Positive, w.Negative
			got[j].Kind = news.SpikeNegative
			for k := range got[j].Evidence {
				e := &got[j].Evidence[k]
				e.Negative, e.Positive = e.Positive, 0
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("reading %d\npositive %+v\nnegative %+v", i, got, want)
		}
		found += len(got)
	}
	if found < 50 || leaning < 500 {
		t.Errorf("%d spikes and %d readings that lean: too little to tell", found, leaning)
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
