package main

import (
	"bufio"
	"bytes"
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

// readOnce tells standard input, and pipes such as a shell's <(…), from files: what is read of them is
// not there again.
func readOnce(path string) bool {
	if path == "-" {
		return true
	}
	info, err := os.Stat(path)
	return err == nil && !info.Mode().IsRegular() && !info.IsDir()
}

// rowsOf reads CSV with a header where the name ends in .csv, tab-separated values for
// .tsv, JSON lines for .jsonl, .ndjson and .json. What has another name, as standard input has
// none, is what it begins like. A row that cannot be read comes with its error; the rows after
// it come all the same.
func rowsOf(r io.Reader, name string) iter.Seq[row] {
	return func(yield func(row) bool) {
		input := withoutMark(r)
		begin, _ := input.Peek(min(input.Buffered(), peeked)) // no more than there is: a pipe may be slow
		if err := foreign(begin); err != nil {
			yield(row{line: 1, err: err})
			return
		}
		rows := csvRows
		switch formatOf(name, begin) {
		case "tsv":
			rows = tsvRows
		case "jsonl":
			rows = jsonRows
		}
		rows(input)(yield)
	}
}

// withoutMark leaves out the byte-order mark that some programs write before all else. It has read
// as much as there was.
func withoutMark(r io.Reader) *bufio.Reader {
	const mark = "\ufeff"
	input := bufio.NewReaderSize(r, 64<<10)
	_, _ = input.Peek(1) // an error comes again when it is read
	if begin, _ := input.Peek(min(input.Buffered(), len(mark))); string(begin) == mark {
		_, _ = input.Discard(len(mark))
		_, _ = input.Peek(1)
	}
	return input
}

// peeked is how much of a file is looked at to tell what it is, in bytes.
const peeked = 4096

// formatOf is csv, tsv or jsonl: by the name, or else by what the rows begin like.
func formatOf(name string, begin []byte) string {
	switch ext := strings.ToLower(filepath.Ext(name)); ext {
	case ".csv", ".tsv":
		return ext[1:]
	case ".jsonl", ".ndjson", ".json":
		return "jsonl"
	}
	begin = bytes.TrimSpace(begin)
	first, _, _ := bytes.Cut(begin, []byte("\n"))
	switch {
	case len(begin) == 0 || begin[0] == '{' || begin[0] == '[':
		return "jsonl"
	case bytes.ContainsRune(first, '\t'):
		return "tsv"
	}
	return "csv"
}

// foreign says what a file is that holds no rows as they are read here, and the way out.
func foreign(begin []byte) error {
	switch {
	case bytes.HasPrefix(begin, []byte("\x1f\x8b")):
		return errors.New("it is packed with gzip: unpack it first (gunzip)")
	case bytes.HasPrefix(begin, []byte("PK\x03\x04")):
		return errors.New("it is a zip archive, as a spreadsheet (.xlsx) is: unpack it, or save the sheet as CSV in UTF-8")
	case bytes.HasPrefix(begin, []byte("PAR1")):
		return errors.New("it is Parquet: write it as CSV or JSON lines")
	case bytes.HasPrefix(begin, []byte("\xff\xfe")), bytes.HasPrefix(begin, []byte("\xfe\xff")):
		return errors.New("it is UTF-16: write it as UTF-8 (iconv -f UTF-16 -t UTF-8)")
	}
	return nil
}

// tsvRows reads a row a line. A field is as it stands, for a text may begin with a quotation;
// one that is in quotes as a whole, quotes within it doubled, is what they hold.
func tsvRows(r io.Reader) iter.Seq[row] {
	return func(yield func(row) bool) {
		var header []string
		scanner := bufio.NewScanner(r)
		scanner.Buffer(make([]byte, 64<<10), maxLine)
		line := 0
		for scanner.Scan() {
			line++
			if scanner.Text() == "" {
				continue
			}
			record := strings.Split(scanner.Text(), "\t")
			for i, field := range record {
				record[i] = unquoted(field)
			}
			if header == nil {
				header = record
				if err := checkHeader(header, '\t'); err != nil {
					yield(row{line: line, err: err})
					return
				}
				continue
			}
			if !yield(tsvRow(header, record, line)) {
				return
			}
		}
		if err := scanner.Err(); err != nil {
			yield(row{line: line + 1, err: err})
		}
	}
}

func tsvRow(header, record []string, line int) row {
	if len(record) != len(header) {
		return row{line: line, err: fmt.Errorf("%d fields, the header has %d: a tab or a line break within a text must be written as a space", len(record), len(header))}
	}
	fields := make(map[string]string, len(header))
	for i, name := range header {
		fields[name] = record[i]
	}
	return checked(row{line: line, fields: fields})
}

func unquoted(field string) string {
	if len(field) < 2 || field[0] != '"' || field[len(field)-1] != '"' {
		return field
	}
	within := field[1 : len(field)-1]
	if strings.Contains(strings.ReplaceAll(within, `""`, ""), `"`) {
		return field
	}
	return strings.ReplaceAll(within, `""`, `"`)
}

// maxLine bounds a line of JSON or of a TSV file, in bytes.
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
	if begin := bytes.TrimSpace(text); begin[0] == '[' || len(begin) == 1 && begin[0] == '{' {
		return row{line: line, err: errors.New("rows are read as JSON lines, one object a line, and this is an array or goes over several lines: jq -c '.[]' writes the objects of an array so, jq -c . others")}
	}
	if err := json.Unmarshal(text, &object); err != nil {
		return row{line: line, err: fmt.Errorf("not a JSON object: %w", err)}
	}
	if name, twice := namedTwice(text); twice {
		return row{line: line, err: fmt.Errorf("the object has the key %.60q twice: which value is meant?", name)}
	}
	fields := make(map[string]string, len(object))
	for name, raw := range object {
		var s string
		if json.Unmarshal(raw, &s) != nil {
			if name == "text" || name == "title" { // as at ingest
				return row{line: line, err: fmt.Errorf("%s is %.60s: it has to be a string", name, raw)}
			}
			s = string(raw)
		}
		fields[name] = s
	}
	return checked(row{line: line, fields: fields})
}

// namedTwice finds a key that a JSON object has more than once, of which a map keeps the last. What
// is in the object's values is another's to look at.
func namedTwice(object []byte) (key string, twice bool) {
	seen := map[string]bool{}
	decoder := json.NewDecoder(bytes.NewReader(object))
	_, err := decoder.Token() // the brace
	for err == nil && decoder.More() {
		var name json.Token
		var value json.RawMessage
		if name, err = decoder.Token(); err != nil {
			break
		}
		key, _ = name.(string)
		if seen[key] {
			return key, true
		}
		seen[key] = true
		err = decoder.Decode(&value)
	}
	return "", false
}

func checked(r row) row {
	for name, value := range r.fields {
		if !utf8.ValidString(value) {
			r.err = fmt.Errorf("%s is not valid UTF-8", name)
		}
	}
	return r
}
