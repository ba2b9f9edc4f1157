package chart

import (
	"fmt"
	"image/color"

	"codeberg.org/go-fonts/liberation/liberationsansbold"
	"codeberg.org/go-fonts/liberation/liberationsansregular"
	"golang.org/x/image/font/opentype"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"

	"github.com/barograph/barograph/internal/plain"
)

// pen draws in pixels from the lower left corner.
type pen struct {
	canvas vg.Canvas
	plain  font.Face
	bold   font.Face
	spell  bool // write what the font lacks in letters that it has
}

func newPen(canvas vg.Canvas, spell bool) (*pen, error) {
	p := &pen{canvas: canvas, spell: spell}
	for _, f := range []struct {
		to  *font.Face
		ttf []byte
	}{{&p.plain, liberationsansregular.TTF}, {&p.bold, liberationsansbold.TTF}} {
		parsed, err := opentype.Parse(f.ttf)
		if err != nil {
			return nil, fmt.Errorf("chart: reading the font: %w", err)
		}
		*f.to = font.Face{Font: font.Font{Typeface: "Liberation", Variant: "Sans"}, Face: parsed}
	}
	p.bold.Font.Weight = 3 // font.WeightBold of golang.org/x/image
	return p, nil
}

// box is a part of the picture.
type box struct{ left, bottom, right, top float64 }

func (b box) width() float64  { return b.right - b.left }
func (b box) height() float64 { return b.top - b.bottom }

func (p *pen) fill(c color.Color, b box) {
	if b.right <= b.left || b.top <= b.bottom {
		return
	}
	p.polygon(c, []vg.Point{at(b.left, b.bottom), at(b.right, b.bottom), at(b.right, b.top), at(b.left, b.top)})
}

func (p *pen) polygon(c color.Color, points []vg.Point) {
	if len(points) < 3 {
		return
	}
	path := pathOf(points)
	path.Close()
	p.canvas.SetColor(c)
	p.canvas.Fill(path)
}

func (p *pen) line(c color.Color, width float64, dashes []vg.Length, points ...vg.Point) {
	if len(points) < 2 {
		return
	}
	p.canvas.SetColor(c)
	p.canvas.SetLineWidth(vg.Length(width))
	p.canvas.SetLineDash(dashes, 0)
	p.canvas.Stroke(pathOf(points))
}

func pathOf(points []vg.Point) (path vg.Path) {
	path.Move(points[0])
	for _, to := range points[1:] {
		path.Line(to)
	}
	return path
}

func at(x, y float64) vg.Point { return vg.Point{X: vg.Length(x), Y: vg.Length(y)} }

// words are a text made ready to be written: harmless, in the font's letters, and cut to
// a width.
type words struct {
	text  string
	face  font.Face
	width float64
}

const longestText = 400 // runes; no picture is as wide

func (p *pen) words(text string, face font.Face, size, within float64) words {
	face.Font.Size = vg.Length(size)
	text = plain.Line(text, longestText)
	if p.spell {
		text = spelled(face.Face, text)
	}
	w := words{text, face, face.Width(text).Points()}
	if w.width <= within {
		return w
	}
	runes := []rune(text)
	for len(runes) > 0 && w.width > within {
		runes = runes[:len(runes)-1]
		w.text = string(runes) + "…"
		w.width = face.Width(w.text).Points()
	}
	return w
}

// write puts words with the left end of their base line at x, y.
func (p *pen) write(c color.Color, w words, x, y float64) {
	if w.text == "" {
		return
	}
	p.canvas.SetColor(c)
	p.canvas.FillString(w.face, at(x, y), w.text)
}
