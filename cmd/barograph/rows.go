package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"
)

// row is one row of a CSV or JSON-lines file: its fields by name, or what is wrong with it.
type row struct {
	line   int // in the file, from 1
	fields map[string]string
	err    error
}

// openInput opens a file, or standard input for "-" or "". size is in bytes, -1 if unknown.
func openInput(path string) (file io.ReadCloser, size int64, err error) {
	if path == "" || path == "-" {
		return io.NopCloser(os.Stdin), -1, nil
	}
	opened, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := opened.Stat()
	if err != nil {
		opened.Close()
		return nil, 0, err
	}
	if info.IsDir() {
		opened.Close()
		return nil, 0, fmt.Errorf("%s is a folder", path)
	}
	if !info.Mode().IsRegular() {
		return opened, -1, nil
	}
	return opened, info.Size(), nil
}

// rowsOf reads CSV with a header where the name ends in .csv, tab-separated values for
// .tsv, else JSON lines. A row that cannot be read comes with its error; the rows after it
// come all the same.
func rowsOf(r io.Reader, name string) iter.Seq[row] {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".csv":
		return csvRows(r, ',')
	case ".tsv":
		return csvRows(r, '\t')
	}
	return jsonRows(r)
}

func csvRows(r io.Reader, comma rune) iter.Seq[row] {
	return func(yield func(row) bool) {
		reader := csv.NewReader(r)
		reader.Comma, reader.LazyQuotes = comma, comma == '\t'
		header, err := reader.Read()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				yield(row{line: 1, err: fmt.Errorf("the header: %w", err)})
			}
			return
		}
		header[0] = strings.TrimPrefix(header[0], "\ufeff")
		for {
			record, err := reader.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			var wrong *csv.ParseError
			switch {
			case errors.As(err, &wrong):
				if !yield(row{line: wrong.StartLine, err: err}) {
					return
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
			if !yield(checked(row{line: line, fields: fields})) {
				return
			}
		}
	}
}

// maxLine bounds a line of JSON.
const maxLine = 64 << 20

func jsonRows(r io.Reader) iter.Seq[row] {
	return func(yield func(row) bool) {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(make([]byte, 64<<10), maxLine)
		line := 0
		for scanner.Scan() {
			line++
			if len(bytes.TrimSpace(scanner.Bytes())) == 0 {
				continue
			}
			if !yield(jsonRow(scanner.Bytes(), line)) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield(row{line: line + 1, err: err})
		}
	}
}

// jsonRow takes strings as they are and leaves other values in JSON.
func jsonRow(text []byte, line int) row {
	var object map[string]json.RawMessage
	if !utf8.Valid(text) { // encoding/json would replace it
		return row{line: line, err: errors.New("not valid UTF-8")}
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return row{line: line, err: fmt.Errorf("not a JSON object: %w", err)}
	}
	fields := make(map[string]string, len(object))
	for name, raw := range object {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			s = string(raw)
		}
		fields[name] = s
	}
	return checked(row{line: line, fields: fields})
}

func checked(r row) row {
	for name, value := range r.fields {
		if !utf8.ValidString(value) {
			r.err = fmt.Errorf("%s is not valid UTF-8", name)
		}
	}
	return r
}
