package classify

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/internal/testenv"
)

// TestOtherTokenizers: BPE and Unigram files open, give the reference's ids, and neither
// their own padding and truncation nor odd text does harm.
func TestOtherTokenizers(t *testing.T) {
	for _, name := range []string{"bpe", "unigram"} {
		t.Run(name, func(t *testing.T) {
			var f struct {
				Tokenizer json.RawMessage
				Texts     []struct {
					Text string
					IDs  []int32
				}
			}
			data, err := os.ReadFile(filepath.Join("testdata", name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &f); err != nil {
				t.Fatal(err)
			}
			tok, err := parseTokenizer(f.Tokenizer)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(tok.before, []int32{0}) || !slices.Equal(tok.after, []int32{2}) {
				t.Errorf("special tokens %v and %v, want [0] and [2]", tok.before, tok.after)
			}
			for _, c := range f.Texts {
				if got, err := tok.Encode(nil, c.Text); err != nil || !slices.Equal(got, c.IDs) {
					t.Errorf("%q: got %v, %v, want %v", c.Text, got, err, c.IDs)
				}
			}
			for _, odd := range []string{"\xe8\xb7", "cut \xf0\x9f\x98", "\x00", strings.Repeat("x", 5000), "👩‍👩‍👧‍👦", "<s></s><pad>"} {
				if _, err := tok.Encode(nil, odd); err != nil {
					t.Errorf("%q: %v", odd, err)
				}
			}
		})
	}
}

func TestBERTTokenizersNameTheirSpecialTokens(t *testing.T) {
	tok, err := openTokenizer(filepath.Join(testenv.Deps(t), "bases", "bge-small-en-v1.5"))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(tok.before, []int32{101}) || !slices.Equal(tok.after, []int32{102}) {
		t.Errorf("special tokens %v and %v, want [101] and [102]", tok.before, tok.after)
	}
}

func TestVocabularyFile(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\nBank\nbank\n##s\n")
	for config, want := range map[string][]int32{
		`{"do_lower_case":true}`:  {2, 5, 6, 5},
		`{"do_lower_case":false}`: {2, 4, 6, 5},
	} {
		write(t, dir, "tokenizer_config.json", config)
		tok, err := openTokenizer(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := tok.Encode(nil, "[CLS] Banks bank"); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", config, got, want)
		}
		if !slices.Equal(tok.before, []int32{2}) || !slices.Equal(tok.after, []int32{3}) {
			t.Errorf("special tokens %v and %v", tok.before, tok.after)
		}
	}
}

func TestTokenizersThatCannotBeUsed(t *testing.T) {
	for name, text := range map[string]string{
		"cut off":       `{"model":`,
		"unknown model": `{"model":{"type":"Telepathy"}}`,
		"no model":      `{}`,
		"processor":     `{"model":{"type":"WordPiece","vocab":{}},"post_processor":{"type":"Telepathy"}}`,
		"broken BPE":    `{"model":{"type":"BPE","vocab":{"a":"x"},"merges":5}}`,
	} {
		dir := t.TempDir()
		write(t, dir, "tokenizer.json", text)
		if _, err := openTokenizer(dir); !errors.Is(err, ErrTokenizer) {
			t.Errorf("%s: got %v, want ErrTokenizer", name, err)
		}
	}
	if _, err := openTokenizer(t.TempDir()); !errors.Is(err, ErrTokenizer) {
		t.Errorf("an empty folder: got %v, want ErrTokenizer", err)
	}
}

func write(t testing.TB, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
