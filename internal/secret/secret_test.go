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
		if err := s.UnmarshalText([]byte(text)); err != nil || s.Reveal() != want {
			t.Errorf("%q: %q, %v; want %q", text, s.Reveal(), err, want)
		}
	}
	var s secret.Secret
	if err := s.UnmarshalText([]byte("hunter2")); !errors.Is(err, secret.ErrLiteral) {
		t.Errorf("a literal secret: error %v, want %v", err, secret.ErrLiteral)
	}
	if err := s.UnmarshalText([]byte("file:/nonexistent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: error %v", err)
	}
}
