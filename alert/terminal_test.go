package alert

import (
	"bytes"
	"strings"
	"testing"

	"github.com/rivo/uniseg"
)

func TestTerminal(t *testing.T) {
	for name, d := range moments() {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if _, err := NewTerminal(&out).Deliver(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			golden(t, "terminal-"+name+".txt", out.Bytes())
			for line := range strings.Lines(out.String()) {
				if w := uniseg.StringWidth(strings.TrimSuffix(line, "\n")); w > 80 {
					t.Errorf("%d columns: %q", w, line)
				}
			}
			if strings.ContainsAny(out.String(), "\x1b\x07\u202e\r") {
				t.Errorf("a control sequence got through: %q", out.String())
			}
		})
	}
}

// Colours are ours alone: with them gone, the card is the plain one.
func TestTerminalColours(t *testing.T) {
	for name, d := range moments() {
		var plain, coloured bytes.Buffer
		_, _ = NewTerminal(&plain).Deliver(t.Context(), d)
		painter := NewTerminal(&coloured)
		painter.colour = true
		_, _ = painter.Deliver(t.Context(), d)
		got := coloured.String()
		for _, code := range []string{bold, faint, red, yellow, green, "0"} {
			got = strings.ReplaceAll(got, "\x1b["+code+"m", "")
		}
		if got != plain.String() || got == coloured.String() {
			t.Errorf("%s: without colour codes:\n%s\nplain:\n%s", name, got, plain.String())
		}
	}
}
