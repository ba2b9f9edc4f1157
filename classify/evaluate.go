package classify

import (
	"errors"
	"fmt"
)

// ErrEvaluate is wrapped by errors about labels and probabilities that do not fit.
var ErrEvaluate = errors.New("cannot evaluate")

// Evaluation says how well probabilities fit true labels. Class i is Labels[i].
type Evaluation struct {
	Labels    []string   `json:"labels"`
	Rows      int        `json:"rows"`
	Accuracy  float64    `json:"accuracy"`
	MacroF1   float64    `json:"macro_f1"` // mean of the F1 of the classes that occur among the true or the said labels
	ECE       float64    `json:"ece"`
	Classes   []ClassFit `json:"classes"`
	Confusion [][]int    `json:"confusion"` // [true][said]
	Bins      []Bin      `json:"bins"`
}

// ClassFit is how well one class is told.
type ClassFit struct {
	Label     string  `json:"label"`
	Precision float64 `json:"precision"` // 0 where the class was never said
	Recall    float64 `json:"recall"`    // 0 where the class does not occur
	F1        float64 `json:"f1"`
	Support   int     `json:"support"` // rows whose true label it is
}

// Bin is the rows whose highest probability lies in one stretch of (0, 1].
type Bin struct {
	Rows       int     `json:"rows"`
	Confidence float64 `json:"confidence"` // mean highest probability
	Accuracy   float64 `json:"accuracy"`
}

// calibrationBins is the number of bins of Guo et al.
const calibrationBins = 15

// Evaluate compares true classes (indices into labels) with probabilities [rows, classes].
// What is said is the class of the highest probability, the first of equals.
//
// ECE is the expected calibration error: the mean over 15 bins of equal width of
// |accuracy - confidence|, weighted by rows (Guo et al. 2017, "On Calibration of Modern
// Neural Networks", equation 5).
func Evaluate(labels []string, truth []int, probabilities [][]float64) (Evaluation, error) {
	e := Evaluation{Labels: labels, Rows: len(truth), Confusion: make([][]int, len(labels)), Bins: make([]Bin, calibrationBins)}
	if len(truth) == 0 || len(truth) != len(probabilities) {
		return e, fmt.Errorf("%w: %d labels and %d readings", ErrEvaluate, len(truth), len(probabilities))
	}
	for i := range e.Confusion {
		e.Confusion[i] = make([]int, len(labels))
	}
	right := 0
	for i, p := range probabilities {
		if truth[i] < 0 || truth[i] >= len(labels) || len(p) != len(labels) {
			return e, fmt.Errorf("%w: row %d has class %d and %d probabilities, of %d classes", ErrEvaluate, i, truth[i], len(p), len(labels))
		}
		said := argmax(p)
		e.Confusion[truth[i]][said]++
		// Bin m is (m/15, (m+1)/15]; 15 times the probability is rounded up and less one.
		bin := &e.Bins[min(max(ceil(p[said]*calibrationBins)-1, 0), calibrationBins-1)]
		bin.Rows++
		bin.Confidence += p[said]
		if said == truth[i] {
			right++
			bin.Accuracy++
		}
	}
	e.Accuracy = float64(right) / float64(e.Rows)
	e.fitClasses()
	e.fitBins()
	return e, nil
}

func (e *Evaluation) fitClasses() {
	present := 0
	for c, label := range e.Labels {
		fit := ClassFit{Label: label}
		said := 0
		for i := range e.Labels {
			fit.Support += e.Confusion[c][i]
			said += e.Confusion[i][c]
		}
		hits := e.Confusion[c][c]
		fit.Precision, fit.Recall = ratio(hits, said), ratio(hits, fit.Support)
		fit.F1 = ratio(2*hits, said+fit.Support)
		if said+fit.Support > 0 {
			present++
			e.MacroF1 += fit.F1
		}
		e.Classes = append(e.Classes, fit)
	}
	e.MacroF1 /= float64(present)
}

func (e *Evaluation) fitBins() {
	for i := range e.Bins {
		b := &e.Bins[i]
		if b.Rows == 0 {
			continue
		}
		gap := b.Accuracy - b.Confidence // sums: the mean's denominator is the bin's weight
		e.ECE += max(gap, -gap) / float64(e.Rows)
		b.Accuracy /= float64(b.Rows)
		b.Confidence /= float64(b.Rows)
	}
}

func argmax(p []float64) int {
	best := 0
	for i, x := range p {
		if x > p[best] {
			best = i
		}
	}
	return best
}

func ceil(x float64) int {
	n := int(x)
	if float64(n) < x {
		n++
	}
	return n
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
