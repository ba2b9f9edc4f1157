package alert

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"sync"

	"github.com/rivo/uniseg"
	"golang.org/x/term"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

// Terminal is the sink that prints alerts for a person at a screen. It colours them on a
// terminal (unless NO_COLOR is set), and lets no control sequence through from the texts.
type Terminal struct {
	mu     sync.Mutex
	to     io.Writer
	colour bool
	width  int // columns
}

// NewTerminal prints to w. Where w is a terminal its width now is taken, else 80 columns.
func NewTerminal(w io.Writer) *Terminal {
	t := &Terminal{to: w, width: 80}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		t.colour = os.Getenv("NO_COLOR") == ""
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil {
			t.width = min(max(columns, 40), 110)
		}
	}
	return t
}

// Check wants no channel.
func (t *Terminal) Check(channel string) error { return noChannel(channel) }

// Deliver prints the alert in one write. What people did is not printed: a terminal has no
// card to change.
func (t *Terminal) Deliver(_ context.Context, d Delivery) (string, error) {
	if d.Action == Annotate {
		return "", nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, err := io.WriteString(t.to, t.card(d)); err != nil {
		return "", fmt.Errorf("printing alert %s: %w", d.Alert.ID, err)
	}
	return "", nil
}

const (
	bold   = "1"
	faint  = "2"
	red    = "1;31"
	yellow = "1;33"
	green  = "1;32"
)

func (t *Terminal) paint(code, s string) string {
	if !t.colour {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// card is the alert between two rules. A bar on the left carries the colour, so that
// nothing has to line up on the right, where scripts of two columns a rune end unevenly.
func (t *Terminal) card(d Delivery) string {
	a := d.Alert
	code, word := look(d)
	bar := t.paint(code, "┃") + " "
	var b strings.Builder
	line := func(s string) { b.WriteString(strings.TrimRight(bar+s, " ") + "\n") }

	about := name(a.Series)
	if a.Kind.OrNegative() != news.SpikeNegative {
		about += " (" + newsOf(a) + ")"
	}
	title := fit(fmt.Sprintf("┏━ %s ━ %s", word, about), t.width-2) + " "
	b.WriteString("\n" + t.paint(code, title+strings.Repeat("━", max(0, t.width-uniseg.StringWidth(title)))) + "\n")
	for _, s := range wrap(plain.Line(a.Reason, 500)+".", t.width-2) {
		line(t.paint(bold, s))
	}
	line("")
	for _, s := range t.bars(a, code) {
		line(s)
	}
	if compared := shares(a); compared != "" {
		line(t.label("share") + compared)
	}
	line(t.label("since") + times(a))
	line(t.label("told by") + a.ToldBy())
	if len(a.Evidence) > 0 {
		line("")
	}
	for _, e := range a.Evidence {
		line(fmt.Sprintf("%6s  ", cmp.Or(sureness(a, e), "·")) + fit(headline(e), t.width-11))
		if address := plain.Link(e.URL); address != "" {
			line("        " + t.paint(faint, fit(address, t.width-10)))
		}
	}
	b.WriteString(t.paint(code, "┗━") + t.paint(faint, " "+footer(d)) + "\n")
	return b.String()
}

func look(d Delivery) (code, word string) {
	switch {
	case d.Alert.Status == news.Resolved:
		return green, "RESOLVED"
	case d.Action == Escalate:
		return red, "WORSE, " + strings.ToUpper(string(d.Alert.Severity))
	case d.Alert.Severity == news.Critical:
		return red, "CRITICAL"
	}
	return yellow, "WARNING"
}

func (t *Terminal) label(s string) string { return t.paint(faint, fmt.Sprintf("%-10s", s)) }

// bars draw what came against what was expected, the longer one over the width there is.
func (t *Terminal) bars(a news.Alert, code string) []string {
	room := float64(max(10, min(50, t.width-22)))
	longest := math.Max(math.Max(float64(a.Count()), a.Expected), 1)
	bar := func(x float64) string { return strings.Repeat("█", int(math.Round(room*math.Max(x, 0)/longest))) }
	row := func(name, bar, n string) string {
		return strings.TrimSuffix(t.label(name)+bar+" "+n, " ")
	}
	return []string{
		row(countedWord(a), t.paint(code, bar(float64(a.Count()))), fmt.Sprint(a.Count())),
		row("expected", t.paint(faint, bar(a.Expected)), news.Amount(a.Expected)),
	}
}

func times(a news.Alert) string {
	s := utc(a.StartedAt)
	if a.ResolvedAt != nil {
		return s + ", resolved " + utc(*a.ResolvedAt)
	}
	return s
}

// fit cuts s to a number of columns.
func fit(s string, columns int) string {
	if uniseg.StringWidth(s) <= columns {
		return s
	}
	var b strings.Builder
	used := 0
	for rest, state := s, -1; rest != ""; {
		var cluster string
		var width int
		cluster, rest, width, state = uniseg.FirstGraphemeClusterInString(rest, state)
		if used += width; used > columns-1 {
			break
		}
		b.WriteString(cluster)
	}
	return b.String() + "…"
}

// wrap breaks s between words into lines of at most so many columns.
func wrap(s string, columns int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(s) {
		word = fit(word, columns)
		if line != "" && uniseg.StringWidth(line)+1+uniseg.StringWidth(word) > columns {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+word, " ")
	}
	return append(lines, line)
}
