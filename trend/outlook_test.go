package trend_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

func outlook(t *testing.T, s *trend.Store, of ...news.Series) []trend.Outlook {
	t.Helper()
	out, err := s.Outlook(t.Context(), of)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is shown of a series is what the rule decides by.
func TestOutlookIsWhatTheRuleSees(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		c := &clock{monday}
		s := newStore(t, client, c, trend.Rule{Surprise: 3, WarmUp: -1})
		boeing, apple, unknown := news.Series{Entity: "BA"}, news.Series{Entity: "AAPL"}, news.Series{Entity: "IBM"}
		observe(t, s, reading("calm", monday, .1, "AAPL"))
		var spikes []news.Spike
		for i := range 8 {
			spikes = observe(t, s, reading(fmt.Sprint(i), monday, .9, "BA"))
		}
		if len(spikes) == 0 {
			t.Fatal("eight negatives are no spike")
		}
		got := outlook(t, s, apple, boeing, unknown)
		for _, spike := range spikes {
			if spike.Series != boeing {
				continue
			}
			if got[1].Surprise != spike.Surprise || got[1].Window != spike.Window || got[1].Expected != spike.Expected || got[1].ShareBefore != spike.ShareBefore {
				t.Errorf("outlook %+v, want the numbers of %+v", got[1], spike)
			}
		}
		if got[0].Surprise != 0 || got[0].Window.Length != 0 || len(got[0].Recent) != 1 {
			t.Errorf("of one calm item: %+v, want one bucket and nothing worth a look", got[0])
		}
		if want := (trend.Outlook{Series: unknown, Kind: news.SpikeNegative}); !reflect.DeepEqual(got[2], want) {
			t.Errorf("of an unknown series: %+v, want only its name and the kind", got[2])
		}
		if again := outlook(t, s, apple, boeing, unknown); !reflect.DeepEqual(again, got) {
			t.Error("a look changed something")
		}
	})
}

// A company's topic is judged with what other topics of the company spill into it: the outlook
// counts that in as Observe does, whichever series are asked for beside it.
func TestOutlookOfACompanysTopicIsWhatTheRuleSees(t *testing.T) {
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		c := &clock{monday}
		s := newStore(t, client, c, trend.Rule{Surprise: 1, WarmUp: -1})
		about := func(id, topic string, negative float64, entity string) news.Reading {
			r := reading(id, c.at, negative, entity)
			r.Topic.Label = topic
			return r
		}
		for i := range 3 * 24 { // what is usual: an hourly item of each topic, hardly any bad
			c.at = monday.Add(time.Duration(i) * time.Hour)
			observe(t, s, about(fmt.Sprint("law", i), "Legal", .1+.8*float64(i%24/23), "BA"), about(fmt.Sprint("pay", i), "Earnings", .1, "BA"))
		}
		var all []news.Reading
		for i := range 60 {
			all = append(all, about(fmt.Sprint("bad", i), "Earnings", .9, "BA"))
		}
		for i := range 7 {
			all = append(all, about(fmt.Sprint("worse", i), "Legal", .9, "BA"))
		}
		legal := news.Series{Entity: "BA", Topic: "Legal"}
		spike, found := bySeries(observe(t, s, all...))[legal]
		if !found {
			t.Fatal("seven negatives are no spike")
		}
		for _, beside := range [][]news.Series{{legal}, {{Entity: "BA"}, legal, {Entity: "BA", Topic: "Earnings"}}} {
			for _, got := range outlook(t, s, beside...) {
				if got.Series == legal && (got.Surprise != spike.Surprise || got.Window != spike.Window || got.Expected != spike.Expected) {
					t.Errorf("asked for %v: %+v, want the numbers of %+v", beside, got, spike)
				}
			}
		}
	})
}

