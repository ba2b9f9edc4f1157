package classify

import (
	"fmt"
	"math"

	"github.com/cespare/xxhash/v2"
)

// What a token counts for in a sketch. Chosen by `go run ./bench/copies`: see bench/RESULTS.md.
const (
	weightOfStop   = 0.25 // "the", "of"
	weightOfCommon = 1.0  // a word that half of all financial news has, such as "shares"
	weightOfWord   = 2.0
	weightOfName   = 4.0 // a word in capitals or, where the text is not written in Title Case, with one
	weightOfPair   = 0.5 // of two words in a row, or two Chinese characters, times the lighter's weight

	leastWeight = 9.0 // of a text whose sketch means something: five words or so
)

// TextSketch is 16 hex digits by which near copies are told from other texts, or "" for a text so
// short that one word in common would make it a copy.
//
// The first four digits are a hash of the text's facts: its numbers, its cashtags, and whether
// it says up, down or not. Near copies have the same: "$AAPL rises 2 %" is no copy of "$MSFT
// rises 3 %". The other 48 bits are of its words: where J of two texts' weight is common to
// both, (1 + J) / 2 of the bits are equal, give or take .05. Each is a 1-bit minwise hash (Li
// and König, "b-Bit Minwise Hashing", WWW 2010) over words and pairs of words, in Chinese pairs of
// characters: each token draws an exponential of its weight's rate, and the least draw gives
// the bit (Moulton and Jiang, "Maximally Consistent Sampling and the Jaccard Index of
// Probability Distributions", ICDM 2018). For near copies that is less noisy than SimHash
// (Shrivastava and Li, "In Defense of MinHash over SimHash", AISTATS 2014).
//
// What agencies put around a text weighs nothing, and only its beginning counts, which copies
// cut at different lengths share.
func TextSketch(text string) string {
	words := wordsOf(text)
	s := sketch{seen: make(map[uint64]bool, 2*len(words))}
	for _, t := range tokensOf(words) {
		s.add(t)
	}
	if s.weight < leastWeight {
		return ""
	}
	return fmt.Sprintf("%04x%012x", factsOf(words), s.bits)
}

// sketchLanes are the bits of words in a sketch.
const sketchLanes = 48

// sketch is the state of the draws.
type sketch struct {
	weight float64
	seen   map[uint64]bool
	least  [sketchLanes]float64 // the least draw so far; 0 = none
	bits   uint64
}

// add lets a token draw for each bit, once however often it comes.
func (s *sketch) add(t token) {
	hash := xxhash.Sum64String(t.text)
	if s.seen[hash] {
		return
	}
	s.seen[hash] = true
	s.weight += t.weight
	for i := range s.least {
		h := mix(hash + uint64(i+1)*0x9e3779b97f4a7c15)
		uniform := (float64(h>>11) + .5) / (1 << 53)
		if draw := -math.Log(uniform) / t.weight; s.least[i] == 0 || draw < s.least[i] {
			s.least[i] = draw
			s.bits = s.bits&^(1<<i) | (h&1)<<i // the lowest bit of h is no part of the draw
		}
	}
}

// factsOf is a hash of the set of facts among the words; 0 where there are none.
func factsOf(words []word) uint16 {
	var sum uint64
	seen := map[string]bool{}
	for _, w := range words {
		if w.fact != "" && !seen[w.fact] {
			seen[w.fact] = true
			sum += mix(xxhash.Sum64String(w.fact)) // a sum does not depend on the order
		}
	}
	return uint16(sum >> 48)
}

// mix is the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom
// Number Generators", OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
