package classify

import (
	"encoding/json"
	"fmt"
)

// frame is the special tokens around what a model reads. For BERT they are
//
//	[CLS] text [SEP]
//	[CLS] text [SEP] entity [SEP]
type frame struct {
	before, between, after []int32

	// typed: the second segment, with what stands after it, has token type 1 (RoBERTa's has 0).
	typed bool
}

// specialTokens reads from the post_processor of a tokenizer.json what stands around a
// single text and around a pair; pair is nil where the file says nothing that this package
// can do.
func specialTokens(data []byte) (single frame, pair *frame, err error) {
	var file struct {
		PostProcessor *postProcessor `json:"post_processor"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return frame{}, nil, fmt.Errorf("%w: reading post_processor: %w", ErrTokenizer, err)
	}
	if file.PostProcessor == nil {
		return frame{}, nil, nil
	}
	return file.PostProcessor.frames()
}

type postProcessor struct {
	Type          string                           `json:"type"`
	Processors    []postProcessor                  `json:"processors"` // of a Sequence
	CLS           [2]any                           `json:"cls"`        // of BertProcessing and RobertaProcessing: token, id
	SEP           [2]any                           `json:"sep"`
	Single        []piece                          `json:"single"` // of TemplateProcessing
	Pair          []piece                          `json:"pair"`
	SpecialTokens map[string]struct{ IDs []int32 } `json:"special_tokens"`
}

// piece is a special token, or the place of a text.
type piece struct {
	Special  *pieceOf `json:"SpecialToken"`
	Sequence *pieceOf `json:"Sequence"`
}

type pieceOf struct {
	ID   string `json:"id"` // of a text: A or B
	Type int    `json:"type_id"`
}

func (p *postProcessor) frames() (single frame, pair *frame, err error) {
	switch p.Type {
	case "ByteLevel": // moves offsets, adds nothing
		return frame{}, nil, nil
	case "Sequence":
		for i := range p.Processors {
			single, pair, err = p.Processors[i].frames()
			if err != nil || single.before != nil || single.after != nil {
				return single, pair, err
			}
		}
		return frame{}, nil, nil
	case "BertProcessing", "RobertaProcessing":
		cls, ok1 := p.CLS[1].(float64)
		sep, ok2 := p.SEP[1].(float64)
		if !ok1 || !ok2 {
			return frame{}, nil, fmt.Errorf("%w: post_processor %s has no ids for cls and sep", ErrTokenizer, p.Type)
		}
		begin, end := []int32{int32(cls)}, []int32{int32(sep)}
		pair = &frame{before: begin, between: end, after: end, typed: true}
		if p.Type == "RobertaProcessing" {
			pair.between, pair.typed = []int32{end[0], end[0]}, false
		}
		return frame{before: begin, after: end}, pair, nil
	case "TemplateProcessing":
		if single, _, err = p.template(p.Single); err != nil {
			return single, nil, err
		}
		both, usable, err := p.template(p.Pair)
		if err != nil || !usable {
			return single, nil, err
		}
		return single, &both, nil
	}
	return frame{}, nil, fmt.Errorf("%w: post_processor %q is not known", ErrTokenizer, p.Type)
}

// template sorts a template's special tokens by where they stand. It is usable for a pair
// where A is before B, and token types are 0 and, if at all, 1 from B on.
func (p *postProcessor) template(pieces []piece) (f frame, usable bool, err error) {
	sides := []*[]int32{&f.before, &f.between, &f.after}
	texts, usable := 0, true
	for _, piece := range pieces {
		if of := piece.Sequence; of != nil && texts < 2 {
			usable = usable && of.ID == []string{"A", "B"}[texts] && of.Type <= texts
			f.typed = of.Type == 1
			texts++
		}
		if of := piece.Special; of != nil {
			token, ok := p.SpecialTokens[of.ID]
			if !ok {
				return f, false, fmt.Errorf("%w: post_processor names the unknown token %q", ErrTokenizer, of.ID)
			}
			*sides[texts] = append(*sides[texts], token.IDs...)
			usable = usable && (of.Type == 1) == f.typed
		}
	}
	if texts < 2 { // what follows a single text stands after it
		f.between, f.after = nil, f.between
	}
	return f, usable && texts == 2, nil
}
