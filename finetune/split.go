package finetune

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/barograph/barograph/classify"
)

// Split says how validation rows are taken out of the training rows where none are given.
type Split string

const (
	// Stratified takes a tenth of the texts of each label, those whose digest with the seed
	// is lowest. Copies of a text (links, case and spaces aside) are on one side.
	Stratified Split = "stratified"
	// Hashed takes the texts whose SHA-256 begins with a byte below 26, as
	// `barograph evaluate --split validation` does: the same text is on the same side in
	// every file, whatever the seed.
	Hashed Split = "hash"
)

// validationShare is about what Hashed takes: 26 of 256.
const validationShare = 0.1

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
		n := int(float64(len(digests))*validationShare + 0.5)
		if n == 0 && len(digests) > 1 {
			n = 1 // a class without a validation row could not be measured
		}
		for _, d := range digests[:n] {
			valid = append(valid, groups[d])
		}
	}
	return valid
}

func seeded(digest string, seed uint64) string {
	sum := sha256.Sum256(binary.LittleEndian.AppendUint64([]byte(digest), seed))
	return string(sum[:])
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
