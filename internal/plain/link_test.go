package plain_test

import (
	"strings"
	"testing"

	"github.com/barograph/barograph/internal/plain"
)

func TestLink(t *testing.T) {
	for raw, want := range map[string]string{
		"https://a.example/b?c=d&e=f#g": "https://a.example/b?c=d&e=f#g",
		" http://a.example ":            "http://a.example",
		"https://a.example/\"><script>": "https://a.example/%22%3E%3Cscript%3E",
		"http://a.example/苹果":           "http://a.example/%E8%8B%B9%E6%9E%9C",
		"javascript:alert(1)":           "",
		"JaVaScRiPt://a.example/%0aa()": "",
		"file:///etc/passwd":            "",
		"https:///nohost":               "",
		"https://a.ex\u202emple/":       "",
		"data:text/html,x":              "",
		"//a.example":                   "",
		"/etc/passwd":                   "",
		"https://bank.example@a.test":   "",
		"https://a.example/\u202eb":     "",
		"https://a.example/\x00":        "",
		"":                              "",
		"https://a.example/" + strings.Repeat("a", 2000): "",
	} {
		if got := plain.Link(raw); got != want {
			t.Errorf("%q: %q, want %q", raw, got, want)
		}
	}
}
