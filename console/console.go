// Package console is what Barograph serves over HTTP: the pages that people watch, the same
// as JSON under /api/v1/, /metrics for Prometheus, /healthz (the process lives) and /readyz
// (it can do its work) for an orchestrator.
//
//	readings, alerts ──► Index ──► search, the texts behind a stretch, who watches (events)
//	Redis ──► Sources ───────────► counts, pressure, what is on, silences, labels
package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Check says whether one thing that the process depends on works. It must honour the
// context's deadline, two seconds.
type Check struct {
	Name string
	Run  func(context.Context) error
}

// Config configures a Server.
type Config struct {
	Listen   string              // host:port; "" = 127.0.0.1:8095. Port 0 takes a free one.
	Gatherer prometheus.Gatherer // nil = an empty registry
	Checks   []Check             // what /readyz asks, all at once
	Sources  *Sources            // what pages and API show; nil = there are none of them
	Access   Access              // who may see pages and API; the rest is open to all
	Log      *slog.Logger        // nil = slog.Default()
}

// Server answers HTTP until its context ends.
type Server struct {
	listener  net.Listener
	server    *http.Server
	log       *slog.Logger
	sources   *Sources
	access    *gate
	pressures pressures
	ending    chan struct{} // closed at shutdown, for streams of events
}

// New binds the address, so that a port in use is an error at start and not later.
func New(config Config) (*Server, error) {
	if config.Listen == "" {
		config.Listen = "127.0.0.1:8095"
	}
	if config.Gatherer == nil {
		config.Gatherer = prometheus.NewRegistry()
	}
	if config.Log == nil {
		config.Log = slog.Default()
	}
	s := &Server{log: config.Log, sources: config.Sources, ending: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(config.Gatherer, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", s.ready(config.Checks))
	if s.sources != nil {
		var err error
		if s.access, err = newGate(config.Access, config.Listen, s); err != nil {
			return nil, err
		}
		if err := errors.Join(s.serveAPI(mux), s.servePages(mux)); err != nil {
			return nil, err
		}
	}
	var err error
	if s.listener, err = net.Listen("tcp", config.Listen); err != nil {
		return nil, fmt.Errorf("console: %w; choose another address with --listen or console.listen", err)
	}
	s.server = &http.Server{
		Handler:           headers(mux),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
	}
	s.server.RegisterOnShutdown(func() { close(s.ending) })
	return s, nil
}

// now is the sources' time.
func (s *Server) now() time.Time {
	if s.sources.Clock == nil {
		return time.Now().UTC()
	}
	return s.sources.Clock().UTC()
}

// Addr is the address it listens on, with the port that was taken.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Run serves until ctx ends, then lets the requests under way finish for two seconds.
func (s *Server) Run(ctx context.Context) error {
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if err := s.server.Shutdown(bounded); err != nil {
			s.log.Warn("console: requests were cut off at shutdown", "error", err)
		}
	}()
	err := s.server.Serve(s.listener)
	if errors.Is(err, http.ErrServerClosed) {
		<-stopped
		return nil
	}
	return fmt.Errorf("console: %w", err)
}

// ready runs the checks side by side and answers 200 or 503 with {"name": "ok" or a plain
// reason}. The error may name addresses: it is for the log, not for whoever asks.
func (s *Server) ready(checks []Check) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		results := make([]string, len(checks))
		var wg sync.WaitGroup
		for i, check := range checks {
			wg.Go(func() {
				results[i] = "ok"
				if err := check.Run(ctx); err != nil {
					results[i] = "does not answer; the log says why"
					if errors.Is(err, context.DeadlineExceeded) {
						results[i] = "does not answer in time; the log says more"
					}
					s.log.Warn("console: not ready", "check", check.Name, "error", err)
				}
			})
		}
		wg.Wait()
		status, body := http.StatusOK, make(map[string]string, len(checks))
		for i, check := range checks {
			body[check.Name] = results[i]
			if results[i] != "ok" {
				status = http.StatusServiceUnavailable
			}
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(body) // the client is gone: nobody to tell
	}
}
