package trend_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// A window that is a spike has crossed the limit that Slide draws, and the quiet ones before it
// have not.
func TestSlideShowsWhyItFired(t *testing.T) {
	history := trend.NewHistory(trend.Rule{}, 0)
	readings, arrivals := fortnight(5)
	spikes := 0
	for i, r := range readings {
		for _, spike := range history.Observe(&r, arrivals[i]) {
			now := arrivals[i]
			moments := history.Slide(spike.Series, "", now.Add(-time.Hour), now, spike.Window.Length, 0, now)
			last := moments[len(moments)-1]
			if last.Items > spike.Window.Items {
				continue // what is left of a spike that was told is drawn, and not judged
			}
			spikes++
			if last.Count < spike.Window.Negative || last.Items < spike.Window.Items || float64(last.Count) < last.Limit {
				t.Errorf("%s at %s: window %+v, drawn %+v", spike.Series, now, spike.Window, last)
			}
			if !last.At.After(now) || last.At.After(now.Add(trend.BucketLength)) {
				t.Errorf("now is %s, the last moment %s", now, last.At)
			}
		}
	}
	if spikes < 5 {
		t.Errorf("%d spikes: too few to tell", spikes)
	}
	quiet := history.Slide(news.Series{Entity: "E1"}, "", monday.Add(9*24*time.Hour), monday.Add(10*24*time.Hour), time.Hour, 0, arrivals[len(arrivals)-1])
	if len(quiet) != 24*12 {
		t.Fatalf("%d moments in a day", len(quiet))
	}
	for _, m := range quiet {
		if m.Limit < 3 || m.Expected <= 0 || float64(m.Count) >= m.Limit {
			t.Errorf("a quiet hour is %+v", m)
		}
	}
	if got := history.Slide(news.Series{Entity: "nobody"}, "", monday, monday.Add(time.Hour), time.Hour, 0, monday); got != nil {
		t.Errorf("of a series that nobody knows: %v", got)
	}
}

// The course of a burst among neutral texts, in a series that hardly had news before, is below the
// limit until the rule fires and over it when it does: as Store sees it and as History does, at
// once and hours later.
func TestABurstCrossesTheLimitAsItFires(t *testing.T) {
	for name, rule := range map[string]trend.Rule{"the demo's threshold": {Surprise: 4, WarmUp: 6 * time.Hour}, "by a budget": {}} {
		t.Run(name, func(t *testing.T) {
			c := &clock{}
			s, history := newStore(t, realRedis(t), c, rule), trend.NewHistory(rule, 0)
			of := news.Series{Entity: "BA"}
			lasts := func(window time.Duration, told float64) (both [2]trend.Moment) {
				t.Helper()
				moments, err := s.Slide(t.Context(), of, "", c.at, c.at.Add(time.Second), window, told)
				if err != nil || len(moments) != 1 {
					t.Fatalf("%d moments, %v", len(moments), err)
				}
				return [2]trend.Moment{moments[0], history.Slide(of, "", c.at, c.at.Add(time.Second), window, told, c.at)[0]}
			}
			var fired news.Spike
			windows := []time.Duration{15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour}
			for _, r := range burstOfNeutralsToo() {
				c.at = r.PublishedAt
				var spike news.Spike
				for _, found := range observe(t, s, r) {
					if found.Series == of {
						spike = found
					}
				}
				inHistory := false
				for _, found := range history.Observe(&r, c.at) {
					inHistory = inHistory || found.Series == of
				}
				if inHistory != (spike.Surprise > 0) {
					t.Fatalf("at %s the store found %+v, history did: %t", c.at, spike, inHistory)
				}
				switch {
				case spike.Surprise > 0 && fired.Surprise == 0:
					fired = spike
					for _, m := range lasts(spike.Window.Length, spike.Surprise) {
						if m.Count != spike.Window.Negative || float64(m.Count) < m.Limit {
							t.Errorf("fired on %+v, drawn %+v", spike.Window, m)
						}
					}
				case fired.Surprise == 0 && r.Entities[0] == "BA":
					for _, window := range windows {
						for _, m := range lasts(window, 0) {
							if float64(m.Count) >= m.Limit {
								t.Errorf("not fired at %s, drawn over %s as %+v", c.at, window, m)
							}
						}
					}
				}
			}
			if fired.Surprise == 0 {
				t.Fatal("the burst fired nothing")
			}
			c.at = fired.At.Add(5 * time.Hour)
			from, to := fired.StartedAt.Add(-6*time.Hour), fired.At.Add(time.Second)
			later, err := s.Slide(t.Context(), of, "", from, to, fired.Window.Length, fired.Surprise)
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range history.Slide(of, "", from, to, fired.Window.Length, fired.Surprise, c.at) {
				for _, m := range []trend.Moment{later[i], m} {
					switch over := float64(m.Count) >= m.Limit; {
					case m.At.After(fired.At) && !over:
						t.Errorf("five hours later the firing at %s is drawn as %+v", fired.At, m)
					case !m.At.After(fired.StartedAt) && (over || math.IsInf(m.Limit, 1)):
						t.Errorf("five hours later the hours before are drawn as %+v", m)
					}
				}
			}
		})
	}
}

