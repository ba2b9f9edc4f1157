package feed

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/ingest"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/news"
)

// LinesConfig says where JSON lines go. Broker, Topic and Decoder are required.
type LinesConfig struct {
	Broker  *broker.Client
	Topic   string
	Decoder *ingest.Decoder // the topic's: a line that it refuses is not sent

	Check func(news.Item) error // what a later stage than the decoder would refuse is not sent either; nil = nothing

	Refused  func(*LineError)  // told of each line that is not sent; nil = not told
	Progress func(LinesResult) // told after each batch; nil = not told
}

// LinesResult counts lines; empty ones are not counted.
type LinesResult struct {
	Written int
	Refused int
	Bytes   int64 // read of the file
}

// LineError is what is wrong with one line.
type LineError struct {
	File string
	Line int // from 1
	Err  error
}

// Error is "FILE:LINE: reason".
func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

// Unwrap is the reason, an *ingest.Rejection.
func (e *LineError) Unwrap() error { return e.Err }

const (
	maxLineBytes  = 16 << 20
	maxBatchLines = 1000
	maxBatchBytes = 4 << 20
)

// Lines puts a file of JSON lines into Kafka, each line as it is, keyed by its item's id.
// Lines that the decoder or Check refuses are reported and left out; the rest goes on. It ends with
// the file, with ctx, or when Kafka or the file fail; what was written until then is in the
// result, and the error names the last line that was read.
func Lines(ctx context.Context, cfg LinesConfig, file string, r io.Reader) (LinesResult, error) {
	if cfg.Broker == nil || cfg.Topic == "" || cfg.Decoder == nil {
		return LinesResult{}, errors.New("feed: broker, topic and decoder are needed")
	}
	l := &lines{cfg: cfg, file: file, reader: bufio.NewReaderSize(r, 1<<20), writer: cfg.Broker.Writer(cfg.Topic), large: cfg.Broker.LargeWriter(cfg.Topic)}
	defer l.writer.Close()
	defer l.large.Close()
	err := l.run(ctx)
	if err != nil {
		err = &LineError{File: file, Line: l.line, Err: err}
	}
	return l.result, err
}

type lines struct {
	cfg    LinesConfig
	file   string
	line   int
	reader *bufio.Reader
	writer *kafka.Writer
	large  *kafka.Writer

	batch      []kafka.Message
	batchBytes int
	result     LinesResult
}

func (l *lines) run(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		text, tooLong, err := l.next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		end := err != nil
		l.add(text, tooLong)
		if end || len(l.batch) >= maxBatchLines || l.batchBytes >= maxBatchBytes {
			if err := l.flush(ctx); err != nil {
				return err
			}
		}
		if end {
			return nil
		}
	}
}

// next reads one line without its end. Of one that is too long it keeps nothing.
func (l *lines) next() (text []byte, tooLong bool, err error) {
	l.line++
	for {
		part, err := l.reader.ReadSlice('\n')
		l.result.Bytes += int64(len(part))
		if tooLong = tooLong || len(text)+len(part) > maxLineBytes; tooLong {
			text = nil
		} else {
			text = append(text, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			if l.line == 1 {
				text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // byte-order mark
			}
			return bytes.TrimSpace(text), tooLong, err
		}
	}
}

// add checks a line and puts it into the batch.
func (l *lines) add(text []byte, tooLong bool) {
	if len(text) == 0 && !tooLong {
		return
	}
	item, err := l.cfg.Decoder.Decode(text)
	if err == nil && l.cfg.Check != nil {
		err = l.cfg.Check(item)
	}
	if tooLong {
		err = &ingest.Rejection{Class: ingest.TooLarge, Detail: fmt.Sprintf("a line of more than %d bytes", maxLineBytes)}
	}
	if err != nil {
		l.result.Refused++
		if l.cfg.Refused != nil {
			l.cfg.Refused(&LineError{File: l.file, Line: l.line, Err: err})
		}
		return
	}
	l.batch = append(l.batch, kafka.Message{Key: []byte(item.ID), Value: text})
	l.batchBytes += len(text)
}

func (l *lines) flush(ctx context.Context) error {
	if err := writeSorted(ctx, l.writer, l.large, l.batch); err != nil {
		return err
	}
	l.result.Written += len(l.batch)
	l.batch, l.batchBytes = nil, 0
	if l.cfg.Progress != nil {
		l.cfg.Progress(l.result)
	}
	return nil
}

// writeSorted writes small messages together and large ones alone.
func writeSorted(ctx context.Context, small, large *kafka.Writer, messages []kafka.Message) error {
	const limit = 512 << 10
	policy := retry.Policy{Attempts: 10}
	var batch []kafka.Message
	for _, m := range messages {
		if len(m.Value) <= limit {
			batch = append(batch, m)
			continue
		}
		if err := broker.Write(ctx, large, policy, m); err != nil {
			return err
		}
	}
	if len(batch) == 0 {
		return nil
	}
	return broker.Write(ctx, small, policy, batch...)
}
