package main

import (
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/barograph/barograph/internal/chart"
	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/news"
)

//go:embed replaypage.html
var replayPage string

// reportFormat is html or png, by the name of the file; "" is neither.
func reportFormat(path string) string {
	format := strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), ".")
	if format != "html" && format != "png" {
		return ""
	}
	return format
}

// draws makes the run collect what a report shows. finish writes it; discard leaves no part of
// one that was not finished.
func (r *replayRun) draws(path string) (finish func() error, discard func(), err error) {
	if path == "" {
		return func() error { return nil }, func() {}, nil
	}
	out, err := createOutput(nil, path)
	if err != nil {
		return nil, nil, fmt.Errorf("report: %w", err)
	}
	r.report = newReport(r.rule.Kinds()[0])
	return func() error {
		write := r.writePage
		if reportFormat(path) == "png" {
			write = r.writePicture
		}
		if err := write(out); err != nil {
			return fmt.Errorf("report %s: %w", path, err)
		}
		return out.commit()
	}, out.discard, nil
}

// Sizes of a report's pictures, in pixels.
const (
	pictureWidth  = 1200
	panelHeight   = 340
	picturePanels = 6
	pageWidth     = 900
	pageHeight    = 300
	wholeHeight   = 200
)

// writePicture draws all of history and the most surprising alerts, one below the other.
func (r *replayRun) writePicture(w io.Writer) error {
	drawn := r.report.ends(r.counted, r.now)
	drawn = drawn[:min(picturePanels-1, len(drawn))]
	whole := r.report.whole(drawn)
	whole.Title, whole.Note = "everything", plain.Line(r.summary(), 300)
	panels := []chart.Series{whole}
	for _, e := range drawn {
		c := e.picture()
		c.Title, c.Note = subjectOf(e.fired).String(), e.worst.Reason
		panels = append(panels, c)
	}
	return chart.PNG(w, pictureWidth, panelHeight*len(panels), panels...)
}

// page is what the template shows.
type page struct {
	From, To time.Time
	Summary  string
	Budget   string
	Whole    template.HTML
	Drawn    []drawnEpisode
	Series   []*fallen
	Left     int // series that are not listed
}

type drawnEpisode struct {
	Series  string
	Reason  string
	Picture template.HTML
	Facts   [][2]string
	Items   []shownItem
	Others  []news.Alert
	More    int // alerts of the series that are not listed
}

type shownItem struct {
	Percent string
	Title   string
	Link    string
}

var pageFunctions = template.FuncMap{
	"at":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
	"series": func(s subject) string { return plain.Line(s.String(), 150) },
}

// writePage writes all of it as one HTML page, without scripts and without anything to fetch.
// Texts are foreign: the template escapes them, and plain.Link chooses addresses.
func (r *replayRun) writePage(w io.Writer) error {
	drawn := r.report.ends(r.counted, r.now)
	p := page{From: r.first, To: r.now, Summary: r.summary(), Budget: r.setting()}
	var err error
	if len(r.report.counts) > 0 {
		if p.Whole, err = picture(r.report.whole(drawn), wholeHeight); err != nil {
			return err
		}
	}
	for _, e := range drawn {
		d, err := r.drawnEpisode(e)
		if err != nil {
			return err
		}
		p.Drawn = append(p.Drawn, d)
	}
	for _, s := range r.report.fallen {
		p.Series = append(p.Series, s)
	}
	slices.SortFunc(p.Series, func(a, b *fallen) int {
		return cmp.Or(cmp.Compare(b.Surprise, a.Surprise), compareSubjects(a.Of, b.Of))
	})
	p.Left = max(0, len(p.Series)-listedSeries)
	p.Series = p.Series[:len(p.Series)-p.Left]
	parsed, err := template.New("page").Funcs(pageFunctions).Parse(replayPage)
	if err != nil {
		return err
	}
	return parsed.Execute(w, p)
}

func picture(c chart.Series, height int) (template.HTML, error) {
	var out bytes.Buffer
	err := chart.SVG(&out, pageWidth, height, c)
	return template.HTML(out.String()), err // chart escapes the texts
}

// setting says by which rule the run was.
func (r *replayRun) setting() string {
	if r.rule.Surprise > 0 {
		return fmt.Sprintf("surprise %g", r.rule.Surprise)
	}
	return fmt.Sprintf("false alerts allowed a day: %g", r.rule.FalseAlertsPerDay)
}

func (r *replayRun) drawnEpisode(e *episode) (drawnEpisode, error) {
	a := e.worst
	d := drawnEpisode{Series: plain.Line(subjectOf(a).String(), 150), Reason: plain.Line(a.Reason, 300), Facts: e.facts()}
	var err error
	if d.Picture, err = picture(e.picture(), pageHeight); err != nil {
		return d, err
	}
	for _, text := range a.Evidence {
		item := shownItem{Percent: sureness(a, text), Title: plain.Line(text.Title, 250), Link: plain.Link(text.URL)}
		item.Title = or(item.Title, or(item.Link, plain.Line(text.ID, 100)))
		d.Items = append(d.Items, item)
	}
	of := r.report.fallen[subjectOf(a)]
	for _, other := range of.Listed {
		if other.ID != a.ID {
			d.Others = append(d.Others, other)
		}
	}
	d.More = of.Alerts - len(of.Listed)
	return d, nil
}

// facts are the numbers of the decision, in words.
func (e *episode) facts() (facts [][2]string) {
	fired, a := e.fired, e.worst
	add := func(name, format string, values ...any) {
		facts = append(facts, [2]string{name, fmt.Sprintf(format, values...)})
	}
	stamp := func(t time.Time) string { return t.UTC().Format("2 Jan 2006 15:04") }
	add("fired", "%s UTC as %s, by news since %s", stamp(fired.UpdatedAt), fired.Severity, stamp(fired.StartedAt))
	if kind := a.Kind.OrNegative(); kind == news.SpikeVolume {
		add("counted", "%d items in %s", a.Items, a.Window.Words())
		add("expected", "%.2g items", a.Expected)
	} else {
		add("counted", "%d %s of %d items in %s: %.0f %%, where %.0f %% is usual", a.Count(), kind, a.Items,
			a.Window.Words(), 100*a.Share, 100*a.ShareBefore)
		add("expected", "%.2g %s at %.2g times the usual volume", a.Expected, kind, a.VolumeFactor)
	}
	add("surprise", "%.1f when it fired, where %.1f was needed; %.1f at its highest", fired.Surprise, e.threshold, a.Surprise)
	add("told by", "%s", a.ToldBy())
	if model := plain.Line(strings.TrimSpace(a.Model.Name+" "+a.Model.Version), 100); model != "" {
		add("read by", "%s", model)
	}
	var turns []string
	for _, turn := range e.turns[1:] {
		turns = append(turns, turn.Label)
	}
	if len(turns) > 0 {
		add("then", "%s", strings.Join(turns, ", "))
	}
	return facts
}

// sureness is how surely a text is what an alert counts; "" of a volume alert, whose texts are
// of any mood.
func sureness(a news.Alert, text news.Evidence) string {
	switch a.Kind {
	case news.SpikeVolume:
		return ""
	case news.SpikePositive:
		return fmt.Sprintf("%.0f %%", 100*text.Positive)
	}
	return fmt.Sprintf("%.0f %%", 100*text.Negative)
}
