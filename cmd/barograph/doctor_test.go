package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/console"
	"github.com/barograph/barograph/internal/testenv"
)

// The doctor says before the start what the start would refuse, and who may see the console.
func TestDoctorLooksAtTheConsole(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    consoleConfig
		want string // "" = refused
	}{
		{"on this machine", consoleConfig{Listen: "127.0.0.1:0"}, "for whoever is on this machine\nno public_url"},
		{"on the network, open", consoleConfig{Listen: ":0"}, ""},
		{"on the network, with a token", consoleConfig{Listen: ":0", Token: "0123456789abcdef"}, "for who has the token"},
		{"behind a proxy", consoleConfig{Listen: "0.0.0.0:0", TrustedHeader: "X-User", PublicURL: "https://b.example"}, "a trusted proxy in X-User"},
	} {
		said, err := lookAtConsole(t.Context(), tt.c)
		if tt.want == "" && !errors.Is(err, console.ErrOpen) || tt.want != "" && (err != nil || !strings.Contains(said, tt.want)) {
			t.Errorf("%s: %q, %v", tt.name, said, err)
		}
		if strings.Contains(said, "no public_url") != (tt.want != "" && tt.c.PublicURL == "") {
			t.Errorf("%s: %q", tt.name, said)
		}
	}
}

// The doctor tries to listen. An address that is taken is a fault, unless a monitor has it: the
// doctor may look at a machine where all is well.
func TestDoctorTriesToListen(t *testing.T) {
	for body, want := range map[string]bool{"ok": false, "# HELP\nbarograph_ingest_lag 0\n": true} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		said, err := lookAtConsole(t.Context(), consoleConfig{Listen: server.Listener.Addr().String()})
		if monitor := err == nil && strings.Contains(said, "a monitor serves there already"); monitor != want || !want && !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("where %q is served: %q, %v", body, said, err)
		}
		server.Close()
	}
}

// The doctor says how long the holidays of the market are known, warns two months before they end,
// and fails once they have.
func TestDoctorLooksAtTheMarket(t *testing.T) {
	for _, tt := range []struct {
		code string
		now  time.Time
		want string
		gone bool
	}{
		{"XNYS", time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), "XNYS, America/New_York, holidays known to the end of 2028", false},
		{"XSHG", time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC), "XSHG, Asia/Shanghai, holidays known to the end of 2026", false},
		{"XSHG", time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), "XSHG, Asia/Shanghai, holidays known to the end of 2026\nthat is 34 days from now", false},
		{"XSHG", time.Date(2026, 12, 31, 15, 59, 0, 0, time.UTC), "that is 1 day from now", false}, // a minute before midnight in Shanghai
		{"XSHG", time.Date(2026, 12, 31, 16, 0, 0, 0, time.UTC), "XSHG: holidays were known to the end of 2026", true},
	} {
		said, err := lookAtMarket(tt.code, tt.now)
		if (err != nil) != tt.gone {
			t.Errorf("%s at %s: %q, %v", tt.code, tt.now, said, err)
		}
		if err != nil {
			said = err.Error()
		}
		if !strings.HasPrefix(said, tt.want) && !strings.Contains(said, "\n"+tt.want) {
			t.Errorf("%s at %s: %q, want %q", tt.code, tt.now, said, tt.want)
		}
		if soon := strings.Contains(said, "from now"); soon != strings.Contains(tt.want, "from now") {
			t.Errorf("%s at %s: %q", tt.code, tt.now, said)
		}
	}
}

