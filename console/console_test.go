package console_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph/barograph/console"
)

func TestServer(t *testing.T) {
	registry := prometheus.NewRegistry()
	items := prometheus.NewCounter(prometheus.CounterOpts{Name: "barograph_test_items_total"})
	registry.MustRegister(items)
	items.Add(7)
	var broken atomic.Bool
	server, err := console.New(console.Config{Listen: "127.0.0.1:0", Gatherer: registry, Checks: []console.Check{
		{Name: "kafka", Run: func(context.Context) error { return nil }},
		{Name: "redis", Run: func(context.Context) error {
			if broken.Load() {
				return errors.New("dial tcp 10.1.2.3:6379: connection refused")
			}
			return nil
		}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- server.Run(ctx) }()

	expect := func(path string, status int, content string) {
		t.Helper()
		response, err := http.Get("http://" + server.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != status || !strings.Contains(string(body), content) {
			t.Errorf("%s: %d %s; want %d with %q", path, response.StatusCode, body, status, content)
		}
	}
	expect("/healthz", http.StatusOK, "ok")
	expect("/metrics", http.StatusOK, "barograph_test_items_total 7")
	expect("/readyz", http.StatusOK, `"redis":"ok"`)
	broken.Store(true)
	expect("/readyz", http.StatusServiceUnavailable, `{"kafka":"ok","redis":"does not answer; the log says why"}`)
	expect("/healthz", http.StatusOK, "ok") // alive all the same

	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestNewNamesThePortInUse(t *testing.T) {
	first, err := console.New(console.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := console.New(console.Config{Listen: first.Addr()}); err == nil || !strings.Contains(err.Error(), first.Addr()) {
		t.Errorf("error %v; want one that names %s", err, first.Addr())
	}
}
