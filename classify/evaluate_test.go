package classify

import (
	"errors"
	"math"
	"testing"
)

// TestEvaluate holds the figures against scikit-learn's for the same rows
// (classification_report and confusion_matrix, zero_division=0).
func TestEvaluate(t *testing.T) {
	labels := []string{"negative", "neutral", "positive", "never"}
	truth := []int{0, 0, 0, 1, 1, 2, 2, 2}
	probabilities := [][]float64{
		{.9, .1, 0, 0}, {.2, .5, .3, 0}, {.6, .2, .2, 0},
		{.1, .8, .1, 0}, {.45, .4, .15, 0},
		{0, 0, 1, 0}, {.1, .2, .7, 0}, {.3, .4, .3, 0},
	}
	e, err := Evaluate(labels, truth, probabilities)
	if err != nil {
		t.Fatal(err)
	}
	near := func(name string, got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %.6f, want %.6f", name, got, want)
		}
	}
	near("accuracy", e.Accuracy, 5./8)
	for i, want := range []ClassFit{
		{"negative", 2. / 3, 2. / 3, 2. / 3, 3},
		{"neutral", 1. / 3, 1. / 2, 2. / 5, 2},
		{"positive", 1, 2. / 3, 4. / 5, 3},
		{"never", 0, 0, 0, 0},
	} {
		got := e.Classes[i]
		near(want.Label+"'s precision", got.Precision, want.Precision)
		near(want.Label+"'s recall", got.Recall, want.Recall)
		near(want.Label+"'s F1", got.F1, want.F1)
		if got.Support != want.Support {
			t.Errorf("%s has support %d, want %d", want.Label, got.Support, want.Support)
		}
	}
	near("macro-F1", e.MacroF1, (2./3+2./5+4./5)/3)
	if got := e.Confusion[0]; got[0] != 2 || got[1] != 1 || got[2] != 0 {
		t.Errorf("negatives were said to be %v, want [2 1 0 0]", got)
	}
	// Each of the rows is alone in its bin but .4 and .4's neighbour .45: bins are
	// (6/15, 7/15] for .45, (5/15, 6/15] for .4.
	near("ECE", e.ECE, (.1+.5+.4+.2+.45+0+.3+.4)/8)
}

func TestECEOfAWellCalibratedModelIsSmall(t *testing.T) {
	var truth []int
	var probabilities [][]float64
	for i := range 1000 {
		truth = append(truth, map[bool]int{true: 0, false: 1}[i%10 < 8])
		probabilities = append(probabilities, []float64{.8, .2})
	}
	e, err := Evaluate([]string{"a", "b"}, truth, probabilities)
	if err != nil || e.ECE > 1e-9 {
		t.Errorf("ECE %v, error %v", e.ECE, err)
	}
	if b := e.Bins[11]; b.Rows != 1000 || math.Abs(b.Accuracy-.8) > 1e-9 || math.Abs(b.Confidence-.8) > 1e-9 {
		t.Errorf("bin (11/15, 12/15] is %+v", b)
	}
}

func TestEvaluateRefusesWhatDoesNotFit(t *testing.T) {
	labels := []string{"a", "b"}
	for name, c := range map[string]struct {
		truth []int
		p     [][]float64
	}{
		"nothing":       {nil, nil},
		"lengths":       {[]int{0}, nil},
		"unknown class": {[]int{2}, [][]float64{{.5, .5}}},
		"few classes":   {[]int{0}, [][]float64{{1}}},
	} {
		if _, err := Evaluate(labels, c.truth, c.p); !errors.Is(err, ErrEvaluate) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
