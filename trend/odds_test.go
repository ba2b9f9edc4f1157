package trend

import (
	"math"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
)

// Texts that lean to negative add to a burst, and are none where they are usual.
func TestWhatLeansCountsInPart(t *testing.T) {
	b := usual(48, .2)
	surprise := func(c count) float64 {
		return judge(ago(map[int]count{5: c}), &b, noPrior(), unixSeconds(noon), 3).surprise
	}
	plain := surprise(count{items: 9, negative: 5})
	leaning := surprise(count{items: 9, negative: 5, leaning: 3})
	called := surprise(count{items: 9, negative: 8})
	if plain+.2 > leaning || leaning+.2 > called {
		t.Errorf("surprise %.2f of 5 negative in 9, %.2f with 3 of the others leaning, %.2f with 8: want them to rise", plain, leaning, called)
	}
	if got := surprise(count{items: 20, negative: 4, leaning: 6}); got > 2 {
		t.Errorf("surprise %.2f of a few more items than usual, of which a usual part is negative", got)
	}
	used := usual(48, .2)
	for range 28 * 48 { // a classifier that is unsure of most
		used.learnChunk(used.next, 1, .2, .5, noPrior())
		used.pass(1)
	}
	of := judge(ago(map[int]count{5: {items: 9, negative: 5, leaning: 3}}), &used, noPrior(), unixSeconds(noon), 3)
	if of.surprise > leaning-.2 {
		t.Errorf("surprise %.2f where half of the items lean, %.2f where an eighth does", of.surprise, leaning)
	}
	if math.Abs(of.share-.2) > .02 || of.got.negative != 5 {
		t.Errorf("people are shown a usual share of %.2f and %d negatives: want those called negative", of.share, of.got.negative)
	}
}

// A spike may have begun with any of the windows: each that is unusual adds to the surprise.
func TestWindowsAddUp(t *testing.T) {
	b := usual(48, .2)
	r := ago(map[int]count{5: {items: 3, negative: 3}, 50: {items: 3, negative: 3}, 170: {items: 4, negative: 4}})
	v := judge(r, &b, noPrior(), unixSeconds(noon), 3)
	best, sum := 0.0, 0.0
	at := looks(r, &b, noPrior(), bucketOf(noon), math.MinInt64, unixSeconds(noon))
	for i := range at {
		odds := at[i].odds(3)
		sum += odds
		if odds > best {
			best = odds
			if window := time.Duration(at[i].seconds) * time.Second; v.window < window && i < len(at)-1 && at[i+1].odds(3) < odds {
				t.Errorf("the window of %s explains, that of %s says more", v.window, window)
			}
		}
	}
	if math.Abs(v.surprise-surpriseOf(sum)) > 1e-9 || v.surprise < surpriseOf(best)+.1 {
		t.Errorf("surprise %.2f, all windows together %.2f, the best %.2f", v.surprise, surpriseOf(sum), surpriseOf(best))
	}
}

// The hours before a short window tell of today's volume too; a surge may begin with the window.
func TestTheHoursBeforeTellOfTheVolume(t *testing.T) {
	b := usual(480, .2)
	now := map[int]count{5: {items: 6, negative: 6}, 10: {items: 6, negative: 5}}
	surprise := func(before count) float64 {
		counts := map[int]count{60: before, 90: before}
		for minutes, c := range now {
			counts[minutes] = c
		}
		return judge(ago(counts), &b, noPrior(), unixSeconds(noon), 3).surprise
	}
	quiet, busy := surprise(count{items: 16, negative: 3}), surprise(count{items: 60, negative: 11})
	if busy > quiet-.2 {
		t.Errorf("surprise %.2f after two usual hours, %.2f after busy ones: want it less", quiet, busy)
	}
}

