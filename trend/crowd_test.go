package trend_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

const (
	crowdCompanies = 50_000 // each has one topic: 100,000 series, and those of the topics and everything
	crowdClients   = 4
	crowdBatch     = 512
)

// BenchmarkCrowd sends batches of several clients to one Redis that holds 100,000 series. The
// clients share the machine with Redis: readings/s is what both do together, and redis-us/reading
// Redis' part, whose inverse is what a core for Redis alone can do. p99-ms is of a batch, from
// the call to its decisions: some three round trips.
func BenchmarkCrowd(b *testing.B) {
	client := realRedis(b)
	c := &clock{monday}
	var stores []*trend.Store
	for range crowdClients {
		own := connect(b, &redis.Options{Addr: client.(*redis.Client).Options().Addr})
		stores = append(stores, newStore(b, own, c, trend.Rule{}))
	}
	rng := rand.New(rand.NewPCG(41, 1))
	sent := 0
	of := func(company int) news.Reading {
		r := crowd(rng, sent, 1, c.at, time.Minute)[0]
		r.Entities = []string{fmt.Sprintf("E%05d", company)}
		r.Topic.Label = []string{"Earnings", "Legal", "Product", "Macro", "Management"}[company%5]
		sent++
		return r
	}
	empty := usedMemory(b, client)
	for day := range 2 { // on the second day baselines are stored
		c.at = monday.AddDate(0, 0, day)
		var all []news.Reading
		for _, company := range rng.Perm(crowdCompanies) {
			all = append(all, of(company))
		}
		send(b, stores, slices.Collect(slices.Chunk(all, crowdBatch)))
	}
	known, err := stores[0].Memory(context.Background(), 1)
	if err != nil {
		b.Fatal(err)
	}
	full := usedMemory(b, client) - empty
	popular := rand.NewZipf(rng, 1.1, 8, crowdCompanies-1)
	b.Run(fmt.Sprintf("clients=%d/batch=%d", crowdClients, crowdBatch), func(b *testing.B) {
		batches := make([][]news.Reading, b.N)
		for i := range batches {
			for range crowdBatch {
				batches[i] = append(batches[i], of(int(popular.Uint64())))
			}
		}
		spent := cpuTime(b, client)
		b.ResetTimer()
		took := send(b, stores, batches)
		b.StopTimer()
		slices.Sort(took)
		readings := float64(crowdBatch * b.N)
		b.ReportMetric(readings/b.Elapsed().Seconds(), "readings/s")
		b.ReportMetric(float64((cpuTime(b, client)-spent).Microseconds())/readings, "redis-us/reading")
		b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
		b.ReportMetric(float64(known.Series), "series")
		b.ReportMetric(float64(full)/1e6, "MB")
	})
}

// send shares batches out among the stores, each of which has one under way, and tells how long
// each batch took.
func send(b *testing.B, stores []*trend.Store, batches [][]news.Reading) []time.Duration {
	var group errgroup.Group
	took := make([]time.Duration, len(batches))
	for first, s := range stores {
		group.Go(func() error {
			for i := first; i < len(batches); i += len(stores) {
				begun := time.Now()
				spikes, err := s.Observe(context.Background(), batches[i])
				if err != nil {
					return err
				}
				took[i] = time.Since(begun)
				if err := s.Told(context.Background(), spikes); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	return took
}

var usedBytes = regexp.MustCompile(`used_memory:([0-9]+)`)

// usedMemory is what the server has allocated, in bytes.
func usedMemory(t testing.TB, client redis.UniversalClient) int {
	info, err := client.Info(context.Background(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(usedBytes.FindStringSubmatch(info)[1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
