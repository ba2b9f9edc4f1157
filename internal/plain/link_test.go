package plain_test

import (
	"testing"

	"github.com/barograph/barograph/internal/plain"
)

func TestLink(t *testing.T) {
	for raw, want := range map[string]string{
		"https://a.example/b?c=d&e=f#g": "https://a.example/b?c=d&e=f#g",
		" http://a.example ":            "http://a.example",
		"https://a.example/\"><script>": "https://a.example/%22%3E%3Cscript%3E",
		"javascript:alert(1)":           "",
		"data:text/html,x":              "",
		"//a.example":                   "",
		"/etc/passwd":                   "",
		"https://bank.example@a.test":   "",
		"https://a.example/\u202eb":     "",
		"https://a.example/\x00":        "",
		"":                              "",
	} {
		if got := plain.Link(raw); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}
