package testenv

import (
	"testing"

	"github.com/barograph/barograph/internal/testenv/redisserver"
)

// Redis is a real server for one test.
type Redis struct {
	*redisserver.Server
	t testing.TB
}

// StartRedis starts a server that is killed when the test ends. It takes some 20 ms.
// Further arguments go to redis-server's command line.
func StartRedis(t testing.TB, args ...string) *Redis {
	t.Helper()
	server, err := redisserver.Start(redisserver.Config{Dir: t.TempDir(), Args: args})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Kill)
	return &Redis{server, t}
}

// Restart starts an empty server on the same port, killing the old one where it runs.
func (r *Redis) Restart() {
	r.t.Helper()
	if err := r.Server.Restart(); err != nil {
		r.t.Fatal(err)
	}
}

// StartRedisCluster starts a Redis Cluster of three masters that is killed when the test
// ends. It takes some 3 s. The answer lists the nodes' addresses.
func StartRedisCluster(t testing.TB) []string {
	t.Helper()
	cluster, err := redisserver.StartCluster(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Kill)
	return cluster.Addrs
}
