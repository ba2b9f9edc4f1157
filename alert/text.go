package alert

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

// link is the URL, escaped, when it is one to offer a click on: http or https, with a host,
// without a user name or invisible characters to deceive with. Else "".
func link(raw string) string {
	raw = strings.TrimSpace(raw)
	u, err := url.Parse(raw)
	if err != nil || len(raw) > 2000 || raw != plain.Line(raw, 2001) || u.Host == "" || u.User != nil ||
		(u.Scheme != "http" && u.Scheme != "https") {
		return ""
	}
	return u.String()
}

// name is the series for people, harmless.
func name(s news.Series) string {
	return plain.Line(news.Series{Entity: plain.Line(s.Entity, 60), Topic: plain.Line(s.Topic, 60)}.String(), 130)
}

// model names the bundle that read the texts: "finbert 1.2".
func model(m news.Model) string {
	return strings.TrimSpace(plain.Line(m.Name, 60) + " " + plain.Line(m.Version, 30))
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// amount is a count that may be a fraction: "4.2", "31", "0.03".
func amount(x float64) string {
	switch {
	case x >= 10:
		return fmt.Sprintf("%.0f", x)
	case x >= .1:
		return fmt.Sprintf("%.1f", x)
	}
	return fmt.Sprintf("%.2g", x)
}

// plural is "1 source" or "3 sources".
func plural(n int, one string) string {
	switch {
	case n == 1:
		return "1 " + one
	case strings.HasSuffix(one, "y"):
		return fmt.Sprintf("%d %sies", n, strings.TrimSuffix(one, "y"))
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// headline is what is shown of a text, never empty.
func headline(e news.Evidence) string {
	if t := plain.Line(e.Title, 200); t != "" {
		return t
	}
	return "(no title)"
}

// strongest are the at most three texts to show.
func strongest(a news.Alert) []news.Evidence { return a.Evidence[:min(3, len(a.Evidence))] }

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// countedWord is what an alert counts: "negative", "positive" or, of a volume alert, "items".
func countedWord(a news.Alert) string {
	if a.Kind == news.SpikeVolume {
		return "items"
	}
	return string(a.Kind.OrNegative())
}

// kindNote stands behind the name of what is not about bad news.
func kindNote(a news.Alert) string {
	switch a.Kind {
	case news.SpikePositive:
		return " (good news)"
	case news.SpikeVolume:
		return " (much news)"
	}
	return ""
}

// probability is how much a text shows what an alert is about; a volume alert's shows its mood.
func probability(a news.Alert, e news.Evidence) float64 {
	if a.Kind == news.SpikePositive {
		return e.Positive
	}
	return e.Negative
}

// sureness is the probability in words: "93 % negative".
func sureness(a news.Alert, e news.Evidence) string {
	if a.Kind == news.SpikePositive {
		return percent(e.Positive) + " positive"
	}
	return percent(e.Negative) + " negative"
}
