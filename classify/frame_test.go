package classify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/internal/testenv"
)

// TestPairsEqualHuggingFaces: the first window of a text with an entity is what
// testdata/pairs.py says, also for checkpoints that have only a vocab.txt.
func TestPairsEqualHuggingFaces(t *testing.T) {
	var want struct {
		Vocabulary []string
		Tokenizers map[string][]struct {
			Text, Entity string
			Max          int
			IDs          []int32
			Types        []int64
		}
	}
	raw, err := os.ReadFile(filepath.Join("testdata", "pairs.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	for name, pairs := range want.Tokenizers {
		dir := filepath.Join(testenv.Deps(t), "bases", name)
		if strings.HasSuffix(name, "cased") {
			dir = t.TempDir()
			write(t, dir, "vocab.txt", strings.Join(want.Vocabulary, "\n"))
			write(t, dir, tokenizerConfig, map[string]string{"cased": `{"do_lower_case": false}`, "uncased": `{}`}[name])
		}
		tok, err := openTokenizer(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range pairs {
			text, _ := tok.Encode(nil, c.Text)
			entity, _ := tok.Encode(nil, c.Entity)
			var j job
			j.cut(text, *tok.pair, entity, c.Max)
			var batch onnx.Batch
			fill(&batch, j.rows[:1])
			if !slices.Equal(j.rows[0].ids, c.IDs) || !slices.Equal(batch.Types, c.Types) {
				t.Errorf("%s: %q for %q in %d tokens: got\n%v\n%v, want\n%v\n%v", name, c.Text, c.Entity, c.Max, j.rows[0].ids, batch.Types, c.IDs, c.Types)
			}
			for _, r := range j.rows {
				tail := slices.Concat(tok.pair.between, entity, tok.pair.after)
				if len(r.ids) > c.Max || !slices.Equal(r.ids[len(r.ids)-len(tail):], tail) {
					t.Errorf("%s: window %d of %q does not hold the whole entity: %v", name, r.window, c.Text, r.ids)
				}
			}
		}
	}
}

func TestPairsOfOtherProcessors(t *testing.T) {
	special := `"special_tokens":{"<s>":{"ids":[0]},"</s>":{"ids":[2]}}`
	single := `"single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}]`
	for name, c := range map[string]struct {
		processor string
		pair      *frame
	}{
		"RoBERTa's": {`{"type":"RobertaProcessing","cls":["<s>",0],"sep":["</s>",2]}`, &frame{[]int32{0}, []int32{2, 2}, []int32{2}, false}},
		"BERT's":    {`{"type":"BertProcessing","cls":["<s>",0],"sep":["</s>",2]}`, &frame{[]int32{0}, []int32{2}, []int32{2}, true}},
		"a template": {`{"type":"TemplateProcessing",` + single + `,"pair":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}},
			{"SpecialToken":{"id":"</s>","type_id":0}},{"Sequence":{"id":"B","type_id":1}},{"SpecialToken":{"id":"</s>","type_id":1}}],` + special + `}`,
			&frame{[]int32{0}, []int32{2}, []int32{2}, true}},
		"B before A": {`{"type":"TemplateProcessing",` + single + `,"pair":[{"Sequence":{"id":"B","type_id":0}},{"Sequence":{"id":"A","type_id":1}}],` + special + `}`, nil},
		"odd types":  {`{"type":"TemplateProcessing",` + single + `,"pair":[{"Sequence":{"id":"A","type_id":1}},{"Sequence":{"id":"B","type_id":0}}],` + special + `}`, nil},
		"no pair":    {`{"type":"TemplateProcessing",` + single + `,` + special + `}`, nil},
	} {
		one, pair, err := specialTokens([]byte(`{"post_processor":` + c.processor + `}`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !slices.Equal(one.before, []int32{0}) || !slices.Equal(one.after, []int32{2}) || one.between != nil || one.typed {
			t.Errorf("%s: around one text stands %+v", name, one)
		}
		if (pair == nil) != (c.pair == nil) || pair != nil && (!slices.Equal(pair.before, c.pair.before) ||
			!slices.Equal(pair.between, c.pair.between) || !slices.Equal(pair.after, c.pair.after) || pair.typed != c.pair.typed) {
			t.Errorf("%s: around a pair stands %+v, want %+v", name, pair, c.pair)
		}
	}
}
