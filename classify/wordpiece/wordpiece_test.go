package wordpiece

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/internal/testenv"
)

// bases are the tokenizers of testdata/expected.jsonl, by language.
var bases = map[string]string{"en": "bge-small-en-v1.5", "zh": "bge-small-zh-v1.5"}

func load(t testing.TB, lang string) *Tokenizer {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(testenv.Deps(t), "bases", bases[lang], "tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func lines(t testing.TB, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Split(bytes.TrimSpace(data), []byte("\n"))
}

type expectation struct {
	Text   string
	En, Zh []int32
}

func expectations(t testing.TB) []expectation { return parse(t, lines(t, "expected.jsonl")) }

func parse(t testing.TB, lines [][]byte) []expectation {
	t.Helper()
	var out []expectation
	for _, line := range lines {
		var e expectation
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func TestEncodeGivesTheReferencesIDs(t *testing.T) {
	compare(t, expectations(t))
}

// TestEncodeGivesTheReferencesIDsEverywhere is for whole data sets and many invented
// texts; testdata/reference.py says how to make the file.
func TestEncodeGivesTheReferencesIDsEverywhere(t *testing.T) {
	path := os.Getenv("BAROGRAPH_TOKENS")
	if path == "" {
		t.Skip("no BAROGRAPH_TOKENS: see testdata/reference.py")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, parse(t, bytes.Split(bytes.TrimSpace(data), []byte("\n"))))
}

func compare(t *testing.T, all []expectation) {
	t.Helper()
	en, zh := load(t, "en"), load(t, "zh")
	for _, e := range all {
		if got := en.Encode(nil, e.Text); !slices.Equal(got, e.En) {
			t.Errorf("en %q:\n got %v\nwant %v", e.Text, got, e.En)
		}
		if got := zh.Encode(nil, e.Text); !slices.Equal(got, e.Zh) {
			t.Errorf("zh %q:\n got %v\nwant %v", e.Text, got, e.Zh)
		}
	}
}

// TestEveryCodePoint holds normaliser and pre-tokenizer against the reference for each
// character of Unicode between two letters.
func TestEveryCodePoint(t *testing.T) {
	normalizers := map[string]normalizer{
		"uncased": newNormalizer(true, true, true, true),
		"cased":   newNormalizer(true, true, false, false),
	}
	for _, line := range lines(t, "codepoints.txt") {
		var name, want string
		var block rune
		if _, err := fmt.Sscanf(string(line), "%s %x %s", &name, &block, &want); err != nil {
			t.Fatal(err)
		}
		n := normalizers[name]
		hash := sha256.New()
		for c := block; c < block+4096; c++ {
			if 0xD800 <= c && c < 0xE000 {
				continue
			}
			words := splitWords(string(n.append(nil, "a"+string(c)+"b")))
			fmt.Fprintf(hash, "%s\n", strings.Join(words, "\x1f"))
		}
		if got := hex.EncodeToString(hash.Sum(nil))[:16]; got != want {
			t.Errorf("%s: code points %U to %U differ from the reference", name, block, block+4095)
		}
	}
}

// splitWords is the pre-tokenizer said in plain words.
func splitWords(text string) []string {
	var out []string
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return classOf(r) == space }) {
		word := ""
		for _, r := range field {
			if classOf(r) == letter {
				word += string(r)
				continue
			}
			if word != "" {
				out = append(out, word)
			}
			out, word = append(out, string(r)), ""
		}
		if word != "" {
			out = append(out, word)
		}
	}
	return out
}

func TestAddedTokens(t *testing.T) {
	var f struct {
		Tokenizer json.RawMessage
		Texts     []struct {
			Text string
			IDs  []int32
		}
	}
	if err := json.Unmarshal(bytes.Join(lines(t, "added.json"), []byte("\n")), &f); err != nil {
		t.Fatal(err)
	}
	tok, err := Parse(f.Tokenizer)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range f.Texts {
		if got := tok.Encode(nil, c.Text); !slices.Equal(got, c.IDs) {
			t.Errorf("%q: got %v, want %v", c.Text, got, c.IDs)
		}
	}
}

func TestInvalidUTF8CountsAsReplacementCharacters(t *testing.T) {
	tok := load(t, "en")
	for _, text := range []string{"profit\xff\xfe warning", "\xe8\xb7", "cut [CL\xffS] off \xf0\x9f\x98", "a\xc3", "\xed\xa0\x80"} {
		got, want := tok.Encode(nil, text), tok.Encode(nil, strings.ToValidUTF8(text, "\uFFFD"))
		if !slices.Equal(got, want) {
			t.Errorf("%q: got %v, want %v", text, got, want)
		}
	}
}

func TestEncodeAppends(t *testing.T) {
	tok := load(t, "en")
	got := tok.Encode([]int32{101}, "shares fall")
	if want := append([]int32{101}, tok.Encode(nil, "shares fall")...); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestOtherKindsAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"BPE":        `{"model":{"type":"BPE","vocab":{"a":0},"merges":[]}}`,
		"Unigram":    `{"model":{"type":"Unigram","unk_id":0,"vocab":[["a",-1.5]]}}`,
		"normalizer": `{"model":{"type":"WordPiece","vocab":{"[UNK]":0}},"normalizer":{"type":"Lowercase"},"pre_tokenizer":{"type":"BertPreTokenizer"}}`,
		"split":      `{"model":{"type":"WordPiece","vocab":{"[UNK]":0}},"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"Whitespace"}}`,
	} {
		if _, err := Parse([]byte(text)); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: got %v, want ErrUnsupported", name, err)
		}
	}
	bert := `{"model":{"type":"WordPiece","vocab":%s},"normalizer":{"type":"BertNormalizer"},"pre_tokenizer":{"type":"BertPreTokenizer"}}`
	for name, text := range map[string]string{
		"cut off":    `{"model":`,
		"no unknown": fmt.Sprintf(bert, `{"a":0}`),
		"negative":   fmt.Sprintf(bert, `{"[UNK]":0,"a":-1}`),
		"not a map":  fmt.Sprintf(bert, `["a"]`),
	} {
		if _, err := Parse([]byte(text)); err == nil || errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: got %v, want an error about its contents", name, err)
		}
	}
}

func TestShortTextsAllocateNothing(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector a sync.Pool drops at random")
	}
	en, zh := load(t, "en"), load(t, "zh")
	ids := make([]int32, 0, 256)
	for _, text := range []string{"$AAPL shares fall 5% after Café downgrade [MASK]", "贵州茅台股价大跌，市值蒸发千亿元 삼성"} {
		allocations := testing.AllocsPerRun(100, func() {
			ids = en.Encode(ids[:0], text)
			ids = zh.Encode(ids[:0], text)
		})
		if allocations >= 1 {
			t.Errorf("%q: %.0f allocations", text, allocations)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, lang := range []string{"en", "zh"} {
		b.Run(lang, func(b *testing.B) {
			tok := load(b, lang)
			var texts []string
			for _, e := range expectations(b) {
				if chinese := strings.ContainsAny(e.Text, "的，大公元股"); chinese == (lang == "zh") && len(e.Text) > 20 {
					texts = append(texts, e.Text)
				}
			}
			b.ReportAllocs()
			ids := make([]int32, 0, 1024)
			n := 0
			for i := 0; b.Loop(); i++ {
				ids = tok.Encode(ids[:0], texts[i%len(texts)])
				n += len(ids)
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// BenchmarkParse is what opening a bundle pays.
func BenchmarkParse(b *testing.B) {
	data, err := os.ReadFile(filepath.Join(testenv.Deps(b), "bases", bases["en"], "tokenizer.json"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}
