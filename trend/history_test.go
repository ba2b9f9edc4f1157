package trend_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
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
		r := reading(fmt.Sprint(i), at.Truncate(time.Second), .4*rng.Float64(), fmt.Sprint("E", rng.IntN(4)))
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

// retold gives the readings of a fortnight sketches, some of them near one before, good news,
// and a burst of it.
func retold(seed uint64, readings []news.Reading) {
	rng := rand.New(rand.NewPCG(seed, 2))
	known := map[string]news.Reading{}
	for i := range readings {
		r := &readings[i]
		if k, repeats := known[r.Source+r.ID]; repeats {
			*r = k
			continue
		}
		sketch := uint64(rng.IntN(4))<<48 | rng.Uint64()>>16
		if i > 0 && rng.IntN(10) == 0 {
			sketch, _ = strconv.ParseUint(readings[i-1-rng.IntN(min(i, 20))].TextSketch, 16, 64)
			for range rng.IntN(9) {
				sketch ^= 1 << rng.IntN(48)
			}
		}
		r.TextSketch = fmt.Sprintf("%016x", sketch)
		since := r.PublishedAt.Sub(monday).Hours() / 24
		if burst := since > 6.5 && since < 6.8; !r.Negative() && rng.IntN(6) == 0 || burst && rng.IntN(2) == 0 {
			r.Sentiment = news.Sentiment{Positive: .6 + .3*rng.Float64()}
			if burst {
				r.Entities = []string{"E1"}
			}
		}
		known[r.Source+r.ID] = *r
	}
}

// silenced is a fortnight in which no feed brings anything for three days.
const silenced = 79

func fallSilent(readings []news.Reading, arrivals []time.Time) {
	for i := range readings {
		for _, at := range []*time.Time{&arrivals[i], &readings[i].PublishedAt} {
			if at.After(monday.Add(5 * 24 * time.Hour)) {
				*at = at.Add(3 * 24 * time.Hour)
			}
		}
	}
}

// thinned is a fortnight in which three quarters are lost for two days.
const thinned = 80

func thinOut(readings []news.Reading, arrivals []time.Time) (left []news.Reading, at []time.Time) {
	for i, r := range readings {
		if day := arrivals[i].Sub(monday).Hours() / 24; day < 5.5 || day > 7.5 || i%4 == 0 {
			left, at = append(left, r), append(at, arrivals[i])
		}
	}
	return left, at
}

// Store and History find the same spikes of all kinds in the same readings, with the same
// numbers, evidence and sources.
func TestStoreAgreesWithHistory(t *testing.T) {
	all := []news.SpikeKind{news.SpikeNegative, news.SpikePositive, news.SpikeVolume}
	for seed, kinds := range map[uint64][]news.SpikeKind{5: nil, 77: nil, 78: all, silenced: nil, thinned: nil} {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rule := trend.Rule{Spikes: kinds}
			c := &clock{}
			s := troubledStore(t, realRedis(t), c, rule)
			history := trend.NewHistory(rule, 0)
			readings, arrivals := fortnight(seed)
			retold(seed, readings)
			if seed == silenced {
				fallSilent(readings, arrivals)
			}
			if seed == thinned {
				readings, arrivals = thinOut(readings, arrivals)
			}
			found := map[news.SpikeKind]int{}
			for i, r := range readings {
				c.at = arrivals[i]
				got, want := observe(t, s, r), history.Observe(&r, c.at)
				if !slices.EqualFunc(got, want, alike) {
					t.Fatalf("reading %d at %s\nstore   %+v\nhistory %+v", i, c.at, got, want)
				}
				for _, spike := range got {
					found[spike.Kind]++
				}
			}
			counts := history.Counts
			t.Logf("%d readings, spikes %v, %+v", len(readings), found, counts)
			if found[news.SpikeNegative] < 10 || len(found) != max(1, len(kinds)) || counts.Copies < 100 || counts.Near < 20 ||
				counts.Repeats < 100 || counts.Refused == 0 {
				t.Errorf("spikes %v, %+v: too little to tell", found, counts)
			}
		})
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

// The readings of a text for each of its companies are no repeats of its own; the same again are.
func TestReadingsForCompaniesAreNoRepeats(t *testing.T) {
	h, noon := trend.NewHistory(trend.Rule{}, 0), time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for range 2 {
		for _, entities := range [][]string{nil, {"NOK"}, {"ERIC"}} {
			h.Observe(&news.Reading{ID: "1", Source: "wire", PublishedAt: noon, ClassifiedAt: noon, Entities: entities}, noon)
		}
	}
	if h.Counts.Repeats != 3 {
		t.Errorf("%d repeats, want the three readings that came again", h.Counts.Repeats)
	}
}
