package secret_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barograph/barograph/internal/secret"
)

func TestSecretNeverPrints(t *testing.T) {
	s := secret.Secret("xoxb-123")
	config := struct{ Token secret.Secret }{s}
	asJSON, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("token", "token", s, "config", config)
	out := fmt.Sprintf("%s %v %q %x %#v %+v %s %s", s, s, s, s, s, config, asJSON, log.String())
	if strings.Contains(out, "xoxb") || strings.Contains(out, "786f7862") {
		t.Errorf("the secret shows in %s", out)
	}
	if s.Reveal() != "xoxb-123" {
		t.Errorf("Reveal() = %q", s.Reveal())
	}
}

func TestSecretIsAReference(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("BAROGRAPH_TEST_TOKEN", "from-env")
	for text, want := range map[string]string{"env:BAROGRAPH_TEST_TOKEN": "from-env", "file:" + file: "from-file", "": ""} {
		var s secret.Secret
		if err := errors.Join(s.UnmarshalText([]byte(text)), s.Err()); err != nil || s.Reveal() != want {
			t.Errorf("%q: %q, %v; want %q", text, s.Reveal(), err, want)
		}
	}
	var s secret.Secret
	if err := s.UnmarshalText([]byte("hunter2")); !errors.Is(err, secret.ErrLiteral) {
		t.Errorf("a literal secret: error %v, want %v", err, secret.ErrLiteral)
	}
	if err := s.UnmarshalText([]byte("file:/nonexistent")); err != nil || !errors.Is(s.Err(), os.ErrNotExist) || s.Reveal() != "" {
		t.Errorf("a missing file: %v, then %v, %q", err, s.Err(), s.Reveal())
	}
}

// A secret that is not there is an error for those who need it, and each is named by its key.
func TestCheckNamesEachMissingSecret(t *testing.T) {
	t.Setenv("BAROGRAPH_TEST_TOKEN", "here")
	var here, away secret.Secret
	for s, text := range map[*secret.Secret]string{&here: "env:BAROGRAPH_TEST_TOKEN", &away: "env:BAROGRAPH_TEST_AWAY"} {
		if err := s.UnmarshalText([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	type hook struct {
		Secret secret.Secret `yaml:"secret"`
	}
	type named struct {
		hook `yaml:",inline"`
		Name string `yaml:"name"`
	}
	c := struct {
		Token secret.Secret     `yaml:"token"`
		Slack *hook             `yaml:"slack"`
		None  *hook             `yaml:"none"`
		Hooks []named           `yaml:"hooks"`
		Maps  map[string]string `yaml:"maps"`
		Any   any               `yaml:"-"`
	}{Token: here, Slack: &hook{away}, Hooks: []named{{hook: hook{here}}, {hook: hook{away}}, {}}}
	const want = "alert.slack.secret: secret env:BAROGRAPH_TEST_AWAY: the environment has no BAROGRAPH_TEST_AWAY\n" +
		"alert.hooks.secret: secret env:BAROGRAPH_TEST_AWAY: the environment has no BAROGRAPH_TEST_AWAY"
	if err := secret.Check("alert", c); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	c.Slack, c.Hooks = nil, c.Hooks[:1]
	if err := secret.Check("alert", &c); err != nil {
		t.Errorf("all are there: %v", err)
	}
	if shown := fmt.Sprintf("%v %q", away, away); shown != "<secret> <secret>" {
		t.Errorf("prints as %s", shown)
	}
	t.Setenv("BAROGRAPH_TEST_AWAY", "late")
	if err := away.Err(); err == nil || away.Reveal() != "" {
		t.Errorf("it came after the start: %v, %q", err, away.Reveal())
	}
}
