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
	"time"

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

// pairBundle reads a text for an entity, and has no topics.
func pairBundle(t *testing.T, w *wordModel, name string) *Model {
	t.Helper()
	m := wordBundle(t, w, ModelConfig{})
	b := m.Bundle
	b.Name, b.EntitySegment, b.Languages = name, true, []string{"en", "fr"}
	b.Heads = slices.DeleteFunc(b.Heads, func(h bert.Head) bool { return h.Task == taskTopic })
	m.outputs = nil
	if err := m.matchHeads(); err != nil {
		t.Fatal(err)
	}
	return m
}

func pairStage(t *testing.T, models ...*Model) *Stage {
	t.Helper()
	names := map[string]string{"BA": "bad", "GO": "good", "FA": "fail"}
	c := Config{Queue: 64, Names: func(it news.Item) map[string]string {
		if it.ID == "panic" {
			panic("no names")
		}
		return names
	}}
	s, err := newStage(c.withDefaults(), models)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// What happens while a text is read for the first time finds the item whole: it is read for its
// entities by what is live then, or by nothing.
func TestBetweenTheReadingsOfAText(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(s *Stage)
		want      string
		err       error
	}{
		"replaced":          {func(s *Stage) { s.serve(s.lanes[1], pairBundle(t, &wordModel{}, "pairs 2")) }, "words[] pairs 2[BA] pairs 2[GO]", nil},
		"replaced by texts": {func(s *Stage) { s.serve(s.lanes[1], wordBundle(t, &wordModel{}, ModelConfig{})) }, "words[BA GO]", nil},
		"stopped":           {func(s *Stage) { go s.Stop(); waitFor(t, s.stopping) }, "", ErrClosed},
	} {
		texts, pairs := &wordModel{gate: make(chan struct{})}, &wordModel{}
		s := pairStage(t, wordBundle(t, texts, ModelConfig{}), pairBundle(t, pairs, "pairs"))
		type result struct {
			readings []news.Reading
			err      error
		}
		done := make(chan result, 1)
		if err := s.Submit(context.Background(), news.Item{ID: "1", Text: "word", Entities: []string{"BA", "GO"}},
			func(r []news.Reading, err error) { done <- result{r, err} }); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return s.busy.until(time.Now()) > 0 }) // at the gate
		c.meanwhile(s)
		close(texts.gate)
		got := <-done
		var said []string
		for _, r := range got.readings {
			said = append(said, fmt.Sprint(r.Model.Name, r.Entities))
		}
		if !errors.Is(got.err, c.err) || c.err == nil && strings.Join(said, " ") != c.want || pairs.rows() > 0 {
			t.Errorf("%s: %v, %v and %d rows by the bundle before, want %s, %v", name, said, got.err, pairs.rows(), c.want, c.err)
		}
	}
}

// Beside a bundle that reads texts, one that reads them for an entity gets what names several;
// in which order the two are configured does not matter.
func TestTextsOfSeveralEntitiesAreReadTwice(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		texts, pairs := &wordModel{}, &wordModel{}
		models := []*Model{wordBundle(t, texts, ModelConfig{}), pairBundle(t, pairs, "pairs")}
		s := pairStage(t, models[order[0]], models[order[1]])
		two := []string{"BA", "GO"}
		for i, c := range []struct {
			item         news.Item
			want, model  string
			texts, pairs int // rows read so far
		}{
			{news.Item{ID: "1", Text: "word", Entities: two, Lang: "en"}, "1[]neutral 1[BA]negative 1[GO]positive", "pairs", 1, 2},
			{news.Item{ID: "2", Text: "word", Entities: two}, "2[]neutral1 2[BA]negative1 2[GO]positive1", "pairs", 1, 2}, // of two copies
			{news.Item{ID: "3", Text: "word", Entities: []string{"BA"}}, "3[BA]neutral1", "words", 1, 2},
			{news.Item{ID: "4", Text: "word", Entities: []string{"GO", "BA"}}, "4[]neutral1 4[GO]positive 4[BA]negative", "pairs", 1, 4}, // the text is known
			{news.Item{ID: "5", Text: "good"}, "5[]positive", "words", 2, 4},
			{news.Item{ID: "list", Text: "bad", Entities: strings.Fields("A B C D E F G H I"), Lang: "en"}, "list[A B C D E F G H I]negative", "words", 3, 4},
			{news.Item{ID: "6", Text: "word word", Entities: two, Lang: "fr"}, "6[BA]negative 6[GO]positive", "pairs", 3, 6}, // what only pairs reads
		} {
			readings, errs := readAll(t, s, c.item)
			if got := summary(readings[0]); errs[0] != nil || got != c.want || texts.rows() != c.texts || pairs.rows() != c.pairs {
				t.Fatalf("case %d: got %s, %v after %d and %d rows, want %s after %d and %d", i, got, errs[0], texts.rows(), pairs.rows(), c.want, c.texts, c.pairs)
			}
			for _, r := range readings[0] {
				model := c.model
				if len(r.Entities) == 0 {
					model = "words"
				}
				if topic := r.Topic.Label; r.Model.Name != model || topic != "short" && c.item.Lang != "fr" || r.ClassifiedAt.IsZero() {
					t.Errorf("case %d: model %s and topic %q, want %s and that of the text", i, r.Model.Name, topic, model)
				}
			}
		}
		for _, it := range []news.Item{{ID: "failing", Text: "word", Entities: []string{"BA", "FA"}}, {ID: "panic", Text: "word", Entities: two},
			{ID: "poison", Text: "panic", Entities: two}} {
			if readings, errs := readAll(t, s, it); errs[0] == nil || len(readings[0]) != 1 || len(readings[0][0].Entities) != 2 {
				t.Errorf("%s: got %+v, %v", it.ID, readings[0], errs[0])
			}
		}
		// Copies that wait for both passes: each row is read once.
		texts.gate, pairs.gate = make(chan struct{}), make(chan struct{})
		var items []news.Item
		for i := range 5 {
			items = append(items, news.Item{ID: fmt.Sprint("c", i), Text: "bad word", Entities: two})
		}
		textRows, pairRows := texts.rows(), pairs.rows()
		var readings [][]news.Reading
		var errs []error
		read := make(chan struct{})
		go func() {
			readings, errs = readAll(t, s, items...)
			close(read)
		}()
		waitFor(t, func() bool { return s.InFlight() == len(items) && s.upstream.Load() == 0 })
		close(texts.gate)
		close(pairs.gate)
		<-read
		originals := map[string]int{}
		for i, r := range readings {
			if errs[i] != nil || len(r) != 3 {
				t.Fatalf("copy %d: %+v, %v", i, r, errs[i])
			}
			originals[r[1].DuplicateOf]++
		}
		if texts.rows() != textRows+1 || pairs.rows() != pairRows+2 || originals[""] != 1 || len(originals) != 2 {
			t.Errorf("copies: %d and %d rows read, want 1 and 2; originals %v", texts.rows()-textRows, pairs.rows()-pairRows, originals)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		for i, l := range s.lanes {
			if n := l.live.users.Load(); n != 0 {
				t.Errorf("lane %d is held by %d after the end", i, n)
			}
		}
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
