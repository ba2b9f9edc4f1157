package bert

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// Ranges says how far from 0 each channel of what leaves a layer normalisation goes:
// [hidden], by the normalisation's name. A few channels go ten times as far as the rest,
// on any text; INT8 wants to know which.
type Ranges map[string][]float32

// RangesGraph is a graph to measure Ranges with. It has Graph's inputs, and for each
// normalisation that a product reads one float32 output [batch, hidden]: a channel's
// largest magnitude over the tokens, padding included.
func (c *Checkpoint) RangesGraph() ([]byte, error) {
	g := c.newGraph(FP32)
	g.measured = []string{}
	g.encode(c.Config.Pooling() != PoolMean)
	g.b.Metadata(onnxpb.MetaHeads, strings.Join(g.measured, ","))
	return g.model()
}

// measure makes the range of x, which leaves norm, an output.
func (g *graph) measure(x, norm string) {
	if g.measured == nil {
		return
	}
	g.measured = append(g.measured, norm)
	g.b.Add(onnxpb.Node{Op: "ReduceMax", Inputs: []string{g.op("Abs", x)}, Outputs: []string{norm},
		Attrs: []onnxpb.Attr{onnxpb.Ints("axes", 1), onnxpb.Int("keepdims", 0)}}, 1)
	g.b.Output(norm, onnxpb.Float32, onnxpb.Dim{Name: "batch"}, onnxpb.Dim{Size: g.c.Config.HiddenSize})
}

// MeasureRanges runs a session of RangesGraph on some 8,000 random tokens, the same ones
// each time, in rows that begin with start and end with end: [CLS] and [SEP]. Random
// tokens tell a channel's range nearly as well as texts do, and none have to be at hand.
func (c *Checkpoint) MeasureRanges(s *onnx.Session, start, end []int32) (Ranges, error) {
	random := rand.New(rand.NewPCG(1, 2))
	ranges := Ranges{}
	for _, cols := range []int{8, 16, 32, 64, 128} {
		b := onnx.Batch{Rows: 32, Cols: min(cols, c.Config.MaxPositions)}
		b.IDs, b.Mask, b.Types = make([]int64, b.Rows*b.Cols), make([]int64, b.Rows*b.Cols), make([]int64, b.Rows*b.Cols)
		for i := range b.IDs {
			b.IDs[i], b.Mask[i] = random.Int64N(int64(c.Config.VocabSize)), 1
			if at := i % b.Cols; at < len(start) {
				b.IDs[i] = int64(start[at])
			} else if left := b.Cols - at; left <= len(end) {
				b.IDs[i] = int64(end[len(end)-left])
			}
		}
		out, err := s.Run(b)
		if err != nil {
			return nil, fmt.Errorf("measuring the ranges of activations: %w", err)
		}
		for i, norm := range s.Outputs() {
			if ranges[norm] == nil {
				ranges[norm] = make([]float32, c.Config.HiddenSize)
			}
			for j, v := range out[i].Data {
				if v != v || math.IsInf(float64(v), 0) {
					return nil, fmt.Errorf("%w: random tokens give %v behind %s", ErrCheckpoint, v, norm)
				}
				channel := &ranges[norm][j%c.Config.HiddenSize]
				*channel = max(*channel, v)
			}
		}
	}
	return ranges, nil
}
