package trend

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// storeAt is a store on a Redis of its own whose clock stands still.
func storeAt(t *testing.T, now time.Time) (*Store, redis.UniversalClient) {
	client := redis.NewClient(&redis.Options{Addr: testenv.StartRedis(t).Addr})
	t.Cleanup(func() { client.Close() })
	s, err := New(Config{Redis: client, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	return s, client
}

func sketchedAs(id string, at time.Time, sketch uint64) news.Reading {
	return news.Reading{ID: id, PublishedAt: at, Entities: []string{"AAPL"}, TextDigest: id, TextSketch: fmt.Sprintf("%016x", sketch)}
}

// What other replicas add to a list of sketches, or cut from it, between a search and its script, is
// seen by the script.
func TestAListThatChangesAfterItsSearch(t *testing.T) {
	rng := rand.New(rand.NewPCG(61, 1))
	other := func(n int, at time.Time) (out []news.Reading) { // one near another is none of these
		for i := range n {
			out = append(out, sketchedAs(fmt.Sprint("other", n, "-", i), at, rng.Uint64()))
		}
		return out
	}
	const story = 0x1234_5678_9abc_def0
	late := []news.Reading{sketchedAs("late", noon, story^1), sketchedAs("later", noon, story^2)}
	for name, c := range map[string]struct {
		before, meanwhile []news.Reading
		near              bool
	}{
		"nothing comes":                        {nil, nil, false},
		"others come":                          {other(30, noon), other(40, noon), false},
		"a near one is there":                  {[]news.Reading{sketchedAs("first", noon, story)}, other(3, noon), true},
		"a near one comes first":               {nil, []news.Reading{sketchedAs("first", noon, story)}, true},
		"a near one comes":                     {other(90, noon), append(other(5, noon), sketchedAs("first", noon, story)), true},
		"a near one comes and the list is cut": {other(300, noon), append(other(30, noon), sketchedAs("first", noon, story)), true},
		"the near one is kept in a cut":        {append(other(280, noon), sketchedAs("first", noon, story)), other(60, noon), true},
		"the near one goes in a cut":           {append([]news.Reading{sketchedAs("first", noon, story)}, other(310, noon)...), other(20, noon), false},
		"stale ones are cut, one comes":        {other(1, noon.Add(-20*time.Hour)), []news.Reading{sketchedAs("first", noon, story)}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s, client := storeAt(t, noon)
			observeAll := func(readings []news.Reading) {
				t.Helper()
				for i := range readings {
					if _, err := s.Observe(t.Context(), readings[i:i+1]); err != nil {
						t.Fatal(err)
					}
				}
			}
			observeAll(c.before)
			plans := s.plans(late, noon)
			if err := s.search(t.Context(), plans, noon); err != nil {
				t.Fatal(err)
			}
			observeAll(c.meanwhile)
			if err := s.send(t.Context(), plans, noon, map[subject]*stored{}); err != nil {
				t.Fatal(err)
			}
			got, err := s.Window(t.Context(), news.Series{Entity: "AAPL"}, noon, time.Hour)
			// The two are near each other, too.
			if want := map[bool]int{true: 2, false: 1}[c.near]; err != nil || got.Copies != want {
				t.Errorf("%+v (%v), want %d near copies", got, err, want)
			}
			list, err := client.Get(t.Context(), s.keys.near(shardOf("AAPL"), "AAPL")).Result()
			if err != nil || len(list)%9 != 2 || (len(list)-2)/9 >= nearKept+nearSlack {
				t.Errorf("a list of %d bytes: %v", len(list), err)
			}
		})
	}
}

// A batch's texts are near each other only where the first of them was counted.
func TestNearOnesInABatch(t *testing.T) {
	s, _ := storeAt(t, noon)
	const story = 0x1234_5678_9abc_def0
	// Of three in a row, each near the next, the third is not near the first.
	first, second, third := sketchedAs("1", noon, story), sketchedAs("2", noon, story^0x0f), sketchedAs("3", noon, story^0xff)
	if _, err := s.Observe(t.Context(), []news.Reading{first, second, third}); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Window(t.Context(), news.Series{}, noon, time.Hour); err != nil || got.Items != 2 || got.Copies != 1 {
		t.Errorf("%+v (%v), want the first and the third as items", got, err)
	}
}

// A batch may bring more sketches than a list keeps.
func TestABatchOfManySketches(t *testing.T) {
	s, client := storeAt(t, noon)
	rng := rand.New(rand.NewPCG(71, 1))
	for first := range 2 {
		var readings []news.Reading
		for i := range 500 {
			readings = append(readings, sketchedAs(fmt.Sprintf("%d-%03d", first, i), noon, rng.Uint64()))
		}
		if _, err := s.Observe(t.Context(), readings); err != nil {
			t.Fatal(err)
		}
		list := client.Get(t.Context(), s.keys.near(shardOf("AAPL"), "AAPL")).Val()
		last, _ := sketchOf(readings[499].TextSketch, "", noon, noon)
		if len(list) != 2+9*nearKept || !strings.HasSuffix(list, string(last.pack(nil))) {
			t.Errorf("a list of %d bytes, want the last %d sketches", len(list), nearKept)
		}
	}
}

// What is not of ours under a list's name is taken for an empty list.
func TestForeignLists(t *testing.T) {
	s, client := storeAt(t, noon)
	for i, foreign := range []string{"x", "not a list", strings.Repeat("z", 5000)} {
		id := fmt.Sprint(i)
		if err := client.Set(t.Context(), s.keys.near(shardOf("AAPL"), "AAPL"), foreign, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Observe(t.Context(), []news.Reading{sketchedAs(id, noon, uint64(i)<<48), sketchedAs(id+" again", noon, uint64(i)<<48)}); err != nil {
			t.Errorf("%.10q: %v", foreign, err)
		}
		if got, err := s.Window(t.Context(), news.Series{Entity: "AAPL"}, noon, time.Hour); err != nil || got.Items != i+1 || got.Copies != i+1 {
			t.Errorf("%.10q: %+v, %v", foreign, got, err)
		}
	}
}

// Counts that many have written to are added up by what learns, and nothing is lost that is
// counted meanwhile.
func TestCountsAreMadeShort(t *testing.T) {
	s, client := storeAt(t, noon)
	of := subject{of: news.Series{Entity: "AAPL"}, kind: news.SpikeNegative}
	key := s.keys.ofSubject(of, "counts")
	rng := rand.New(rand.NewPCG(67, 1))
	want := ring{}
	one := func(i int) news.Reading {
		c := count{bucket: bucketOf(noon) - int64(rng.IntN(30)), items: 1}
		r := news.Reading{ID: fmt.Sprint(i), PublishedAt: startOf(c.bucket), Entities: []string{"AAPL"}, TextDigest: fmt.Sprint(i)}
		switch rng.IntN(4) {
		case 0:
			r.Sentiment.Negative, c.negative = .9, 1
		case 1:
			r.Sentiment = news.Sentiment{Negative: .3, Neutral: .7}
			c.leaning = 1
		case 2:
			r.TextDigest = "the same"
			if i > 3 {
				c = count{bucket: c.bucket, copies: 1}
			}
		}
		want = want.add(c)
		return r
	}
	same := news.Reading{ID: "same", PublishedAt: noon.Add(-3 * time.Hour), Entities: []string{"AAPL"}, TextDigest: "the same"}
	want = want.add(count{bucket: bucketOf(same.PublishedAt), items: 1})
	if _, err := s.Observe(t.Context(), []news.Reading{same}); err != nil {
		t.Fatal(err)
	}
	longest := 0
	for i := 10; i < 500; i++ {
		if _, err := s.Observe(t.Context(), []news.Reading{one(i)}); err != nil {
			t.Fatal(err)
		}
		text := client.Get(t.Context(), key).Val()
		longest = max(longest, strings.Count(text, ":"))
		if got, err := parseRing(text); err != nil || fmt.Sprint(got.ring) != fmt.Sprint(want) {
			t.Fatalf("after %d readings %v (%v), want %v", i, got.ring, err, want)
		}
	}
	if longest < 40 || longest > 100 { // of 31 buckets
		t.Errorf("%d entries at most, want some more than the buckets and not many more", longest)
	}
	// Between the read and the script that makes them short, another counts.
	found := map[subject]*stored{}
	readings := []news.Reading{one(1000)}
	if err := s.count(t.Context(), s.plans(readings, noon), noon, found); err != nil {
		t.Fatal(err)
	}
	state := found[of]
	if state == nil { // not a negative one: read it as it is
		states, err := s.peek(t.Context(), news.SpikeNegative, []news.Series{of.of}, noon)
		if err != nil {
			t.Fatal(err)
		}
		state = states[0]
	}
	state.entries += 1000
	if err := s.count(t.Context(), s.plans([]news.Reading{one(1001)}, noon), noon, map[subject]*stored{}); err != nil {
		t.Fatal(err)
	}
	if beaten, err := s.learn(t.Context(), map[subject]*stored{of: state}, noon); err != nil || len(beaten) > 0 {
		t.Fatalf("%d are beaten: %v", len(beaten), err)
	}
	text := client.Get(t.Context(), key).Val()
	if got, err := parseRing(text); err != nil || fmt.Sprint(got.ring) != fmt.Sprint(want) || got.entries != len(want) {
		t.Errorf("%q: %v (%v), want %v", text, got.ring, err, want)
	}
}
