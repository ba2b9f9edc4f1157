package main

import (
	"bytes"
	"errors"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/barograph/barograph/news"
	"github.com/barograph/barograph/trend"
)

// reported replays with a report of a name and returns it.
func reported(t *testing.T, lines []string, name string) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if _, log, err := replayed(t, lines, "--report", path); err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	report, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// A page draws the alert and says its numbers, whatever the texts hold: no script, nothing to
// fetch, no link but to http and https.
func TestReportPage(t *testing.T) {
	lines := quietThenBurst(t)
	titles := regexp.MustCompile(`"title":"[^"]*"`)
	for i := range lines {
		url := []string{"javascript:alert(1)", "https://wire.example/?a=1&b=%22"}[i%2]
		lines[i] = titles.ReplaceAllLiteralString(lines[i], `"title":"<script>alert(1)</script><img src=x onerror=alert(1)>"`)
		lines[i] = strings.Replace(lines[i], `"url":""`, fmt.Sprintf(`"url":%q`, url), 1)
	}
	page := reported(t, lines, "out.html")
	tree, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	elements, links := map[string]int{}, []string{}
	for node := range tree.Descendants() {
		if node.Type != html.ElementNode {
			continue
		}
		elements[node.Data]++
		for _, a := range node.Attr {
			if strings.HasPrefix(strings.ToLower(a.Key), "on") || a.Key == "src" {
				t.Errorf("<%s %s=%q>", node.Data, a.Key, a.Val)
			}
			if a.Key == "href" {
				links = append(links, a.Val)
			}
		}
	}
	if elements["svg"] != 2 || elements["script"]+elements["img"]+elements["link"]+elements["iframe"] > 0 {
		t.Errorf("elements %v: want all of history and one alert drawn, and nothing that runs or is fetched", elements)
	}
	if len(links) == 0 || len(links) == 3 || slices.ContainsFunc(links, func(l string) bool { return l != "https://wire.example/?a=1&b=%22" }) {
		t.Errorf("links %q", links)
	}
	text := string(page)
	for _, want := range []string{"<h2>ACME</h2>", "&lt;script&gt;alert(1)", "4 Mar 2026 00:0", "where 1.9 was needed", "1 source, no copies"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// An alert about good news is drawn and told as what it is, in the words and numbers of its kind.
func TestReportOfAnotherKind(t *testing.T) {
	mood := regexp.MustCompile(`"negative":0\.9,"neutral":[0-9.]+,"positive":0`)
	lines := quietThenBurst(t)
	for i := range lines {
		lines[i] = mood.ReplaceAllLiteralString(lines[i], `"negative":0,"neutral":0.1,"positive":0.9`)
	}
	for spikes, legend := range map[string]string{"negative, positive, volume": ">negatives<", "positive": ">positives<"} {
		config := writeConfig(t, "trend: {spikes: ["+spikes+"]}")
		path := filepath.Join(t.TempDir(), "out.html")
		if _, log, err := replayed(t, lines, "-c", config, "--report", path); err != nil {
			t.Fatalf("%v\n%s", err, log)
		}
		report, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, whole, _ := strings.Cut(string(report), "<h2>everything</h2>")
		whole, drawn, found := strings.Cut(whole, "<h2>ACME (positive)</h2>")
		drawn, _, _ = strings.Cut(drawn, "</section>")
		if !found || !strings.Contains(whole, legend) || !strings.Contains(whole, ">ACME (positive)<") {
			t.Fatalf("looking for %s, the page is\n%s", spikes, report)
		}
		for _, want := range []string{"positives in ", "--chart-positive", " positive of ", "<span>90 %</span>"} {
			if !strings.Contains(drawn, want) {
				t.Errorf("looking for %s, the alert lacks %q", spikes, want)
			}
		}
		if strings.Contains(drawn, "negative") {
			t.Errorf("looking for %s, the alert about good news tells of negative ones:\n%s", spikes, drawn)
		}
	}
}

func TestReportPicture(t *testing.T) {
	picture, err := png.Decode(bytes.NewReader(reported(t, quietThenBurst(t), "out.PNG")))
	if err != nil {
		t.Fatal(err)
	}
	if got := picture.Bounds().Size(); got.X != pictureWidth || got.Y != 2*panelHeight {
		t.Errorf("size %v: want a panel for history and one for the alert", got)
	}
}

func TestReportOfNothing(t *testing.T) {
	page := string(reported(t, quietThenBurst(t)[:20], "out.html"))
	if !strings.Contains(page, "No alert would have been sent") || !strings.Contains(page, "<svg") {
		t.Errorf("a quiet history reads\n%s", page)
	}
	nothing := &replayRun{report: newReport(news.SpikeNegative), counted: trend.NewHistory(trend.Rule{}, 0)}
	var out bytes.Buffer
	if err := nothing.writePage(&out); err != nil || !strings.Contains(out.String(), "No readings") {
		t.Errorf("no history reads %v\n%s", err, out.String())
	}
	if err := nothing.writePicture(&out); err != nil {
		t.Errorf("a picture of no history: %v", err)
	}
}

func TestReportRefusesWrongUsage(t *testing.T) {
	for _, args := range []string{"--report out.pdf", "--report out.html --format bench", "--report out.html --budget 1,2"} {
		var usage usageError
		if _, _, err := replayed(t, nil, strings.Fields(args)...); !errors.As(err, &usage) {
			t.Errorf("%s: %v, want that of wrong usage", args, err)
		}
	}
	missing := filepath.Join(t.TempDir(), "none", "out.html")
	if _, _, err := replayed(t, nil, "--report", missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a report in no folder: %v", err)
	}
}

// All of history has a mark for each alert of a series that is drawn.
func TestAReportMarksEachAlert(t *testing.T) {
	p := newReport(news.SpikeNegative)
	for i := range 3 {
		a := news.Alert{ID: fmt.Sprint(i), Series: news.Series{Topic: "Oil"}, FiredAt: time.Unix(1e9, 0), UpdatedAt: time.Unix(1e9+int64(i)*86400, 0)}
		p.lists(a)
		p.close(&episode{fired: a, worst: a})
	}
	if marks := p.whole(bySurprise(p.worst)).Marks; len(marks) != 3 || marks[0].At.Equal(marks[2].At) {
		t.Errorf("marks %v, want one for each of three alerts", marks)
	}
}

// Of however many series, a report keeps few, and those are the most surprising.
func TestAReportKeepsTheMostSurprising(t *testing.T) {
	p := newReport(news.SpikeNegative)
	for i := range 1000 {
		surprise := float64(i * 7919 % 1000)
		a := news.Alert{ID: fmt.Sprint(i), Series: news.Series{Entity: fmt.Sprint(i)}, FiredAt: time.Unix(1e9, 0), Surprise: surprise}
		p.lists(a)
		p.close(&episode{fired: a, worst: a})
		if len(p.worst) > 2*drawnSeries {
			t.Fatalf("%d episodes are kept", len(p.worst))
		}
	}
	for i, e := range bySurprise(p.worst)[:drawnSeries] {
		if want := float64(999 - i); e.worst.Surprise != want {
			t.Errorf("place %d has surprise %g, want %g", i, e.worst.Surprise, want)
		}
	}
}
