package alert

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/barograph/barograph/news"
)

// bundle is the part of a digest that has something in common.
type bundle struct {
	title  string // what they have in common; "" = nothing
	alerts []news.Alert
}

// mostListed is how many alerts a digest lists.
const mostListed = 40

// bundles groups a digest's alerts by topic, and those of a company that are left by
// company, where there are at least two; the rest comes last. The severest come first.
// left is how many are not listed.
func (g Digest) bundles() (out []bundle, left int) {
	alerts := slices.Clone(g.Alerts)
	slices.SortStableFunc(alerts, func(a, b news.Alert) int {
		return cmp.Or(cmp.Compare(over(a), over(b)), cmp.Compare(rank(b.Severity), rank(a.Severity)), cmp.Compare(b.Surprise, a.Surprise))
	})
	left = max(0, len(alerts)-mostListed)
	alerts = alerts[:len(alerts)-left]
	out, alerts = bundled(out, alerts, func(s news.Series) string { return s.Topic })
	out, alerts = bundled(out, alerts, func(s news.Series) string { return s.Entity })
	if len(alerts) > 0 {
		out = append(out, bundle{alerts: alerts})
	}
	return out, left
}

func over(a news.Alert) int {
	if a.Status == news.Resolved {
		return 1
	}
	return 0
}

// bundled takes those that share a key with another, the largest bundle first.
func bundled(out []bundle, alerts []news.Alert, key func(news.Series) string) (bundles []bundle, rest []news.Alert) {
	byKey := map[string][]news.Alert{}
	for _, a := range alerts {
		byKey[key(a.Series)] = append(byKey[key(a.Series)], a)
	}
	var found []bundle
	for _, k := range sortedKeys(byKey) {
		if k != "" && len(byKey[k]) > 1 {
			found = append(found, bundle{title: k, alerts: byKey[k]})
		}
	}
	slices.SortStableFunc(found, func(a, b bundle) int { return cmp.Compare(len(b.alerts), len(a.alerts)) })
	for _, a := range alerts {
		if k := key(a.Series); k == "" || len(byKey[k]) < 2 {
			rest = append(rest, a)
		}
	}
	return append(out, found...), rest
}

// title is the digest in one line: "7 further alerts at once", "3 alerts in quiet hours".
func (g Digest) title() string {
	n := news.Counted(len(g.Alerts), "alert")
	if g.Held {
		return n + " in quiet hours"
	}
	return strings.Replace(n, " ", " further ", 1) + " at once"
}

// standing counts what is on and what is over: "2 critical, 4 warnings, 1 over".
func (g Digest) standing() string {
	var critical, warnings, ended int
	for _, a := range g.Alerts {
		switch {
		case a.Status == news.Resolved:
			ended++
		case a.Severity == news.Critical:
			critical++
		default:
			warnings++
		}
	}
	var parts []string
	for _, p := range []struct {
		n    int
		text string
	}{{critical, fmt.Sprint(critical, " critical")}, {warnings, news.Counted(warnings, "warning")}, {ended, fmt.Sprint(ended, " over")}} {
		if p.n > 0 {
			parts = append(parts, p.text)
		}
	}
	return strings.Join(parts, ", ")
}

// severest is the sign of the digest.
func (g Digest) severest() string {
	worst := news.Alert{Status: news.Resolved}
	for _, a := range g.Alerts {
		if a.Status == news.Firing && (worst.Status == news.Resolved || severer(a.Severity, worst.Severity)) {
			worst = a
		}
	}
	sign, _ := mark(worst)
	return sign
}

// listLine is an alert in a list: "🟠 AAPL · Lawsuit (warning): 31 negative, 4.2 expected".
func listLine(a news.Alert) string {
	sign, word := mark(a)
	if slices.ContainsFunc(a.Notes, func(n news.Note) bool { return n.Did == news.Acknowledged }) {
		word += ", acknowledged"
	}
	return fmt.Sprintf("%s %s (%s): %d %s, %s expected", sign, name(a.Series), word, a.Count(), countedWord(a), news.Amount(a.Expected))
}
