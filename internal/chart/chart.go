// Package chart draws what was counted in a series, what its past let one expect, and what
// was said of it: for reports, and for messages that carry a picture.
//
//	BA                                   ▬ negative in 30 min  ╌ expected  ▒ no spike
//	8 negative of 9 items in 30 min, …
//	    fired 07:25 │        over 09:40 │
//	8│              │▟▙                 │   the negatives of the sliding window,
//	 │▒▒▒▒▒▒▒▒▒▒▒▒▒▒│▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒▒│   on the band of what is no spike
//	 └──────────────────────────────────
//	9│      ▂     ▃ █ ▂                     items and, in them, negatives
//	 └─06:00──07:00──08:00──09:00── UTC
//
// Where the spike is one of positive items, or of items of any sort, these stand in place of the
// negatives, in a colour of their own.
package chart

import (
	"bytes"
	"fmt"
	"image/color"
	"io"
	"strings"
	"time"

	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/barograph/barograph/news"
)

// Series is one panel of a picture. Texts may be foreign: they are made harmless and cut.
type Series struct {
	Title string
	Kind  news.SpikeKind // what the counts are of, and the spike; "" = negative
	Note  string         // a line under the title; "" = none

	// From and To bound the picture in event time. Zero: the first and the last of Buckets.
	From, To time.Time

	Buckets []Bucket
	Length  time.Duration // of a bucket; 0 = 5 min

	Window time.Duration // that Points look back on
	Points []Point       // by rising time; nil: only the bars are drawn

	Marks []Mark
}

// Bucket is what was counted over Length of event time. Empty ones need not be there. Several
// share a bar where there are too many for the width.
type Bucket struct {
	Start time.Time
	Items int
	Count int // of them, those of the kind: for volume all
}

// Point is the sliding window that ends at a time. It is drawn from the point before up to its
// own: over the bucket that the window ends with.
type Point struct {
	At       time.Time
	Count    float64 // of the kind, in the window
	Expected float64 // that the series' past leads one to expect at this volume
	Limit    float64 // from which it is a spike; infinite: nothing is one
}

// Mark is a vertical line: an alert, or its end.
type Mark struct {
	At    time.Time
	Since time.Time // the stretch that is shaded before it; zero: none
	Label string
	Over  bool // an end, not a beginning
}

// Sizes in pixels that a picture must have at least; a panel's share of the height likewise.
const (
	MinWidth  = 320
	MinHeight = 180
)

// maxSize keeps a mistaken size from taking the memory.
const maxSize = 8192

// comfortable is the width that the text is made for; wider pictures have larger text.
const comfortable = 900.0

// PNG draws the panels below one another, of equal height, in a light theme: width and height
// are in pixels. The font has no Chinese: Chinese in texts becomes pinyin, and other
// characters that it lacks become their number, such as [U+1F680].
func PNG(w io.Writer, width, height int, panels ...Series) error {
	if err := check(width, height, panels); err != nil {
		return err
	}
	unit := max(1, float64(width)/comfortable)
	canvas := vgimg.NewWith(vgimg.UseWH(vg.Length(float64(width)/unit), vg.Length(float64(height)/unit)),
		vgimg.UseDPI(int(unit*vg.Inch.Points())), vgimg.UseBackgroundColor(paper))
	if err := draw(canvas, panels, true); err != nil {
		return err
	}
	_, err := vgimg.PngCanvas{Canvas: canvas}.WriteTo(w)
	return err
}

// SVG draws as PNG does, as an <svg> element to stand in an HTML page, with all characters as
// they are. The page's CSS gives it a width, and may set the colours: --chart-ink and so on.
func SVG(w io.Writer, width, height int, panels ...Series) error {
	if err := check(width, height, panels); err != nil {
		return err
	}
	canvas := vgsvg.New(vg.Length(width), vg.Length(height))
	if err := draw(canvas, panels, false); err != nil {
		return err
	}
	var drawn bytes.Buffer
	if _, err := canvas.WriteTo(&drawn); err != nil {
		return err
	}
	_, body, found := strings.Cut(drawn.String(), "viewBox")
	if !found {
		return fmt.Errorf("chart: an svg without viewBox: %.100q", drawn.String())
	}
	_, err := io.WriteString(w, `<svg role="img" viewBox`+inPalette(body))
	return err
}

