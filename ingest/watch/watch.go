// Package watch says which companies a text speaks of: by the entities the item brought
// with it, by cashtags ($AAPL), and by a watch list of names and aliases in any language.
//
// It matches names, not meanings: 苹果 the fruit is 苹果 the company to it. List
// unambiguous names (苹果公司) where that hurts.
package watch

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/coregx/ahocorasick"

	"github.com/barograph/barograph/news"
)

// Entry is one company of the watch list.
type Entry struct {
	// ID is the entity that its items are counted under: the ticker, as a rule.
	ID string `yaml:"id"`

	// Names are what texts call it, in any language. Letters match in any case, width and
	// Unicode composition, whole words only; Chinese, Japanese, Korean and Thai characters
	// match anywhere. A longer name that covers a shorter one wins: with Apple and Apple
	// Hospitality on the list, "Apple Hospitality" is not Apple.
	//
	// "=META" matches in this case only. "$BABA" makes the cashtag mean this entry.
	Names []string `yaml:"names"`
}

const (
	// Most is how many entities an item gets from its text at the most, beside its own:
	// cashtags come first, then names in order of appearance.
	Most = 32

	longestEntity = 64       // runes; a longer one of the item's own is dropped
	longestText   = 64 << 10 // bytes of title and text that are looked at
)

// List finds entities. It never changes and is safe for concurrent use.
type List struct {
	anyCase   matcher // over text in lower case
	exactCase matcher
	cashtags  map[string][]string // upper-case ticker → entities, where they differ
	first     map[string]string   // entity → its first name
	taggers   sync.Pool           // of *tagger
}

// New compiles the entries. It takes an empty list: then only an item's own entities and
// cashtags are found. Memory is some 500 bytes for each distinct character of the names.
func New(entries []Entry) (*List, error) {
	l := &List{cashtags: map[string][]string{}, first: map[string]string{}, taggers: sync.Pool{New: func() any { return &tagger{} }}}
	anyCase, exactCase := map[string][]string{}, map[string][]string{}
	written := map[string]string{} // by folded name
	for i, e := range entries {
		if err := checkEntity(e.ID); err != nil {
			return nil, fmt.Errorf("watch list entry %d: id: %w", i+1, err)
		}
		for _, name := range e.Names {
			into, key := anyCase, string(fold(name, true))
			if rest, exact := strings.CutPrefix(name, "="); exact {
				into, key = exactCase, string(fold(rest, false))
			} else if ticker, is := strings.CutPrefix(name, "$"); is {
				into, key = l.cashtags, strings.ToUpper(ticker)
				if found, _ := nextCashtag([]byte(name), 0); string(appendUpper(nil, found)) != key {
					return nil, fmt.Errorf("watch list entry %s: %q is no cashtag: write $ and one to six letters", e.ID, name)
				}
			}
			key = strings.TrimSpace(key)
			if !strings.ContainsFunc(key, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
				return nil, fmt.Errorf("watch list entry %s: name %q has no letter", e.ID, name)
			}
			if !slices.Contains(into[key], e.ID) {
				into[key] = append(into[key], e.ID)
			}
			written[key] = cmp.Or(written[key], bare(name))
			l.first[e.ID] = cmp.Or(l.first[e.ID], bare(name))
		}
	}
	var err error
	if l.anyCase, err = newMatcher(anyCase, written); err != nil {
		return nil, err
	}
	l.exactCase, err = newMatcher(exactCase, written)
	return l, err
}

// checkEntity refuses what would break keys and pages further on.
func checkEntity(id string) error {
	switch {
	case strings.TrimSpace(id) == "":
		return fmt.Errorf("is empty: give the ticker")
	case !utf8.ValidString(id), strings.ContainsFunc(id, unicode.IsControl):
		return fmt.Errorf("%q has control characters: remove them", id)
	case utf8.RuneCountInString(id) > longestEntity:
		return fmt.Errorf("%.20q… is longer than %d characters: shorten it", id, longestEntity)
	}
	return nil
}

