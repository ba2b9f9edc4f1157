package wordpiece

import (
	"encoding/json"
	"errors"
	"strings"
)

// ErrVocabulary says that a vocab.txt is none of a BERT.
var ErrVocabulary = errors.New("it lacks [UNK], [CLS] or [SEP]")

// Normalization is what a BERT's tokenizer_config.json says beside its vocab.txt.
type Normalization struct {
	Lowercase    bool
	StripAccents *bool // nil is as Lowercase
	ChineseChars bool  // each ideograph is a word
}

// FromVocabulary makes the tokenizer.json of a BERT that has only a vocab.txt: one token a
// line, whose number is its id. Hugging Face's tokenizers reads it, too. Equal vocabularies
// give equal bytes. The error is ErrVocabulary.
func FromVocabulary(lines []byte, n Normalization) ([]byte, error) {
	vocabulary := map[string]int{}
	for i, line := range strings.Split(strings.TrimRight(string(lines), "\r\n"), "\n") {
		vocabulary[strings.TrimRight(line, "\r")] = i
	}
	for _, token := range []string{"[UNK]", "[CLS]", "[SEP]"} {
		if _, ok := vocabulary[token]; !ok {
			return nil, ErrVocabulary
		}
	}
	var added []map[string]any
	for _, token := range []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} {
		if id, ok := vocabulary[token]; ok {
			added = append(added, map[string]any{"id": id, "content": token, "special": true,
				"single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
		}
	}
	return json.Marshal(map[string]any{
		"version":      "1.0",
		"truncation":   nil,
		"padding":      nil,
		"added_tokens": added,
		"normalizer": map[string]any{"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": n.ChineseChars,
			"strip_accents": n.StripAccents, "lowercase": n.Lowercase},
		"pre_tokenizer": map[string]any{"type": "BertPreTokenizer"},
		"post_processor": map[string]any{"type": "BertProcessing", "cls": []any{"[CLS]", vocabulary["[CLS]"]},
			"sep": []any{"[SEP]", vocabulary["[SEP]"]}},
		"decoder": map[string]any{"type": "WordPiece", "prefix": "##", "cleanup": true},
		"model": map[string]any{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
			"max_input_chars_per_word": 100, "vocab": vocabulary},
	})
}