// What needs a Redis that is not there is not looked at, and fails no second time.
func TestDoctorSaysOnceThatRedisIsAway(t *testing.T) {
	away, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	away.Close()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	go func() { // no monitor
		for {
			c, err := taken.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	config := writeConfig(t, fmt.Sprintf("redis: {addresses: ['%s']}\nstages: [trend, alert]\nconsole: {listen: '%s'}\nalert: {routes: [{sink: pager}]}\n", away.Addr(), taken.Addr()))
	var out strings.Builder
	err = diagnose(t.Context(), &out, config)
	if err == nil || err.Error() != "4 checks failed" { // Kafka, Redis, the console and the route
		t.Errorf("error %v", err)
	}
	if !strings.Contains(out.String(), `sink "pager" is not configured (there`) || !strings.Contains(out.String(), "already in use\n                     → console.listen is") {
		t.Errorf("the doctor said:\n%s", &out)
	}
	if !strings.Contains(out.String(), "kafka.brokers names them") || !strings.Contains(out.String(), "\nseries         -     not looked at: it needs redis\n") {
		t.Errorf("the doctor said:\n%s", &out)
	}
}

// The doctor is not content with bundles that are not there, and says so once.
func TestDoctorLooksForTheBundles(t *testing.T) {
	cfg, there := defaults(), t.TempDir()
	for _, tt := range []struct {
		bundles []string
		want    string // of the error; "" = none
		models  int
	}{
		{[]string{there}, "", 1},
		{[]string{there, filepath.Join(there, "en"), filepath.Join(there, "zh")}, filepath.Join(there, "en") + ", " + filepath.Join(there, "zh"), 1},
		{nil, "classify.bundles is empty", 0},
	} {
		cfg.Classify.Bundles = tt.bundles
		models := 0
		for _, e := range examinations(cfg) {
			switch e.name {
			case "model":
				models++
			case "bundles":
				if said, err := e.look(t.Context()); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%q: %q, %v", tt.bundles, said, err)
				}
			}
		}
		if models != tt.models {
			t.Errorf("%q: %d bundles are opened, want %d", tt.bundles, models, tt.models)
		}
	}
}

// The doctor names each topic that the monitor needs and nobody is to create; a process that
// does not classify needs none with items.
func TestDoctorLooksAtTheTopics(t *testing.T) {
	server := testenv.StartKafka(t)
	for _, topic := range []string{"news", "readings", "dead"} {
		server.CreateTopic(topic, 1)
	}
	c := defaults().Kafka
	c.Brokers, c.Readings, c.DeadLetters, c.Alerts, c.Labels = []string{server.Addr}, "readings", "dead", "alerts", "labels"
	c.CreateTopics = false
	if _, err := lookAtKafka(t.Context(), c, false); err == nil || !strings.Contains(err.Error(), "alerts, labels do not exist") {
		t.Errorf("without the topics of alerts and labels: %v", err)
	}
	server.CreateTopic("alerts", 1)
	server.CreateTopic("labels", 1)
	if found, err := lookAtKafka(t.Context(), c, false); err != nil || !strings.Contains(found, "labels (1 partition)") {
		t.Errorf("%q, %v", found, err)
	}
	if _, err := lookAtKafka(t.Context(), c, true); err == nil {
		t.Error("classifies, and has no topic with items")
	}
	c.Topics = []topicConfig{{Name: "news"}}
	if found, err := lookAtKafka(t.Context(), c, true); err != nil || !strings.Contains(found, "\n1 replica of the group can read at once") {
		t.Errorf("%q, %v; want how many replicas have work", found, err)
	}
}

// The doctor says how a bundle's batches are made here, and calibrates nothing itself.
func TestDoctorLooksAtTheCalibration(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	dir := tinyBundle(t, filepath.Join(t.TempDir(), "tiny"), "1", 0)
	c := defaults().Classify
	c.Bundles, c.Precision, c.Threads = []string{dir}, "fp32", 1
	look := func(want string) {
		t.Helper()
		if said, err := lookAtModel(c, dir); err != nil || !strings.Contains(said, want) {
			t.Errorf("%q, %v; want %q", said, err, want)
		}
	}
	look(" tokens, each on 1 core (not calibrated: classify.calibrate is off)")
	c.Calibrate = true
	look(" tokens, each on 1 core (until the first start here has calibrated")
	if kept, _ := filepath.Glob(filepath.Join(cache, "barograph", "calibration", "*")); len(kept) > 0 {
		t.Fatalf("the doctor wrote %q", kept)
	}
	config, err := modelConfig(c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	model, err := classify.OpenModel(dir, config)
	if err != nil {
		t.Fatal(err)
	}
	setting, measured, err := model.Calibration(config)
	if err := errors.Join(err, model.Close()); err != nil || !measured || setting.MaxWait <= 0 {
		t.Fatalf("%+v, measured %v, %v", setting, measured, err)
	}
	look("\n" + setting.String() + " (calibrated here)")
	kept, _ := filepath.Glob(filepath.Join(cache, "barograph", "calibration", "*"))
	if len(kept) != 1 {
		t.Fatalf("the first start wrote %q", kept)
	}
	if err := os.WriteFile(kept[0], []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	look("each on 1 core (the next start calibrates again: reading the calibration")
	c.Precision = "int8"
	look("until the first start here has calibrated")
}
