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
	before, after []int32 // [CLS] and [SEP], for BERT
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
	before, after, err := specialTokens(data)
	if err != nil {
		return nil, err
	}
	bert, err := wordpiece.Parse(data)
	switch {
	case err == nil:
		return &tokenizer{bertEncoder{bert}, before, after}, nil
	case !errors.Is(err, wordpiece.ErrUnsupported):
		return nil, fmt.Errorf("%w: %w", ErrTokenizer, err)
	}
	general, err := newGeneralEncoder(data)
	if err != nil {
		return nil, err
	}
	return &tokenizer{general, before, after}, nil
}

type bertEncoder struct{ *wordpiece.Tokenizer }

func (e bertEncoder) Encode(ids []int32, text string) ([]int32, error) {
	return e.Tokenizer.Encode(ids, text), nil
}

// specialTokens reads from the post_processor of a tokenizer.json which ids stand before
// and after a single text.
func specialTokens(data []byte) (before, after []int32, err error) {
	var file struct {
		PostProcessor *postProcessor `json:"post_processor"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, nil, fmt.Errorf("%w: reading post_processor: %w", ErrTokenizer, err)
	}
	if file.PostProcessor == nil {
		return nil, nil, nil
	}
	return file.PostProcessor.around()
}

type postProcessor struct {
	Type       string          `json:"type"`
	Processors []postProcessor `json:"processors"` // of a Sequence
	CLS        [2]any          `json:"cls"`        // of BertProcessing and RobertaProcessing: token, id
	SEP        [2]any          `json:"sep"`
	Single     []struct {
		Special  *struct{ ID string } `json:"SpecialToken"`
		Sequence *struct{}            `json:"Sequence"`
	} `json:"single"` // of TemplateProcessing
	SpecialTokens map[string]struct{ IDs []int32 } `json:"special_tokens"`
}

func (p *postProcessor) around() (before, after []int32, err error) {
	switch p.Type {
	case "ByteLevel": // moves offsets, adds nothing
		return nil, nil, nil
	case "Sequence":
		for i := range p.Processors {
			if before, after, err = p.Processors[i].around(); err != nil || before != nil || after != nil {
				return before, after, err
			}
		}
		return nil, nil, nil
	case "BertProcessing", "RobertaProcessing":
		cls, ok1 := p.CLS[1].(float64)
		sep, ok2 := p.SEP[1].(float64)
		if !ok1 || !ok2 {
			return nil, nil, fmt.Errorf("%w: post_processor %s has no ids for cls and sep", ErrTokenizer, p.Type)
		}
		return []int32{int32(cls)}, []int32{int32(sep)}, nil
	case "TemplateProcessing":
		side := &before
		for _, piece := range p.Single {
			if piece.Sequence != nil {
				side = &after
			}
			if piece.Special == nil {
				continue
			}
			token, ok := p.SpecialTokens[piece.Special.ID]
			if !ok {
				return nil, nil, fmt.Errorf("%w: post_processor names the unknown token %q", ErrTokenizer, piece.Special.ID)
			}
			*side = append(*side, token.IDs...)
		}
		return before, after, nil
	}
	return nil, nil, fmt.Errorf("%w: post_processor %q is not known", ErrTokenizer, p.Type)
}

// vocabularyFile makes a tokenizer.json of the vocab.txt that older BERT checkpoints have
// (ProsusAI/finbert, for one) and of their tokenizer_config.json.
func vocabularyFile(dir string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(dir, "vocab.txt"))
	if err != nil {
		return nil, err
	}
	lowercase := true // what transformers assumes
	if raw, err := os.ReadFile(filepath.Join(dir, "tokenizer_config.json")); err == nil {
		var config struct {
			Lowercase *bool `json:"do_lower_case"`
		}
		if err := json.Unmarshal(raw, &config); err != nil {
			return nil, fmt.Errorf("reading %s: %w", filepath.Join(dir, "tokenizer_config.json"), err)
		}
		if config.Lowercase != nil {
			lowercase = *config.Lowercase
		}
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
		"normalizer":     map[string]any{"type": "BertNormalizer", "lowercase": lowercase},
		"pre_tokenizer":  map[string]any{"type": "BertPreTokenizer"},
		"post_processor": map[string]any{"type": "BertProcessing", "cls": []any{"[CLS]", cls}, "sep": []any{"[SEP]", sep}},
		"model":          map[string]any{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "vocab": vocabulary},
	})
}