func TestCourse(t *testing.T) {
	c := &clock{monday}
	s := newStore(t, realRedis(t), c, trend.Rule{})
	boeing := news.Series{Entity: "BA"}
	for i := range 7 * 48 { // a week with two items each half hour, one of four negative
		at := monday.Add(time.Duration(i) * 30 * time.Minute)
		c.at = at
		p := .1
		if i%2 == 0 {
			p = .9
		}
		observe(t, s, reading(fmt.Sprint("a", i), at, p, "BA"), reading(fmt.Sprint("b", i), at, .1, "BA"))
	}
	steps, err := s.Course(t.Context(), boeing, "", c.at.Add(-12*time.Hour), c.at, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 13 { // from 23:30, taken back to 23:00, to 11:30
		t.Fatalf("%d steps", len(steps))
	}
	for _, step := range steps[:12] {
		if step.Items != 4 || step.Negative != 1 {
			t.Errorf("%s: %d of %d negative, want 1 of 4", step.Start, step.Negative, step.Items)
		}
		if step.Usual < 2.5 || step.Usual > 4.5 || step.Expected < .6 || step.Expected > 1.2 {
			t.Errorf("%s: %.2f items usual and %.2f negatives expected, want about 4 and 1", step.Start, step.Usual, step.Expected)
		}
		if step.Low > 1 || step.High < 2 || step.High > 5 {
			t.Errorf("%s: between %g and %g, want a band around 1", step.Start, step.Low, step.High)
		}
	}
	if last, before := steps[12], steps[11]; last.Usual >= before.Usual {
		t.Errorf("%.2f items usual in the step that has only begun, %.2f in the one before", last.Usual, before.Usual)
	}
	if _, err := s.Course(t.Context(), boeing, "", c.at, c.at, 7*time.Minute); err == nil {
		t.Error("a step of seven minutes was taken")
	}
}

// Few items are told from nothing unusual; and what is judged is counted by what came of it.
func TestTheRuleSaysThatItAbstains(t *testing.T) {
	c := &clock{monday}
	registry := prometheus.NewRegistry()
	s, err := trend.New(trend.Config{Redis: realRedis(t), Clock: func() time.Time { return c.at }, Rule: trend.Rule{Surprise: 2, WarmUp: -1}, Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		observe(t, s, reading(fmt.Sprint("calm", i), c.at, .1, "CALM"))
	}
	observe(t, s, reading("few", c.at, .9, "FEW"))
	for i := range 12 {
		observe(t, s, reading(fmt.Sprint("bad", i), c.at, .9, "BAD"))
	}
	for i, got := range outlook(t, s, news.Series{Entity: "CALM"}, news.Series{Entity: "FEW"}, news.Series{Entity: "BAD"}) {
		if want := i == 1; got.TooFew != want {
			t.Errorf("%s: too few %t, want %t: %+v", got.Series, got.TooFew, want, got)
		}
	}
	volume := newStore(t, realRedis(t), c, trend.Rule{Surprise: 2, WarmUp: -1, Spikes: []news.SpikeKind{news.SpikeVolume}})
	for day := range 4 {
		for i := range 48 {
			c.at = monday.Add(time.Duration(day)*24*time.Hour + time.Duration(i)*30*time.Minute)
			observe(t, volume, reading(fmt.Sprint(day, "-", i), c.at, .1, "OLD"))
		}
	}
	observe(t, volume, reading("new", c.at, .1, "NEW"))
	for i, got := range outlook(t, volume, news.Series{Entity: "OLD"}, news.Series{Entity: "NEW"}) {
		if want := i == 1; got.TooFew != want {
			t.Errorf("by volume, %s: too few %t, want %t: %+v", got.Series, got.TooFew, want, got)
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	outcomes := map[string]float64{}
	for _, f := range families {
		if f.GetName() == "barograph_trend_judged_total" {
			for _, m := range f.GetMetric() {
				outcomes[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
			}
		}
	}
	if outcomes["too_few"] < 3 || outcomes["spike"] < 1 || outcomes["warm_up"] != 0 {
		t.Errorf("outcomes %v", outcomes)
	}
}
