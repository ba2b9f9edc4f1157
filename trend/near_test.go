package trend_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// sketched is a reading with a text of its own and a sketch.
func sketched(id string, at time.Time, p float64, sketch uint64, entities ...string) news.Reading {
	r := reading(id, at, p, entities...)
	r.TextDigest, r.TextSketch = id, fmt.Sprintf("%016x", sketch)
	return r
}

func TestNearCopies(t *testing.T) {
	const story = 0x1234_5678_9abc_def0
	tests := []struct {
		name   string
		second uint64
		copied bool
	}{
		{"the same words", story, true},
		{"six bits", story ^ 0b11_1111, true},
		{"six bits in five bytes", story ^ 0x0000_0101_0101_0003, true},
		{"one bit in each byte", story ^ 0x0000_0101_0101_0101, false},
		{"seven bits", story ^ 0b111_1111, false},
		{"another fact", story ^ 1<<48, false},
		{"other words", 0x1234_ffff_0000_ffff, false},
	}
	eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
		for i, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				company := fmt.Sprint("C", i)
				of := news.Series{Entity: company}
				first, second := sketched(tt.name, monday, .9, story, company), sketched("2 "+tt.name, monday, .9, tt.second, company)
				s := newStore(t, client, &clock{monday}, trend.Rule{})
				history := trend.NewHistory(trend.Rule{}, 0)
				for range 2 { // a repeat changes nothing
					observe(t, s, first)
					observe(t, s, second)
					history.Observe(&first, monday)
					history.Observe(&second, monday)
				}
				want := news.Window{Length: time.Hour, Items: 2, Negative: 2}
				if tt.copied {
					want = news.Window{Length: time.Hour, Items: 1, Negative: 1, Copies: 1}
				}
				if got := window(t, s, of, monday, time.Hour); got != want {
					t.Errorf("%+v, want %+v", got, want)
				}
				if got := history.Counts.Near == 1; got != tt.copied {
					t.Errorf("history: %+v", history.Counts)
				}
			})
		}
	})
}

// A copy of a story of ten minutes before midnight is one until the end of the next day, whether it is an equal text, one too short
// for a sketch, or a near copy, and whichever comes first; then the story is news again.
func TestCopiesAfterMidnight(t *testing.T) {
	late := monday.Truncate(24 * time.Hour).Add(24*time.Hour - 10*time.Minute)
	told := func(id string, after time.Duration, digest, sketch string) news.Reading {
		r := reading(id, late.Add(after), .9, "AAPL")
		r.TextDigest, r.TextSketch = digest, sketch
		return r
	}
	const first, near = "123456789abcdef0", "123456789abcdef7"
	for name, c := range map[string]struct {
		after          time.Duration
		digest, sketch string
		of             string // sketch of the first
		copied         bool
	}{
		"an equal text":                  {20 * time.Minute, "aa", first, first, true},
		"a short one":                    {20 * time.Minute, "aa", "", "", true},
		"a near copy":                    {20 * time.Minute, "bb", near, first, true},
		"a near copy of 23 h after":      {23 * time.Hour, "bb", near, first, true},
		"another text":                   {20 * time.Minute, "bb", "", "", false},
		"an equal text of 26 h after":    {26 * time.Hour, "aa", first, first, false},
		"a short one of 26 h after":      {26 * time.Hour, "aa", "", "", false},
		"a near copy of 26 h after":      {26 * time.Hour, "bb", near, first, false},
		"a near copy of 11 h before":     {-11 * time.Hour, "bb", near, first, true},
		"an equal text of a day before":  {-23*time.Hour - 55*time.Minute, "aa", first, first, true},
		"an equal text, a week and more": {200 * time.Hour, "aa", first, first, false},
	} {
		t.Run(name, func(t *testing.T) {
			clock := &clock{late}
			s, h := newStore(t, realRedis(t), clock, trend.Rule{}), trend.NewHistory(trend.Rule{}, 0)
			one, other := told("1", 0, "aa", c.of), told("2", c.after, c.digest, c.sketch)
			for _, r := range []news.Reading{one, other} {
				if r.PublishedAt.After(clock.at) {
					clock.at = r.PublishedAt
				}
				observe(t, s, r)
				h.Observe(&r, clock.at)
			}
			for _, of := range []news.Series{{}, {Entity: "AAPL"}, {Topic: "Earnings"}} {
				if w := window(t, s, of, other.PublishedAt, trend.BucketLength); w.Items+w.Copies != 1 || w.Copies == 1 != c.copied {
					t.Errorf("%s: %+v", of, w)
				}
			}
			if got := h.Counts.Copies == 1; got != c.copied {
				t.Errorf("history: %+v", h.Counts)
			}
		})
	}
}

// In History, too, a list goes with its last text, before its hours begin anew.
func TestAHistoryForgetsSketches(t *testing.T) {
	h := trend.NewHistory(trend.Rule{}, 0)
	for i := range 40 {
		r := sketched(fmt.Sprint(i), monday.Add(time.Duration(i)*32*time.Hour), .9, 7, "AAPL") // 8 times this is 256 hours
		h.Observe(&r, r.PublishedAt)
	}
	if h.Counts.Copies != 0 {
		t.Errorf("%+v: texts of 32 h after each other are no copies", h.Counts)
	}
	r := sketched("silent", monday.Add((39*32+256)*time.Hour), .9, 7, "AAPL")
	if h.Observe(&r, r.PublishedAt); h.Counts.Copies != 0 {
		t.Errorf("%+v: nor is one of 256 h after", h.Counts)
	}
}

