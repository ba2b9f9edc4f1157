package finetune

import (
	"fmt"
	"slices"
	"testing"
)

// crowd is examples of three labels, 60, 30 and 10 of 100, each text twice: with a link
// and in capitals.
func crowd(n int) []*Example {
	var out []*Example
	for i := range n {
		label := 0
		if i%10 >= 6 {
			label = 1
		}
		if i%10 == 9 {
			label = 2
		}
		for _, form := range []string{"text %d https://t.co/a", "TEXT %d"} {
			out = append(out, &Example{Text: fmt.Sprintf(form, i), Labels: []int{label}})
		}
	}
	return out
}

func TestTheSplitIsStratifiedAndKeepsCopiesTogether(t *testing.T) {
	examples := crowd(1000)
	train, valid := split(Stratified, examples, 1)
	if got := counts(valid, 0, 3); !slices.Equal(got, []int{120, 60, 20}) {
		t.Errorf("validation has %v of the labels, want a tenth of each", got)
	}
	if len(train)+len(valid) != len(examples) {
		t.Errorf("%d and %d of %d", len(train), len(valid), len(examples))
	}
	if _, left := withoutCopies(train, valid); left != 0 {
		t.Errorf("%d training texts copy validation texts", left)
	}
	_, again := split(Stratified, examples, 1)
	_, other := split(Stratified, examples, 2)
	if !slices.Equal(valid, again) || slices.Equal(valid, other) {
		t.Error("the split must depend on the seed, and on nothing else")
	}
}

func TestARareLabelHasAValidationRow(t *testing.T) {
	examples := []*Example{{Text: "a", Labels: []int{0}}, {Text: "b", Labels: []int{0}}, {Text: "c", Labels: []int{1}}}
	if _, valid := split(Stratified, examples, 0); len(valid) != 1 || valid[0].Labels[0] != 0 {
		t.Errorf("%d validation rows; the label of two rows has one, that of one row none", len(valid))
	}
}

// TestTheHashedSplitIsEvaluates: the same text is on the same side whatever else is there.
func TestTheHashedSplitIsEvaluates(t *testing.T) {
	train, valid := split(Hashed, crowd(1000), 7)
	for _, e := range valid {
		if !InValidation(e.Text) {
			t.Fatalf("%q is in validation", e.Text)
		}
	}
	if share := float64(len(valid)) / 2000; share < 0.08 || share > 0.12 {
		t.Errorf("validation is %v of all, want about 26/256", share)
	}
	kept, left := withoutCopies(train, valid)
	if left == 0 || len(kept)+left != len(train) {
		t.Errorf("%d copies left out, %d of %d kept: links and case must not hide a copy", left, len(kept), len(train))
	}
}
