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
// One that refers to nothing is an error for those only that need it: see Err and Check.
type Secret string

const hidden = "<secret>"

// dangling begins a Secret that is still its reference, for what that names was not there.
const dangling = "\x00"

// ErrLiteral is returned for a configuration value that is neither "env:NAME" nor "file:PATH".
var ErrLiteral = errors.New("a secret is not written into the configuration: use env:NAME or file:PATH")

// Reveal returns the secret itself, for the one place that sends it; of one with an Err, nothing.
func (s Secret) Reveal() string {
	if strings.HasPrefix(string(s), dangling) {
		return ""
	}
	return string(s)
}

// Err says that what the secret refers to was not there when it was read; nil where it was.
func (s Secret) Err() error {
	reference, is := strings.CutPrefix(string(s), dangling)
	if !is {
		return nil
	}
	if _, err := resolve(reference); err != nil {
		return err
	}
	return fmt.Errorf("secret %s was not there at the start", reference)
}

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
// is dropped. A variable or a file that is not there is no error here but Err's.
func (s *Secret) UnmarshalText(text []byte) error {
	value, err := resolve(string(text))
	if errors.Is(err, ErrLiteral) {
		return err
	}
	if err != nil {
		value = dangling + string(text)
	}
	*s = Secret(value)
	return nil
}

// resolve takes a reference. The error names it, never what it holds.
func resolve(reference string) (string, error) {
	kind, name, _ := strings.Cut(reference, ":")
	switch kind {
	case "":
		return "", nil
	case "env":
		value, ok := os.LookupEnv(name)
		if !ok {
			return "", fmt.Errorf("secret env:%s: the environment has no %s", name, name)
		}
		return value, nil
	case "file":
		value, err := os.ReadFile(name)
		if err != nil {
			return "", fmt.Errorf("secret file: %w", err)
		}
		return strings.TrimSpace(string(value)), nil
	}
	return "", ErrLiteral
}
