package chart_test

import (
	"bytes"
	"encoding/xml"
	"image"
	"image/color"
	"image/png"
	"io"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/barograph/barograph/internal/chart"
	"github.com/barograph/barograph/news"
)

var midnight = time.Date(2026, 11, 24, 0, 0, 0, 0, time.UTC)

// morning is a quiet series that is hit by bad news at 7 o'clock.
func morning() chart.Series {
	rng := rand.New(rand.NewPCG(1, 2))
	s := chart.Series{Title: "BA", Note: "8 negative of 9 items in 30 min, 0.3 expected; by chance once in 2,505 days",
		From: midnight.Add(-4 * time.Hour), To: midnight.Add(12 * time.Hour), Window: 30 * time.Minute,
		Marks: []chart.Mark{{At: midnight.Add(7*time.Hour + 20*time.Minute), Since: midnight.Add(6*time.Hour + 55*time.Minute), Label: "warning 07:20"},
			{At: midnight.Add(7*time.Hour + 50*time.Minute), Label: "critical 07:50"},
			{At: midnight.Add(10 * time.Hour), Label: "over 10:00", Over: true}}}
	for at := s.From; at.Before(s.To); at = at.Add(5 * time.Minute) {
		b := chart.Bucket{Start: at}
		if rng.IntN(4) == 0 {
			b.Items = 1 + rng.IntN(2)
			b.Count = rng.IntN(5) / 4
		}
		if since := at.Sub(midnight.Add(7 * time.Hour)); since >= 0 && since < 90*time.Minute {
			b.Items += 1 + rng.IntN(3)
			b.Count += b.Items - 1
		}
		if b.Items > 0 {
			s.Buckets = append(s.Buckets, b)
		}
		p := chart.Point{At: at.Add(5 * time.Minute), Expected: .4 + .2*math.Sin(at.Sub(midnight).Hours()), Limit: 4}
		for _, b := range s.Buckets {
			if b.Start.After(at.Add(-30 * time.Minute)) {
				p.Count += float64(b.Count)
			}
		}
		s.Points = append(s.Points, p)
	}
	return s
}

func drawn(t *testing.T, width, height int, panels ...chart.Series) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := chart.PNG(&out, width, height, panels...); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// colours counts the pixels of each colour.
func colours(t *testing.T, picture []byte) (image.Image, map[color.Color]int) {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		t.Fatal(err)
	}
	count := map[color.Color]int{}
	for x := range img.Bounds().Dx() {
		for y := range img.Bounds().Dy() {
			count[color.RGBAModel.Convert(img.At(x, y))]++
		}
	}
	return img, count
}

var (
	red    = color.RGBA{0xd1, 0x3b, 0x3b, 0xff} // negatives
	pale   = color.RGBA{0xf0, 0xb4, 0xb0, 0xff} // negatives below the limit
	blue   = color.RGBA{0xe3, 0xee, 0xf8, 0xff} // the band
	sand   = color.RGBA{0xfb, 0xef, 0xd8, 0xff} // what an alert is about
	grey   = color.RGBA{0xc3, 0xcb, 0xd4, 0xff} // items
	teal   = color.RGBA{0x17, 0x93, 0x84, 0xff} // positives
	purple = color.RGBA{0x7a, 0x5c, 0xc2, 0xff} // items of any sort
	white  = color.RGBA{0xff, 0xff, 0xff, 0xff}
)

func TestAPictureShowsWhatIsInIt(t *testing.T) {
	for _, size := range [][2]int{{900, 400}, {1600, 700}, {chart.MinWidth, chart.MinHeight}} {
		img, with := colours(t, drawn(t, size[0], size[1], morning()))
		if got := img.Bounds().Size(); got != image.Pt(size[0], size[1]) {
			t.Errorf("asked for %v, got %v", size, got)
		}
		for name, c := range map[string]color.Color{"excess": red, "band": blue, "span": sand, "items": grey, "paper": white} {
			if with[c] == 0 {
				t.Errorf("%v: no %s", size, name)
			}
		}
	}
	_, loud := colours(t, drawn(t, 900, 400, morning()))
	warmingUp := morning()
	for i := range warmingUp.Points {
		warmingUp.Points[i].Limit = math.Inf(1)
	}
	_, quiet := colours(t, drawn(t, 900, 400, warmingUp))
	if quiet[red] >= loud[red] || quiet[pale] <= loud[pale] {
		t.Errorf("without a limit %d red and %d pale pixels, with one %d and %d: nothing is an excess", quiet[red], quiet[pale], loud[red], loud[pale])
	}
}

