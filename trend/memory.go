package trend

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/news"
)

// Memory is what series cost in Redis, by a sample of them. What does not grow with the
// series is not in it: the ids and texts remembered for a day or two, some 20 bytes each, and
// the sketches of all texts together, 1.5 MB at most.
type Memory struct {
	Series int  // that have learnt in this month or the last, as Redis estimates it to within 1 %
	Quiet  Cost // series with fewer than BusyItems items in the last 24 h of event time
	Busy   Cost // the others
}

// BusyItems is how many items in 24 h of event time make a series a busy one.
const BusyItems = 500

// Cost is the size of some series: all their keys together, in bytes.
type Cost struct {
	Sampled int // series; 0 = none was met, and the other fields mean nothing
	Median  int
	Max     int
	Largest news.Series // that of Max
}

const (
	scanCount  = 500  // keys that Redis looks at in a call, some 0.1 ms
	scanCalls  = 2000 // at most to a server: a million keys, should most be foreign
	sampleStep = 100  // series measured in a round trip
)

// Memory measures at most so many series; 0 = 1,000. It is safe beside a running monitor: it
// walks the keys by SCAN, which gives them in the order of a hash, so that the first ones are
// as good as any, stops once it has enough or has seen a million keys, and asks for few keys at
// a time. On a Redis Cluster each master gives its part. It fails where Redis does not
// allow SCAN or MEMORY USAGE, or after several attempts.
func (s *Store) Memory(ctx context.Context, samples int) (Memory, error) {
	if samples <= 0 {
		samples = 1000
	}
	var m Memory
	err := s.retry(ctx, func(ctx context.Context) (err error) {
		m.Series, err = intOf(s.redis.PFCount(ctx, s.keys.seriesAlive(s.clock())...).Result())
		return err
	})
	if err != nil {
		return m, fmt.Errorf("counting series in Redis: %w", err)
	}
	sized, err := s.sample(ctx, samples)
	if err != nil {
		return m, fmt.Errorf("measuring series in Redis: %w", err)
	}
	m.Series = once(m.Series, sized)
	m.Quiet = costOf(sized, func(c sizedSeries) bool { return c.items < BusyItems })
	m.Busy = costOf(sized, func(c sizedSeries) bool { return c.items >= BusyItems })
	return m, nil
}

// once is how many series there are, where each was counted for every kind of spike that a baseline of it is known
// for: on average as many as of the sampled ones.
func once(counted int, sized []sizedSeries) int {
	kinds, series := 0, 0
	for _, one := range sized {
		if one.kinds > 0 {
			kinds, series = kinds+one.kinds, series+1
		}
	}
	if kinds == 0 {
		return counted
	}
	return int(math.Round(float64(counted) * float64(series) / float64(kinds)))
}

func intOf(n int64, err error) (int, error) { return int(n), err }

type sizedSeries struct {
	of    news.Series
	bytes int
	items int // in the last 24 h of event time
	kinds int // of spike, of which there is a baseline
}

// sample measures series on every server that has some.
func (s *Store) sample(ctx context.Context, samples int) ([]sizedSeries, error) {
	cluster, ok := s.redis.(*redis.ClusterClient)
	if !ok {
		return s.sampleServer(ctx, s.redis, samples)
	}
	var mu sync.Mutex
	masters := 0
	if err := cluster.ForEachMaster(ctx, func(context.Context, *redis.Client) error {
		mu.Lock()
		defer mu.Unlock()
		masters++
		return nil
	}); err != nil {
		return nil, err
	}
	var all []sizedSeries
	err := cluster.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error {
		some, err := s.sampleServer(ctx, master, (samples+masters-1)/masters)
		mu.Lock()
		defer mu.Unlock()
		all = append(all, some...)
		return err
	})
	return all, err
}

