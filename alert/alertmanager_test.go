package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// realAlertmanager is one that `make deps` built, with a receiver that notes what it is told.
type realAlertmanager struct {
	t       *testing.T
	address string
	config  string
	command *exec.Cmd

	mu   sync.Mutex
	told []string
}

func startAlertmanager(t *testing.T) *realAlertmanager {
	t.Helper()
	if _, err := os.Stat(filepath.Join(testenv.Deps(t), "alertmanager")); err != nil {
		t.Skip("no alertmanager: run `make deps`")
	}
	a := &realAlertmanager{t: t, config: filepath.Join(t.TempDir(), "alertmanager.yml")}
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var group struct {
			Alerts []struct {
				Status string
				Labels map[string]string
			}
		}
		if err := json.NewDecoder(r.Body).Decode(&group); err != nil {
			t.Errorf("the receiver got no group: %v", err)
		}
		a.mu.Lock()
		defer a.mu.Unlock()
		for _, alert := range group.Alerts {
			a.told = append(a.told, fmt.Sprint(alert.Status, " ", alert.Labels["entity"], " ", alert.Labels["severity"]))
		}
	}))
	t.Cleanup(receiver.Close)
	config := fmt.Sprintf("route: {receiver: desk, group_by: ['...'], group_wait: 0s, group_interval: 1s}\nreceivers: [{name: desk, webhook_configs: [{url: '%s', send_resolved: true}]}]\n", receiver.URL)
	if err := os.WriteFile(a.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	a.address = free.Addr().String()
	_ = free.Close()
	a.start()
	t.Cleanup(a.kill)
	return a
}

