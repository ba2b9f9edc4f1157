package wordpiece

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrUnsupported says that a tokenizer.json is of another kind (BPE, Unigram, or WordPiece
// behind another normaliser), which this package does not read.
var ErrUnsupported = errors.New("not a BERT WordPiece tokenizer")

// file is the part of tokenizer.json that matters here.
type file struct {
	AddedTokens []addedToken `json:"added_tokens"`
	Normalizer  *struct {
		Type         string `json:"type"`
		CleanText    *bool  `json:"clean_text"`
		ChineseChars *bool  `json:"handle_chinese_chars"`
		StripAccents *bool  `json:"strip_accents"`
		Lowercase    *bool  `json:"lowercase"`
	} `json:"normalizer"`
	PreTokenizer *struct {
		Type string `json:"type"`
	} `json:"pre_tokenizer"`
	Model struct {
		Type         string          `json:"type"`
		UnknownToken string          `json:"unk_token"`
		Prefix       *string         `json:"continuing_subword_prefix"`
		MaxChars     int             `json:"max_input_chars_per_word"`
		Vocabulary   json.RawMessage `json:"vocab"` // a list in Unigram models
	} `json:"model"`
}

// Parse makes a Tokenizer from the contents of a tokenizer.json. The error is
// ErrUnsupported for a tokenizer of another kind.
func Parse(tokenizerJSON []byte) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(tokenizerJSON, &f); err != nil {
		return nil, fmt.Errorf("reading tokenizer.json: %w", err)
	}
	switch {
	// Files written before version 0.8 of the library name no type of model.
	case f.Model.Type != "WordPiece" && (f.Model.Type != "" || f.Model.Prefix == nil):
		return nil, fmt.Errorf("%w: its model is %q", ErrUnsupported, f.Model.Type)
	case f.Normalizer == nil || f.Normalizer.Type != "BertNormalizer":
		return nil, fmt.Errorf("%w: its normalizer is not BertNormalizer", ErrUnsupported)
	case f.PreTokenizer == nil || f.PreTokenizer.Type != "BertPreTokenizer":
		return nil, fmt.Errorf("%w: its pre_tokenizer is not BertPreTokenizer", ErrUnsupported)
	}
	t := &Tokenizer{maxChars: f.Model.MaxChars}
	if t.maxChars == 0 {
		t.maxChars = 100
	}
	lowercase := or(f.Normalizer.Lowercase, true)
	t.normalizer = newNormalizer(or(f.Normalizer.CleanText, true), or(f.Normalizer.ChineseChars, true),
		or(f.Normalizer.StripAccents, lowercase), lowercase)
	if err := t.readVocabulary(f); err != nil {
		return nil, err
	}
	for _, token := range f.AddedTokens {
		if token.ID < 0 {
			return nil, fmt.Errorf("reading tokenizer.json: added token %q has the negative id %d", token.Content, token.ID)
		}
		t.size = max(t.size, int(token.ID)+1)
		if token.Normalized {
			token.Content = string(t.normalizer.append(nil, strings.ToValidUTF8(token.Content, "\uFFFD")))
			t.normalized.add(token)
		} else {
			t.raw.add(token)
		}
	}
	return t, nil
}

func (t *Tokenizer) readVocabulary(f file) error {
	var vocabulary map[string]int32
	if err := json.Unmarshal(f.Model.Vocabulary, &vocabulary); err != nil {
		return fmt.Errorf("reading the vocabulary of tokenizer.json: %w", err)
	}
	unknown := f.Model.UnknownToken
	if unknown == "" {
		unknown = "[UNK]"
	}
	id, ok := vocabulary[unknown]
	if !ok {
		return fmt.Errorf("reading tokenizer.json: its unknown token %q is not in its vocabulary", unknown)
	}
	t.unknown = id
	prefix := or(f.Model.Prefix, "##")
	t.whole = vocabulary
	t.rest = make(map[string]int32)
	for token, id := range vocabulary {
		if id < 0 {
			return fmt.Errorf("reading tokenizer.json: token %q has the negative id %d", token, id)
		}
		t.longest = max(t.longest, len(token))
		t.size = max(t.size, int(id)+1)
		if rest, ok := strings.CutPrefix(token, prefix); ok && rest != "" {
			t.rest[rest] = id
		}
	}
	return nil
}

func or[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}
