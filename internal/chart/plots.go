package chart

import (
	"image/color"
	"maps"
	"math"
	"slices"
	"time"

	"gonum.org/v1/plot/vg"
)

// half a count below the limit the band ends, so that what reaches the limit stands out.
const half = 0.5

// windows draws the upper plot: what is counted in the sliding window on the band of what is no
// spike.
func (p *panel) windows(b box) {
	points := slices.DeleteFunc(slices.Clone(p.Points), func(q Point) bool { return !q.At.After(p.from) || !q.At.Add(-p.Length).Before(p.to) })
	if len(points) == 0 {
		return
	}
	most, highest := 0.0, 0.0
	for _, q := range points {
		most = math.Max(most, math.Max(q.Count, q.Expected))
		if !math.IsInf(q.Limit, 1) {
			highest = math.Max(highest, q.Limit)
		}
	}
	most = math.Max(most, math.Min(highest, math.Max(tallest*most, 3))) * tail
	value := func(of func(Point) float64) []float64 {
		out := make([]float64, len(points))
		for i, q := range points {
			out[i] = math.Min(of(q), most)
		}
		return out
	}
	counts := value(func(q Point) float64 { return q.Count })
	limits := value(func(q Point) float64 { return math.Max(0, q.Limit-half) })
	below := value(func(q Point) float64 { return math.Min(q.Count, math.Max(0, q.Limit-half)) })
	zero := make([]float64, len(points))

	p.spans(b)
	y := func(n float64) float64 { return b.bottom + b.height()*n/most }
	p.area(band, b, points, zero, limits, y)
	p.scale(b, most)
	p.area(p.look.quiet, b, points, zero, below, y)
	p.area(p.look.loud, b, points, below, counts, y)
	p.line(limit, 1, nil, p.steps(b, points, limits, y)...)
	for _, stretch := range aboveZero(p.steps(b, points, counts, y), b.bottom) {
		p.line(p.look.loud, 1.2, nil, stretch...)
	}
	p.line(expected, 1.5, dashed, p.steps(b, points, value(func(q Point) float64 { return q.Expected }), y)...)
}

// steps hold a value over the bucket that its window ends with: as the bars below stand, and as
// the rule saw it while the bucket was counted.
func (p *panel) steps(b box, points []Point, values []float64, y func(float64) float64) (out []vg.Point) {
	for i, q := range points {
		begin, end := q.At.Add(-p.Length), q.At
		if i > 0 {
			begin = points[i-1].At
		}
		if begin.Before(p.from) {
			begin = p.from
		}
		if end.After(p.to) {
			end = p.to
		}
		out = append(out, at(p.x(b, begin), y(values[i])), at(p.x(b, end), y(values[i])))
	}
	return out
}

// aboveZero cuts a course into its stretches above the ground, each with its foot on both sides.
func aboveZero(course []vg.Point, ground float64) (stretches [][]vg.Point) {
	begun := -1
	for i, q := range course {
		switch above := q.Y.Points() > ground; {
		case above && begun < 0:
			begun = max(0, i-1)
		case !above && begun >= 0:
			stretches, begun = append(stretches, course[begun:i+1]), -1
		}
	}
	if begun >= 0 {
		stretches = append(stretches, course[begun:])
	}
	return stretches
}

// area fills between two courses.
func (p *panel) area(c color.Color, b box, points []Point, low, high []float64, y func(float64) float64) {
	upper, lower := p.steps(b, points, high, y), p.steps(b, points, low, y)
	slices.Reverse(lower)
	p.polygon(c, append(upper, lower...))
}

// bars draws the lower plot: the items and, in them, those of the kind.
func (p *panel) bars(b box) {
	bars := map[time.Time]Bucket{}
	most := 0.0
	for _, c := range p.Buckets {
		if start := c.Start.UTC().Truncate(p.step); !c.Start.Before(p.from) && c.Start.Before(p.to) {
			bar := bars[start]
			bar.Items, bar.Count = bar.Items+c.Items, bar.Count+c.Count
			bars[start] = bar
			most = math.Max(most, float64(bar.Items))
		}
	}
	if len(p.Points) == 0 {
		p.spans(b)
	}
	y := p.scale(b, most*tail)
	for _, start := range slices.SortedFunc(maps.Keys(bars), time.Time.Compare) {
		bar := bars[start]
		place := box{p.x(b, start) + .5, b.bottom, p.x(b, start.Add(p.step)) - .5, y(float64(bar.Items))}
		p.fill(item, place)
		place.top = y(float64(bar.Count))
		p.fill(p.look.loud, place)
	}
	p.line(soft, 1, nil, at(b.left, b.bottom), at(b.right, b.bottom))
}

// times writes the time axis below a plot.
func (p *panel) times(b box) {
	zone := p.words("UTC", p.pen.plain, textSize, b.width())
	p.write(soft, zone, b.right-zone.width, b.bottom-axisHeight+5)
	step := stepOf(p.to.Sub(p.from), b.width()/tickWidth)
	first := true
	for _, t := range timeTicks(p.from, p.to, step) {
		x := p.x(b, t)
		label := p.words(tickLabel(t, step, first), p.pen.plain, textSize, tickWidth)
		p.line(soft, 1, nil, at(x, b.bottom), at(x, b.bottom-4))
		left := math.Max(b.left-gutter, x-label.width/2)
		if left+label.width > b.right-zone.width-labelGap {
			break
		}
		p.write(soft, label, left, b.bottom-axisHeight+5)
		first = false
	}
}

// spans shades the stretches that alerts are about.
func (p *panel) spans(b box) {
	for _, m := range p.Marks {
		if !m.Since.IsZero() {
			p.fill(span, box{p.x(b, m.Since), b.bottom, p.x(b, m.At), b.top})
		}
	}
}

const markRows = 3

func (p *panel) marksHeight() float64 {
	if len(p.Marks) == 0 {
		return 4
	}
	return markRows*lineHeight - 4
}

// marks draws the lines, and their labels above the plots where they do not overlap: of two
// that are close the earlier one stands higher, so that no line crosses a label.
func (p *panel) marks(b box) {
	marks := slices.Clone(p.Marks)
	slices.SortStableFunc(marks, func(a, b Mark) int { return b.At.Compare(a.At) })
	taken := [markRows]float64{}
	for row := range taken {
		taken[row] = b.right + labelGap
	}
	for _, m := range marks {
		if m.At.Before(p.from) || m.At.After(p.to) {
			continue
		}
		c := alert
		if m.Over {
			c = over
		}
		x, top := p.x(b, m.At), b.top
		label := p.words(m.Label, p.pen.plain, textSize, b.width())
		left := x + 3
		if left+label.width > b.right {
			left = math.Max(b.left, x-3-label.width)
		}
		for row := range taken {
			if left+label.width+labelGap <= taken[row] {
				top = b.top + 3 + float64(row)*(lineHeight-3)
				p.write(c, label, left, top)
				for lower := range row + 1 {
					taken[lower] = math.Min(left, x)
				}
				break
			}
		}
		p.line(c, 1.2, nil, at(x, b.bottom), at(x, top+textSize*.7))
	}
}
