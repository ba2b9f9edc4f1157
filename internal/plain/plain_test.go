package plain_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/barograph/barograph/internal/plain"
)

func FuzzLine(f *testing.F) {
	for _, seed := range []string{"", "plain", "a\nb\tc", "\x1b[31mred", "\u202eabc", "\xff\xfe", "👩\u200d👧", strings.Repeat("é", 300)} {
		f.Add(seed, 20)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 1 || limit > 1000 {
			t.Skip()
		}
		got := plain.Line(s, limit)
		if !utf8.ValidString(got) || utf8.RuneCountInString(got) > limit || got != strings.TrimSpace(got) {
			t.Errorf("Line(%q, %d) = %q", s, limit, got)
		}
		if again := plain.Line(got, limit+1); again != got {
			t.Errorf("Line is not stable: %q, then %q", got, again)
		}
	})
}

func TestText(t *testing.T) {
	got := plain.Text("# A card\r\n\n\t  code \x1b[2J\x1b]0;title\x07 \u202eabc\u009b31m \xff\n")
	if want := "# A card\n\n\t  code [2J]0;title abc31m \n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