// What is drawn of a positive or a volume spike is what it is of: its curve crosses the limit as it
// fires and not before, in the store as in history, and the buckets below have the same items. Of a
// kind that nobody looks for nothing is known.
func TestASpikeOfEachKindCrossesItsLimit(t *testing.T) {
	mood := map[news.SpikeKind]news.Sentiment{news.SpikePositive: {Positive: .9}, news.SpikeVolume: {Neutral: .9}}
	of := news.Series{Entity: "BA"}
	for kind, mood := range mood {
		c, rule := &clock{}, trend.Rule{Surprise: 4, Spikes: []news.SpikeKind{news.SpikeNegative, kind}}
		s, history := newStore(t, realRedis(t), c, rule), trend.NewHistory(rule, 0)
		begin, fired := monday.Add(50*time.Hour), news.Spike{}
		for i := 0; fired.Surprise == 0; i++ {
			if i == 700 {
				t.Fatalf("no %s spike", kind)
			}
			c.at = monday.Add(time.Duration(i) * 5 * time.Minute)
			r := reading(fmt.Sprint(i), c.at, .1, "BA")
			if i%6 == 0 {
				r.Sentiment = news.Sentiment{Positive: .9}
			}
			if over := i - 600; over >= 0 {
				c.at = begin.Add(time.Duration(over) * 20 * time.Second)
				r.PublishedAt, r.Sentiment = c.at, mood
			}
			history.Observe(&r, c.at)
			for _, spike := range observe(t, s, r) {
				if spike.Series == of && spike.Kind == kind {
					fired = spike
				}
			}
		}
		from, to := begin.Add(-6*time.Hour), c.at.Add(time.Second)
		stored, err := s.Slide(t.Context(), of, kind, from, to, fired.Window.Length, fired.Surprise)
		if err != nil || len(stored) < 70 {
			t.Fatalf("%d moments, %v", len(stored), err)
		}
		for _, moments := range [][]trend.Moment{stored, history.Slide(of, kind, from, to, fired.Window.Length, fired.Surprise, c.at)} {
			for i, m := range moments {
				switch over := float64(m.Count) >= m.Limit; {
				case i == len(moments)-1 && (!over || m.Count != fired.Count()):
					t.Errorf("a %s spike of %+v is drawn as %+v", kind, fired.Window, m)
				case !m.At.After(begin) && (over || math.IsInf(m.Limit, 1) || m.Expected <= 0):
					t.Errorf("before a %s spike is drawn %+v", kind, m)
				}
			}
		}
		from = to.Add(-fired.Window.Length)
		stores, err := s.Buckets(t.Context(), of, kind, from, to)
		if err != nil {
			t.Fatal(err)
		}
		for _, buckets := range [][]trend.Bucket{stores, history.Buckets(of, kind, from, to)} {
			total := 0
			for _, b := range buckets {
				total += b.Count(kind)
				if b.Count(news.SpikeNegative) > 0 {
					t.Errorf("a bucket of a %s spike has negatives: %+v", kind, b)
				}
			}
			if total < fired.Count()-1 || total > fired.Count() { // the window begins within a bucket
				t.Errorf("buckets of %d, where the %s spike is of %d", total, kind, fired.Count())
			}
		}
		none := map[news.SpikeKind]news.SpikeKind{news.SpikePositive: news.SpikeVolume, news.SpikeVolume: news.SpikePositive}[kind]
		unknown, err := s.Slide(t.Context(), of, none, from, to, time.Hour, 0)
		if err != nil || unknown != nil || history.Slide(of, none, from, to, time.Hour, 0, c.at) != nil || history.Buckets(of, none, from, to) != nil {
			t.Errorf("%d %s moments, %v, where nobody looks for them", len(unknown), none, err)
		}
	}
}

// burstOfNeutralsToo is a day of several companies, with little about BA, then forty minutes of
// bad news about it in which each third text is neutral.
func burstOfNeutralsToo() (out []news.Reading) {
	rng := rand.New(rand.NewPCG(7, 7))
	begin := monday.Add(26*time.Hour + 22*time.Minute)
	for at := monday; at.Before(begin); at = at.Add(3 * time.Minute) {
		entity, negative := fmt.Sprint("E", rng.IntN(6)), .1
		if rng.IntN(150) == 0 {
			entity = "BA"
		}
		if rng.IntN(5) == 0 {
			negative = .9
		}
		out = append(out, reading(fmt.Sprint("quiet", len(out)), at, negative, entity))
	}
	for i := range 24 {
		negative := .9
		if i%3 == 1 {
			negative = .1
		}
		out = append(out, reading(fmt.Sprint("burst", i), begin.Add(time.Duration(i)*100*time.Second), negative, "BA"))
	}
	return out
}

// Store draws what History draws; in the warm-up nothing has a limit.
func TestStoreSlidesAsHistoryDoes(t *testing.T) {
	c := &clock{}
	s := troubledStore(t, realRedis(t), c, trend.Rule{})
	history := trend.NewHistory(trend.Rule{}, 0)
	readings, arrivals := fortnight(6)
	of := news.Series{Entity: "E0"}
	for i, r := range readings[:1200] {
		c.at = arrivals[i]
		observe(t, s, r)
		history.Observe(&r, c.at)
		if i%400 != 100 {
			continue
		}
		got, err := s.Slide(t.Context(), of, "", c.at.Add(-12*time.Hour), c.at, time.Hour, 0)
		if err != nil {
			t.Fatal(err)
		}
		want := history.Slide(of, "", c.at.Add(-12*time.Hour), c.at, time.Hour, 0, c.at)
		if len(got) != len(want) || len(got) == 0 {
			t.Fatalf("%d moments, history has %d", len(got), len(want))
		}
		for j := range got {
			if g, w := got[j], want[j]; g.At != w.At || g.Items != w.Items || g.Count != w.Count ||
				g.Limit != w.Limit || math.Abs(g.Expected-w.Expected) > 1e-3*w.Expected {
				t.Fatalf("after %d readings\nstore   %+v\nhistory %+v", i, g, w)
			}
			if warm := c.at.Sub(arrivals[0]) >= 24*time.Hour; warm == math.IsInf(got[j].Limit, 1) {
				t.Fatalf("limit %g after %s", got[j].Limit, c.at.Sub(arrivals[0]))
			}
		}
	}
}
