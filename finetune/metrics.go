package finetune

import (
	"encoding/csv"
	"fmt"
	"image/color"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
)

// point is one update, for the curves.
type point struct {
	Epoch int     `json:"e"`
	Loss  float64 `json:"l"`
	Rate  float64 `json:"r"`
	Norm  float64 `json:"n"`
}

// The numbers and the curves of a run, in its folder and in the bundle's.
const (
	metricsName = "metrics.csv"
	curvesName  = "metrics.png"
)

// draw writes the numbers and the curves so far, beside and renamed: they can be looked at while
// it trains.
func (f *fit) draw() error {
	var tasks []string
	for _, h := range f.heads {
		tasks = append(tasks, h.Task)
	}
	for name, write := range map[string]writer{
		metricsName: func(w io.Writer) error { return writeMetrics(w, tasks, f.state.Points, f.state.Epochs) },
		curvesName:  func(w io.Writer) error { return writeCurves(w, tasks, f.state.Points, f.state.Epochs) },
	} {
		path := filepath.Join(f.curves, name)
		err := writeFile(path+newName, write)
		if err == nil {
			err = os.Rename(path+newName, path)
		}
		if err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return nil
}

// writeMetrics writes a row for each update, with the validation figures in the rows that
// end an epoch.
func writeMetrics(out io.Writer, tasks []string, points []point, epochs []Epoch) error {
	w := csv.NewWriter(out)
	header := []string{"update", "epoch", "lr", "loss", "grad_norm"}
	for _, task := range tasks {
		header = append(header, task+"_loss", task+"_accuracy", task+"_macro_f1")
	}
	_ = w.Write(header)
	number := func(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
	ends := map[int]Epoch{}
	for _, e := range epochs {
		ends[e.Updates] = e
	}
	for i, p := range points {
		record := []string{strconv.Itoa(i + 1), strconv.Itoa(p.Epoch), number(p.Rate), number(p.Loss), number(p.Norm)}
		scores := map[string]HeadScore{}
		for _, s := range ends[i+1].Heads {
			scores[s.Task] = s
		}
		for _, task := range tasks {
			if s, ok := scores[task]; ok {
				record = append(record, number(s.Loss), number(s.Accuracy), number(s.MacroF1))
			} else {
				record = append(record, "", "", "")
			}
		}
		_ = w.Write(record)
	}
	w.Flush()
	return w.Error()
}

var lineColors = []color.Color{
	color.RGBA{0x1f, 0x77, 0xb4, 255}, color.RGBA{0xd6, 0x27, 0x28, 255}, color.RGBA{0x2c, 0xa0, 0x2c, 255}, color.RGBA{0x94, 0x67, 0xbd, 255},
}

// writeCurves draws the loss of the updates and, below it, the heads' macro-F1 after each
// epoch, as PNG.
func writeCurves(out io.Writer, tasks []string, points []point, epochs []Epoch) error {
	loss, f1 := plot.New(), plot.New()
	loss.Title.Text, loss.Y.Label.Text = "Loss of the training updates (mean of 20)", "loss"
	f1.Title.Text, f1.X.Label.Text, f1.Y.Label.Text = "Macro-F1 on the validation rows", "update", "macro-F1"
	loss.Add(plotter.NewGrid())
	f1.Add(plotter.NewGrid())
	smooth, err := plotter.NewLine(smoothed(points, 20))
	if err != nil {
		return err
	}
	smooth.Color = lineColors[0]
	loss.Add(smooth)
	for i, task := range tasks {
		var curve plotter.XYs
		for _, e := range epochs {
			for _, s := range e.Heads {
				if s.Task == task {
					curve = append(curve, plotter.XY{X: float64(e.Updates), Y: s.MacroF1})
				}
			}
		}
		if len(curve) == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(curve)
		if err != nil {
			return err
		}
		line.Color = lineColors[i%len(lineColors)]
		dots.Color, dots.Shape = line.Color, draw.CircleGlyph{}
		f1.Add(line, dots)
		f1.Legend.Add(task, line, dots)
	}
	loss.X.Min, loss.X.Max = 0, float64(len(points))
	f1.X.Min, f1.X.Max = loss.X.Min, loss.X.Max
	image := vgimg.New(8*vg.Inch, 6*vg.Inch)
	rows := [][]*plot.Plot{{loss}, {f1}}
	canvases := plot.Align(rows, draw.Tiles{Rows: 2, Cols: 1, PadY: vg.Points(10), PadTop: vg.Points(6), PadBottom: vg.Points(6),
		PadLeft: vg.Points(6), PadRight: vg.Points(12)}, draw.New(image))
	loss.Draw(canvases[0][0])
	f1.Draw(canvases[1][0])
	if _, err := (vgimg.PngCanvas{Canvas: image}).WriteTo(out); err != nil {
		return fmt.Errorf("drawing the curves: %w", err)
	}
	return nil
}

// smoothed are means over so many updates up to each.
func smoothed(points []point, over int) plotter.XYs {
	out := make(plotter.XYs, len(points))
	sum := 0.0
	for i, p := range points {
		sum += p.Loss
		if i >= over {
			sum -= points[i-over].Loss
		}
		out[i] = plotter.XY{X: float64(i + 1), Y: sum / float64(min(i+1, over))}
	}
	return out
}
