package main

import (
	"bytes"
	"fmt"
	"image/png"
	"math"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/chart"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// The picture in an alert tells why it was sent: when the rule fires the negatives are over the
// band of what is no spike, and before they are within it. Here a company with hardly any news
// has a burst within an hour, with neutral texts in it, as in the demo. Of an alert about good
// news it shows that.
func TestPictureOfAnAlertShowsWhyItFired(t *testing.T) {
	for kind, loud := range map[news.SpikeKind]news.Sentiment{news.SpikeNegative: {Negative: 1}, news.SpikePositive: {Positive: 1}} {
		t.Run(string(kind), func(t *testing.T) { pictureShowsWhyItFired(t, kind, loud) })
	}
}

func pictureShowsWhyItFired(t *testing.T, kind news.SpikeKind, loud news.Sentiment) {
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	store := testenv.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: store.Addr})
	t.Cleanup(func() { _ = client.Close() })
	counts, err := trend.New(trend.Config{Redis: client, Rule: trend.Rule{Surprise: demoSurprise, WarmUp: demoWarmUp, Spikes: []news.SpikeKind{news.SpikeNegative, kind}}, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	m := &monitor{counts: counts, clock: func() time.Time { return now }}
	of := news.Series{Entity: "BA"}
	read := 0
	observe := func(entity string, isLoud bool) (spike news.Spike) {
		read++
		r := news.Reading{ID: fmt.Sprint(read), Entities: []string{entity}, PublishedAt: now, Sentiment: news.Sentiment{Neutral: 1}}
		if isLoud {
			r.Sentiment = loud
		}
		found, err := counts.Observe(t.Context(), []news.Reading{r})
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range found {
			if one.Series == of && one.Kind == kind {
				spike = one
			}
		}
		return spike
	}
	for i := range 8 * 12 {
		now = now.Add(5 * time.Minute)
		observe(fmt.Sprint("E", i%7), i%5 == 0)
	}
	now = now.Add(2 * time.Minute)
	var a news.Alert
	for i := 0; a.ID == ""; i++ {
		if i == 20 {
			t.Fatal("the burst fired nothing")
		}
		now = now.Add(100 * time.Second)
		if s := observe("BA", i%3 != 1); s.Surprise > 0 {
			a = news.Alert{ID: "a1", Kind: kind, Series: of, StartedAt: s.StartedAt, FiredAt: s.At, Window: news.Duration(s.Window.Length), Surprise: s.Surprise,
				Negative: s.Window.Negative, Positive: s.Window.Positive, Items: s.Window.Items}
		}
	}
	check := func(course chart.Series) {
		t.Helper()
		fired := false
		for _, p := range course.Points {
			begin := p.At.Add(-trend.BucketLength)
			switch over := p.Count >= p.Limit; {
			case !begin.After(a.FiredAt) && a.FiredAt.Before(p.At):
				if fired = true; !over || p.Count < float64(a.Count()) {
					t.Errorf("the alert of %d at %s is drawn as %+v", a.Count(), a.FiredAt, p)
				}
			case p.At.Before(a.FiredAt) && (over || math.IsInf(p.Limit, 1)):
				t.Errorf("before the alert at %s is drawn %+v", a.FiredAt, p)
			}
		}
		bars := 0
		for _, b := range course.Buckets {
			bars += b.Count
		}
		if course.Kind != kind || bars < a.Count() {
			t.Errorf("the bars of a %s alert of %d hold %d %s ones", kind, a.Count(), bars, course.Kind)
		}
		if !fired || course.To.Before(a.FiredAt) || len(course.Buckets) == 0 {
			t.Errorf("%d points to %s do not show %s", len(course.Points), course.To, a.FiredAt)
		}
	}
	course, err := m.courseOf(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	check(course)
	for i := range 9 { // it goes on, and is resolved
		now = now.Add(100 * time.Second)
		observe("BA", i%3 != 1)
	}
	now = now.Add(2 * time.Hour)
	a.ResolvedAt = &now
	if course, err = m.courseOf(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	check(course)
	if len(course.Marks) != 2 || !course.Marks[1].Over {
		t.Errorf("marks %+v", course.Marks)
	}
	picture, err := m.chart(t.Context(), a)
	if err != nil {
		t.Fatal(err)
	}
	if size, err := png.DecodeConfig(bytes.NewReader(picture)); err != nil || size.Width < chartWidth*9/10 {
		t.Errorf("%+v, %v", size, err)
	}
}
