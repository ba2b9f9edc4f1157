package trend_test

import (
	"math"
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
			if spike.Window.Copies > 0 {
				continue // the rule takes copies off the negatives, which Slide does not show
			}
			spikes++
			now := arrivals[i]
			moments := history.Slide(spike.Series, now.Add(-time.Hour), now, spike.Window.Length, now)
			last := moments[len(moments)-1]
			if last.Negative < spike.Window.Negative || last.Items < spike.Window.Items || float64(last.Negative) < last.Limit {
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
	quiet := history.Slide(news.Series{Entity: "E1"}, monday.Add(9*24*time.Hour), monday.Add(10*24*time.Hour), time.Hour, arrivals[len(arrivals)-1])
	if len(quiet) != 24*12 {
		t.Fatalf("%d moments in a day", len(quiet))
	}
	for _, m := range quiet {
		if m.Limit < 3 || m.Expected <= 0 || float64(m.Negative) >= m.Limit {
			t.Errorf("a quiet hour is %+v", m)
		}
	}
	if got := history.Slide(news.Series{Entity: "nobody"}, monday, monday.Add(time.Hour), time.Hour, monday); got != nil {
		t.Errorf("of a series that nobody knows: %v", got)
	}
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
		got, err := s.Slide(t.Context(), of, c.at.Add(-12*time.Hour), c.at, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		want := history.Slide(of, c.at.Add(-12*time.Hour), c.at, time.Hour, c.at)
		if len(got) != len(want) || len(got) == 0 {
			t.Fatalf("%d moments, history has %d", len(got), len(want))
		}
		for j := range got {
			if g, w := got[j], want[j]; g.At != w.At || g.Items != w.Items || g.Negative != w.Negative ||
				g.Limit != w.Limit || math.Abs(g.Expected-w.Expected) > 1e-3*w.Expected {
				t.Fatalf("after %d readings\nstore   %+v\nhistory %+v", i, g, w)
			}
			if warm := c.at.Sub(arrivals[0]) >= 24*time.Hour; warm == math.IsInf(got[j].Limit, 1) {
				t.Fatalf("limit %g after %s", got[j].Limit, c.at.Sub(arrivals[0]))
			}
		}
	}
}
