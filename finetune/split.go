package finetune

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
)

// Split says how validation rows are taken out of the training rows where none are given.
type Split string

const (
	// Stratified takes about a tenth of the texts of each label, those whose digest with the seed
	// is low, so that a text is on the same side whatever else is there; but one at least of labels
	// with few, and never all. Copies of a text (links, case and spaces aside) are on one side.
	Stratified Split = "stratified"
	// Hashed takes the texts whose SHA-256 begins with a byte below 26, as
	// `barograph evaluate --split validation` does: the same text is on the same side in
	// every file, whatever the seed.
	Hashed Split = "hash"
)

// validationBelow is a tenth of the seeded digests.
const validationBelow = math.MaxUint64 / 10

// InValidation is Hashed's rule.
func InValidation(text string) bool { return sha256.Sum256([]byte(text))[0] < 26 }

// split parts examples into training and validation, each in the order they came.
func split(how Split, examples []*Example, seed uint64) (train, valid []*Example) {
	in := map[*Example]bool{}
	switch how {
	case Hashed:
		for _, e := range examples {
			in[e] = InValidation(e.Text)
		}
	default:
		for _, group := range stratified(examples, seed) {
			for _, e := range group {
				in[e] = true
			}
		}
	}
	for _, e := range examples {
		if in[e] {
			valid = append(valid, e)
		} else {
			train = append(train, e)
		}
	}
	return train, valid
}

// stratified lists the groups of copies that are for validation.
func stratified(examples []*Example, seed uint64) [][]*Example {
	groups := map[string][]*Example{}
	for _, e := range examples {
		d := classify.TextDigest(e.Text)
		groups[d] = append(groups[d], e)
	}
	strata := map[string][]string{} // digests by the labels of the group's first example
	for d, group := range groups {
		s := fmt.Sprint(group[0].Labels)
		strata[s] = append(strata[s], d)
	}
	var valid [][]*Example
	for _, digests := range strata {
		slices.SortFunc(digests, func(a, b string) int { return cmp.Compare(seeded(a, seed), seeded(b, seed)) })
		n := 0 // one at least: a class without a validation row could not be measured
		for n < len(digests)-1 && (n == 0 || seeded(digests[n], seed) < validationBelow) {
			n++
		}
		for _, d := range digests[:n] {
			valid = append(valid, groups[d])
		}
	}
	return valid
}

func seeded(digest string, seed uint64) uint64 {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(digest), seed))
	return binary.BigEndian.Uint64(sum[:])
}

// checkHeld refuses validation rows that the bundle that is continued was trained on, as far as its
// config.json says: without --valid only the split that it was trained with holds the same ones back.
func (j *job) checkHeld() error {
	for _, s := range j.Valid {
		if len(j.base.trainedOn(s)) > 0 {
			return fmt.Errorf("%w: %s and %s: %w; give rows of another file by --valid", ErrRows, j.Base, s.Name, ErrTrainedOn)
		}
	}
	for _, s := range j.Train {
		known, now := j.base.trainedOn(s), j.heldBack(s)
		at := slices.IndexFunc(known, func(before bert.TrainedOn) bool { return !reflect.DeepEqual(before, now) })
		if len(j.Valid) > 0 || at < 0 {
			continue
		}
		why, way, split := "it was trained on all of its rows", "give rows of another file by --valid", inWords(known[at])
		if split != "" {
			why = fmt.Sprintf("it was trained with --split %s, so that it knows most of the rows that are for validation now", split)
			if len(known) == 1 && (split == string(Hashed) || known[0].Seed != nil) {
				way += ", or train with --split " + split
			}
		}
		return fmt.Errorf("%w: %s and %s: %s: %w; %s", ErrRows, j.Base, s.Name, why, ErrTrainedOn, way)
	}
	return nil
}

// ErrTrainedOn says that a bundle would be measured on rows that it was trained on.
var ErrTrainedOn = errors.New("rows that a bundle was trained on do not show how good it is")

// trainedOn is what the bundle that is continued says of a source that it was trained on.
func (b *base) trainedOn(s Source) (out []bert.TrainedOn) {
	if b.kept == nil {
		return nil
	}
	for _, t := range b.kept.TrainedOn {
		if t.SHA256 == s.SHA256 {
			out = append(out, t)
		}
	}
	return out
}

// inWords is a split as the command line has it, as far as it is known.
func inWords(t bert.TrainedOn) string {
	if t.Seed != nil {
		return fmt.Sprintf("%s --seed %d", t.Split, *t.Seed)
	}
	return t.Split
}

// withoutCopies leaves out the training examples that copy a validation text.
func withoutCopies(train, valid []*Example) (kept []*Example, left int) {
	digests := map[string]bool{}
	for _, e := range valid {
		digests[classify.TextDigest(e.Text)] = true
	}
	for _, e := range train {
		if digests[classify.TextDigest(e.Text)] {
			left++
			continue
		}
		kept = append(kept, e)
	}
	return kept, left
}

// counts tells how many examples carry each label of a head.
func counts(examples []*Example, head, labels int) []int {
	out := make([]int, labels)
	for _, e := range examples {
		if l := e.Labels[head]; l >= 0 {
			out[l]++
		}
	}
	return out
}
