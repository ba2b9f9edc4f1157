package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/news"
)

// moment is what arrived at one time, or what was wrong with it.
type moment struct {
	at      time.Time
	reading *news.Reading
	event   *benchEvent // instead, in the benchmark's format
	unread  bool        // instead, a line that classify wrote of a row that it could not read
	err     error       // names the place
}

// arrival is a reading as it lies in a file, with the time it came if that is known.
type arrival struct {
	news.Reading
	ArrivedAt time.Time `json:"arrived_at,omitzero"`
}

func readingMoment(line []byte) (moment, error) {
	var a struct {
		arrival
		Line  int    `json:"line"`  // badLine's
		Error string `json:"error"` // likewise
	}
	if err := json.Unmarshal(line, &a); err != nil {
		return moment{}, fmt.Errorf("not a reading: %w", err)
	}
	switch {
	case a.Line > 0 && a.Error != "" && a.PublishedAt.IsZero():
		return moment{unread: true}, nil
	case a.ID == "":
		return moment{}, errors.New("not a reading: there is no id")
	case a.PublishedAt.IsZero():
		return moment{}, errors.New("there is no published_at: a history needs the times of its texts")
	}
	if err := a.Sentiment.Check(); err != nil {
		return moment{}, err
	}
	at := a.ArrivedAt
	if at.IsZero() {
		at = a.ClassifiedAt
	}
	if at.IsZero() {
		at = a.PublishedAt
	}
	return moment{at: at, reading: &a.Reading}, nil
}

// openHistory opens what is to be replayed.
func openHistory(cmd *cobra.Command, cfg config, o replayOptions, args []string) (iter.Seq[moment], func(), error) {
	ctx := cmd.Context()
	if len(args) == 0 {
		return topicHistory(ctx, cfg, o, cmd.ErrOrStderr())
	}
	input, size, err := openInput(args[0])
	if err != nil {
		return nil, nil, err
	}
	bar := newProgress(cmd.ErrOrStderr(), size, "replay")
	closeAll := func() { _ = bar.Close(); _ = input.Close() }
	holds, lines := contentOf(withoutMark(io.TeeReader(input, bar)))
	switch {
	case o.format == "bench" && (holds == ofReadings || holds == ofItems):
		closeAll()
		return nil, nil, usageError{fmt.Errorf("%s holds %s, and --format bench reads the events of the spike benchmark: leave it out", args[0], holds)}
	case o.format == "bench":
		return decoded(ctx, linesOf(lines, args[0]), benchMoment), closeAll, nil
	case holds == ofEvents:
		closeAll()
		return nil, nil, usageError{fmt.Errorf("%s holds %s: they are read with --format bench", args[0], holds)}
	case holds == ofReadings:
		return decoded(ctx, linesOf(lines, args[0]), readingMoment), closeAll, nil
	}
	moments, closeModels, err := classifiedHistory(ctx, cfg, linesOf(lines, args[0]), args[0])
	if err != nil {
		closeAll()
		return nil, nil, err
	}
	return moments, func() { closeModels(); closeAll() }, nil
}

// content is what the lines of a file are.
type content string

const (
	ofReadings content = "readings"
	ofItems    content = "items"
	ofEvents   content = "events of the spike benchmark"
)

// contentOf tells by the first line that is JSON; "" where there is none. It gives back all
// that it read.
func contentOf(r io.Reader) (content, io.Reader) {
	var head bytes.Buffer
	scanner := bufio.NewScanner(io.TeeReader(io.LimitReader(r, maxLine), &head))
	scanner.Buffer(nil, maxLine)
	var holds content
	for holds == "" && scanner.Scan() {
		var line struct{ Sentiment, Arrival, Neg, Line, Error json.RawMessage }
		switch err := json.Unmarshal(scanner.Bytes(), &line); {
		case err != nil:
		case line.Line != nil && line.Error != nil: // classify's, of a row that it could not read
		case line.Sentiment != nil:
			holds = ofReadings
		case line.Arrival != nil && line.Neg != nil:
			holds = ofEvents
		default:
			holds = ofItems
		}
	}
	return holds, io.MultiReader(&head, r)
}

// textLine is a line of a file; its text is its own.
type textLine struct {
	place string
	text  []byte
	err   error
}

