package trend_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// crowd is n readings of 20,000 companies, few of which make most of the news, over so
// much of event time before end.
func crowd(rng *rand.Rand, first, n int, end time.Time, over time.Duration) []news.Reading {
	companies := rand.NewZipf(rng, 1.1, 8, 19999)
	topics := []string{"Earnings", "Legal", "Product", "Macro", "Management", "Merger", "Guidance", "Security"}
	out := make([]news.Reading, n)
	for i := range out {
		id := fmt.Sprintf("%016x", first+i)
		r := reading(id, end.Add(-time.Duration(rng.Int64N(int64(over)))), .1, fmt.Sprintf("E%05d", companies.Uint64()))
		r.Topic.Label = topics[rng.IntN(len(topics))]
		r.Title = "Shares of the company fall after it cuts its outlook for the year, citing weaker demand"
		r.URL = "https://www.example.com/markets/2026/03/02/" + id + ".html"
		r.TextDigest = id
		r.TextSketch = fmt.Sprintf("%04x%012x", rng.IntN(1<<16)*rng.IntN(2), rng.Uint64()>>16) // half of them state no facts
		r.Model = news.Model{Name: "bge-small-en-sentiment", Version: "1", Digest: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}
		if rng.IntN(5) == 0 {
			r.Sentiment.Negative = .9
		}
		out[i] = r
	}
	return out
}

// BenchmarkObserve is the speed of counting and judging in a real Redis. redis-us/reading
// is the processor time of Redis: its inverse is what a core for Redis alone can do.
func BenchmarkObserve(b *testing.B) {
	for name, over := range map[string]time.Duration{"live": time.Minute, "backfill": 20 * time.Hour} {
		for _, size := range []int{32, 512} {
			b.Run(fmt.Sprintf("%s/batch=%d", name, size), func(b *testing.B) {
				client := realRedis(b)
				c := &clock{monday}
				s := newStore(b, client, c, trend.Rule{})
				rng := rand.New(rand.NewPCG(1, 1))
				n := 0
				next := func() []news.Reading {
					n += size
					c.at = monday.Add(time.Duration(n) * time.Second / 20000)
					return crowd(rng, n, size, c.at, over)
				}
				for n < 20000 {
					observe(b, s, next()...)
				}
				spent := cpuTime(b, client)
				counted := 0
				for b.Loop() {
					b.StopTimer()
					batch := next()
					b.StartTimer()
					observe(b, s, batch...)
					counted += size
				}
				b.ReportMetric(float64(counted)/b.Elapsed().Seconds(), "readings/s")
				b.ReportMetric(float64((cpuTime(b, client)-spent).Microseconds())/float64(counted), "redis-us/reading")
			})
		}
	}
}

var usedCPU = regexp.MustCompile(`used_cpu_(?:sys|user):([0-9.]+)`)

// cpuTime is the processor time that the server has used.
func cpuTime(t testing.TB, client redis.UniversalClient) time.Duration {
	info, err := client.Info(context.Background(), "cpu").Result()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, m := range usedCPU.FindAllStringSubmatch(info, -1) {
		seconds, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			t.Fatal(err)
		}
		total += seconds
	}
	return time.Duration(total * float64(time.Second))
}

// What a company costs in Redis: the promise is 2 kB for a quiet and 20 kB for a busy one,
// for all keys of its series, without the ids and texts that are remembered for a day.
func TestMemoryOfASeries(t *testing.T) {
	for name, c := range map[string]struct {
		perDay, limit int
	}{"quiet": {10, 2000}, "busy": {4800, 20000}} {
		client := realRedis(t)
		at := &clock{monday}
		s := newStore(t, client, at, trend.Rule{})
		rng := rand.New(rand.NewPCG(2, 1))
		var batch []news.Reading
		step := 24 * time.Hour / time.Duration(c.perDay)
		for i := range 3 * c.perDay {
			at.at = monday.Add(time.Duration(i) * step)
			r := crowd(rng, i, 1, at.at, step)[0]
			r.Entities, r.Topic.Label = []string{"AAPL"}, ""
			if batch = append(batch, r); len(batch) == 20 || step > time.Hour {
				observe(t, s, batch...)
				batch = nil
			}
		}
		total := 0
		for _, kind := range []string{"counts", "base", "evidence", "sources"} {
			one := memory(t, client, "barograph:*:"+kind+":AAPL\x1f")
			t.Logf("%s %s: %d bytes", name, kind, one)
			total += one
		}
		near := memory(t, client, "barograph:*:sketches2:AAPL")
		t.Logf("%s sketches: %d bytes", name, near)
		total += near
		remembered := memory(t, client, "barograph:*:ids:*") + memory(t, client, "barograph:*:texts:*")
		t.Logf("%s company (%d items a day): %d bytes; remembered ids and texts: %d bytes for each reading of a day (in 2 groups)",
			name, c.perDay, total, remembered/c.perDay)
		if total > c.limit {
			t.Errorf("%s company: %d bytes, want at most %d", name, total, c.limit)
		}
	}
}

func memory(t testing.TB, client redis.UniversalClient, pattern string) int {
	ctx := context.Background()
	names, err := client.Keys(ctx, pattern).Result()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, name := range names {
		total += int(client.MemoryUsage(ctx, name, 0).Val())
	}
	return total
}
