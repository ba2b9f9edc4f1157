package trend_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// fortnight is a random stream of several companies in order of arrival, with late readings,
// copies, repeats and two bursts, one of which is one text copied many times over.
func fortnight(seed uint64) (readings []news.Reading, arrivals []time.Time) {
	rng := rand.New(rand.NewPCG(seed, 1))
	for at := monday; at.Before(monday.Add(10 * 24 * time.Hour)); {
		day := 1 + .8*math.Cos(2*math.Pi*float64(at.Hour()-15)/24)
		at = at.Add(time.Duration(rng.ExpFloat64() / day * float64(6*time.Minute)))
		i, since := len(readings), at.Sub(monday).Hours()/24
		r := reading(fmt.Sprint(i), at.Truncate(time.Second), .2*rng.Float64(), fmt.Sprint("E", rng.IntN(4)))
		r.TextDigest = fmt.Sprint("text", i)
		r.Source = fmt.Sprint("source", rng.IntN(3))
		r.Topic.Label = []string{"Earnings", "Legal", ""}[rng.IntN(3)]
		if rng.IntN(5) == 0 {
			r.Sentiment = news.Sentiment{Negative: .6 + .3*rng.Float64()}
		}
		if rng.IntN(6) == 0 {
			r.Entities = append(r.Entities, fmt.Sprint("E", rng.IntN(4)))
		}
		if rng.IntN(10) == 0 {
			r.PublishedAt = r.PublishedAt.Add(-time.Duration(rng.Int64N(int64(26 * time.Hour))))
		}
		switch burst := since > 5 && since < 5.3 || since > 8 && since < 8.3; {
		case burst && rng.IntN(2) == 0:
			r.Entities, r.Sentiment = []string{"E0"}, news.Sentiment{Negative: .6 + .3*rng.Float64()}
			if since > 8 && rng.IntN(3) > 0 {
				r.TextDigest = "the same"
			}
		case i > 0 && rng.IntN(8) == 0:
			r.TextDigest = readings[i-1-rng.IntN(min(i, 20))].TextDigest
		case i > 0 && rng.IntN(12) == 0:
			r = readings[i-1-rng.IntN(min(i, 20))]
		case i > 0 && rng.IntN(12) == 0: // another source numbers alike
			r.ID, r.Source = readings[i-1].ID, fmt.Sprint("another source", i)
		}
		readings, arrivals = append(readings, r), append(arrivals, at)
	}
	return readings, arrivals
}

// Store and History find the same spikes in the same readings, with the same numbers,
// evidence and sources. Everything is left out: History judges it by a prior of its own.
func TestStoreAgreesWithHistory(t *testing.T) {
	c := &clock{}
	s := troubledStore(t, realRedis(t), c, trend.Rule{})
	history := trend.NewHistory(trend.Rule{}, 0)
	readings, arrivals := fortnight(5)
	found := 0
	for i, r := range readings {
		c.at = arrivals[i]
		got, want := bySeries(observe(t, s, r)), bySeries(history.Observe(&r, c.at))
		for of := range got {
			if _, too := want[of]; !too {
				t.Fatalf("reading %d at %s: History lacks the spike\n%+v", i, c.at, got[of])
			}
		}
		for of, w := range want {
			g, too := got[of]
			if !too {
				t.Fatalf("reading %d at %s: Store lacks the spike\n%+v", i, c.at, w)
			}
			if !alike(g, w) {
				t.Fatalf("reading %d at %s\nstore   %+v\nhistory %+v", i, c.at, g, w)
			}
			found++
		}
	}
	t.Logf("%d readings, %d spikes, %+v", len(readings), found, history.Counts)
	if found < 10 || history.Counts.Copies < 100 || history.Counts.Repeats < 100 || history.Counts.Refused == 0 {
		t.Errorf("%d spikes, %+v: too little to tell", found, history.Counts)
	}
}

func bySeries(spikes []news.Spike) map[news.Series]news.Spike {
	out := map[news.Series]news.Spike{}
	for _, spike := range spikes {
		if spike.Series != (news.Series{}) {
			out[spike.Series] = spike
		}
	}
	return out
}

// alike allows for what Redis rounds.
func alike(a, b news.Spike) bool {
	near := func(x, y float64) bool { return math.Abs(x-y) <= 1e-3*math.Abs(y) }
	if !near(a.Surprise, b.Surprise) || !near(a.Expected, b.Expected) || !near(a.VolumeFactor, b.VolumeFactor) || !near(a.ShareBefore, b.ShareBefore) {
		return false
	}
	a.Surprise, a.Expected, a.VolumeFactor, a.ShareBefore, a.P = b.Surprise, b.Expected, b.VolumeFactor, b.ShareBefore, b.P
	return reflect.DeepEqual(a, b)
}
