package classify

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
	var second []int32
	if entity != "" {
		if second, err = t.Encode(nil, entity); err != nil {
			return nil, nil, false, err
		}
		second = append(second[:min(len(second), max/4)], t.after...)
	}
	room := max - len(t.before) - len(t.after) - len(second)
	if cut = len(first) > room; cut {
		first = first[:room]
	}
	ids = append(append(append(ids, t.before...), first...), t.after...)
	types = make([]int32, len(ids), len(ids)+len(second))
	for range second {
		types = append(types, 1)
	}
	return append(ids, second...), types, cut, nil
}
