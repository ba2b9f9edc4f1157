package classify

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Comparison is how two models fit the true labels of the same rows.
type Comparison struct {
	Rows      int `json:"rows"`
	OnlyFirst int `json:"only_first"` // rows that only the first gets right
	OnlyOther int `json:"only_other"`

	// Gain is the first's macro-F1 less the other's. In 95 % of 2,000 samples of the rows, drawn
	// with replacement, it is between Low and High (paired bootstrap; Koehn 2004, "Statistical
	// Significance Tests for Machine Translation Evaluation", section 3).
	Gain float64 `json:"gain"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`

	// McNemar is the chance of the split of the rows that only one gets right, or a more uneven
	// one, between equals: two-sided, exact (McNemar 1947, "Note on the sampling error of the
	// difference between correlated proportions").
	McNemar float64 `json:"mcnemar"`
}

const bootstrapSamples = 2000

// Compare compares two models by their probabilities [rows, classes] of the same rows. What
// is said is the class of the highest, the first of equals. The same rows give the same
// answer. Errors wrap ErrEvaluate.
func Compare(labels []string, truth []int, first, other [][]float64) (Comparison, error) {
	c := Comparison{Rows: len(truth)}
	if len(truth) == 0 || len(first) != len(truth) || len(other) != len(truth) {
		return c, fmt.Errorf("%w: %d labels, %d and %d readings", ErrEvaluate, len(truth), len(first), len(other))
	}
	said := [2][]int{make([]int, len(truth)), make([]int, len(truth))}
	a, b := newTally(len(labels)), newTally(len(labels))
	for i, class := range truth {
		if class < 0 || class >= len(labels) || len(first[i]) != len(labels) || len(other[i]) != len(labels) {
			return c, fmt.Errorf("%w: row %d has class %d, %d and %d probabilities, of %d classes", ErrEvaluate, i, class, len(first[i]), len(other[i]), len(labels))
		}
		said[0][i], said[1][i] = argmax(first[i]), argmax(other[i])
		a.add(class, said[0][i])
		b.add(class, said[1][i])
		switch {
		case said[0][i] == class && said[1][i] != class:
			c.OnlyFirst++
		case said[0][i] != class && said[1][i] == class:
			c.OnlyOther++
		}
	}
	c.Gain = a.macroF1() - b.macroF1()
	c.McNemar = mcNemar(c.OnlyFirst, c.OnlyOther)
	random := rand.New(rand.NewPCG(2004, 3))
	gains := make([]float64, bootstrapSamples)
	for n := range gains {
		a.reset()
		b.reset()
		for range truth {
			i := random.IntN(len(truth))
			a.add(truth[i], said[0][i])
			b.add(truth[i], said[1][i])
		}
		gains[n] = a.macroF1() - b.macroF1()
	}
	slices.Sort(gains)
	c.Low, c.High = gains[bootstrapSamples/40], gains[bootstrapSamples-1-bootstrapSamples/40]
	return c, nil
}

// mcNemar is twice the lower tail of a fair binomial of a+b at the smaller of the two, and
// 1 at most.
func mcNemar(a, b int) float64 {
	n := float64(a + b)
	all, _ := math.Lgamma(n + 1)
	p := 0.0
	for k := range min(a, b) + 1 {
		chosen, _ := math.Lgamma(float64(k) + 1)
		left, _ := math.Lgamma(n - float64(k) + 1)
		p += math.Exp(all - chosen - left - n*math.Ln2)
	}
	return min(1, 2*p)
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
