package watch

import (
	"cmp"
	"strings"

	"github.com/barograph/barograph/news"
)

// Names says what the item's entities are called in its text, by entity: the name of the
// list that the text has first, else the list's first name. Entities that the list does not
// know, or only by cashtags, are left out.
func (l *List) Names(it news.Item) map[string]string {
	text := it.Content()
	if len(text) > longestText {
		text = text[:longestText]
	}
	written := map[string]string{}
	for _, found := range []map[string]string{l.anyCase.names(fold(text, true)), l.exactCase.names(fold(text, false))} {
		for id, name := range found {
			written[id] = cmp.Or(written[id], name)
		}
	}
	names := make(map[string]string, len(it.Entities))
	for _, id := range it.Entities {
		if name := cmp.Or(written[id], l.first[id]); name != "" {
			names[id] = name
		}
	}
	return names
}

// names are the names of the text's entities, by entity.
func (m matcher) names(text []byte) map[string]string {
	out := map[string]string{}
	for _, f := range m.matches(text) {
		for _, id := range m.ids[f.PatternID] {
			out[id] = cmp.Or(out[id], m.written[f.PatternID])
		}
	}
	return out
}

// bare is a name as people write it; "" for a cashtag.
func bare(name string) string {
	if strings.HasPrefix(name, "$") {
		return ""
	}
	return strings.TrimSpace(strings.TrimPrefix(name, "="))
}
