package settings_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/secret"
	"github.com/barograph/barograph/internal/settings"
	"github.com/barograph/barograph/news"
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

// What does not fit is said in the file's terms: the key, what was found, what is wanted.
func TestReadSaysWhatIsWanted(t *testing.T) {
	type Base = config
	type wide struct {
		Base    `yaml:",inline"`
		Level   slog.Level        `yaml:"level"`
		Mapping map[string]string `yaml:"mapping"`
		Hooks   []struct {
			Wait news.Duration `yaml:"wait"`
			URL  string        `yaml:"url"`
		} `yaml:"hooks"`
	}
	for text, want := range map[string]string{
		"kafka: {group: [a]}":              "[1:16] kafka.group is a list; it is one value",
		"kafka: {brokers: 'a:1'}":          `kafka.brokers is "a:1"; it is a list, such as [a, b]`,
		"kafka: {brokers: {a: 1}}":         "kafka.brokers is a section; it is a list, such as [a, b]",
		"kafka: {brokers: [a, [b]]}":       "kafka.brokers[1] is a list; it is one value",
		"kafka: {brokers: [a: 1]}":         "kafka.brokers[0] is a section; it is one value",
		"kafka: 5":                         `kafka is "5"; it is a section of keys and values`,
		"- a":                              "the whole of it is a list; it is a section of keys and values",
		"threads: many":                    `threads: "many" is not a whole number`,
		"threads: 1.5":                     `threads: "1.5" is not a whole number`,
		"threads: 99999999999999999999":    "is not a whole number",
		"surprise: much":                   `surprise: "much" is not a number`,
		"quiet: 5":                         `quiet: "5" is not true or false`,
		"max_wait: 10":                     `max_wait: "10" is not a time with its unit, such as 90s or 24h`,
		"level: loud":                      `level: "loud" is not debug, info, warn or error`,
		"mapping: [a]":                     "mapping is a list; it is a section of keys and values",
		"hooks: {url: x}":                  "hooks is a section; it is a list of sections, each after a -",
		"hooks:\n- {url: x}\n- {wait: 10}": `[3:10] hooks[1].wait: "10" is not a time with its unit`,
		"kafka: {password: [hunter2]}":     "[1:19] kafka.password is a list; it is env:NAME or file:PATH",
		"kafka: {password: hunter2}":       "[1:19] kafka.password: a secret is not written",
	} {
		var c wide
		err := settings.Read(&c, write(t, text), "BAROGRAPH", nil)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "unmarshal") {
			t.Errorf("%s: error %v\nwant one that shows %s", text, err, want)
		}
	}
	var c wide
	if err := settings.Read(&c, "", "BAROGRAPH", []string{"BAROGRAPH_THREADS=two"}); err == nil || err.Error() != `environment: BAROGRAPH_THREADS: "two" is not a whole number` {
		t.Errorf("of the environment: %v", err)
	}
	good := "kafka: {brokers: [127.0.0.1:19092, http://b:80/x, 'c:1', d, 5], group: 7, password: ''}\nmax_wait: 1h30m\nthreads: 0x40\nsurprise: 3\nquiet: true\n" +
		"level: warn\nmapping: {a: /b, c: ''}\nhooks:\n- {wait: 5s, url: 'x'}\n- url: |\n    y\nslack: &s {token: ''}\nwebhook:\n"
	var want wide
	want.Kafka.Brokers, want.Kafka.Group, want.MaxWait = []string{"127.0.0.1:19092", "http://b:80/x", "c:1", "d", "5"}, "7", 90*time.Minute
	want.Threads, want.Surprise, want.Quiet, want.Level = 64, 3, true, slog.LevelWarn
	if err := settings.Read(&c, write(t, "threads: 64e6\n"), "BAROGRAPH", nil); err != nil || c.Threads != 64e6 {
		t.Fatalf("%d, %v", c.Threads, err)
	}
	if err := settings.Read(&c, write(t, good), "BAROGRAPH", nil); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c.Kafka, want.Kafka) || c.MaxWait != want.MaxWait || c.Threads != 64 || c.Surprise != 3 || !c.Quiet || c.Level != want.Level ||
		c.Mapping["a"] != "/b" || len(c.Hooks) != 2 || c.Hooks[1].URL != "y\n" || c.Hooks[0].Wait != news.Duration(5*time.Second) {
		t.Errorf("got %+v", c)
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct{ name, file, env, want string }{
		{"an unknown key", "kafka:\n  brokers: [a]\n  grop: x\n", "", "3 |"},
		{"a time without a unit", "max_wait: 0\n", "", `"0" is not a time with its unit, such as 0s`},
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