func (a *realAlertmanager) start() {
	a.t.Helper()
	a.command = exec.Command(filepath.Join(testenv.Deps(a.t), "alertmanager"), "--config.file="+a.config, "--storage.path="+a.t.TempDir(),
		"--web.listen-address="+a.address, "--cluster.listen-address=", "--log.level=error")
	a.command.Stderr = os.Stderr
	a.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := a.command.Start(); err != nil {
		a.t.Fatal(err)
	}
	eventually(a.t, "alertmanager is ready", func() bool {
		resp, err := http.Get("http://" + a.address + "/-/ready")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (a *realAlertmanager) kill() {
	_ = a.command.Process.Kill()
	_ = a.command.Wait()
}

// active lists what it takes for firing, as "entity severity".
func (a *realAlertmanager) active() (list []string) {
	a.t.Helper()
	resp, err := http.Get("http://" + a.address + "/api/v2/alerts?active=true")
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	var alerts []struct {
		Labels, Annotations map[string]string
		GeneratorURL        string
	}
	if err := json.NewDecoder(resp.Body).Decode(&alerts); err != nil {
		a.t.Fatal(err)
	}
	for _, alert := range alerts {
		if alert.Labels["alertname"] != "BarographSpike" || alert.Labels["team"] != "desk" || alert.Annotations["summary"] == "" ||
			!strings.HasPrefix(alert.GeneratorURL, "https://barograph.example/a/") {
			a.t.Errorf("%+v", alert)
		}
		list = append(list, alert.Labels["entity"]+" "+alert.Labels["severity"])
	}
	slices.Sort(list)
	return list
}

func (a *realAlertmanager) wasTold(what string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Contains(a.told, what)
}

// Through a real Alertmanager: it notifies of an alert, of its being critical, and of its
// end; and knows of it again after it was restarted.
func TestAlertmanager(t *testing.T) {
	am := startAlertmanager(t)
	sink, err := NewAlertmanager(AlertmanagerConfig{URLs: []string{"http://127.0.0.1:1", "http://" + am.address + "/"}, Labels: map[string]string{"team": "desk"},
		Console: "https://barograph.example/", Resend: news.Duration(50 * time.Millisecond), Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	sink.cfg.Resend = news.Duration(time.Minute) // of the hold; the loop below ticks by itself
	o := newOffice(t)
	o.arrival.t = time.Now()
	d := o.desk(t, func(c *Config) {
		c.Sinks["alertmanager"] = sink
		c.Routes = []Route{{Sink: "alertmanager"}}
	})
	now := o.arrival.now
	consider(t, d, burst(apple, now(), 10, 3), burst(news.Series{Entity: "<b>\xff"}, now(), 40, 8))
	drainAll(t, d)
	eventually(t, "a notification of the warning", func() bool { return am.wasTold("firing AAPL warning") })
	if got, want := am.active(), []string{"<b>� critical", "AAPL warning"}; !slices.Equal(got, want) {
		t.Errorf("active %q, want %q", got, want)
	}
	consider(t, d, burst(apple, now().Add(time.Second), 40, 8))
	drainAll(t, d)
	eventually(t, "the warning is over and the critical one is on", func() bool {
		return slices.Equal(am.active(), []string{"<b>� critical", "AAPL critical"})
	})

	am.kill()
	am.start()
	if got := am.active(); len(got) != 0 {
		t.Errorf("active after the restart: %q", got)
	}
	if err := sink.resend(t.Context(), func(ctx context.Context) ([]news.Alert, error) { return d.OpenAt(ctx, "alertmanager") }); err != nil {
		t.Fatal(err)
	}
	if got, want := am.active(), []string{"<b>� critical", "AAPL critical"}; !slices.Equal(got, want) {
		t.Errorf("active after it was sent again %q, want %q", got, want)
	}
	o.arrival.add(2 * time.Hour)
	housekeep(t, d)
	drainAll(t, d)
	eventually(t, "a notification of the end", func() bool { return am.wasTold("resolved AAPL critical") })
	if got := am.active(); len(got) != 0 {
		t.Errorf("active at the end: %q", got)
	}
	if open, err := d.OpenAt(t.Context(), "alertmanager"); err != nil || len(open) != 0 {
		t.Errorf("open at the end: %v, %v", open, err)
	}
}

// Run sends what is open, at its interval, until the end.
func TestAlertmanagerIsTold(t *testing.T) {
	posts := make(chan []postableAlert, 8)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var alerts []postableAlert
		if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil {
			t.Error(err)
		}
		posts <- alerts
	}))
	t.Cleanup(server.Close)
	sink, err := NewAlertmanager(AlertmanagerConfig{URLs: []string{server.URL}, Resend: news.Duration(time.Millisecond), Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- sink.Run(ctx, func(context.Context) ([]news.Alert, error) { return []news.Alert{moments()["firing"].Alert}, nil })
	}()
	for range 2 {
		if got := <-posts; len(got) != 1 || got[0].Labels["entity"] != "AAPL" || !got[0].EndsAt.After(got[0].StartsAt) {
			t.Errorf("sent %+v", got)
		}
	}
	cancel()
	for {
		select {
		case <-posts:
			continue
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		}
		return
	}
}

// An alert that becomes critical while it is muted stays the warning that it is there, and ends as
// that: the critical one would be another alert, which pages.
func TestAlertmanagerKeepsToAMute(t *testing.T) {
	var posted []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var alerts []postableAlert
		if err := json.NewDecoder(r.Body).Decode(&alerts); err != nil {
			t.Error(err)
		}
		for _, a := range alerts {
			posted = append(posted, fmt.Sprint(a.Labels["severity"], map[bool]string{true: " on", false: " over"}[a.EndsAt.After(noon.Add(3*time.Hour))]))
		}
	}))
	t.Cleanup(server.Close)
	o := newOffice(t)
	sink, err := NewAlertmanager(AlertmanagerConfig{URLs: []string{server.URL}, Resend: news.Duration(time.Hour), Clock: o.arrival.now, Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	d := o.desk(t, func(c *Config) {
		c.Sinks = map[string]Sink{"alertmanager": sink}
		c.Routes = []Route{{Sink: "alertmanager"}}
	})
	consider(t, d, burst(apple, noon, 10, 3))
	drainAll(t, d)
	open, err := d.Open(t.Context())
	if err != nil || len(open) != 1 {
		t.Fatalf("open %v, %v", open, err)
	}
	if err := d.Mute(t.Context(), open[0].ID, "kim", noon, time.Hour); err != nil {
		t.Fatal(err)
	}
	consider(t, d, burst(apple, noon.Add(time.Minute), 60, 8))
	drainAll(t, d)
	if err := sink.resend(t.Context(), func(ctx context.Context) ([]news.Alert, error) { return d.OpenAt(ctx, "alertmanager") }); err != nil {
		t.Fatal(err)
	}
	o.arrival.add(2 * time.Hour)
	housekeep(t, d)
	drainAll(t, d)
	if want := []string{"warning on", "warning on", "warning over"}; !slices.Equal(posted, want) {
		t.Errorf("posted %q, want %q", posted, want)
	}
}

func TestAlertmanagerConfig(t *testing.T) {
	for _, cfg := range []AlertmanagerConfig{{}, {URLs: []string{"am:9093"}}, {URLs: []string{"http://am"}, Labels: map[string]string{"a-b": "c"}},
		{URLs: []string{"http://am"}, Resend: -1}} {
		if _, err := NewAlertmanager(cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}

// A redirect, to a log-in for one, delivers nothing: it is tried again, and followed nowhere.
func TestAlertmanagerBehindALogIn(t *testing.T) {
	followed := false
	mux := http.NewServeMux()
	mux.HandleFunc("/login", func(http.ResponseWriter, *http.Request) { followed = true })
	mux.Handle("/", http.RedirectHandler("/login", http.StatusFound))
	server := httptest.NewServer(mux)
	defer server.Close()
	sink, err := NewAlertmanager(AlertmanagerConfig{URLs: []string{server.URL}, Log: quietLog()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = sink.Deliver(t.Context(), moments()["firing"])
	var got *DeliveryError
	if !errors.As(err, &got) || !got.Misplaced || got.Hopeless || followed {
		t.Errorf("%v, followed %t", err, followed)
	}
}
