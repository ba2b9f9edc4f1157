package settings_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/internal/settings"
)

type config struct {
	Kafka struct {
		Brokers  []string      `yaml:"brokers"`
		Group    string        `yaml:"group"`
		Password secret.Secret `yaml:"password"`
	} `yaml:"kafka"`
	Slack *struct {
		Token secret.Secret `yaml:"token"`
	} `yaml:"slack"`
	Webhook *struct {
		URL string `yaml:"url"`
	} `yaml:"webhook"`
	MaxWait  time.Duration `yaml:"max_wait"`
	Threads  int           `yaml:"threads"`
	Surprise float64       `yaml:"surprise"`
	Quiet    bool          `yaml:"quiet"`
}

func TestRead(t *testing.T) {
	var got, want config
	got.Kafka.Group, got.Threads = "default", 1
	file := write(t, "kafka:\n  brokers: [a:9092]\n  group: from-file\nmax_wait: 20ms\n")
	err := settings.Read(&got, file, "BAROGRAPH", []string{"BAROGRAPH_KAFKA_BROKERS=b:9092, c:9092",
		"BAROGRAPH_KAFKA_PASSWORD=hunter2", "BAROGRAPH_SLACK_TOKEN=xoxb", "BAROGRAPH_SURPRISE=3.5", "BAROGRAPH_QUIET=true", "BAROGRAPH_SERVICE_HOST=10.0.0.1", "BAROGRAPH_PORT_8095_TCP=x", "BAROGRAPH_DEPS=/x", "HOME=/y"}, "BAROGRAPH_DEPS")
	if err != nil {
		t.Fatal(err)
	}
	want.Kafka.Brokers, want.Kafka.Group, want.Kafka.Password = []string{"b:9092", "c:9092"}, "from-file", "hunter2"
	want.MaxWait, want.Threads, want.Surprise, want.Quiet = 20*time.Millisecond, 1, 3.5, true
	if got.Slack == nil || got.Slack.Token.Reveal() != "xoxb" {
		t.Errorf("the variable of a section that the file leaves out was not taken: %+v", got.Slack)
	}
	got.Slack = nil
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct{ name, file, env, want string }{
		{"an unknown key", "kafka:\n  brokers: [a]\n  grop: x\n", "", "3 |"},
		{"a doubled key", "threads: 1\nthreads: 2\n", "", "2 |"},
		{"a wrong type", "threads: many\n", "", "1 |"},
		{"a literal secret", "kafka:\n  password: hunter2\n", "", "env:NAME"},
		{"an unknown variable", "", "BAROGRAPH_KAFKA_GROP=x", "BAROGRAPH_KAFKA_GROP"},
		{"a bad number", "", "BAROGRAPH_THREADS=two", "BAROGRAPH_THREADS"},
		{"a bad duration", "", "BAROGRAPH_MAX_WAIT=20", "BAROGRAPH_MAX_WAIT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var c config
			err := settings.Read(&c, write(t, tt.file), "BAROGRAPH", []string{tt.env})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v; want one that shows %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error shows the secret: %v", err)
			}
		})
	}
}

// A file that says nothing leaves the values as they are, and so does a section that says nothing.
func TestReadOfAnEmptyFile(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "\n  # nothing\n\n# at all", "---\n", "---\n# nothing\n", "--- # nothing\n...\n", "{}\n",
		"kafka:\n", "kafka:\n  # group: x\n", "kafka: {}\n", "slack:\n"} {
		var got config
		got.Kafka.Group, got.Kafka.Brokers, got.Threads = "default", []string{"a:9092"}, 1
		want := got
		if err := settings.Read(&got, write(t, text), "BAROGRAPH", nil); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
}

func TestReadNamesTheMissingFile(t *testing.T) {
	var c config
	if err := settings.Read(&c, "nowhere.yaml", "BAROGRAPH", nil); !os.IsNotExist(unwrap(err)) {
		t.Errorf("error %v; want one that says the file does not exist", err)
	}
}

func unwrap(err error) error {
	if inner, ok := err.(interface{ Unwrap() error }); ok {
		return inner.Unwrap()
	}
	return err
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "barograph.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
