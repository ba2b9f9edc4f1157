package chart

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"

	"gonum.org/v1/plot/vg"

	"github.com/barograph/barograph/news"
)

// Distances and sizes of text, in pixels of a picture of comfortable width.
const (
	margin      = 16.0
	gutter      = 34.0 // left of the plots, for their numbers
	titleSize   = 16.0
	textSize    = 11.5
	lineHeight  = 16.0
	barWidth    = 7.0   // at least
	countHeight = 20.0  // of a number on the other axis, with the space about it
	tickWidth   = 95.0  // of a label on the time axis, with the space about it
	topShare    = 0.62  // of the upper plot
	tail        = 1.15  // of what is drawn, the height of a plot
	tallest     = 3.0   // times the counts and the expected, that the limit may stretch a plot
	plotGap     = 20.0  // between the plots
	axisHeight  = 20.0  // below them
	labelGap    = 6.0   // between labels of marks
	spanMin     = 900.0 // seconds; a picture of less would show nothing
)

func draw(canvas vg.CanvasSizer, panels []Series, spell bool) error {
	p, err := newPen(canvas, spell)
	if err != nil {
		return err
	}
	w, h := canvas.Size()
	whole := box{0, 0, w.Points(), h.Points()}
	p.fill(paper, whole)
	each := whole.height() / float64(len(panels))
	for i, s := range panels {
		top := whole.top - float64(i)*each
		newPanel(p, s, box{margin, top - each + margin/2, whole.right - margin, top - margin}).draw()
	}
	return nil
}

// panel is a series being drawn.
type panel struct {
	*pen
	Series
	box      // what is left to draw in
	from, to time.Time
	step     time.Duration // of a bar
	look
}

func newPanel(p *pen, s Series, b box) *panel {
	s.Length = cmp.Or(s.Length, 5*time.Minute)
	pa := &panel{pen: p, Series: s, box: b, from: s.From.UTC(), to: s.To.UTC(), look: lookOf(s.Kind)}
	slices.SortFunc(s.Buckets, func(a, b Bucket) int { return a.Start.Compare(b.Start) })
	if n := len(s.Buckets); n > 0 {
		if s.From.IsZero() {
			pa.from = s.Buckets[0].Start.UTC()
		}
		if s.To.IsZero() {
			pa.to = s.Buckets[n-1].Start.Add(s.Length).UTC()
		}
	}
	if pa.to.Sub(pa.from).Seconds() < spanMin {
		pa.to = pa.from.Add(spanMin * time.Second)
	}
	pa.step = max(s.Length, stepOf(pa.to.Sub(pa.from), (b.width()-gutter)/barWidth))
	return pa
}

func (p *panel) draw() {
	p.header()
	plots := box{p.left + gutter, p.bottom + axisHeight, p.right, p.top - p.marksHeight()}
	lower := plots
	if len(p.Points) > 0 {
		upper := plots
		upper.bottom = plots.top - (plots.height()-plotGap)*topShare
		lower.top = upper.bottom - plotGap
		p.windows(upper)
	}
	p.bars(lower)
	p.marks(box{plots.left, lower.bottom, plots.right, plots.top})
	p.times(lower)
}

// header writes title, legend and note, and leaves the rest. Where there is no room for the
// legend beside the title, it takes a line of its own.
func (p *panel) header() {
	entries, legendWidth := p.legend()
	x, room := p.right-legendWidth, p.width()-legendWidth-margin
	own := legendWidth > p.width()*.7
	if own {
		x, room = p.left, p.width()
	}
	p.write(ink, p.words(p.Title, p.pen.bold, titleSize, room), p.left, p.top-titleSize*.8)
	if own {
		p.top -= lineHeight + 2
	}
	for _, e := range entries {
		y := p.top - titleSize*.8
		e.sample(box{x, y - 1, x + sampleWidth, y + 8})
		p.write(soft, e.words, x+sampleWidth+5, y)
		x += e.room()
	}
	p.top -= titleSize + 4
	if p.Note != "" {
		p.write(soft, p.words(p.Note, p.pen.plain, textSize+.5, p.width()), p.left, p.top-textSize)
		p.top -= lineHeight
	}
	p.top -= 4
}

// entry says what a colour means.
type entry struct {
	words
	sample func(b box)
}

const sampleWidth = 13.0

func (e entry) room() float64 { return sampleWidth + 5 + e.width + 14 }

func (p *panel) legend() (entries []entry, width float64) {
	add := func(text string, sample func(b box)) {
		e := entry{p.words(text, p.pen.plain, textSize, p.width()), sample}
		entries = append(entries, e)
		width += e.room()
	}
	if len(p.Points) > 0 {
		add(p.look.plural+" in "+stretch(p.Window), func(b box) { p.fill(p.look.loud, b) })
		add("expected", func(b box) {
			p.line(expected, 1.5, dashed, at(b.left, (b.bottom+b.top)/2), at(b.right, (b.bottom+b.top)/2))
		})
		add("no spike", func(b box) { p.fill(band, b); p.line(limit, 1, nil, at(b.left, b.top), at(b.right, b.top)) })
	} else if p.Kind != news.SpikeVolume {
		add(p.look.plural, func(b box) { p.fill(p.look.loud, b) })
	}
	bars := item
	if p.Kind == news.SpikeVolume { // all items are what the spike is of
		bars = p.look.loud
	}
	add("items, each "+stretch(p.step), func(b box) { p.fill(bars, b) })
	return entries, width - 14
}

// stretch is a stretch of time for people.
func stretch(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d == day:
		return "day"
	case d > day && d%day == 0:
		return fmt.Sprintf("%d days", d/day)
	}
	return news.Duration(d).Words()
}

var dashed = []vg.Length{4, 3}

func (p *panel) x(b box, t time.Time) float64 {
	share := float64(t.Sub(p.from)) / float64(p.to.Sub(p.from))
	return b.left + b.width()*math.Min(1, math.Max(0, share))
}

// scale draws the lines of a plot's numbers and returns where a number is.
func (p *panel) scale(b box, most float64) func(float64) float64 {
	most = math.Max(1, most)
	y := func(n float64) float64 { return b.bottom + b.height()*math.Min(1, math.Max(0, n/most)) }
	for _, n := range countTicks(most, b.height()/countHeight) {
		if n > most {
			break
		}
		p.line(grid, 1, nil, at(b.left, y(n)), at(b.right, y(n)))
		label := p.words(strconv.FormatFloat(n, 'f', -1, 64), p.pen.plain, textSize, gutter)
		p.write(soft, label, b.left-6-label.width, y(n)-4)
	}
	return y
}
