package classify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"unicode/utf8"

	sugarme "github.com/sugarme/tokenizer"
	"github.com/sugarme/tokenizer/pretrained"
)

// generalEncoder reads the other kinds of tokenizer.json (BPE, Unigram) by
// sugarme/tokenizer. It is some hundred times slower than package wordpiece and differs
// from Hugging Face's ids here and there (double spaces in Unigram models).
type generalEncoder struct {
	mu        sync.Mutex // the library keeps caches
	tokenizer *sugarme.Tokenizer
}

// newGeneralEncoder clears the file's own padding and truncation, which would cut texts
// silently.
func newGeneralEncoder(data []byte) (_ *generalEncoder, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: sugarme/tokenizer panicked on this tokenizer.json: %v", ErrTokenizer, p)
		}
	}()
	var file map[string]json.RawMessage
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("%w: reading tokenizer.json: %w", ErrTokenizer, err)
	}
	delete(file, "padding")
	delete(file, "truncation")
	cleared, err := json.Marshal(file)
	if err != nil {
		return nil, err
	}
	t, err := pretrained.FromReader(bytes.NewReader(cleared))
	if err != nil {
		return nil, fmt.Errorf("%w: this kind of tokenizer.json is not supported: %w", ErrTokenizer, err)
	}
	return &generalEncoder{tokenizer: t}, nil
}

// Encode makes the text valid UTF-8 first, on which the library panics else, and turns
// any other panic into an error.
func (e *generalEncoder) Encode(ids []int32, text string) (_ []int32, err error) {
	if !utf8.ValidString(text) {
		text = strings.ToValidUTF8(text, "\uFFFD")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: sugarme/tokenizer panicked: %v", ErrTokenizer, p)
		}
	}()
	encoding, err := e.tokenizer.EncodeSingle(text, false)
	if err != nil {
		return ids, fmt.Errorf("%w: %w", ErrTokenizer, err)
	}
	for _, id := range encoding.Ids {
		ids = append(ids, int32(id))
	}
	return ids, nil
}
