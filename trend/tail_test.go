package trend

import (
	"math"
	"testing"
)

// Expected values are scipy 1.17.1's: scipy.special.betainc(a, b, x).
func TestIncompleteBetaEqualsScipy(t *testing.T) {
	for _, c := range []struct{ a, b, x, want float64 }{
		{1, 1, 0.3, 0.3},
		{3, 0.5, 0.02, 2.51897817262552e-06},
		{8, 2.5, 0.1, 1.8388920071373e-07},
		{0.5, 0.5, 0.5, 0.5},
		{3, 6.2, 0.9, 0.999984441096651},
		{25, 4, 0.35, 3.82819773205166e-09},
		{200, 6, 0.5, 5.72769782281449e-53},
		{5, 0.001, 0.4, 3.09745099788665e-06},
		{100000, 30, 0.999, 5.62784664915044e-17},
		{100000, 50000, 0.66, 2.38143262552594e-08},
		{40, 1000000, 2e-05, 5.32348098882018e-05},
		{0.01, 0.01, 0.7, 0.504176386397618},
		{12, 300, 0.9, 1},
		{3, 4, 0, 0},
		{3, 4, 1, 1},
	} {
		// Half of the digits are lost where the logarithms of large gammas cancel.
		tolerance := 1e-11 * math.Max(1, (c.a+c.b)/10)
		if got := incompleteBeta(c.a, c.b, c.x); math.Abs(got-c.want) > tolerance*c.want {
			t.Errorf("I_%g(%g, %g) = %.15g, want %.15g", c.x, c.a, c.b, got, c.want)
		}
	}
}

// Expected values are scipy's: scipy.stats.nbinom.sf(y-1, size, size/(mean+size)).
func TestNegBinTailEqualsScipy(t *testing.T) {
	for _, c := range []struct{ y, mean, size, want float64 }{
		{8, 0.31, 0.28, 0.000630985016258035},
		{3, 0.01, 0.4, 3.28633656993713e-06},
		{3, 2.5, 5, 0.429355281207133},
		{40, 12, 9, 0.000108503999390823},
		{500, 200, 30, 7.90081474503824e-09},
		{60, 0.001, 2, 5.13205123746805e-197},
		{100000, 90000, 10000, 1.05273796190132e-24},
		{1, 0.5, 1, 0.333333333333333},
	} {
		if got := negBinTail(c.y, c.mean, c.size); math.Abs(got-c.want) > 1e-7*c.want {
			t.Errorf("P(X >= %g | mean %g, size %g) = %.15g, want %.15g", c.y, c.mean, c.size, got, c.want)
		}
	}
}

// What is told about counts and tails is of one distribution.
func TestNegBinAddsUpToItsTail(t *testing.T) {
	for _, c := range []struct{ mean, variance float64 }{{.31, .6}, {12, 28}, {200, 1500}} {
		size, above := c.mean*c.mean/(c.variance-c.mean), 0.0
		for y := 10.0; y < 5000; y++ {
			above += math.Exp(logNegBin(y, c.mean, c.variance))
		}
		if want := negBinTail(10, c.mean, size); math.Abs(above-want) > 1e-9*want {
			t.Errorf("mean %g, variance %g: counts from 10 on have %g, their tail %g", c.mean, c.variance, above, want)
		}
	}
}
