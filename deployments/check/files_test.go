package check

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"sigs.k8s.io/yaml"
)

func readYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// TestCompose loads the file as docker compose does: by the specification's schema, strictly.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../compose/compose.yaml"}, cli.WithProfiles([]string{"feed"}))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kafka", "redis", "barograph", "feed", "prometheus", "grafana"} {
		service, err := project.GetService(name)
		if err != nil {
			t.Error(err)
			continue
		}
		if service.Image != "barograph" && (!strings.Contains(service.Image, ":") || strings.HasSuffix(service.Image, ":latest")) {
			t.Errorf("%s: the image %s is not pinned", name, service.Image)
		}
		for _, v := range service.Volumes {
			if v.Type != "bind" {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s mounts what is not there: %v", name, err)
			}
		}
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to the network", name, port.Published)
			}
		}
	}
}

func TestSystemdUnit(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("no systemd-analyze here")
	}
	text, err := os.ReadFile("../systemd/barograph.service")
	if err != nil {
		t.Fatal(err)
	}
	// It wants the program to be there.
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "barograph.service")
	text = []byte(strings.ReplaceAll(string(text), "/opt/barograph/bin/barograph", program))
	if err := os.WriteFile(unit, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--recursive-errors=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestPrometheus checks the rules, runs their unit tests and checks the compose file's
// configuration.
func TestPrometheus(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		promtool, err = filepath.Abs("../../.deps/promtool")
		if _, missing := os.Stat(promtool); err != nil || missing != nil {
			t.Skip("no promtool: run make deps")
		}
	}
	configuration, err := os.ReadFile("../compose/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs("../prometheus/barograph.rules.yaml")
	if err != nil {
		t.Fatal(err)
	}
	here := filepath.Join(t.TempDir(), "prometheus.yaml")
	configuration = []byte(strings.ReplaceAll(string(configuration), "/etc/prometheus/barograph.rules.yaml", rules))
	if err := os.WriteFile(here, configuration, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"check", "rules", "../prometheus/barograph.rules.yaml"},
		{"test", "rules", "../prometheus/barograph.rules.test.yaml"},
		{"check", "config", here},
	} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}
