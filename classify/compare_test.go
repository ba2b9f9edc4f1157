package classify

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

var threeLabels = []string{"a", "b", "c"}

// said is what a model that errs in a share of n rows says; row i is of class i modulo 3.
func said(n int, wrong float64, seed uint64) (truth []int, probabilities [][]float64) {
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		p := make([]float64, 3)
		p[i%3] = 1
		if random.Float64() < wrong {
			p[i%3], p[(i+1)%3] = 0, 1
		}
		truth, probabilities = append(truth, i%3), append(probabilities, p)
	}
	return truth, probabilities
}

func TestCompare(t *testing.T) {
	truth, old := said(1000, .2, 1)
	_, alike := said(1000, .2, 2)
	_, good := said(1000, .1, 3)
	_, right := said(1000, 0, 4)
	for name, c := range map[string]struct {
		first, other  [][]float64
		better, worse bool
	}{
		"equal":      {old, old, false, false},
		"alike":      {alike, old, false, false},
		"better":     {good, old, true, false},
		"worse":      {old, good, false, true},
		"both right": {right, right, false, false},
	} {
		got, err := Compare(threeLabels, truth, c.first, c.other)
		if err != nil {
			t.Fatal(err)
		}
		a, _ := Evaluate(threeLabels, truth, c.first)
		b, _ := Evaluate(threeLabels, truth, c.other)
		if math.Abs(got.Gain-(a.MacroF1-b.MacroF1)) > 1e-12 || got.Low > got.Gain || got.High < got.Gain {
			t.Errorf("%s: %+v, macro-F1 %v and %v", name, got, a.MacroF1, b.MacroF1)
		}
		if (got.Low > 0) != c.better || (got.High < 0) != c.worse || (got.McNemar < .01) != (c.better || c.worse) {
			t.Errorf("%s: %+v", name, got)
		}
		if again, _ := Compare(threeLabels, truth, c.first, c.other); again != got {
			t.Errorf("%s: the second time it says %+v, at first %+v", name, again, got)
		}
	}
	if _, err := Compare(threeLabels[1:], truth, old, old); !errors.Is(err, ErrEvaluate) {
		t.Errorf("a class too many: %v", err)
	}
	if _, err := Compare(threeLabels, truth, old[1:], old); !errors.Is(err, ErrEvaluate) {
		t.Errorf("a reading too few: %v", err)
	}
}

// TestMcNemar against the binomial's tails: of 10 rows, 1 or fewer one way is 11/1024.
func TestMcNemar(t *testing.T) {
	for _, c := range []struct {
		a, b int
		want float64
	}{{1, 9, 22. / 1024}, {9, 1, 22. / 1024}, {0, 3, .25}, {5, 5, 1}, {0, 0, 1}, {200, 300, 8.94e-6}} {
		if got := mcNemar(c.a, c.b); math.Abs(got-c.want) > .01*c.want {
			t.Errorf("%d and %d: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}
