package testenv_test

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/barograph/barograph/internal/testenv"
)

func TestRedisRestartsEmptyOnItsPort(t *testing.T) {
	server := testenv.StartRedis(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr})
	defer client.Close()
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	if err := client.Get(t.Context(), "k").Err(); err == nil || err == redis.Nil {
		t.Fatalf("a killed server answers %v", err)
	}
	server.Restart()
	if err := client.Get(t.Context(), "k").Err(); err != redis.Nil {
		t.Fatalf("after a restart: %v, want no key", err)
	}
}

func TestRedisClusterServesEverySlot(t *testing.T) {
	addrs := testenv.StartRedisCluster(t)
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: addrs})
	defer client.Close()
	for _, key := range []string{"{00}", "{01}", "{02}", "{03}", "{04}", "{05}"} {
		if err := client.Set(t.Context(), key, "v", 0).Err(); err != nil {
			t.Errorf("key %s: %v", key, err)
		}
	}
}