// Baselines of before there was anything that leans are judged by finite numbers, whatever they count.
func TestOldBaselinesAreJudged(t *testing.T) {
	for _, negative := range []float64{0, 20, 380, 400} { // of 400 items
		b := usual(400, negative/400)
		b.negative, b.seen = negative, 400
		old := []byte(b.encode())
		old[0] = 3
		known, err := decodeBase(string(old[:len(old)-5]), news.SpikeNegative)
		if err != nil || known.leaning < 0 || known.negative+known.leaning > known.seen {
			t.Fatalf("%v negatives: %v leaning (%v)", negative, known.leaning, err)
		}
		now := unixSeconds(noon)
		r := ring{{bucket: bucketOf(noon) - 3, items: 60, negative: 60}, {bucket: bucketOf(noon), items: 40, negative: 40}}
		for _, share := range []float64{.2, 1} {
			p := noPrior()
			p.share = share
			if v := judge(r, &known, p, now, 3); math.IsNaN(v.surprise) || negative < 100 && share < 1 && v.surprise == 0 {
				t.Errorf("%v negatives of 400, borrowed share %v: %+v", negative, share, v)
			}
		}
	}
}

// Many texts that lean to negative and few that are called so would be an alert of fewer negatives
// than it says are expected.
func TestWhatLeansAloneIsNoSpike(t *testing.T) {
	b := usual(480, .2)
	at := func(c count) verdict {
		return judge(ago(map[int]count{5: c}), &b, noPrior(), unixSeconds(noon), 3)
	}
	if v := at(count{items: 50, negative: 4, leaning: 40}); v.surprise > 0 {
		t.Errorf("4 of 50, and 40 that lean: %+v", v)
	}
	if v := at(count{items: 50, negative: 30, leaning: 10}); v.surprise < 2 || v.expected >= 30 {
		t.Errorf("30 of 50, and 10 that lean: %+v", v)
	}
}

// A text that many copy explains what came with it, not a spike of the hours around it.
func TestCopiesDoNotHideTheHoursAround(t *testing.T) {
	b := usual(48, .2)
	surprise := func(counts map[int]count) float64 {
		return judge(ago(counts), &b, noPrior(), unixSeconds(noon), 3).surprise
	}
	hours := map[int]count{70: {items: 3, negative: 3}, 100: {items: 3, negative: 3}, 160: {items: 3, negative: 3}}
	before := surprise(hours)
	hours[5] = count{items: 3, negative: 3, copies: 30, echoes: 30}
	if with := surprise(hours); with < before-math.Log10(2)-.1 {
		t.Errorf("surprise %.2f of three hours, %.2f with a text of 30 copies at their end: want most of it left", before, with)
	}
	if alone := surprise(map[int]count{5: hours[5]}); alone > 1.5 {
		t.Errorf("surprise %.2f of three texts that came with 30 copies", alone)
	}
}

// False alerts have few negatives beyond the expected, so that more of them count for more.
func TestLargeSpikesAreLikelier(t *testing.T) {
	for _, c := range []struct {
		beyond int // the expected
		times  float64
	}{{4, 1}, {5, 1}, {10, 2}, {15, 3}, {20, 4}, {60, 4}} {
		l := look{window: windows[2], share: beta{20, 80}, told: beta{20, 80}, shape: 6, usual: 10}
		l.got.items = 8
		expected, _, _ := l.negatives(l.day(), 1)
		l.share, l.usual = beta{20e3, 80e3}, l.usual*2/expected
		l.got.items, l.got.negative = 8+2+c.beyond, 2+c.beyond
		plain := 0.0
		for _, multiple := range multiples {
			plain += math.Exp(l.density(1+recognised*(multiple-1))-l.density(1)) / float64(len(multiples))
		}
		plain *= l.last * float64(l.seconds) / halfDay
		l.rest.got = l.got
		expected, _, _ = l.negatives(l.day(), 1)
		want := math.Min(largeMost, math.Max(1, (float64(l.got.negative)-expected)/largeFrom))
		if got := l.odds(3) / plain; math.Abs(got-want) > 1e-6 || math.Abs(want-c.times) > .2 {
			t.Errorf("%d beyond the expected: odds %.3f times as high, want %.3f, some %v", c.beyond, got, want, c.times)
		}
	}
}
