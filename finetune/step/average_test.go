package step

import (
	"math"
	"testing"

	"github.com/barograph/barograph/classify/bert"
)

// The average that is kept follows from the weights after each update, and training itself
// does not notice it.
func TestTheAverageFollowsTheWeights(t *testing.T) {
	c := tiny(t, LoRA)
	plain := newTrainer(t, c)
	c.Average = 0.8
	averaged := newTrainer(t, c)
	want := plain.Weights()
	for i := range 60 {
		train(t, plain, i, i+1)
		train(t, averaged, i, i+1)
		keep := math.Min(0.8, float64(i+1)/float64(i+10))
		for name, w := range plain.Weights() {
			for k, v := range w.Data {
				want[name].Data[k] = float32(keep*float64(want[name].Data[k]) + (1-keep)*float64(v))
			}
		}
	}
	if !equal(want, averaged.Weights()) {
		t.Error("the weights are not the average of those without one")
	}
	logits, err := averaged.Predict(texts(0))
	if err != nil {
		t.Fatal(err)
	}
	c.Average, c.Init = 0, map[string][]float32{}
	for name, w := range want {
		c.Init[name] = w.Data
	}
	same, err := newTrainer(t, c).Predict(texts(0))
	if err != nil {
		t.Fatal(err)
	}
	for task, l := range logits {
		for i, v := range l {
			if math.Abs(float64(v-same[task][i])) > 1e-6 {
				t.Fatalf("%s: Predict says %v, the average %v", task, l, same[task])
			}
		}
	}
	heads := []bert.Head{{Task: "sentiment", Labels: []string{"a", "b", "c"}}, {Task: "topic", Labels: []string{"d", "e", "f", "g"}}}
	checkpoint, err := averaged.Checkpoint(heads)
	if err != nil {
		t.Fatal(err)
	}
	_, extra := checkpoint.Tensors()
	if got := extra["topic.bias"].Data; !equal(map[string]bert.Tensor{"": {Data: got}}, map[string]bert.Tensor{"": want["topic.bias"]}) {
		t.Errorf("the checkpoint's topic.bias is %v, the average's %v", got, want["topic.bias"].Data)
	}
}
