package classify

import (
	"regexp"
	"testing"
)

func TestStripURLs(t *testing.T) {
	for in, want := range map[string]string{
		"":                                   "",
		"no link":                            "no link",
		"$AAPL falls https://t.co/aB1 again": "$AAPL falls  again",
		"http://a.b/c?d=e&f#g":               "",
		"see http://a\nand https://b\tend":   "see \nand \tend",
		"https:// nothing behind":            "https:// nothing behind",
		"http https httphttp://x y":          "http https http y",
		"股价下跌https://t.co/1 跌停":              "股价下跌 跌停",
		"HTTPS://T.CO/1 stays":               "HTTPS://T.CO/1 stays",
		"nobreak http://a\u00a0b":            "nobreak ",
		"a https://x https://y":              "a  ",
	} {
		if got := StripURLs(in); got != want {
			t.Errorf("StripURLs(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzStripURLs(f *testing.F) {
	link := regexp.MustCompile(`https?://\S+`)
	f.Add("a httphttps://x\vhttp:///// b")
	f.Fuzz(func(t *testing.T, text string) {
		if got, want := StripURLs(text), link.ReplaceAllString(text, ""); got != want {
			t.Errorf("StripURLs(%q) = %q, want %q", text, got, want)
		}
	})
}

func TestTextDigestIsThatOfCopies(t *testing.T) {
	same := [][]string{
		{"Apple  falls", "apple falls", " APPLE\n falls https://t.co/x", "Apple\u00a0falls"},
		{"ΟΔΟΣ", "οδος", "οδοσ"},
		{"", " ", "https://t.co/x"},
		{"跌停", "跌停\n"},
	}
	seen := map[string]int{}
	for i, texts := range same {
		digest := TextDigest(texts[0])
		if len(digest) != 16 {
			t.Errorf("digest %q has %d characters", digest, len(digest))
		}
		if j, ok := seen[digest]; ok {
			t.Errorf("groups %d and %d have one digest", i, j)
		}
		seen[digest] = i
		for _, text := range texts[1:] {
			if got := TextDigest(text); got != digest {
				t.Errorf("%q and %q have digests %s and %s", texts[0], text, digest, got)
			}
		}
	}
}
