package classify

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/barograph/barograph/news"
)

func TestReadingOfAnItem(t *testing.T) {
	s := wordStage(t, &wordModel{}, Config{})
	item := news.Item{ID: "1", Kind: news.KindNews, Source: "wire", PublishedAt: t0.Add(-time.Hour), Title: "bad bad",
		Text: "good word https://t.co/fail", Entities: []string{"AAPL"}, URL: "https://wire/1"}
	readings, errs := read(t, s, item)
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	got := readings[0]
	sum := math.Exp(1./2) + math.Exp(2./2) + 1 // one good, two bad, temperature 2
	want := news.Reading{ID: "1", Kind: news.KindNews, Source: "wire", PublishedAt: t0.Add(-time.Hour), ClassifiedAt: t0, Lang: "en",
		Entities: []string{"AAPL"}, Title: "bad bad", URL: "https://wire/1", TextDigest: TextDigest("bad bad\ngood word"),
		Text: "bad bad\ngood word https://t.co/fail", Model: news.Model{Name: "words", Version: "3", Digest: "d1"}}
	for name, pair := range map[string][2]float64{
		"positive": {got.Sentiment.Positive, math.Exp(1./2) / sum},
		"negative": {got.Sentiment.Negative, math.Exp(2./2) / sum},
		"neutral":  {got.Sentiment.Neutral, 1 / sum},
		"topic":    {got.Topic.Probability, 1 / (1 + math.Exp(-4))}, // 6 tokens
	} {
		if math.Abs(pair[0]-pair[1]) > 1e-6 {
			t.Errorf("%s is %v, want %v", name, pair[0], pair[1])
		}
	}
	if got.Topic.Label != "short" {
		t.Errorf("topic %q", got.Topic.Label)
	}
	got.Sentiment, got.Topic = want.Sentiment, want.Topic
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAPoisonousTextFailsAlone(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := wordStage(t, &wordModel{}, Config{Registerer: registry, MaxWait: time.Hour})
	for poison, want := range map[string]error{
		"panic":                        ErrPanic,
		"word fail":                    nil, // any error
		"nan":                          ErrModel,
		"https://only.a/link":          ErrNoText,
		" \u200b\n":                    ErrNoText,
		strings.Repeat("word ", 40000): ErrTooLong,
	} {
		readings, errs := read(t, s, texts("good word", poison, "bad", "bad word", "good good")...)
		for i, err := range errs {
			if (err != nil) != (i == 1) {
				t.Errorf("%.20q: item %d has error %v", poison, i, err)
			}
		}
		if want != nil && !errors.Is(errs[1], want) {
			t.Errorf("%.20q: got %v, want %v", poison, errs[1], want)
		}
		if readings[1].ID != "b" || readings[1].Sentiment != (news.Sentiment{}) {
			t.Errorf("%.20q: the reading beside the error is %+v", poison, readings[1])
		}
		if readings[2].Sentiment.Label() != "negative" || readings[4].Sentiment.Label() != "positive" {
			t.Errorf("%.20q: its neighbours read %v, %v", poison, readings[2].Sentiment, readings[4].Sentiment)
		}
	}
	if got := counter(t, registry, "barograph_classify_items_total", "words", "error"); got != 6 {
		t.Errorf("%v errors counted, want 6", got)
	}
}

func TestAPanickingTokenizerFailsOneItem(t *testing.T) {
	s := wordStage(t, &wordModel{}, Config{})
	s.lanes[0].live.tokenizer.encoder = panicEncoder{s.lanes[0].live.tokenizer.encoder}
	_, errs := read(t, s, texts("good", "bomb", "bad")...)
	if errs[0] != nil || !errors.Is(errs[1], ErrPanic) || errs[2] != nil {
		t.Errorf("got %v", errs)
	}
}

type panicEncoder struct{ encoder }

func (e panicEncoder) Encode(ids []int32, text string) ([]int32, error) {
	if text == "bomb" {
		panic("a text that the tokenizer cannot bear")
	}
	return e.encoder.Encode(ids, text)
}

func TestLongTextsAreReadInWindows(t *testing.T) {
	w := &wordModel{}
	s := wordStage(t, w, Config{}) // windows of 34 tokens, 32 of text, 16 shared
	readings, errs := read(t, s, news.Item{ID: "1", Text: strings.Repeat("word ", 40) + strings.Repeat("bad ", 8)})
	if errs[0] != nil {
		t.Fatal(errs[0])
	}
	if w.rows() != 2 {
		t.Errorf("%d windows were read, want 2", w.rows())
	}
	// Tokens 0 to 32 are neutral, 16 to 48 hold 8 times bad and are the first to read a third.
	first, second := 1./3, math.Exp(8./2)/(math.Exp(8./2)+2)
	if want := first*2/3 + second/3; math.Abs(readings[0].Sentiment.Negative-want) > 1e-6 {
		t.Errorf("negative %v, want %v", readings[0].Sentiment.Negative, want)
	}
}

func TestCopiesAreReadOnce(t *testing.T) {
	w := &wordModel{gate: make(chan struct{}, 100)}
	registry := prometheus.NewRegistry()
	s := wordStage(t, w, Config{Registerer: registry})
	got := make(chan news.Reading, 10)
	submit := func(id, text string) {
		t.Helper()
		err := s.Submit(context.Background(), news.Item{ID: id, Text: text}, func(r []news.Reading, err error) {
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
			got <- r[0]
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Copies that come while the original is being read.
	submit("1", "bad word")
	waitFor(t, func() bool { return s.upstream.Load() == 0 })
	submit("2", "bad  word https://t.co/x")
	submit("1", "bad word") // delivered again
	waitFor(t, func() bool { return s.upstream.Load() == 0 })
	w.gate <- struct{}{}
	byID := map[string][]news.Reading{}
	for range 3 {
		r := <-got
		byID[r.ID] = append(byID[r.ID], r)
	}
	// And one that comes later.
	submit("3", "bad word ")
	byID["3"] = []news.Reading{<-got}
	if w.rows() != 1 {
		t.Errorf("the text was read %d times", w.rows())
	}
	// To a model that knows capitals this is another text.
	w.gate <- struct{}{}
	submit("4", "Bad word")
	if r := <-got; r.DuplicateOf != "" || w.rows() != 2 {
		t.Errorf("a text in other capitals is a copy: %+v, %d texts read", r, w.rows())
	}
	for id, original := range map[string]string{"1": "", "2": "1", "3": "1"} {
		for _, r := range byID[id] {
			if r.DuplicateOf != original || r.Sentiment.Label() != "negative" || r.TextDigest != TextDigest("bad word") {
				t.Errorf("item %s: %+v", id, r)
			}
		}
	}
	if got := counter(t, registry, "barograph_classify_items_total", "words", "copy"); got != 2 {
		t.Errorf("%v copies counted, want 2", got)
	}
}

func TestCopiesOfAFailedTextGetTheirOwnChance(t *testing.T) {
	w := &wordModel{gate: make(chan struct{}, 100)}
	s := wordStage(t, w, Config{})
	var failed sync.WaitGroup
	for i := range 4 {
		failed.Add(1)
		err := s.Submit(context.Background(), news.Item{ID: fmt.Sprint(i), Text: "panic"}, func(_ []news.Reading, err error) {
			if !errors.Is(err, ErrPanic) {
				t.Errorf("item %d: %v", i, err)
			}
			failed.Done()
		})
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return s.upstream.Load() == 0 })
	}
	for range 4 {
		w.gate <- struct{}{}
	}
	failed.Wait()
	if w.rows() != 4 {
		t.Errorf("read %d times, want 4", w.rows())
	}
}

func TestForgottenCopiesAreReadAgain(t *testing.T) {
	for copies, want := range map[int]int{2: 4, 3: 3, -1: 4} {
		w := &wordModel{}
		s := wordStage(t, w, Config{Copies: copies})
		for i, text := range []string{"bad", "good", "word", "bad"} {
			read(t, s, news.Item{ID: fmt.Sprint(i), Text: text})
		}
		if w.rows() != want {
			t.Errorf("with %d texts remembered, %d were read, want %d", copies, w.rows(), want)
		}
	}
}

func TestSubmitWaitsWhileTheQueueIsFull(t *testing.T) {
	w := &wordModel{gate: make(chan struct{}, 100)}
	s := wordStage(t, w, Config{Queue: 3})
	var done atomic.Int32
	for i := range 3 {
		if err := s.Submit(context.Background(), news.Item{ID: fmt.Sprint(i), Text: "good"}, func([]news.Reading, error) { done.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() {
		result <- s.Submit(ctx, news.Item{ID: "4", Text: "bad"}, func([]news.Reading, error) { t.Error("done was called for an item that was not taken") })
	}()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	close(w.gate)
	waitFor(t, func() bool { return done.Load() == 3 })
}

func TestCloseFinishesWhatWasTaken(t *testing.T) {
	w := &wordModel{}
	s := wordStage(t, w, Config{MaxWait: time.Hour})
	var done atomic.Int32
	for i := range 50 {
		if err := s.Submit(context.Background(), news.Item{ID: fmt.Sprint(i), Text: strings.Repeat("word ", i+1)}, func(_ []news.Reading, err error) {
			if err != nil {
				t.Error(err)
			}
			done.Add(1)
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if done.Load() != 50 {
		t.Errorf("%d of 50 items are done", done.Load())
	}
	if err := s.Submit(context.Background(), news.Item{}, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing again: %v", err)
	}
}

func TestDoneMayPanic(t *testing.T) {
	s := wordStage(t, &wordModel{}, Config{})
	if err := s.Submit(context.Background(), news.Item{ID: "1", Text: "good"}, func([]news.Reading, error) { panic("in done") }); err != nil {
		t.Fatal(err)
	}
	if _, errs := read(t, s, texts("bad")...); errs[0] != nil {
		t.Error(errs[0])
	}
}

func TestClassifyKeepsTheOrder(t *testing.T) {
	s := wordStage(t, &wordModel{}, Config{Queue: 16, Model: ModelConfig{TokenBudget: 40}})
	var items []news.Item
	for i := range 500 {
		items = append(items, news.Item{ID: fmt.Sprint(i), Text: strings.Repeat("word ", 1+i*7%30) + fmt.Sprint(i)})
	}
	readings, errs := read(t, s, items...)
	for i, r := range readings {
		if errs[i] != nil || r.ID != items[i].ID {
			t.Fatalf("turn %d has item %s, error %v", i, r.ID, errs[i])
		}
	}
	n := 0
	for range s.Classify(context.Background(), slices.Values(items)) {
		if n++; n == 10 {
			break
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	n = 0
	var last error
	for _, err := range s.Classify(ctx, slices.Values(items)) {
		if n++; n == 10 {
			cancel()
		}
		last = err
	}
	if n == len(items) || !errors.Is(last, context.Canceled) {
		t.Errorf("after the end of the context %d items came, the last with error %v", n, last)
	}
}

// TestEveryItemIsDoneOnce under many submitters, copies, failures and an early Close.
func TestEveryItemIsDoneOnce(t *testing.T) {
	s := wordStage(t, &wordModel{}, Config{Queue: 32, Copies: 8})
	var taken, done atomic.Int64
	var submitters sync.WaitGroup
	var seen sync.Map
	for g := range 8 {
		submitters.Go(func() {
			for i := range 300 {
				id := fmt.Sprint(g, " ", i)
				text := []string{"good", "bad", "panic", "nan word", "https://x"}[i%5] + strings.Repeat(" word", i%40)
				err := s.Submit(context.Background(), news.Item{ID: id, Text: text}, func(r []news.Reading, err error) {
					if _, again := seen.LoadOrStore(id, true); again || r[0].ID != id {
						t.Errorf("item %s was done twice or as %s", id, r[0].ID)
					}
					if fails := i%5 == 2 || i%5 == 3 || (i%5 == 4 && i%40 == 0); fails != (err != nil) {
						t.Errorf("%.20q: error %v", text, err)
					}
					done.Add(1)
				})
				if errors.Is(err, ErrClosed) {
					return
				}
				taken.Add(1)
			}
		})
	}
	waitFor(t, func() bool { return done.Load() > 1000 })
	s.Close()
	submitters.Wait()
	if taken.Load() != done.Load() {
		t.Errorf("%d items were taken, %d done", taken.Load(), done.Load())
	}
}

// waitFor lets other goroutines run until the condition holds.
func waitFor(t *testing.T, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatal("the condition did not come true")
		}
		time.Sleep(time.Millisecond)
	}
}
