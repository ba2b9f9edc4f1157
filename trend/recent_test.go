package trend

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/barograph/barograph/news"
)

// What came within the last members is known, what never came is not, and what came long before is
// forgotten. More series remember more.
func TestTheLastOnesAreKnown(t *testing.T) {
	for _, series := range []int{0, 1000} {
		kept := max(recentLeast, recentKept*series)
		rng := rand.New(rand.NewPCG(7, uint64(series)))
		type when struct{ calls, members int }
		last := map[uint64]when{}
		var members []uint64 // as they came first
		var r recent
		known, forgotten := 0, 0 // of those that came again
		for calls := range 10 * kept {
			member := rng.Uint64()
			if n := len(members); n > 0 && rng.IntN(3) == 0 {
				member = members[n-1-rng.IntN(min(n, 4*kept))]
			}
			before, came := last[member]
			first := r.first(0, member, series)
			switch {
			case !came:
				members = append(members, member)
				if !first {
					t.Fatalf("%d series: %x is known and never came", series, member)
				}
			case calls-before.calls <= kept:
				if known++; first {
					t.Fatalf("%d series: %x is forgotten after %d others, and %d are kept", series, member, calls-before.calls, kept)
				}
			case len(members)-before.members >= 2*kept:
				if forgotten++; !first {
					t.Fatalf("%d series: %x is known after %d others, and %d are kept", series, member, len(members)-before.members, kept)
				}
			}
			last[member] = when{calls, len(members)}
		}
		if known < kept/4 || forgotten < kept/4 {
			t.Errorf("%d series: %d came again soon, %d late: too little to tell", series, known, forgotten)
		}
	}
}

// A member is one of its day.
func TestRecentGoesByDays(t *testing.T) {
	var r recent
	for _, member := range []uint64{0, 1 << 63, 12345} {
		for day := range int64(3) {
			if !r.first(20_000+day, member, 0) || r.first(20_000+day, member, 0) {
				t.Errorf("%x on day %d is not new just once", member, day)
			}
		}
	}
}

// Peaks are for the threshold that is worked out of them: where one is given, none are kept.
func TestAGivenThresholdKeepsNoPeaks(t *testing.T) {
	for surprise, most := range map[float64]int{0: 16, 3: 0} {
		r := NewReplay(Rule{Surprise: surprise})
		const days = 40
		for i := range 50 * days {
			at := atOf(i, 50*days, days)
			r.Add(Event{ID: fmt.Sprint(i), Text: fmt.Sprint("text", i), Series: news.Series{Entity: "E"}, Arrival: at, At: at, Negative: i%50 < 6})
		}
		if n := len(r.budget.peaks); n > most || n == 0 && most > 0 {
			t.Errorf("surprise %v: peaks of %d days after %d, want %d at most", surprise, n, days, most)
		}
	}
}

// Ten times the readings a day of the same series take no more memory, as readings and as events.
func TestHistoryKeepsNoMoreOfMoreReadings(t *testing.T) {
	const days, few = 4, 5000 // readings a day
	for name, replay := range map[string]func(n int) any{
		"readings": func(n int) any {
			h := NewHistory(Rule{}, 0)
			for i := range n {
				r := news.Reading{ID: fmt.Sprint(i), Source: "wire", TextDigest: fmt.Sprint("text", i), PublishedAt: atOf(i, n, days),
					Entities: []string{fmt.Sprint("E", i%5)}, Topic: news.Topic{Label: fmt.Sprint("T", i%4)}, Sentiment: news.Sentiment{Neutral: 1}}
				h.Observe(&r, r.PublishedAt)
			}
			if h.Counts.Repeats+h.Counts.Copies+h.Counts.Refused > 0 || h.Series() != 1+5+4+20 {
				t.Errorf("%d series, %+v", h.Series(), h.Counts)
			}
			return h
		},
		"events": func(n int) any {
			r := NewReplay(Rule{})
			for i := range n {
				at := atOf(i, n, days)
				r.Add(Event{ID: fmt.Sprint(i), Text: fmt.Sprint("text", i), Series: news.Series{Entity: fmt.Sprint("E", i%5), Topic: fmt.Sprint("T", i%4)},
					Arrival: at, At: at})
			}
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			some, more := heldBy(func() any { return replay(days * few) }), heldBy(func() any { return replay(10 * days * few) })
			t.Logf("%d kB, with ten times the readings %d kB", some>>10, more>>10)
			if more > some+some/4+512<<10 {
				t.Errorf("%d readings a day hold %d kB, ten times as many %d kB", few, some>>10, more>>10)
			}
		})
	}
}

func atOf(i, n, days int) time.Time {
	return time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC).Add(time.Duration(i) * time.Duration(days) * 24 * time.Hour / time.Duration(n))
}

// heldBy is the memory of what is made, in bytes.
func heldBy(make func() any) int {
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	made := make()
	after := heap()
	runtime.KeepAlive(made)
	return after - before
}
