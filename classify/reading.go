package classify

import (
	"errors"
	"fmt"
	"math"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/news"
)

// ErrModel is wrapped by errors about what a model gave for a text.
var ErrModel = errors.New("the model gave no usable answer")

// The tasks that heads of a bundle can have.
const (
	taskSentiment = "sentiment"
	taskTopic     = "topic"
)

// Softmax is the probabilities of logits divided by the temperature (Guo et al. 2017, "On
// Calibration of Modern Neural Networks", section 4.2). They sum to 1; a logit that is not
// a finite number is an error.
func Softmax(logits []float32, temperature float64) ([]float64, error) {
	top := math.Inf(-1)
	for _, x := range logits {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return nil, fmt.Errorf("%w: a logit is %v", ErrModel, x)
		}
		top = max(top, float64(x))
	}
	out := make([]float64, len(logits))
	sum := 0.0
	for i, x := range logits {
		out[i] = math.Exp((float64(x) - top) / temperature)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out, nil
}

// answer is what a model says of a text, whoever posted it.
type answer struct {
	sentiment news.Sentiment
	topic     news.Topic
}

// answerOf names the probabilities of each head; probabilities[h] belongs to heads[h].
func answerOf(heads []bert.Head, probabilities [][]float64) answer {
	var a answer
	for h, head := range heads {
		switch head.Task {
		case taskSentiment:
			for i, label := range head.Labels {
				switch label {
				case "negative":
					a.sentiment.Negative = probabilities[h][i]
				case "neutral":
					a.sentiment.Neutral = probabilities[h][i]
				case "positive":
					a.sentiment.Positive = probabilities[h][i]
				}
			}
		case taskTopic:
			for i, label := range head.Labels {
				if p := probabilities[h][i]; p > a.topic.Probability {
					a.topic = news.Topic{Label: label, Probability: p}
				}
			}
		}
	}
	return a
}
