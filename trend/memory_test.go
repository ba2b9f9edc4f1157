package trend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

func TestMemory(t *testing.T) {
	single := realRedis(t)
	cluster := redis.NewClusterClient(&redis.ClusterOptions{Addrs: testenv.StartRedisCluster(t)})
	t.Cleanup(func() { cluster.Close() })
	for name, client := range map[string]redis.UniversalClient{"one server": single, "a cluster": cluster} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t, client, &clock{monday}, trend.Rule{})
			if m, err := s.Memory(t.Context(), 0); err != nil || m != (trend.Memory{}) {
				t.Errorf("of an empty Redis: %+v, %v", m, err)
			}
			var readings []news.Reading
			for i := range 300 { // their topic and everything are the busy ones
				for j := range 2 {
					r := reading(fmt.Sprint(i, "-", j), monday.Add(-time.Duration(i)*time.Minute), .9, fmt.Sprint("E", i))
					readings = append(readings, r)
				}
			}
			observe(t, s, readings...)
			m, err := s.Memory(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", m)
			// Everything, its topic, and each company with and without the topic.
			if m.Quiet.Sampled != 600 || m.Busy.Sampled != 2 || m.Series < 590 || m.Series > 614 {
				t.Errorf("%d quiet and %d busy of %d series, want 600, 2 and 602", m.Quiet.Sampled, m.Busy.Sampled, m.Series)
			}
			if m.Quiet.Median > m.Quiet.Max || m.Quiet.Median >= m.Busy.Max || m.Busy.Largest.Entity != "" {
				t.Errorf("%+v: a busy series costs more than a quiet one", m)
			}
			all := newStore(t, client, &clock{monday}, trend.Rule{Spikes: []news.SpikeKind{news.SpikeNegative, news.SpikePositive, news.SpikeVolume}})
			for i := range readings {
				readings[i].ID += " of all kinds"
			}
			observe(t, all, readings...)
			if m, err := all.Memory(t.Context(), 0); err != nil || m.Series < 590 || m.Series > 614 {
				t.Errorf("%d series (%v) where three kinds of spike are looked for, want 602", m.Series, err)
			}
			if m, err := s.Memory(t.Context(), 50); err != nil || m.Quiet.Sampled+m.Busy.Sampled < 40 || m.Quiet.Sampled+m.Busy.Sampled > 52 {
				t.Errorf("a sample of 50: %+v, %v", m, err)
			}
		})
	}
}

// A prefix may hold what a pattern takes for a wild card, and another's keys are not counted.
func TestMemoryOfAPrefix(t *testing.T) {
	client := realRedis(t)
	for i, prefix := range []string{`a*`, `ab`, `a[b]`, `a\`} {
		s, err := trend.New(trend.Config{Redis: client, Prefix: prefix, Clock: (&clock{monday}).now})
		if err != nil {
			t.Fatal(err)
		}
		r := reading("1", monday, .1)
		r.Topic.Label = ""
		if i == 1 {
			r.Entities = []string{"AAPL", "MSFT"}
		}
		observe(t, s, r)
		if m, err := s.Memory(t.Context(), 0); err != nil || m.Quiet.Sampled != 1+len(r.Entities) {
			t.Errorf("prefix %q: %+v, %v", prefix, m, err)
		}
	}
}
