package finetune

import (
	"math"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune/step"
)

// predictor is what scoring needs of a *step.Trainer.
type predictor interface {
	Predict(step.Batch) (map[string][]float32, error)
}

const predictBatch = 64

// predict gives the logits of every head, [head][example][label].
func predict(p predictor, heads []bert.Head, examples []*Example) ([][][]float32, error) {
	out := make([][][]float32, len(heads))
	at := make(map[*Example]int, len(examples))
	for i, e := range examples {
		at[e] = i
	}
	for h := range out {
		out[h] = make([][]float32, len(examples))
	}
	for _, batch := range byLength(examples, predictBatch) {
		logits, err := p.Predict(layOut(batch))
		if err != nil {
			return nil, err
		}
		for h, head := range heads {
			n := len(head.Labels)
			for i, e := range batch {
				out[h][at[e]] = logits[head.Task][i*n : (i+1)*n]
			}
		}
	}
	return out, nil
}

// labelledLogits are the true labels and the logits of the examples that a head has labels for.
func labelledLogits(examples []*Example, head int, logits [][][]float32) (truth []int, rows [][]float32) {
	for i, e := range examples {
		if l := e.Labels[head]; l >= 0 {
			truth, rows = append(truth, l), append(rows, logits[head][i])
		}
	}
	return truth, rows
}

func scoreOf(head bert.Head, truth []int, logits [][]float32) (HeadScore, error) {
	s := HeadScore{Task: head.Task}
	probabilities := make([][]float64, len(logits))
	for i, l := range logits {
		p, err := classify.Softmax(l, 1)
		if err != nil {
			return s, err
		}
		probabilities[i] = p
		s.Loss -= math.Log(math.Max(p[truth[i]], 1e-12)) / float64(len(logits))
	}
	e, err := classify.Evaluate(head.Labels, truth, probabilities)
	s.Accuracy, s.MacroF1 = e.Accuracy, e.MacroF1
	return s, err
}
