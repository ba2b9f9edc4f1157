package classify

import (
	"fmt"
	"math/rand/v2"
)

// Comparison is how two models fit the true labels of the same rows.
type Comparison struct {
	Rows                     int
	OldMacroF1, NewMacroF1   float64
	OldAccuracy, NewAccuracy float64

	// Better is the chance of a lead in macro-F1 like the new model's, or greater, if it were
	// none, and Worse of one like the old model's: the shares of 2,000 samples of the rows,
	// drawn with replacement, in which the other is at least as good (paired bootstrap; Koehn
	// 2004, "Statistical Significance Tests for Machine Translation Evaluation", section 3).
	Better, Worse float64
}

const (
	bootstrapSamples = 2000
	// Significant is the chance below which a lead counts as one.
	Significant = 0.05
)

// Compare compares what two models say (old and new, classes from 0 to below classes) with
// the truth. The same rows give the same answer. Errors wrap ErrEvaluate.
func Compare(classes int, truth, old, new []int) (Comparison, error) {
	c := Comparison{Rows: len(truth)}
	if len(truth) == 0 || len(old) != len(truth) || len(new) != len(truth) {
		return c, fmt.Errorf("%w: %d labels, %d and %d readings", ErrEvaluate, len(truth), len(old), len(new))
	}
	a, b := newTally(classes), newTally(classes)
	for i := range truth {
		for _, class := range []int{truth[i], old[i], new[i]} {
			if class < 0 || class >= classes {
				return c, fmt.Errorf("%w: row %d has class %d of %d", ErrEvaluate, i, class, classes)
			}
		}
		a.add(truth[i], old[i])
		b.add(truth[i], new[i])
	}
	c.OldMacroF1, c.NewMacroF1 = a.macroF1(), b.macroF1()
	c.OldAccuracy, c.NewAccuracy = a.accuracy(), b.accuracy()
	random := rand.New(rand.NewPCG(2004, 3))
	notBetter, notWorse := 0, 0
	for range bootstrapSamples {
		a.reset()
		b.reset()
		for range truth {
			i := random.IntN(len(truth))
			a.add(truth[i], old[i])
			b.add(truth[i], new[i])
		}
		before, after := a.macroF1(), b.macroF1()
		if after <= before {
			notBetter++
		}
		if after >= before {
			notWorse++
		}
	}
	c.Better = float64(notBetter+1) / (bootstrapSamples + 1)
	c.Worse = float64(notWorse+1) / (bootstrapSamples + 1)
	return c, nil
}

// tally counts, by class, how often it is true, said, and both.
type tally struct{ true, said, both []int }

func newTally(classes int) *tally {
	return &tally{make([]int, classes), make([]int, classes), make([]int, classes)}
}

func (t *tally) add(truth, said int) {
	t.true[truth]++
	t.said[said]++
	if truth == said {
		t.both[truth]++
	}
}

func (t *tally) reset() {
	clear(t.true)
	clear(t.said)
	clear(t.both)
}

// macroF1 is Evaluation's: the mean over the classes that are true or said of any row.
func (t *tally) macroF1() float64 {
	sum, present := 0.0, 0
	for c := range t.true {
		if n := t.true[c] + t.said[c]; n > 0 {
			sum += ratio(2*t.both[c], n)
			present++
		}
	}
	return sum / float64(present)
}

func (t *tally) accuracy() float64 {
	rows, right := 0, 0
	for c := range t.true {
		rows, right = rows+t.true[c], right+t.both[c]
	}
	return ratio(right, rows)
}
