package finetune

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
)

// TestInt8MayCostHalfAPoint of any head's macro-F1: more, and the bundle asks for fp32, and its
// card says so.
func TestInt8MayCostHalfAPoint(t *testing.T) {
	cost := func(task string, gain float64) Cost {
		return Cost{bert.INT8, task, classify.Comparison{Gain: gain}}
	}
	for name, c := range map[string]struct {
		costs []Cost
		want  bert.Precision
	}{
		"alike":          {[]Cost{cost("sentiment", 0)}, ""},
		"better":         {[]Cost{cost("sentiment", .01)}, ""},
		"a little worse": {[]Cost{cost("sentiment", -.0049)}, ""},
		"worse":          {[]Cost{cost("sentiment", -.0051)}, bert.FP32},
		"one head worse": {[]Cost{cost("sentiment", .02), cost("topic", -.01)}, bert.FP32},
	} {
		got := instead(c.costs)
		card := &strings.Builder{}
		cardPrecisions(card, Report{Precision: got, Costs: c.costs})
		if got != c.want || strings.Contains(card.String(), "asks for fp32") != (c.want == bert.FP32) {
			t.Errorf("%s: %q, and the card says %q", name, got, card)
		}
	}
}

// TestFewRowsCannotTellWhatInt8Costs: int8 errs on one row in a hundred that fp32 has right. On
// a hundred rows that is a point of cost and may be none; on twenty thousand it is a point. That
// nothing changes on a hundred rows says little, on a thousand enough.
func TestFewRowsCannotTellWhatInt8Costs(t *testing.T) {
	for name, c := range map[string]struct {
		rows, every int // int8 errs on every so many
		want        bert.Precision
		unsure      bool
	}{
		"few":               {100, 100, bert.FP32, true},
		"many":              {20000, 100, bert.FP32, false},
		"few, unchanged":    {100, 1000000, "", true},
		"enough, unchanged": {1000, 1000000, "", false},
	} {
		j := &job{heads: []bert.Head{sentiment}}
		var exact, int8 []classify.Prediction
		for i := range c.rows {
			right, wrong := make([]float64, 3), make([]float64, 3)
			right[i%3], wrong[(i+1)%3] = 1, 1
			j.data.valid = append(j.data.valid, &Example{Labels: []int{i % 3}})
			exact = append(exact, classify.Prediction{right})
			if i%c.every == c.every/2 {
				right = wrong
			}
			int8 = append(int8, classify.Prediction{right})
		}
		costs, err := j.costs(bert.INT8, exact, int8)
		if err != nil || len(costs) != 1 {
			t.Fatal(costs, err)
		}
		card := &strings.Builder{}
		cardPrecisions(card, Report{Precision: instead(costs), Costs: costs})
		flat := "on these rows: "
		if c.unsure {
			flat = "on these rows, which are too few to be sure: "
		}
		if !strings.Contains(card.String(), flat) {
			t.Errorf("%s: the card says\n%s", name, card)
		}
		if instead(costs) != c.want || costs[0].Unsure() != c.unsure || strings.Contains(card.String(), "too few rows to tell") != c.unsure {
			t.Errorf("%s: %q, %v\n%s", name, instead(costs), costs[0], card)
		}
	}
}

// TestFP16IsHeldToTheSameRule on CUDA, where it is what serves: what it costs too much, or what
// nobody could measure, the bundle asks fp32 for, in its config.json and its card.
func TestFP16IsHeldToTheSameRule(t *testing.T) {
	cost := func(gain float64) []Cost {
		return []Cost{{bert.FP16, "sentiment", classify.Comparison{Rows: 1000, Gain: gain}}, {bert.INT8, "sentiment", classify.Comparison{Rows: 1000}}}
	}
	for name, c := range map[string]struct {
		r    Report
		says string
	}{
		"alike": {Report{Costs: cost(0)}, "it is what the GPU runs"},
		"worse": {Report{Costs: cost(-.022), PrecisionCUDA: bert.FP32}, "fp16 costs more than 0.5 points of macro-F1 on these rows: `config.json` asks for fp32 on the GPU"},
		"not measured": {Report{Costs: cost(0)[1:], Measures: []Measure{{Precision: bert.FP16, Err: errors.New("/home/jane/rows.csv: not a number")}}, PrecisionCUDA: bert.FP32},
			"What fp16 costs is not known: `config.json` asks for fp32 on the GPU"},
	} {
		card := &strings.Builder{}
		cardPrecisions(card, c.r)
		if !strings.Contains(card.String(), c.says) || !strings.Contains(card.String(), "it is what the CPU runs") || strings.Contains(card.String(), "jane") || strings.Contains(card.String(), "\n\n\n") {
			t.Errorf("%s: the card says\n%s", name, card)
		}
		if costs := slices.DeleteFunc(c.r.Costs, func(k Cost) bool { return k.Precision != bert.FP16 }); len(costs) > 0 && instead(costs) != c.r.PrecisionCUDA {
			t.Errorf("%s: instead it is %q", name, instead(costs))
		}
	}
}