// A picture says what its counts are of: in words, and by a colour of their own.
func TestAPictureIsOfItsKind(t *testing.T) {
	own := map[news.SpikeKind]color.Color{news.SpikeNegative: red, news.SpikePositive: teal, news.SpikeVolume: purple}
	said := map[news.SpikeKind]string{news.SpikeNegative: "negatives in 30 min", news.SpikePositive: "positives in 30 min", news.SpikeVolume: "items in 30 min"}
	for kind := range own {
		s := morning()
		s.Kind = kind
		if kind == news.SpikeVolume {
			for i := range s.Buckets {
				s.Buckets[i].Count = s.Buckets[i].Items
			}
		}
		_, with := colours(t, drawn(t, 900, 400, s))
		for other, c := range own {
			if there := with[c] > 0; there != (other == kind) {
				t.Errorf("the picture of a %s spike has %d pixels for %s ones", kind, with[c], other)
			}
		}
		if items := with[grey] > 0; items == (kind == news.SpikeVolume) {
			t.Errorf("the picture of a %s spike has %d pixels of other items", kind, with[grey])
		}
		s.Title, s.Note, s.Marks = "BA", "", nil
		var out bytes.Buffer
		if err := chart.SVG(&out, 900, 400, s); err != nil {
			t.Fatal(err)
		}
		for other, words := range said {
			if strings.Contains(out.String(), words) != (other == kind) {
				t.Errorf("the picture of a %s spike says %q: %t", kind, words, other != kind)
			}
		}
	}
}

// What there is little of is drawn all the same.
func TestSparseSeries(t *testing.T) {
	for name, s := range map[string]chart.Series{
		"nothing":        {Title: "BA"},
		"one bucket":     {Title: "BA", Buckets: []chart.Bucket{{Start: midnight, Items: 1}}},
		"one point":      {Title: "BA", Points: []chart.Point{{At: midnight, Count: 1, Limit: 3}}, From: midnight, To: midnight.Add(time.Hour)},
		"no limit":       {Title: "BA", Points: []chart.Point{{At: midnight, Count: 1}}, From: midnight.Add(-time.Hour), To: midnight.Add(time.Hour)},
		"points outside": {Title: "BA", Points: []chart.Point{{At: midnight}}, From: midnight.Add(time.Hour), To: midnight.Add(2 * time.Hour)},
		"years": {Title: "BA", Buckets: []chart.Bucket{{Start: midnight, Items: 1e6, Count: 1e6},
			{Start: midnight.AddDate(20, 0, 0), Items: 1}}},
	} {
		t.Run(name, func(t *testing.T) { drawn(t, 600, 300, s) })
	}
}

func TestSizesThatCannotBe(t *testing.T) {
	for _, size := range [][2]int{{0, 0}, {chart.MinWidth - 1, 400}, {900, 2*chart.MinHeight - 1}, {900, 1 << 20}} {
		if err := chart.PNG(io.Discard, size[0], size[1], morning(), morning()); err == nil {
			t.Errorf("%v is a size", size)
		}
	}
	if chart.PNG(io.Discard, 900, 400) == nil {
		t.Error("a picture of nothing")
	}
}

// The svg stands in a page: well-formed, whatever a title says, and in the page's colours. The
// browser has fonts for what the title says.
func TestSVG(t *testing.T) {
	s := morning()
	s.Title = "贵州茅台 </text><script>alert('1')</script>\x00\u202e&"
	s.Marks[0].Label = `"><img src=x>`
	var out bytes.Buffer
	if err := chart.SVG(&out, 900, 400, s); err != nil {
		t.Fatal(err)
	}
	texts, elements := "", map[string]int{}
	decoder := xml.NewDecoder(bytes.NewReader(out.Bytes()))
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, out.Bytes())
		}
		switch token := token.(type) {
		case xml.StartElement:
			elements[token.Name.Local]++
		case xml.CharData:
			texts += string(token)
		}
	}
	if elements["svg"] != 1 || elements["script"]+elements["img"] > 0 || !strings.Contains(texts, "贵州茅台 </text><script>") {
		t.Errorf("elements %v, texts %q", elements, texts)
	}
	if !strings.Contains(out.String(), "var(--chart-negative,#D13B3B)") || strings.Contains(out.String(), ":#D13B3B") {
		t.Error("the page cannot choose the colours")
	}
}
