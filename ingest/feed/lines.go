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
// Lines that the decoder, Check or, for their size, the topic refuses are reported and left out; the rest goes on. It ends with
// the file, with ctx, or when Kafka or the file fail; what was written until then is in the
// result, and the error names the last line that was read.
func Lines(ctx context.Context, cfg LinesConfig, file string, r io.Reader) (LinesResult, error) {
	if cfg.Broker == nil || cfg.Topic == "" || cfg.Decoder == nil {
		return LinesResult{}, errors.New("feed: broker, topic and decoder are needed")
	}
	l := &lines{cfg: cfg, file: file, reader: bufio.NewReaderSize(r, 1<<20), writer: cfg.Broker.Writer(cfg.Topic)}
	defer l.writer.Close()
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

	batch      []kafka.Message
	batchLines []int
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
		l.refuse(l.line, err)
		return
	}
	l.batch, l.batchLines = append(l.batch, kafka.Message{Key: []byte(item.ID), Value: text}), append(l.batchLines, l.line)
	l.batchBytes += len(text)
}

func (l *lines) refuse(line int, err error) {
	l.result.Refused++
	if l.cfg.Refused != nil {
		l.cfg.Refused(&LineError{File: l.file, Line: line, Err: err})
	}
}

func (l *lines) flush(ctx context.Context) error {
	refused, err := writeAll(ctx, l.writer, l.batch)
	if err != nil {
		return err
	}
	for _, i := range refused {
		l.refuse(l.batchLines[i], &ingest.Rejection{Class: ingest.TooLarge, Detail: tooLarge})
	}
	l.result.Written += len(l.batch) - len(refused)
	l.batch, l.batchLines, l.batchBytes = nil, nil, 0
	if l.cfg.Progress != nil {
		l.cfg.Progress(l.result)
	}
	return nil
}

// tooLarge says why a message was not written.
const tooLarge = "larger than its topic takes (max.message.bytes)"

// writeAll writes what the topics take, and gives the positions of what is too large for them.
func writeAll(ctx context.Context, w *kafka.Writer, messages []kafka.Message) (refused []int, err error) {
	if len(messages) == 0 {
		return nil, nil
	}
	err = broker.Write(ctx, w, retry.Policy{Attempts: 10}, messages...)
	var some *broker.RefusedError
	if errors.As(err, &some) {
		return some.At, nil
	}
	return nil, err
}