func linesOf(r io.Reader, name string) iter.Seq[textLine] {
	return func(yield func(textLine) bool) {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(make([]byte, 64<<10), maxLine)
		n := 0
		for scanner.Scan() {
			n++
			if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
				continue
			}
			if !yield(textLine{place: fmt.Sprintf("%s:%d", name, n), text: bytes.Clone(scanner.Bytes())}) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield(textLine{place: fmt.Sprintf("%s:%d", name, n+1), err: err})
		}
	}
}

// decodeAhead is how many lines are decoded at once, in another goroutine than the one
// that judges: both take about as long.
const decodeAhead = 512

func decoded(ctx context.Context, lines iter.Seq[textLine], decode func([]byte) (moment, error)) iter.Seq[moment] {
	return func(yield func(moment) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		batches := make(chan []moment, 4)
		go func() {
			defer close(batches)
			batch := make([]moment, 0, decodeAhead)
			send := func() bool {
				select {
				case batches <- batch:
					batch = make([]moment, 0, decodeAhead)
					return true
				case <-ctx.Done():
					return false
				}
			}
			for line := range lines {
				m, err := moment{}, line.err
				if err == nil {
					m, err = decode(line.text)
				}
				if err != nil {
					m = moment{err: fmt.Errorf("%s: %w", line.place, err)}
				}
				if batch = append(batch, m); len(batch) == decodeAhead && !send() {
					return
				}
			}
			send()
		}()
		for batch := range batches {
			for _, m := range batch {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// classifiedHistory reads items and lets the models read them, as the monitor does. They
// arrive at arrived_at, else when they were published.
func classifiedHistory(ctx context.Context, cfg config, lines iter.Seq[textLine], name string) (iter.Seq[moment], func(), error) {
	decoder, err := ingest.NewDecoder(ingest.DecoderConfig{MaxTextBytes: cfg.Kafka.MaxTextBytes, MaxAhead: -1, History: -1})
	if err != nil {
		return nil, nil, err
	}
	companies, err := readWatchList(cfg.WatchList)
	if err != nil {
		return nil, nil, err
	}
	stageConfig, err := classifyStage(cfg.Classify, nil, newLogger(logConfig{Level: slog.LevelWarn}), nil)
	if err != nil {
		return nil, nil, usageError{err}
	}
	stageConfig.Names = companies.Names
	stage, err := classify.New(stageConfig)
	if err != nil {
		return nil, nil, err
	}
	var (
		mu     sync.Mutex // items are drawn in another goroutine than readings come back
		queued []drawn    // in their order
	)
	items := func(yield func(news.Item) bool) {
		for line := range lines {
			item, at, err := itemAt(decoder, line)
			item.Source = or(item.Source, filepath.Base(name))
			item.Entities = companies.Tag(item)
			mu.Lock()
			queued = append(queued, drawn{line.place, at, err})
			mu.Unlock()
			if !yield(item) {
				return
			}
		}
	}
	return func(yield func(moment) bool) {
		for readings, err := range stage.Classify(ctx, items) {
			if ctx.Err() != nil {
				return
			}
			mu.Lock()
			from := queued[0]
			queued = queued[1:]
			mu.Unlock()
			if err := cmp.Or(from.err, err); err != nil {
				if !yield(moment{err: fmt.Errorf("%s: %w", from.place, err)}) {
					return
				}
				continue
			}
			for i := range readings {
				if !yield(moment{at: from.at, reading: &readings[i]}) {
					return
				}
			}
		}
	}, func() { _ = stage.Close() }, nil
}

// drawn is what is known of an item while the models read it. One with a fault goes to them
// all the same, so that readings keep the order of lines.
type drawn struct {
	place string
	at    time.Time
	err   error
}

func itemAt(decoder *ingest.Decoder, line textLine) (item news.Item, at time.Time, err error) {
	if line.err != nil {
		return item, at, line.err
	}
	if item, err = decoder.Decode(line.text); err != nil {
		return item, at, err
	}
	var arrived struct {
		At time.Time `json:"arrived_at"`
	}
	if err := json.Unmarshal(line.text, &arrived); err != nil {
		return item, at, fmt.Errorf("arrived_at: %w", err)
	}
	if arrived.At.IsZero() {
		arrived.At = item.PublishedAt
	}
	return item, arrived.At, nil
}
