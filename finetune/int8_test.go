package finetune

import (
	"strings"
	"testing"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
)

// TestInt8MayCostHalfAPoint of any head's macro-F1: more, and the bundle asks for fp32, and its
// card says so.
func TestInt8MayCostHalfAPoint(t *testing.T) {
	cost := func(task string, gain float64) Int8Cost {
		return Int8Cost{task, classify.Comparison{Gain: gain}}
	}
	for name, c := range map[string]struct {
		costs []Int8Cost
		want  bert.Precision
	}{
		"alike":          {[]Int8Cost{cost("sentiment", 0)}, ""},
		"better":         {[]Int8Cost{cost("sentiment", .01)}, ""},
		"a little worse": {[]Int8Cost{cost("sentiment", -.0049)}, ""},
		"worse":          {[]Int8Cost{cost("sentiment", -.0051)}, bert.FP32},
		"one head worse": {[]Int8Cost{cost("sentiment", .02), cost("topic", -.01)}, bert.FP32},
	} {
		got := onCPU(c.costs)
		card := &strings.Builder{}
		cardPrecisions(card, Report{Precision: got, Int8: c.costs})
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
		costs, err := j.int8Costs(exact, int8)
		if err != nil || len(costs) != 1 {
			t.Fatal(costs, err)
		}
		card := &strings.Builder{}
		cardPrecisions(card, Report{Precision: onCPU(costs), Int8: costs})
		if onCPU(costs) != c.want || costs[0].Unsure() != c.unsure || strings.Contains(card.String(), "too few rows to tell") != c.unsure {
			t.Errorf("%s: %q, %v\n%s", name, onCPU(costs), costs[0], card)
		}
	}
}
