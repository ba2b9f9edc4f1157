package finetune

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert"
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
	for label, n := range counts(valid, 0, 3) {
		if want := []int{120, 60, 20}[label]; n < want*2/3 || n > want*3/2 {
			t.Errorf("validation has %d texts of label %d, want about %d, a tenth", n, label, want)
		}
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

// TestATextStaysOnItsSide of the stratified split in a file that has grown, or has labels of another
// task beside: a bundle that is trained further is not measured on what it was taught.
func TestATextStaysOnItsSide(t *testing.T) {
	first := crowd(1000)
	labelled := make([]*Example, len(first))
	for i, e := range first {
		labelled[i] = &Example{Text: e.Text, Labels: []int{e.Labels[0], i / 2 % 2}}
	}
	was := map[string]bool{}
	_, valid := split(Stratified, first, 3)
	for _, e := range valid {
		was[e.Text] = true
	}
	for name, next := range map[string][]*Example{"more rows": crowd(2000), "fewer rows": crowd(500), "another task beside": labelled} {
		train, valid := split(Stratified, next, 3)
		known := map[string]bool{}
		for _, e := range first {
			known[e.Text] = true
		}
		for _, e := range valid {
			if known[e.Text] && !was[e.Text] {
				t.Errorf("%s: %q was trained on", name, e.Text)
			}
		}
		for _, e := range train {
			if was[e.Text] {
				t.Errorf("%s: %q was held back", name, e.Text)
			}
		}
	}
}

func TestARareLabelHasAValidationRow(t *testing.T) {
	examples := []*Example{{Text: "a", Labels: []int{0}}, {Text: "b", Labels: []int{0}}, {Text: "c", Labels: []int{1}}}
	if _, valid := split(Stratified, examples, 0); len(valid) != 1 || valid[0].Labels[0] != 0 {
		t.Errorf("%d validation rows; the label of two rows has one, that of one row none", len(valid))
	}
	for seed := range uint64(1000) { // among them, some by which both texts of label 0 are low
		if train, _ := split(Stratified, examples, seed); !slices.Equal(counts(train, 0, 2), []int{1, 1}) {
			t.Fatalf("seed %d: %v of the labels are left for training", seed, counts(train, 0, 2))
		}
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

// TestABundleIsNotValidatedOnWhatItWasTrainedOn: one that is trained further knows the rows that
// another split holds back, and its config.json says which it had.
func TestABundleIsNotValidatedOnWhatItWasTrainedOn(t *testing.T) {
	settings := func(how Split, seed uint64) Settings { return Settings{Split: how, Seed: seed} }
	known, other, given := []Source{{Name: "a.csv", SHA256: "aa"}}, []Source{{Name: "b.csv", SHA256: "bb"}}, []Source{{Name: "v.csv", SHA256: "cc"}}
	corrections := []Source{{Name: "topic labels"}}
	for name, c := range map[string]struct {
		first, next  []Source
		valid, given []Source // of the first, of the next
		before, now  Settings
		says         string // "" passes
	}{
		"hash with hash":           {first: known, next: known, before: settings(Hashed, 1), now: settings(Hashed, 2)},
		"stratified by the seed":   {first: known, next: known, before: settings(Stratified, 0), now: settings(Stratified, 0)},
		"another file":             {first: known, next: other, before: settings(Hashed, 0), now: settings(Stratified, 0)},
		"rows of another file":     {first: known, next: known, given: given, before: settings(Hashed, 0), now: settings(Stratified, 0)},
		"another seed":             {first: known, next: known, before: settings(Stratified, 0), now: settings(Stratified, 7), says: "--valid, or train with --split stratified --seed 0"},
		"hash, then stratified":    {first: known, next: known, before: settings(Hashed, 0), now: settings(Stratified, 0), says: "--valid, or train with --split hash"},
		"stratified, then hash":    {first: known, next: known, before: settings(Stratified, 3), now: settings(Hashed, 3), says: "--valid, or train with --split stratified --seed 3"},
		"all rows, then a split":   {first: known, next: known, valid: given, before: settings(Hashed, 0), now: settings(Hashed, 0), says: "trained on all of its rows"},
		"validation rows it knows": {first: known, next: other, given: known, before: settings(Hashed, 0), now: settings(Hashed, 0), says: "rows of another file by --valid"},
		"corrections":              {first: corrections, next: corrections, before: settings(Stratified, 0), now: settings(Stratified, 0)},
		"corrections by hash":      {first: corrections, next: corrections, before: settings(Stratified, 0), now: settings(Hashed, 0), says: "topic labels"},
	} {
		first := &job{Config: Config{Train: c.first, Valid: c.valid, Settings: c.before}, base: &base{}}
		next := &job{Config: Config{Base: "models/en", Train: c.next, Valid: c.given, Settings: c.now}, base: &base{kept: &bert.Bundle{TrainedOn: first.trainedOn()}}}
		err := next.checkHeld()
		if c.says == "" && err != nil || c.says != "" && (!errors.Is(err, ErrTrainedOn) || !strings.Contains(err.Error(), c.says)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
