package watch

import (
	"maps"
	"testing"

	"github.com/barograph/barograph/news"
)

func TestNamesAreThoseOfTheText(t *testing.T) {
	list, err := New([]Entry{
		{ID: "AAPL", Names: []string{"$APPL", "Apple", "苹果公司", "=AAPL"}},
		{ID: "META", Names: []string{"=META", "Facebook"}},
		{ID: "BA", Names: []string{"$BA"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]map[string]string{
		"APPLE beats facebook":         {"AAPL": "Apple", "META": "Facebook"},
		"苹果公司下调指引":                     {"AAPL": "苹果公司"},
		"META, which was Facebook":     {"META": "Facebook"}, // names in any case come first
		"$AAPL, $BA and $XYZ":          {"AAPL": "AAPL"},
		"Apple, that is 苹果公司, falls":   {"AAPL": "Apple"},
		"an item that brings its own ": {"AAPL": "Apple"},
	} {
		it := news.Item{Text: text, Entities: []string{"AAPL"}}
		if text != "an item that brings its own " {
			it.Entities = nil
			it.Entities = list.Tag(it)
		}
		if got := list.Names(it); !maps.Equal(got, want) {
			t.Errorf("%s: of %v the names are %v, want %v", text, it.Entities, got, want)
		}
	}
}
