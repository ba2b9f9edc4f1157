package alert

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"strings"

	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

// letter is what an e-mail says, in text and in HTML.
type letter struct {
	Title, Reason string
	Facts         []letterFact
	Lists         []letterList
	Pages         []page // of the console
	Footer        string
}

type letterFact struct{ Name, Value string }

type letterList struct {
	Title string
	Lines []letterLine
}

type letterLine struct{ Before, Text, URL, After string }

//go:embed email.html
var emailPage string

// emailTemplate escapes what is foreign by where it stands (html/template).
var emailTemplate = template.Must(template.New("email").Parse(emailPage))

// emailSubject is the same over an alert's life, so that its messages stay in one thread.
func emailSubject(d Delivery, severity string) string {
	if d.Digest != nil {
		return "Barograph: " + d.Digest.title()
	}
	return fmt.Sprintf("Barograph: %s (%s)", name(d.Alert.Series), severity)
}

func letterOf(d Delivery) letter {
	l := letter{Footer: footer(d), Pages: pagesOf(d, english)}
	if g := d.Digest; g != nil {
		l.Title, l.Reason = g.severest()+" "+g.title(), g.standing()+"."
		bundles, left := g.bundles()
		for _, b := range bundles {
			list := letterList{Title: plain.Line(b.title, 100)}
			for _, a := range b.alerts {
				list.Lines = append(list.Lines, letterLine{Before: listLine(a) + ".", Text: firstHeadline(a), URL: firstLink(a)})
			}
			l.Lists = append(l.Lists, list)
		}
		if left > 0 {
			l.Footer = fmt.Sprintf("and %d more · ", left) + l.Footer
		}
		return l
	}
	a := d.Alert
	l.Title, l.Reason = headerOf(a), plain.Line(a.Reason, 1000)+"."
	if compared := shares(a); compared != "" {
		l.Facts = append(l.Facts, letterFact{"Share that is " + countedWord(a), compared})
	}
	l.Facts = append(l.Facts,
		letterFact{"Told by", a.ToldBy()},
		letterFact{"Since", utc(a.StartedAt)})
	if a.ResolvedAt != nil {
		l.Facts = append(l.Facts, letterFact{"Resolved", utc(*a.ResolvedAt)})
	}
	var texts letterList
	for _, e := range a.Evidence {
		texts.Lines = append(texts.Lines, letterLine{Text: headline(e), URL: plain.Link(e.URL), After: saidBy(a, e)})
	}
	if len(texts.Lines) > 0 {
		l.Lists = append(l.Lists, texts)
	}
	return l
}

func firstHeadline(a news.Alert) string {
	if len(a.Evidence) == 0 {
		return ""
	}
	return headline(a.Evidence[0])
}

func firstLink(a news.Alert) string {
	if len(a.Evidence) == 0 {
		return ""
	}
	return plain.Link(a.Evidence[0].URL)
}

func emailHTML(d Delivery) (string, error) {
	var out bytes.Buffer
	if err := emailTemplate.Execute(&out, letterOf(d)); err != nil {
		return "", fmt.Errorf("the HTML of alert %s: %w", d.Alert.ID, err)
	}
	return out.String(), nil
}

func emailText(d Delivery) string {
	l := letterOf(d)
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n\n%s\n\n", l.Title, l.Reason)
	for _, f := range l.Facts {
		fmt.Fprintf(&out, "%-23s %s\n", f.Name+":", f.Value)
	}
	for _, list := range l.Lists {
		fmt.Fprintln(&out)
		if list.Title != "" {
			fmt.Fprintln(&out, list.Title)
		}
		for _, line := range list.Lines {
			fmt.Fprintln(&out, "- "+strings.Join(strings.Fields(line.Before+" "+line.Text+" "+line.After), " "))
			if line.URL != "" {
				fmt.Fprintln(&out, "  "+line.URL)
			}
		}
	}
	for i, p := range l.Pages {
		if i == 0 {
			fmt.Fprintln(&out)
		}
		fmt.Fprintf(&out, "%s: %s\n", p.Text, p.URL)
	}
	fmt.Fprintf(&out, "\n-- \n%s\n", l.Footer)
	return out.String()
}
