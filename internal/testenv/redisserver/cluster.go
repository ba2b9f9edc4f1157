package redisserver

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Cluster is a Redis Cluster of three masters without replicas, on loopback.
type Cluster struct {
	Addrs   []string
	servers []*Server
}

// StartCluster starts the nodes below dir and joins them by redis-cli. It returns when
// every node says that the cluster is up.
func StartCluster(dir string) (*Cluster, error) {
	c := &Cluster{}
	for i := range 3 {
		home := filepath.Join(dir, strconv.Itoa(i))
		if err := os.MkdirAll(home, 0o755); err != nil {
			return nil, err
		}
		s, err := Start(Config{Dir: home, Args: []string{"--cluster-enabled", "yes"}})
		if err != nil {
			c.Kill()
			return nil, err
		}
		c.servers = append(c.servers, s)
		c.Addrs = append(c.Addrs, s.Addr)
	}
	if err := c.join(); err != nil {
		c.Kill()
		return nil, err
	}
	return c, nil
}

func (c *Cluster) join() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	args := append([]string{"--cluster", "create"}, c.Addrs...)
	if out, err := exec.CommandContext(ctx, "redis-cli", append(args, "--cluster-yes")...).CombinedOutput(); err != nil {
		return fmt.Errorf("redis-cli --cluster create: %w: %s", err, out)
	}
	for _, addr := range c.Addrs {
		host, port, _ := net.SplitHostPort(addr)
		for {
			out, _ := exec.CommandContext(ctx, "redis-cli", "-h", host, "-p", port, "cluster", "info").Output()
			if strings.Contains(string(out), "cluster_state:ok") {
				break
			}
			if ctx.Err() != nil {
				return fmt.Errorf("node %s of the cluster is not ready within %s: %s", addr, startTimeout, out)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// Kill ends all nodes.
func (c *Cluster) Kill() {
	for _, s := range c.servers {
		s.Kill()
	}
}
