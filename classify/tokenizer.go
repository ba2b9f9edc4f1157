package classify

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/barograph/barograph/classify/wordpiece"
)

// ErrTokenizer is wrapped by errors about a tokenizer.json that cannot be used and about
// texts that it could not cut.
var ErrTokenizer = errors.New("cannot tokenise")

// encoder cuts text into token ids. It is safe for several goroutines.
type encoder interface {
	// Encode appends the ids of the text, special tokens left out. Any string will do.
	Encode(ids []int32, text string) ([]int32, error)
}

// tokenizer is an encoder with the special tokens that the model wants around a text.
type tokenizer struct {
	encoder
	frame        // around a text alone
	pair  *frame // around a text and an entity; nil where the file does not say
}

// openTokenizer reads the tokenizer.json, or else the vocab.txt, of the first folder that
// has one.
func openTokenizer(folders ...string) (*tokenizer, error) {
	for _, dir := range folders {
		data, err := readTokenizer(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		t, err := parseTokenizer(data)
		if err != nil {
			return nil, fmt.Errorf("reading the tokenizer of %s: %w", dir, err)
		}
		return t, nil
	}
	return nil, fmt.Errorf("%w: no tokenizer.json and no vocab.txt in %s", ErrTokenizer, strings.Join(folders, " or "))
}

func readTokenizer(dir string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if !errors.Is(err, fs.ErrNotExist) {
		return data, err
	}
	return vocabularyFile(dir)
}

func parseTokenizer(data []byte) (*tokenizer, error) {
	single, pair, err := specialTokens(data)
	if err != nil {
		return nil, err
	}
	bert, err := wordpiece.Parse(data)
	switch {
	case err == nil:
		return &tokenizer{bertEncoder{bert}, single, pair}, nil
	case !errors.Is(err, wordpiece.ErrUnsupported):
		return nil, fmt.Errorf("%w: %w", ErrTokenizer, err)
	}
	general, err := newGeneralEncoder(data)
	if err != nil {
		return nil, err
	}
	return &tokenizer{general, single, pair}, nil
}

// bertEncoder is BERT's own tokenizer as an encoder.
type bertEncoder struct{ *wordpiece.Tokenizer }

// Encode implements encoder. Nothing goes wrong: what is in no vocabulary is [UNK].
func (e bertEncoder) Encode(ids []int32, text string) ([]int32, error) {
	return e.Tokenizer.Encode(ids, text), nil
}

// vocabularyFile makes a tokenizer.json of the vocab.txt that older BERT checkpoints have
// (ProsusAI/finbert, for one) and of their tokenizer_config.json.
func vocabularyFile(dir string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, "vocab.txt"))
	if err != nil {
		return nil, err
	}
	normalization, err := normalizationOf(filepath.Join(dir, tokenizerConfig))
	if err != nil {
		return nil, err
	}
	tokenizer, err := wordpiece.FromVocabulary(data, normalization)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrTokenizer, filepath.Join(dir, "vocab.txt"), err)
	}
	return tokenizer, nil
}

// normalizationOf is what transformers takes from a tokenizer_config.json; without one there
// it takes its defaults.
func normalizationOf(path string) (n wordpiece.Normalization, err error) {
	var config struct {
		Lowercase    *bool `json:"do_lower_case"`
		StripAccents *bool `json:"strip_accents"`
		ChineseChars *bool `json:"tokenize_chinese_chars"`
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return n, fmt.Errorf("reading %s: %w", path, err)
	}
	yes := func(value *bool) bool { return value == nil || *value }
	return wordpiece.Normalization{Lowercase: yes(config.Lowercase), StripAccents: config.StripAccents, ChineseChars: yes(config.ChineseChars)}, nil
}
