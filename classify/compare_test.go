package classify

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

// said are n readings of rows whose true class is i modulo 3, of which a share is wrong.
func said(n int, wrong float64, seed uint64) (truth, classes []int) {
	random := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		truth, classes = append(truth, i%3), append(classes, i%3)
		if random.Float64() < wrong {
			classes[i] = (i + 1) % 3
		}
	}
	return truth, classes
}

func TestCompare(t *testing.T) {
	truth, old := said(1000, .2, 1)
	_, alike := said(1000, .2, 2)
	_, good := said(1000, .1, 3)
	for name, c := range map[string]struct {
		old, new      []int
		better, worse bool
	}{
		"equal":      {old, old, false, false},
		"alike":      {old, alike, false, false},
		"better":     {old, good, true, false},
		"worse":      {good, old, false, true},
		"both right": {truth, truth, false, false},
	} {
		got, err := Compare(3, truth, c.old, c.new)
		if err != nil {
			t.Fatal(err)
		}
		if better, worse := got.Better < Significant, got.Worse < Significant; better != c.better || worse != c.worse {
			t.Errorf("%s: %+v", name, got)
		}
		again, _ := Compare(3, truth, c.old, c.new)
		if again != got {
			t.Errorf("%s: the second time it says %+v, at first %+v", name, again, got)
		}
	}
	if _, err := Compare(2, truth, old, old); !errors.Is(err, ErrEvaluate) {
		t.Errorf("a class too many: %v", err)
	}
	if _, err := Compare(3, truth, old[1:], old); !errors.Is(err, ErrEvaluate) {
		t.Errorf("a reading too few: %v", err)
	}
}

// TestComparisonsAndEvaluationsAgree on macro-F1 and accuracy.
func TestComparisonsAndEvaluationsAgree(t *testing.T) {
	truth, classes := said(300, .3, 4)
	truth[7] = 3 // a class that is never said
	probabilities := make([][]float64, len(classes))
	for i, c := range classes {
		probabilities[i] = make([]float64, 5) // and one that does not occur
		probabilities[i][c] = 1
	}
	want, err := Evaluate([]string{"a", "b", "c", "d", "e"}, truth, probabilities)
	if err != nil {
		t.Fatal(err)
	}
	got, err := Compare(5, truth, classes, classes)
	if err != nil || math.Abs(got.NewMacroF1-want.MacroF1) > 1e-12 || math.Abs(got.OldAccuracy-want.Accuracy) > 1e-12 {
		t.Errorf("got %+v, %v, want %v and %v", got, err, want.MacroF1, want.Accuracy)
	}
}