func (s *Store) sampleServer(ctx context.Context, server redis.Cmdable, samples int) (all []sizedSeries, err error) {
	var cursor uint64
	found := kindPrefix(s.kinds[0]) + "counts" // the kind of key by which a series is found
	seen := map[news.Series]bool{}             // SCAN may give a key twice
	for range scanCalls {
		var names []string
		err := s.retry(ctx, func(ctx context.Context) (err error) {
			names, cursor, err = server.Scan(ctx, cursor, s.keys.pattern(found), scanCount).Result()
			return err
		})
		if err != nil {
			return nil, err
		}
		var fresh []news.Series
		for _, name := range names {
			if of, ok := s.keys.seriesOf(name, found); ok && !seen[of] && len(seen) < samples {
				seen[of] = true
				fresh = append(fresh, of)
			}
		}
		for part := range slices.Chunk(fresh, sampleStep) {
			sized, err := s.sizes(ctx, server, part)
			if err != nil {
				return nil, err
			}
			all = append(all, sized...)
		}
		if cursor == 0 || len(seen) >= samples {
			break
		}
	}
	return all, nil
}

// sizes measures series in one round trip. One that expired meanwhile is left out.
func (s *Store) sizes(ctx context.Context, server redis.Cmdable, series []news.Series) (out []sizedSeries, err error) {
	since := bucketOf(s.clock().Add(-24 * time.Hour))
	err = s.retry(ctx, func(ctx context.Context) error {
		out = out[:0]
		counts := make([]*redis.StringCmd, len(series))
		sizes := make([][]*redis.IntCmd, len(series))
		_, err := server.Pipelined(ctx, func(p redis.Pipeliner) error {
			for i, of := range series {
				counts[i] = p.Get(ctx, s.keys.ofSubject(subject{of, s.kinds[0]}, "counts"))
				for _, name := range s.keys.allOf(of, s.kinds) {
					sizes[i] = append(sizes[i], p.MemoryUsage(ctx, name, 0))
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, redis.Nil) {
			return err
		}
		for i, of := range series {
			one := sizedSeries{of: of}
			for j, size := range sizes[i] {
				if size.Err() != nil && !errors.Is(size.Err(), redis.Nil) { // Exec tells of the first error only
					return size.Err()
				}
				one.bytes += int(size.Val())
				if j < len(s.kinds)*len(kindsOfSeries) && kindsOfSeries[j%len(kindsOfSeries)] == "base" && size.Val() > 0 {
					one.kinds++
				}
			}
			r, err := parseRing(counts[i].Val())
			if err != nil {
				continue
			}
			one.items = r.ring[r.from(since):].sum().items
			out = append(out, one)
		}
		return nil
	})
	return out, err
}

func costOf(all []sizedSeries, match func(sizedSeries) bool) (c Cost) {
	var some []sizedSeries
	for _, one := range all {
		if match(one) {
			some = append(some, one)
		}
	}
	if len(some) == 0 {
		return c
	}
	slices.SortFunc(some, func(a, b sizedSeries) int {
		return cmp.Or(cmp.Compare(a.bytes, b.bytes), cmp.Compare(a.of.Key(), b.of.Key()))
	})
	last := some[len(some)-1]
	return Cost{Sampled: len(some), Median: some[len(some)/2].bytes, Max: last.bytes, Largest: last.of}
}

var globEscape = strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`)

// pattern matches the keys of a kind of all series.
func (k keys) pattern(kind string) string {
	return globEscape.Replace(k.prefix) + ":{??}:" + kind + ":*"
}

// allOf names the keys of a series. A company's sketches are those of the company itself.
func (k keys) allOf(s news.Series, spikes []news.SpikeKind) (names []string) {
	for _, spike := range spikes {
		for _, kind := range kindsOfSeries {
			names = append(names, k.ofSubject(subject{s, spike}, kind))
		}
	}
	if s.Entity != "" && s.Topic == "" {
		names = append(names, k.near(shardOf(s.Entity), s.Entity))
	}
	return names
}

// seriesOf is the series of a key that pattern matched.
func (k keys) seriesOf(name, kind string) (news.Series, bool) {
	if len(name) < len(k.name(0, kind, "")) {
		return news.Series{}, false
	}
	entity, topic, ok := strings.Cut(name[len(k.name(0, kind, "")):], "\x1f")
	return news.Series{Entity: entity, Topic: topic}, ok
}
