package classify

import (
	"fmt"
	"slices"
)

// Tokenizer makes of texts what a model is trained on: the same ids as it reads when it
// serves.
type Tokenizer struct{ *tokenizer }

// OpenTokenizer reads the tokenizer.json, or else the vocab.txt, of the first folder that
// has one. Errors wrap ErrTokenizer or fs.ErrNotExist.
func OpenTokenizer(folders ...string) (Tokenizer, error) {
	t, err := openTokenizer(folders...)
	return Tokenizer{t}, err
}

// Pair is a text without its links in tokens, special ones included and, where an entity
// is given, the entity as second segment: [CLS] text [SEP] entity [SEP], with token types
// 0 and 1. At most max tokens are kept: the text's end is cut off, and then cut is true.
func (t Tokenizer) Pair(text, entity string, max int) (ids, types []int32, cut bool, err error) {
	first, err := t.Encode(nil, StripURLs(text))
	if err != nil {
		return nil, nil, false, err
	}
	around := t.frame
	var second []int32
	if entity != "" {
		if t.pair == nil {
			return nil, nil, false, fmt.Errorf("%w: this tokenizer has no form for a text and an entity", ErrTokenizer)
		}
		around = *t.pair
		if second, err = t.Encode(nil, entity); err != nil {
			return nil, nil, false, err
		}
		second = second[:min(len(second), max/longestEntity)]
	}
	room := max - len(around.before) - len(around.between) - len(second) - len(around.after)
	if cut = len(first) > room; cut {
		first = first[:room]
	}
	ids = slices.Concat(around.before, first, around.between, second, around.after)
	types = make([]int32, len(ids))
	if around.typed {
		for i := len(ids) - len(second) - len(around.after); i < len(ids); i++ {
			types[i] = 1
		}
	}
	return ids, types, cut, nil
}
