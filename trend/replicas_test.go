package trend_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// Replicas that work on the same series at the same time, and on the same readings after
// a rebalance, count each once.
func TestConcurrentReplicas(t *testing.T) {
	client := realRedis(t)
	readings := stream(11, 3000, monday, 20)
	var replicas sync.WaitGroup
	for replica := range uint64(4) {
		s := newStore(t, client, &clock{monday}, trend.Rule{WarmUp: -1})
		replicas.Go(func() {
			rng := rand.New(rand.NewPCG(11, replica))
			for range 25 {
				first := rng.IntN(len(readings) - 200)
				if _, err := s.Observe(context.Background(), readings[first:first+200]); err != nil {
					t.Error(err)
				}
			}
			// Between them they have brought everything.
			for i := int(replica); i < len(readings); i += 4 {
				if i/4%50 == 0 {
					if _, err := s.Observe(context.Background(), readings[i-int(replica):min(len(readings), i-int(replica)+200)]); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	replicas.Wait()
	wantCounts(t, newStore(t, client, &clock{monday}, trend.Rule{}), model(readings))
}

// What a batch changes, and which spikes it shows, does not depend on the order in it.
func TestOrderInABatchChangesNothing(t *testing.T) {
	readings := append(stream(5, 400, monday, 3), burst(8, monday)...)
	for i := range readings { // every third text is a copy of the one before
		readings[i].TextDigest = readings[i-i%3/2].ID
	}
	rng := rand.New(rand.NewPCG(5, 2))
	var first []trend.Bucket
	var spikes []news.Spike
	for i := range 4 {
		s := newStore(t, realRedis(t), &clock{monday}, trend.Rule{WarmUp: -1})
		found := observe(t, s, readings...)
		got, err := s.Buckets(t.Context(), news.Series{Topic: "Earnings"}, "", monday.Add(-4*time.Hour), monday.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first, spikes = got, found
		}
		if len(got) == 0 || len(found) == 0 || !reflect.DeepEqual(got, first) || !reflect.DeepEqual(found, spikes) {
			t.Errorf("order %d\ncounts %v\nwant   %v\nspikes %v\nwant   %v", i, got, first, found, spikes)
		}
		rng.Shuffle(len(readings), func(i, j int) { readings[i], readings[j] = readings[j], readings[i] })
	}
}

// Which of several copies is counted, and so in which bucket, depends on who brings it
// first; how many texts and how many copies a day has does not.
func TestCopiesOverReplicas(t *testing.T) {
	day := monday.Truncate(24 * time.Hour)
	readings := stream(29, 1200, monday, 12)
	for i := range readings {
		readings[i].Entities = []string{[]string{"AAPL", "MSFT"}[i%2]}
		readings[i].TextDigest = fmt.Sprint(i % 150)
	}
	want := map[news.Series][2]int{{}: {150, 1050}, {Entity: "AAPL"}: {75, 525}, {Entity: "MSFT"}: {75, 525}}
	rng := rand.New(rand.NewPCG(29, 2))
	for range 3 {
		client := realRedis(t)
		replicas := []*trend.Store{newStore(t, client, &clock{monday}, trend.Rule{}), newStore(t, client, &clock{monday}, trend.Rule{})}
		rng.Shuffle(len(readings), func(i, j int) { readings[i], readings[j] = readings[j], readings[i] })
		for first := 0; first < len(readings); first += 100 {
			observe(t, replicas[rng.IntN(2)], readings[first:first+100]...)
			observe(t, replicas[rng.IntN(2)], readings[first:first+50]...)
		}
		for of, n := range want {
			got := window(t, replicas[0], of, monday, monday.Sub(day)+trend.BucketLength)
			if got.Items != n[0] || got.Copies != n[1] {
				t.Errorf("%s: %d items and %d copies, want %v", of, got.Items, got.Copies, n)
			}
		}
	}
}

// A baseline that cannot be read is learnt anew; counts that cannot be are an error.
func TestForeignState(t *testing.T) {
	client := realRedis(t)
	s := troubledStore(t, client, &clock{monday}, trend.Rule{WarmUp: -1})
	observe(t, s, reading("1", monday, .9, "AAPL"))
	set := func(kind, value string) {
		names, err := client.Keys(t.Context(), "barograph:*:"+kind+":AAPL\x1f").Result()
		if err != nil || len(names) != 1 {
			t.Fatalf("keys %q, %v", names, err)
		}
		if err := client.Set(t.Context(), names[0], value, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	set("base", "of another version")
	if got := observe(t, s, burst(8, monday)...); len(got) != 4 {
		t.Errorf("%d spikes, want 4", len(got))
	}
	set("counts", "foreign")
	late := reading("late", monday, .9, "AAPL")
	if _, err := s.Observe(t.Context(), []news.Reading{late}); err == nil {
		t.Error("foreign counts are taken")
	}
	// What was refused is not remembered as counted.
	set("counts", "0;")
	observe(t, s, late)
	if got := window(t, s, news.Series{Entity: "AAPL"}, monday, time.Hour); got.Items != 1 {
		t.Errorf("%d items after the foreign counts are gone, want 1", got.Items)
	}
}

func TestRedisCluster(t *testing.T) {
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: testenv.StartRedisCluster(t)})
	t.Cleanup(func() { client.Close() })
	s := newStore(t, client, &clock{monday}, trend.Rule{WarmUp: -1})
	readings := stream(13, 1000, monday, 20)
	observe(t, s, readings...)
	observe(t, s, readings[300:500]...)
	wantCounts(t, s, model(readings))
	bad := burst(8, monday)
	for i := range bad {
		bad[i].Entities = []string{"IBM"}
	}
	found := map[news.Series]bool{}
	for _, spike := range observe(t, s, bad...) {
		found[spike.Series] = len(spike.Evidence) == 3
	}
	if !found[news.Series{Entity: "IBM"}] || !found[news.Series{Entity: "IBM", Topic: "Earnings"}] {
		t.Errorf("spikes with evidence: %v, want those of the company", found)
	}
}

// A server that lost its scripts, or everything, is served on.
func TestRedisRestart(t *testing.T) {
	server := testenv.StartRedis(t)
	client := connect(t, &redis.Options{Addr: server.Addr})
	s := troubledStore(t, client, &clock{monday}, trend.Rule{})
	readings := stream(17, 200, monday, 2)
	observe(t, s, readings[:100]...)
	if err := client.ScriptFlush(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	observe(t, s, readings...)
	wantCounts(t, s, model(readings))
	server.Restart()
	observe(t, s, readings...)
	wantCounts(t, s, model(readings))
}

// While Redis refuses, nothing is acknowledged; once it takes writes again, the same
// batch counts once.
func TestRedisRefusesWrites(t *testing.T) {
	client := realRedis(t)
	s := troubledStore(t, client, &clock{monday}, trend.Rule{})
	readings := stream(19, 300, monday, 2)
	observe(t, s, readings[:50]...)
	for name, c := range map[string]struct{ refuse, accept []any }{
		"OOM":      {[]any{"CONFIG", "SET", "maxmemory", "1"}, []any{"CONFIG", "SET", "maxmemory", "0"}},
		"READONLY": {[]any{"REPLICAOF", "127.0.0.1", "1"}, []any{"REPLICAOF", "NO", "ONE"}},
	} {
		if err := client.Do(t.Context(), c.refuse...).Err(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Observe(t.Context(), readings); !redis.HasErrorPrefix(err, name) {
			t.Errorf("%s: error %v", name, err)
		}
		if err := client.Do(t.Context(), c.accept...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	observe(t, s, readings...)
	wantCounts(t, s, model(readings))
}

// cutWire loses all but the first commands of a pipeline, as a connection that breaks
// half-way does, for so many pipelines.
type cutWire struct{ times, after int }

var errCut = errors.New("connection cut by the test")

func (c *cutWire) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (c *cutWire) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (c *cutWire) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		if c.times == 0 || len(commands) <= c.after {
			return next(ctx, commands)
		}
		c.times--
		err := next(ctx, commands[:c.after])
		for _, lost := range commands[c.after:] {
			lost.SetErr(errCut)
		}
		return errors.Join(err, errCut)
	}
}

func TestPartOfABatchIsRepeatedSafely(t *testing.T) {
	client := realRedis(t)
	wire := &cutWire{after: 2}
	client.AddHook(wire)
	s := troubledStore(t, client, &clock{monday}, trend.Rule{WarmUp: -1})
	readings := append(stream(23, 300, monday, 2), burst(8, monday)...)

	wire.times = 1000
	if _, err := s.Observe(t.Context(), readings); !errors.Is(err, errCut) {
		t.Errorf("error %v, want the cut connection's", err)
	}
	wire.times = 2 // within what Observe tries by itself
	if got := observe(t, s, readings...); len(got) == 0 {
		t.Error("the burst is lost")
	}
	wantCounts(t, s, model(readings))
}

func TestObserveEndsWithItsContext(t *testing.T) {
	server := testenv.StartRedis(t)
	s := troubledStore(t, connect(t, &redis.Options{Addr: server.Addr}), &clock{monday}, trend.Rule{})
	server.Kill()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Observe(ctx, burst(1, monday)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestNewRefuses(t *testing.T) {
	client := redis.NewClient(&redis.Options{})
	defer client.Close()
	for name, cfg := range map[string]trend.Config{
		"no client":          {},
		"braces in prefix":   {Redis: client, Prefix: "a{b}"},
		"short history":      {Redis: client, History: time.Hour},
		"negative surprise":  {Redis: client, Rule: trend.Rule{Surprise: -1}},
		"negative negatives": {Redis: client, Rule: trend.Rule{MinNegative: -1}},
	} {
		if _, err := trend.New(cfg); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
