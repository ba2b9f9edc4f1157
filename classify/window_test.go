package classify

import (
	"math"
	"slices"
	"testing"
)

func TestWindows(t *testing.T) {
	for _, c := range []struct {
		n, size, shared int
		want            []window
		weights         []float64
	}{
		{1, 510, 64, []window{{0, 1}}, []float64{1}},
		{510, 510, 64, []window{{0, 510}}, []float64{1}},
		{511, 510, 64, []window{{0, 510}, {1, 511}}, []float64{510. / 511, 1. / 511}},
		{900, 510, 64, []window{{0, 510}, {390, 900}}, []float64{510. / 900, 390. / 900}},
		{1000, 400, 100, []window{{0, 400}, {300, 700}, {600, 1000}}, []float64{.4, .3, .3}},
		{9, 4, 100, []window{{0, 4}, {2, 6}, {4, 8}, {5, 9}}, []float64{4. / 9, 2. / 9, 2. / 9, 1. / 9}},
	} {
		got := windows(c.n, c.size, c.shared)
		if !slices.Equal(got, c.want) {
			t.Errorf("windows(%d, %d, %d) = %v, want %v", c.n, c.size, c.shared, got, c.want)
			continue
		}
		for i, w := range weights(got) {
			if math.Abs(w-c.weights[i]) > 1e-12 {
				t.Errorf("weights of %v = %v, want %v", got, weights(got), c.weights)
				break
			}
		}
	}
}
