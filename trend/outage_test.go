package trend_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// arrival is a reading and when it came.
type arrival struct {
	reading news.Reading
	at      time.Time
}

// twoFeeds is what two feeds, of which the first has three quarters of it, bring of a dozen companies: one
// reading of each every half hour or so, a fifth of them negative, twenty seconds after it was published. It is as even as
// news never is, so that whatever stands out in it does so for the outage.
func twoFeeds(days int) []arrival {
	const companies, perDay = 12, 40
	rng := rand.New(rand.NewPCG(3, 7))
	marks := [companies][]news.Sentiment{}
	var all []arrival
	for round := range days * perDay {
		for place, company := range rng.Perm(companies) {
			if len(marks[company]) == 0 {
				marks[company] = []news.Sentiment{{Negative: .9}, {Positive: .9}, {Neutral: 1}, {Neutral: 1}, {Neutral: 1}}
				rng.Shuffle(5, func(i, j int) { marks[company][i], marks[company][j] = marks[company][j], marks[company][i] })
			}
			at := monday.Add(24 * time.Hour * time.Duration(round*companies+place) / (companies * perDay)).Truncate(time.Second)
			r := reading(fmt.Sprint(len(all)), at, 0, fmt.Sprint("C", company))
			r.Sentiment, marks[company] = marks[company][0], marks[company][1:]
			r.TextDigest = fmt.Sprint("text", len(all))
			r.Source = "first"
			if rng.IntN(4) == 0 {
				r.Source = "second"
			}
			all = append(all, arrival{r, at.Add(20 * time.Second)})
		}
	}
	return all
}

// outage lets feeds fail. What they would have brought comes in the ten minutes after it, the
// oldest first, or never.
type outage struct {
	feeds    []string
	only     []string // of these companies alone; nil = of all
	lasts    time.Duration
	backlog  bool
	undated  bool // what comes late has its arrival for a date
	kinds    []news.SpikeKind
	newsThen bool // the first company has a burst of bad news two hours after
}

func (o outage) of(all []arrival, from time.Time) []arrival {
	to := from.Add(o.lasts)
	var out []arrival
	late := 0
	for _, a := range all {
		if a.at.After(from) && a.at.Before(to) && slices.Contains(o.feeds, a.reading.Source) &&
			(o.only == nil || slices.Contains(o.only, a.reading.Entities[0])) {
			if !o.backlog {
				continue
			}
			late++
			a.at = to.Add(time.Duration(late) * 200 * time.Millisecond)
			if o.undated {
				a.reading.PublishedAt = a.at
			}
		}
		out = append(out, a)
	}
	for i := 0; o.newsThen && i < 12; i++ {
		at := to.Add(2*time.Hour + time.Duration(i)*time.Minute)
		r := reading(fmt.Sprint("burst", i), at, .9, "C0")
		r.TextDigest = fmt.Sprint("burst", i)
		out = append(out, arrival{r, at})
	}
	slices.SortStableFunc(out, func(a, b arrival) int { return a.at.Compare(b.at) })
	return out
}

// Neither the silence of feeds nor what they bring when they are back is a spike, of any kind, after hours
// and after days; what is one then is found.
func TestOutages(t *testing.T) {
	all := twoFeeds(18)
	failed := monday.Add(6 * 24 * time.Hour)
	kinds := []news.SpikeKind{news.SpikeNegative, news.SpikePositive, news.SpikeVolume}
	both, one, negative := []string{"first", "second"}, []string{"first"}, kinds[:1]
	for name, tt := range map[string]struct {
		outage
		found bool
	}{
		"none":                                {outage{kinds: kinds}, false},
		"six hours, a backlog":                {outage{feeds: both, lasts: 6 * time.Hour, backlog: true, kinds: kinds}, false},
		"eighteen hours, a backlog":           {outage{feeds: both, lasts: 18 * time.Hour, backlog: true, kinds: kinds}, false},
		"ten days, a backlog":                 {outage{feeds: both, lasts: 240 * time.Hour, backlog: true, kinds: kinds}, false},
		"ten days, no backlog":                {outage{feeds: both, lasts: 240 * time.Hour, kinds: kinds}, false},
		"one feed, eighteen hours, a backlog": {outage{feeds: one, lasts: 18 * time.Hour, backlog: true, kinds: kinds}, false},
		"feeds of four companies, six days":   {outage{feeds: both, only: []string{"C0", "C1", "C2", "C3"}, lasts: 144 * time.Hour, kinds: kinds}, false},
		"one feed, ten days, a backlog":       {outage{feeds: one, lasts: 240 * time.Hour, backlog: true, kinds: kinds}, false},
		"one feed, ten days, no backlog":      {outage{feeds: one, lasts: 240 * time.Hour, kinds: kinds}, false},
		"news after ten days":                 {outage{feeds: both, lasts: 240 * time.Hour, kinds: negative, newsThen: true}, true},
		"a backlog as news of its arrival":    {outage{feeds: both, lasts: 18 * time.Hour, backlog: true, undated: true, kinds: kinds}, true},
	} {
		t.Run(name, func(t *testing.T) {
			h := trend.NewHistory(trend.Rule{Spikes: tt.kinds}, 0)
			found := map[news.SpikeKind]int{}
			for _, a := range tt.of(all, failed) {
				for _, spike := range h.Observe(&a.reading, a.at) {
					if a.at.Before(failed) {
						t.Fatalf("a spike before the outage: %+v", spike)
					}
					if found[spike.Kind]++; !tt.found && found[spike.Kind] == 1 {
						t.Errorf("%s after the outage: %+v", a.at.Sub(failed.Add(tt.lasts)), spike)
					}
				}
			}
			t.Logf("spikes %v of %+v", found, h.Counts)
			if tt.found && len(found) == 0 {
				t.Error("found nothing")
			}
		})
	}
}

// A stream of which a tenth is left for good is in an outage for a week. Then that becomes the usual, by which a burst
// is judged.
func TestAStreamThatFellForGoodIsLearnt(t *testing.T) {
	fell, weeks := monday.Add(10*24*time.Hour), monday.Add(45*24*time.Hour)
	h := trend.NewHistory(trend.Rule{}, 0)
	c0 := news.Series{Entity: "C0"}
	burst := func() (found bool) {
		last := weeks.Add(20 * time.Minute)
		for i := range 5 {
			r := reading(fmt.Sprint("burst", i), weeks.Add(time.Duration(i)*5*time.Minute), .9, "C0")
			for _, spike := range h.Observe(&r, r.PublishedAt) {
				found = found || spike.Series == c0
			}
		}
		if m := h.Slide(c0, "", last, last.Add(time.Minute), 12*time.Hour, 0, last); len(m) != 1 || m[0].Expected > 2 {
			t.Errorf("%+v: in half a day, 0.4 negatives are usual now, and 4 were", m)
		}
		return found
	}
	for i, a := range twoFeeds(45) {
		if a.at.Before(fell) || i%10 == 0 {
			h.Observe(&a.reading, a.at)
		}
	}
	if !burst() {
		t.Error("five negatives in twenty minutes of a company that has one a day are no spike")
	}
}
