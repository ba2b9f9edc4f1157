// Package secret keeps passwords and tokens out of logs, dumps and configuration files.
package secret

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
)

// Secret is a string that prints as "<secret>" in every format: fmt, slog, JSON and YAML.
// In a configuration file it is a reference, "env:NAME" or "file:PATH", never the secret itself.
type Secret string

const hidden = "<secret>"

// ErrLiteral is returned for a configuration value that is neither "env:NAME" nor "file:PATH".
var ErrLiteral = errors.New("a secret is not written into the configuration: use env:NAME or file:PATH")

// Reveal returns the secret itself, for the one place that sends it.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer; an empty secret prints as nothing.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return hidden
}

// Format implements fmt.Formatter, so that %q, %x and %#v hide it too.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText implements encoding.TextMarshaler for JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText resolves "env:NAME" or "file:PATH". White space around a file's content
// is dropped. The error names the reference, never the content.
func (s *Secret) UnmarshalText(text []byte) error {
	kind, name, _ := strings.Cut(string(text), ":")
	switch kind {
	case "":
		*s = ""
		return nil
	case "env":
		value, ok := os.LookupEnv(name)
		if !ok {
			return fmt.Errorf("secret env:%s: the environment has no %s", name, name)
		}
		*s = Secret(value)
		return nil
	case "file":
		value, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("secret file: %w", err)
		}
		*s = Secret(strings.TrimSpace(string(value)))
		return nil
	}
	return ErrLiteral
}
