package finetune

import "math"

// Temperatures are looked for between these bounds.
const (
	minTemperature, maxTemperature = 0.05, 20
	prior                          = 0.5
)

// fitTemperature is the temperature that makes the true labels most likely (Guo et al.
// 2017, "On Calibration of Modern Neural Networks", section 4.2). The logits are [row][label],
// up to a constant in each row. The likelihood has one maximum over 1/T, so that golden
// section finds it. A normal prior on log T (mean 0, deviation prior) keeps a handful of
// rows that are all right from asking for certainty; hundreds outweigh it.
func fitTemperature(truth []int, logits [][]float64) float64 {
	loss := func(logT float64) float64 {
		t, sum := math.Exp(logT), logT*logT/(2*prior*prior)
		for i, row := range logits {
			most := math.Inf(-1)
			for _, x := range row {
				most = math.Max(most, x)
			}
			total := 0.0
			for _, x := range row {
				total += math.Exp((x - most) / t)
			}
			sum += math.Log(total) - (row[truth[i]]-most)/t
		}
		return sum
	}
	golden := (math.Sqrt(5) - 1) / 2
	lo, hi := math.Log(minTemperature), math.Log(maxTemperature)
	a, b := hi-golden*(hi-lo), lo+golden*(hi-lo)
	fa, fb := loss(a), loss(b)
	for hi-lo > 1e-4 {
		if fa <= fb {
			hi, b, fb = b, a, fa
			a = hi - golden*(hi-lo)
			fa = loss(a)
		} else {
			lo, a, fa = a, b, fb
			b = lo + golden*(hi-lo)
			fb = loss(b)
		}
	}
	return math.Round(math.Exp((lo+hi)/2)*1000) / 1000
}
