package classify

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/news"
)

// entityStage is a wordStage whose bundle reads a text for an entity, with names for ids.
func entityStage(t *testing.T, w *wordModel) *Stage {
	names := map[string]string{"BA": "bad", "GO": "good", "FA": "fail"}
	s := wordStage(t, w, Config{Names: func(news.Item) map[string]string { return names }})
	s.lanes[0].live.Bundle.EntitySegment = true
	return s
}

// readAll submits items one after the other and gives the readings of each.
func readAll(t *testing.T, s *Stage, items ...news.Item) (readings [][]news.Reading, errs []error) {
	t.Helper()
	for r, err := range s.Classify(context.Background(), slices.Values(items)) {
		readings, errs = append(readings, r), append(errs, err)
	}
	return readings, errs
}

// summary is who is read how in an item's readings.
func summary(readings []news.Reading) string {
	var out []string
	for _, r := range readings {
		out = append(out, fmt.Sprint(r.ID, r.Entities, r.Sentiment.Label(), r.DuplicateOf))
	}
	return strings.Join(out, " ")
}

func TestAReadingForEachEntity(t *testing.T) {
	w := &wordModel{}
	s := entityStage(t, w)
	for i, c := range []struct {
		item news.Item
		want string
		rows int // read so far
	}{
		{news.Item{ID: "1", Text: "word", Entities: []string{"BA", "GO"}}, "1[BA]negative 1[GO]positive", 2},
		{news.Item{ID: "2", Text: "word"}, "2[]neutral", 3},
		{news.Item{ID: "3", Text: "word", Entities: []string{"word"}}, "3[word]neutral", 4}, // by its id
		{news.Item{ID: "4", Text: " word", Entities: []string{"BA", "GO"}}, "4[BA]negative1 4[GO]positive1", 4},
		{news.Item{ID: "5", Text: "word", Entities: []string{"GO"}}, "5[GO]positive", 5},
		{news.Item{ID: "6", Text: strings.Repeat("word ", 60), Entities: []string{"BA"}}, "6[BA]negative", 8}, // three windows, each with the entity
	} {
		readings, errs := readAll(t, s, c.item)
		if got := summary(readings[0]); errs[0] != nil || got != c.want || w.rows() != c.rows {
			t.Errorf("case %d: got %s, %v after %d rows, want %s after %d", i, got, errs[0], w.rows(), c.want, c.rows)
		}
	}
}

func TestAnItemFailsWithAnyOfItsEntities(t *testing.T) {
	s := entityStage(t, &wordModel{})
	readings, errs := readAll(t, s, news.Item{ID: "1", Text: "word", Entities: []string{"BA", "FA", "GO"}}, news.Item{ID: "2", Text: "good", Entities: []string{"BA"}})
	if errs[0] == nil || len(readings[0]) != 1 || len(readings[0][0].Entities) != 3 || readings[0][0].Sentiment != (news.Sentiment{}) {
		t.Errorf("got %+v, %v", readings[0], errs[0])
	}
	if errs[1] != nil || len(readings[1]) != 1 {
		t.Errorf("the next item: %v, %v", readings[1], errs[1])
	}
}

func TestOtherBundlesReadATextOnceForAllEntities(t *testing.T) {
	w := &wordModel{}
	s := wordStage(t, w, Config{Names: func(news.Item) map[string]string { panic("asked for names") }})
	readings, errs := readAll(t, s, news.Item{ID: "1", Text: "word", Entities: []string{"BA", "GO"}})
	if got := summary(readings[0]); errs[0] != nil || got != "1[BA GO]neutral" || w.rows() != 1 {
		t.Errorf("got %s, %v, %d rows", got, errs[0], w.rows())
	}
	if _, errs := s.lanes[0].live.PredictFor([]string{"word"}, []string{"bad"}); !errors.Is(errs[0], ErrBundle) {
		t.Errorf("asked for an entity: %v", errs[0])
	}
}

// TestTheStageReadsPairsAsTheModelDoes, on a real bundle.
func TestTheStageReadsPairsAsTheModelDoes(t *testing.T) {
	dir := tinyBundle(t, filepath.Join(t.TempDir(), "pairs"), "1", 0, true)
	c := tinyConfig(t, slog.New(slog.DiscardHandler))
	m, err := OpenModel(dir, c)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s, err := New(Config{Bundles: []string{dir}, Model: c})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	text, entities := "w1 w2 w3 w4 w5 w6 w7 w8 w9 w10 w11 w12", []string{"w3", "w30 w31", ""}
	said, errs := m.PredictFor([]string{text, text, text}, entities)
	for i, err := range errs {
		if err != nil {
			t.Fatal(entities[i], err)
		}
	}
	readings, errs := readAll(t, s, news.Item{ID: "1", Text: text, Entities: entities[:2]}, news.Item{ID: "2", Text: text})
	for i, r := range slices.Concat(readings...) {
		want := answerOf(m.Bundle.Heads, said[i]).sentiment
		if err := errs[i/2]; err != nil || !alike(r.Sentiment.Negative, want.Negative) || !alike(r.Sentiment.Positive, want.Positive) {
			t.Errorf("for %q the stage reads %v (%v), the model %v", entities[i], r.Sentiment, err, want)
		}
	}
	if alike(said[0][0][0], said[2][0][0]) || alike(said[0][0][0], said[1][0][0]) {
		t.Errorf("the entity makes no difference: %v", said)
	}
}

func alike(a, b float64) bool { return a-b < 1e-5 && b-a < 1e-5 }

// TestABundleMayAskForItsPrecision where int8 costs it too much; the configuration wins.
func TestABundleMayAskForItsPrecision(t *testing.T) {
	dir := tinyBundle(t, filepath.Join(t.TempDir(), "b"), `1", "precision": "fp32`, 0, false)
	for asked, want := range map[bert.Precision]bert.Precision{"": bert.FP32, bert.INT8: bert.INT8} {
		c := tinyConfig(t, slog.New(slog.DiscardHandler))
		c.Precision = asked
		m, err := OpenModel(dir, c)
		if err != nil {
			t.Fatal(err)
		}
		m.Close()
		if m.Precision != want {
			t.Errorf("asked for %q it runs in %s, want %s", asked, m.Precision, want)
		}
	}
}