// A near copy counts in the reach of a spike, and on its own day and company only.
func TestWhereNearCopiesCount(t *testing.T) {
	c := &clock{monday}
	s := newStore(t, realRedis(t), c, trend.Rule{})
	of := news.Series{Entity: "AAPL"}
	observe(t, s, sketched("1", monday, .9, 7, "AAPL"), sketched("2", monday, .9, 7, "MSFT"))
	c.at = monday.Add(26 * time.Hour)
	observe(t, s, sketched("3", c.at, .9, 7, "AAPL"), sketched("late", monday.Add(3*time.Hour), .9, 7, "AAPL"))
	if got := window(t, s, of, c.at, 24*time.Hour); got.Items != 1 || got.Copies != 1 {
		t.Errorf("%+v, want the item of a day later and the late copy", got)
	}
}

// A burst of one story that is told anew everywhere is no spike; as many stories, each told
// anew as often as is usual, are one.
func TestRetoldStories(t *testing.T) {
	for stories, want := range map[int]bool{1: false, 9: true} {
		c := &clock{monday}
		s := newStore(t, realRedis(t), c, trend.Rule{WarmUp: -1})
		var batch []news.Reading
		rng := rand.New(rand.NewPCG(1, 1))
		for story := range stories {
			base := rng.Uint64()
			for told := range 18 / stories {
				batch = append(batch, sketched(fmt.Sprint(story, "-", told), monday, .9, base^uint64(told%4), "AAPL"))
			}
		}
		found := false
		for _, spike := range observe(t, s, batch...) {
			if spike.Series == (news.Series{Entity: "AAPL"}) {
				found = true
				if spike.Window.Copies != len(batch)-stories {
					t.Errorf("%d copies of %d stories, want %d", spike.Window.Copies, stories, len(batch)-stories)
				}
			}
		}
		if found != want {
			t.Errorf("%d stories of %d readings: a spike is %t, want %t", stories, len(batch), found, want)
		}
	}
}

// Of texts that are all near each other, how many are items and how many copies depends neither
// on their order, nor on repeats, nor on who brings them.
func TestNearCopiesOverReplicas(t *testing.T) {
	const stories, told = 60, 8
	var readings []news.Reading
	rng := rand.New(rand.NewPCG(31, 1))
	for story := range stories {
		base := rng.Uint64()
		for i := range told {
			near := base ^ uint64(rng.IntN(16)) // two of them differ in four bits at most
			at := monday.Add(-time.Duration(rng.Int64N(int64(11 * time.Hour))))
			readings = append(readings, sketched(fmt.Sprint(story, "-", i), at, rng.Float64(), near, []string{"AAPL", "MSFT"}[story%2]))
		}
	}
	for range 3 {
		client := realRedis(t)
		replicas := []*trend.Store{newStore(t, client, &clock{monday}, trend.Rule{}), newStore(t, client, &clock{monday}, trend.Rule{})}
		rng.Shuffle(len(readings), func(i, j int) { readings[i], readings[j] = readings[j], readings[i] })
		for first := 0; first < len(readings); first += 60 {
			observe(t, replicas[rng.IntN(2)], readings[first:first+60]...)
			observe(t, replicas[rng.IntN(2)], readings[first:first+30]...)
		}
		for of, n := range map[news.Series]int{{}: stories, {Entity: "AAPL"}: stories / 2, {Entity: "MSFT", Topic: "Earnings"}: stories / 2} {
			if got := window(t, replicas[0], of, monday, 13*time.Hour); got.Items != n || got.Copies != n*(told-1) {
				t.Errorf("%s: %d items and %d copies, want %d and %d", of, got.Items, got.Copies, n, n*(told-1))
			}
		}
	}
}

// A store finds in its lists what a plain search finds, also when lists overflow, and
// when a list is short and its first sketches become stale.
func TestNearListsAgree(t *testing.T) {
	for step, least := range map[time.Duration]int{3 * time.Minute: 300, 40 * time.Minute: 150} {
		eachRedis(t, func(t *testing.T, client redis.UniversalClient) {
			c := &clock{monday}
			s := newStore(t, client, c, trend.Rule{})
			history := trend.NewHistory(trend.Rule{}, 0)
			rng := rand.New(rand.NewPCG(37, 1))
			back := int(20 * time.Hour / step) // readings among which a near one may be
			var sketches []uint64
			for i := range 1500 {
				sketch := uint64(rng.IntN(2))<<48 | rng.Uint64()>>16
				if i > 0 && rng.IntN(3) > 0 {
					sketch = sketches[max(0, i-1-rng.IntN(back))]
					for range rng.IntN(10) {
						sketch ^= 1 << rng.IntN(49)
					}
				}
				sketches = append(sketches, sketch)
				c.at = monday.Add(time.Duration(i) * step)
				r := sketched(fmt.Sprint(i), c.at.Add(-time.Duration(rng.IntN(2))*11*time.Hour), .1, sketch, "AAPL")
				observe(t, s, r)
				history.Observe(&r, c.at)
				if i%20 != 19 {
					continue
				}
				of := news.Series{Entity: "AAPL"}
				got, err := s.Buckets(t.Context(), of, "", c.at.Add(-20*time.Hour), c.at)
				if want := history.Buckets(of, "", c.at.Add(-20*time.Hour), c.at); err != nil || !slices.Equal(got, want) {
					t.Errorf("a reading in %s: after %d readings %v (%v), History has %v", step, i+1, got, err, want)
				}
			}
			if history.Counts.Near < least {
				t.Errorf("a reading in %s: %d near copies: too few to tell", step, history.Counts.Near)
			}
		})
	}
}
