package alert

import (
	"fmt"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

// name is the series for people, harmless.
func name(s news.Series) string {
	return plain.Line(news.Series{Entity: plain.Line(s.Entity, 60), Topic: plain.Line(s.Topic, 60)}.String(), 130)
}

// model names the bundle that read the texts: "finbert 1.2".
func model(m news.Model) string {
	return strings.TrimSpace(plain.Line(m.Name, 60) + " " + plain.Line(m.Version, 30))
}

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// headline is what is shown of a text, never empty.
func headline(e news.Evidence) string {
	if t := plain.Line(e.Title, 200); t != "" {
		return t
	}
	return "(no title)"
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// countedWord is what an alert counts: "negative", "positive" or, of a volume alert, "items".
func countedWord(a news.Alert) string {
	if a.Kind == news.SpikeVolume {
		return "items"
	}
	return string(a.Kind.OrNegative())
}

// newsOf is what an alert tells of, in two words.
func newsOf(a news.Alert) string {
	switch a.Kind {
	case news.SpikePositive:
		return "good news"
	case news.SpikeVolume:
		return "much news"
	}
	return "bad news"
}

// mark is the sign that stands for how an alert stands, and the word for who does not see it.
func mark(a news.Alert) (sign, word string) {
	switch {
	case a.Status == news.Resolved:
		return "✅", "resolved"
	case a.Severity == news.Critical:
		return "🔴", "critical"
	}
	return "🟠", "warning"
}

// headerOf is an alert in one line: "🔴 AAPL: bad news (critical)".
func headerOf(a news.Alert) string {
	sign, word := mark(a)
	return fmt.Sprintf("%s %s: %s (%s)", sign, name(a.Series), newsOf(a), word)
}

// shares compares an alert's share with the usual one: "82 % now, 12 % before". "" of a volume
// alert, whose share is all.
func shares(a news.Alert) string {
	if a.Kind == news.SpikeVolume {
		return ""
	}
	return percent(a.Share) + " now, " + percent(a.ShareBefore) + " before"
}

// sureness is how surely a text is what an alert counts: "93 %". "" of a volume alert, whose
// texts are of any mood.
func sureness(a news.Alert, e news.Evidence) string {
	switch a.Kind {
	case news.SpikePositive:
		return percent(e.Positive)
	case news.SpikeVolume:
		return ""
	}
	return percent(e.Negative)
}

// saidBy is who wrote a text and what the model made of it: "(Reuters, 93 % negative)".
func saidBy(a news.Alert, e news.Evidence) string {
	var parts []string
	if source := plain.Line(e.Source, 40); source != "" {
		parts = append(parts, source)
	}
	if sure := sureness(a, e); sure != "" {
		parts = append(parts, sure+" "+countedWord(a))
	}
	if len(parts) == 0 {
		return ""
	}
	return "(" + strings.Join(parts, ", ") + ")"
}