// Tag lists the item's entities, sorted and unique, its own and at most Most of its text. Of its own, those
// that no key can hold (empty, overlong, with control characters) are dropped. Only the
// first 64 kB of title and text are looked at.
//
// Beside the list, and the names that the item brings nothing of, it allocates only where the
// text has names of the watch list.
func (l *List) Tag(it news.Item) []string {
	t := l.taggers.Get().(*tagger)
	defer l.taggers.Put(t)
	t.found, t.most = t.found[:0], len(it.Entities)
	for _, id := range it.Entities {
		if id = strings.TrimSpace(id); checkEntity(id) == nil {
			t.add(id)
		}
	}
	t.most = len(t.found) + Most
	text := it.Content()
	if len(text) > longestText {
		text = text[:longestText]
	}
	t.cased = appendFolded(t.cased[:0], text)
	t.lower = appendLower(t.lower[:0], t.cased)
	l.addCashtags(t)
	l.anyCase.find(t, t.lower)
	l.exactCase.find(t, t.cased)
	if len(t.found) == 0 {
		return nil
	}
	found := slices.Clone(t.found)
	clear(t.found)
	slices.Sort(found)
	return found
}

// tagger is the memory that finding entities takes. It is used again.
type tagger struct {
	cased, lower []byte // the text, folded
	ticker       []byte // in capitals
	found        []string
	most         int // of found
}

func (t *tagger) add(ids ...string) {
	for _, id := range ids {
		if len(t.found) < t.most && !slices.Contains(t.found, id) {
			t.found = append(t.found, id)
		}
	}
}

func (l *List) addCashtags(t *tagger) {
	for ticker, end := nextCashtag(t.cased, 0); ticker != nil; ticker, end = nextCashtag(t.cased, end) {
		t.ticker = appendUpper(t.ticker[:0], ticker)
		if ids, ok := l.cashtags[string(t.ticker)]; ok {
			t.add(ids...)
		} else if !slices.ContainsFunc(t.found, func(id string) bool { return id == string(t.ticker) }) {
			t.add(string(t.ticker))
		}
	}
}

// matcher finds names in folded text.
type matcher struct {
	automaton *ahocorasick.Automaton // nil: no names
	ids       [][]string             // by pattern
	written   []string               // by pattern: the name as the list has it
	open      []edges                // by pattern
}

// edges tells on which sides of a name a word must end.
type edges struct{ left, right bool }

func newMatcher(names map[string][]string, written map[string]string) (matcher, error) {
	if len(names) == 0 {
		return matcher{}, nil
	}
	var m matcher
	b := ahocorasick.NewBuilder().SetMatchKind(ahocorasick.LeftmostLongest)
	for name, ids := range names {
		b.AddPattern([]byte(name))
		first, _ := utf8.DecodeRuneInString(name)
		last, _ := utf8.DecodeLastRuneInString(name)
		m.ids, m.written = append(m.ids, ids), append(m.written, written[name])
		m.open = append(m.open, edges{inWord(first), inWord(last)})
	}
	var err error
	if m.automaton, err = b.Build(); err != nil {
		return matcher{}, fmt.Errorf("compiling %d names of the watch list: %w", len(names), err)
	}
	return m, nil
}

// find adds the entities of the names in the text, by first appearance.
func (m matcher) find(t *tagger, text []byte) {
	for _, f := range m.matches(text) {
		t.add(m.ids[f.PatternID]...)
	}
}

// matches lists the names in the text that are words and not part of a longer one.
func (m matcher) matches(text []byte) []ahocorasick.Match {
	if m.automaton == nil {
		return nil
	}
	// The automaton's own choice of the longest would take "pineapple" for the only match
	// and then lose apple: words are judged first, and the longest is taken of what is left.
	matches := slices.DeleteFunc(m.automaton.FindAllOverlapping(text), func(f ahocorasick.Match) bool {
		return !m.isWord(text, f)
	})
	slices.SortFunc(matches, func(a, b ahocorasick.Match) int {
		if a.Start != b.Start {
			return a.Start - b.Start
		}
		return b.End - a.End
	})
	end := 0
	return slices.DeleteFunc(matches, func(f ahocorasick.Match) bool {
		if f.Start < end {
			return true // inside of, or overlapping, an earlier and longer name
		}
		end = f.End
		return false
	})
}

// isWord tells whether a match is not the middle of a longer word.
func (m matcher) isWord(text []byte, f ahocorasick.Match) bool {
	open := m.open[f.PatternID]
	if before, size := utf8.DecodeLastRune(text[:f.Start]); open.left && size > 0 && inWord(before) {
		return false
	}
	after, size := utf8.DecodeRune(text[f.End:])
	return !(open.right && size > 0 && inWord(after))
}