func check(width, height int, panels []Series) error {
	switch {
	case len(panels) == 0:
		return fmt.Errorf("chart: nothing to draw")
	case width < MinWidth || height < MinHeight*len(panels) || width > maxSize || height > maxSize:
		return fmt.Errorf("chart: %d by %d pixels for %d panels: it is at least %d wide and %d high for each, and at most %d",
			width, height, len(panels), MinWidth, MinHeight, maxSize)
	}
	return nil
}

// palette names the colours: the CSS variable that an SVG looks for, and the light theme's.
var palette = []struct {
	name  string
	light color.RGBA
}{
	{"--chart-paper", paper}, {"--chart-ink", ink}, {"--chart-soft", soft}, {"--chart-grid", grid}, {"--chart-item", item},
	{"--chart-band", band}, {"--chart-limit", limit}, {"--chart-expected", expected}, {"--chart-quiet", quiet},
	{"--chart-negative", negative}, {"--chart-quiet-positive", quietPositive}, {"--chart-positive", positive},
	{"--chart-quiet-volume", quietVolume}, {"--chart-volume", volume}, {"--chart-alert", alert}, {"--chart-over", over}, {"--chart-span", span},
}

var (
	paper    = color.RGBA{0xff, 0xff, 0xff, 0xff}
	ink      = color.RGBA{0x1f, 0x29, 0x33, 0xff}
	soft     = color.RGBA{0x61, 0x6e, 0x7c, 0xff}
	grid     = color.RGBA{0xe7, 0xea, 0xee, 0xff}
	item     = color.RGBA{0xc3, 0xcb, 0xd4, 0xff}
	band     = color.RGBA{0xe3, 0xee, 0xf8, 0xff} // up to the limit
	limit    = color.RGBA{0x8f, 0xb3, 0xd9, 0xff}
	expected = color.RGBA{0x2b, 0x6c, 0xb0, 0xff}
	quiet    = color.RGBA{0xf0, 0xb4, 0xb0, 0xff} // negatives below the limit
	negative = color.RGBA{0xd1, 0x3b, 0x3b, 0xff}
	positive = color.RGBA{0x17, 0x93, 0x84, 0xff}
	volume   = color.RGBA{0x7a, 0x5c, 0xc2, 0xff}
	alert    = color.RGBA{0x8f, 0x1d, 0x1d, 0xff}
	over     = color.RGBA{0x2f, 0x7d, 0x55, 0xff}
	span     = color.RGBA{0xfb, 0xef, 0xd8, 0xff}
)

// Counts below the limit, of the other kinds.
var (
	quietPositive = color.RGBA{0xa6, 0xd8, 0xd1, 0xff}
	quietVolume   = color.RGBA{0xd0, 0xc4, 0xec, 0xff}
)

// look is how the counts of a kind of spike are drawn and called.
type look struct {
	loud, quiet color.RGBA // over the limit, and below it
	plural      string
}

func lookOf(kind news.SpikeKind) look {
	switch kind {
	case news.SpikePositive:
		return look{positive, quietPositive, "positives"}
	case news.SpikeVolume:
		return look{volume, quietVolume, "items"}
	}
	return look{negative, quiet, "negatives"}
}

// likeLiberation are fonts whose letters are as wide as those that the layout was made with.
const likeLiberation = "'Liberation Sans',Arial,Helvetica,sans-serif"

// inPalette lets a page's CSS choose the colours.
func inPalette(svg string) string {
	var pairs []string
	for _, p := range palette {
		hex := fmt.Sprintf("#%02X%02X%02X", p.light.R, p.light.G, p.light.B)
		pairs = append(pairs, ":"+hex, fmt.Sprintf(":var(%s,%s)", p.name, hex))
	}
	pairs = append(pairs, "font-family:'Liberation Sans'", "font-family:"+likeLiberation)
	return strings.NewReplacer(pairs...).Replace(svg)
}
