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
	normalizer, err := normalizerOf(filepath.Join(dir, tokenizerConfig))
	if err != nil {
		return nil, err
	}
	vocabulary := map[string]int{}
	for i, line := range strings.Split(strings.TrimRight(string(data), "\r\n"), "\n") {
		vocabulary[strings.TrimRight(line, "\r")] = i
	}
	cls, ok1 := vocabulary["[CLS]"]
	sep, ok2 := vocabulary["[SEP]"]
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%w: %s lacks [CLS] or [SEP]", ErrTokenizer, filepath.Join(dir, "vocab.txt"))
	}
	var added []map[string]any
	for _, token := range []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} {
		if id, ok := vocabulary[token]; ok {
			added = append(added, map[string]any{"id": id, "content": token, "special": true})
		}
	}
	return json.Marshal(map[string]any{
		"added_tokens":   added,
		"normalizer":     normalizer,
		"pre_tokenizer":  map[string]any{"type": "BertPreTokenizer"},
		"post_processor": map[string]any{"type": "BertProcessing", "cls": []any{"[CLS]", cls}, "sep": []any{"[SEP]", sep}},
		"model":          map[string]any{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": vocabulary},
	})
}

// normalizerOf makes the normalizer that transformers makes of a tokenizer_config.json;
// without one there it takes its defaults.
func normalizerOf(path string) (map[string]any, error) {
	var config struct {
		Lowercase    *bool `json:"do_lower_case"`
		StripAccents *bool `json:"strip_accents"` // absent: as lowercase
		ChineseChars *bool `json:"tokenize_chinese_chars"`
	}
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, &config)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	or := func(value *bool, otherwise bool) bool {
		if value == nil {
			return otherwise
		}
		return *value
	}
	lowercase := or(config.Lowercase, true)
	return map[string]any{"type": "BertNormalizer", "lowercase": lowercase, "strip_accents": or(config.StripAccents, lowercase),
		"handle_chinese_chars": or(config.ChineseChars, true)}, nil
}
