package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph/barograph/internal/testenv"
)

// metricLabels are the metrics that the monitor exports, each with its labels.
func metricLabels(t *testing.T) map[string][]string {
	t.Helper()
	cfg := defaults()
	cfg.Kafka.Brokers = []string{"127.0.0.1:1"} // nothing is connected to
	cfg.Kafka.Topics = []topicConfig{{Name: "news", Kind: "news"}}
	cfg.Classify.Bundles = []string{filepath.Join(testenv.Root(t), "models/en")}
	cfg.Classify.Bases = []string{filepath.Join(testenv.Deps(t), "bases")}
	cfg.Trend.Market = "XNYS" // has a metric of its own
	cfg.Console.Listen = "127.0.0.1:0"
	m, err := newMonitor(cfg, parts{}, newLogger(cfg.Log))
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	for _, group := range []string{"barograph", "barograph-trend"} {
		if _, err := newConsumer(m, group, []string{"news"}, cfg.Kafka.Start, decodeReading); err != nil {
			t.Fatal(err)
		}
	}
	descriptions := make(chan *prometheus.Desc, 1000)
	m.registry.Describe(descriptions)
	close(descriptions)
	shape := regexp.MustCompile(`fqName: "([^"]+)".*constLabels: \{(.*)\}, variableLabels: \{([^}]*)\}`)
	labels := map[string][]string{}
	for d := range descriptions {
		found := shape.FindStringSubmatch(d.String())
		if found == nil {
			t.Fatalf("cannot read %s", d)
		}
		names := []string{"job", "instance"}
		for _, constant := range strings.Split(found[2], ",") {
			name, _, _ := strings.Cut(constant, "=")
			names = append(names, name)
		}
		labels[found[1]] = append(append(labels[found[1]], names...), strings.Split(found[3], ",")...)
	}
	return labels
}

// TestDeploymentsNameMetricsThatExist reads the queries of the dashboard and of the rules: each
// metric is one that the program exports, and each label that a query selects or sums by is
// one of its labels.
func TestDeploymentsNameMetricsThatExist(t *testing.T) {
	labels := metricLabels(t)
	metric := regexp.MustCompile(`\b((?:barograph|process)_[a-z_]+)(?:\{([^}]*)\})?`)
	label := regexp.MustCompile(`([a-z_]+) *(?:=~|!~|!=|=)`)
	grouped := regexp.MustCompile(`\b(?:by|on) *\(([^)]*)\)`)
	queries := regexp.MustCompile(`(?m)^\s*(?:"expr": "(.*)",?|expr: (.*))$`)
	for _, path := range []string{"deployments/grafana/barograph.json", "deployments/prometheus/barograph.rules.yaml"} {
		text, err := os.ReadFile(filepath.Join(testenv.Root(t), path))
		if err != nil {
			t.Fatal(err)
		}
		found := queries.FindAllStringSubmatch(string(text), -1)
		if len(found) < 10 {
			t.Fatalf("%s: only %d queries", path, len(found))
		}
		for _, q := range found {
			query := strings.ReplaceAll(q[1]+q[2], `\"`, `"`)
			var known []string
			for _, m := range metric.FindAllStringSubmatch(query, -1) {
				name := m[1]
				for _, suffix := range []string{"_bucket", "_sum", "_count"} {
					if _, ok := labels[name]; !ok {
						name = strings.TrimSuffix(name, suffix)
					}
				}
				its, ok := labels[name]
				if !ok {
					t.Errorf("%s: no metric is called %s", path, m[1])
				}
				for _, l := range label.FindAllStringSubmatch(m[2], -1) {
					if !slices.Contains(its, l[1]) {
						t.Errorf("%s: %s has no label %s", path, m[1], l[1])
					}
				}
				known = append(known, its...)
			}
			for _, g := range grouped.FindAllStringSubmatch(query, -1) {
				for _, l := range strings.FieldsFunc(g[1], func(r rune) bool { return r == ',' || r == ' ' }) {
					if l != "le" && len(known) > 0 && !slices.Contains(known, l) {
						t.Errorf("%s: nothing in %s has a label %s", path, query, l)
					}
				}
			}
		}
	}
}

// TestUnitFindsWhatInstallingLays starts the unit's configuration from the folders that
// docs/operation.md ("Installing") lays, with a file that names no paths.
func TestUnitFindsWhatInstallingLays(t *testing.T) {
	root, system := testenv.Root(t), t.TempDir()
	unit, err := os.ReadFile(filepath.Join(root, "deployments/systemd/barograph.service"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ExecStart=(/opt/barograph)/bin/barograph run -c (\S+)$`).FindSubmatch(unit)
	if found == nil {
		t.Fatalf("no ExecStart in\n%s", unit)
	}
	installed, path := filepath.Join(system, string(found[1])), filepath.Join(system, string(found[2]))
	for _, dir := range []string{filepath.Join(installed, ".deps"), filepath.Dir(path)} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for from, to := range map[string]string{filepath.Join(root, "models"): "models", filepath.Join(testenv.Deps(t), "bases"): ".deps/bases"} {
		if err := os.Symlink(from, filepath.Join(installed, to)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(path, []byte("kafka: {topics: [{name: news, kind: news}]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := readConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, missing := foldersOf(append(cfg.Classify.Bundles, cfg.Classify.Bases...)); len(missing) > 0 {
		t.Errorf("the unit's process finds no %s", strings.Join(missing, ", "))
	}
}

// TestDeployedConfigurations reads the configurations that are shipped as the monitor does.
func TestDeployedConfigurations(t *testing.T) {
	t.Setenv("SLACK_TOKEN", "xoxb-of-a-test")
	t.Setenv("BAROGRAPH_CONSOLE_TOKEN", "the-token-of-a-test")
	for _, path := range []string{"deployments/compose/barograph.yaml", "deployments/kubernetes/base/barograph.yaml"} {
		cfg, err := readConfig(filepath.Join(testenv.Root(t), path))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if _, err := readWatchList(cfg.WatchList); err != nil || cfg.WatchList == "" {
			t.Errorf("%s: watch list %q: %v; want companies by their names", path, cfg.WatchList, err)
		}
		// The list is mounted beside the configuration.
		if compose, err := os.ReadFile(filepath.Join(filepath.Dir(cfg.WatchList), "compose.yaml")); err == nil &&
			!strings.Contains(string(compose), "./watchlist.yaml:/etc/barograph/watchlist.yaml:ro") {
			t.Errorf("%s: the container lacks the watch list", path)
		}
	}
}
