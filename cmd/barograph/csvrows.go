package main

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
)

// csvRows reads CSV with a header. A quotation mark that is not closed spoils the row that it
// opens in, not the rows it would take in: reading goes on with the line after that row's first.
func csvRows(r io.Reader) iter.Seq[row] {
	return func(yield func(row) bool) {
		lines := &csvLines{source: bufio.NewReader(r)}
		reader := csv.NewReader(lines)
		header, err := reader.Read()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				yield(row{line: 1, err: fmt.Errorf("the header: %w", err)})
			}
			return
		}
		if err := checkHeader(header, ','); err != nil {
			yield(row{line: 1, err: err})
			return
		}
		before := 0 // lines read before the present reader's first
		for {
			lines.forget()
			record, err := reader.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			var wrong *csv.ParseError
			switch {
			case errors.As(err, &wrong):
				line := before + wrong.StartLine
				if !yield(row{line: line, err: csvFault(wrong, before, len(record), len(header))}) {
					return
				}
				if errors.Is(err, csv.ErrQuote) {
					lines.rewind(line)
					reader, before = csv.NewReader(lines), line
					reader.FieldsPerRecord = len(header)
				}
				continue
			case err != nil:
				yield(row{err: err})
				return
			}
			line, _ := reader.FieldPos(0)
			fields := make(map[string]string, len(header))
			for i, name := range header {
				fields[name] = record[i]
			}
			if !yield(checked(row{line: before + line, fields: fields})) {
				return
			}
		}
	}
}

// checkHeader refuses a header that names a column twice, for only one of the two would be read,
// and one of a file whose fields are parted by something else.
func checkHeader(header []string, parted rune) error {
	seen := map[string]bool{}
	for _, name := range header {
		if name != "" && seen[name] {
			return fmt.Errorf("the header names the column %s twice: rename one of them", name)
		}
		seen[name] = true
	}
	for by, named := range map[rune]string{',': "commas", ';': "semicolons", '\t': "tabs"} {
		if by != parted && len(header) == 1 && strings.ContainsRune(header[0], by) {
			way := "write it with commas, or name it .tsv where they are tabs"
			if parted == '\t' {
				way = "write it with tabs, or name it .csv where they are commas"
			}
			return fmt.Errorf("the header is one column, %.80q: it looks parted by %s; %s", header[0], named, way)
		}
	}
	return nil
}

// csvFault says what is wrong with a row whose line is said beside it.
func csvFault(wrong *csv.ParseError, before, fields, columns int) error {
	switch {
	case errors.Is(wrong, csv.ErrFieldCount) && fields > columns:
		return fmt.Errorf("%d fields, the header has %d: a text with a comma in it must be in quotation marks", fields, columns)
	case errors.Is(wrong, csv.ErrFieldCount):
		return fmt.Errorf("%d fields, the header has %d: an empty field needs its comma, too", fields, columns)
	case wrong.Line > wrong.StartLine && errors.Is(wrong, csv.ErrQuote):
		return fmt.Errorf("a quotation mark opens here and is not closed: line %d, column %d: %w", before+wrong.Line, wrong.Column, wrong.Err)
	}
	return fmt.Errorf("column %d: %w", wrong.Column, wrong.Err)
}

// csvLines gives a csv.Reader one line at a time, so that it has no line of the row after the
// one it reads, and keeps those of the present row to give them once more.
type csvLines struct {
	source *bufio.Reader
	read   int      // lines given so far
	row    [][]byte // those given since forget
	size   int      // of row, in bytes
	rest   []byte   // of the last of them, not given yet
	again  [][]byte // to be given before those of source
}

// Read gives what is left of a line, or of the next. A row of more than maxLine ends there: a
// mark that is never closed would take the whole file into memory.
func (l *csvLines) Read(p []byte) (int, error) {
	if len(l.rest) == 0 {
		if l.size > maxLine {
			return 0, io.EOF
		}
		line, err := l.next()
		if len(line) == 0 {
			return 0, err
		}
		l.read++
		l.row, l.size, l.rest = append(l.row, line), l.size+len(line), line
	}
	n := copy(p, l.rest)
	l.rest = l.rest[n:]
	return n, nil
}

func (l *csvLines) next() ([]byte, error) {
	if len(l.again) > 0 {
		line := l.again[0]
		l.again = l.again[1:]
		return line, nil
	}
	return l.source.ReadBytes('\n')
}

// forget is called between rows: what was given is not needed again.
func (l *csvLines) forget() { l.row, l.size = l.row[:0], 0 }

// rewind goes back to the end of a line of the present row.
func (l *csvLines) rewind(line int) {
	back := l.read - line
	l.again = slices.Concat(l.row[len(l.row)-back:], l.again)
	l.read, l.rest = line, nil
}
