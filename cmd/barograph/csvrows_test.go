package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/news"
)

// TestAQuoteThatIsNotClosedIsNamed where it opens, with the line that reading ended at, also
// after another one.
func TestAQuoteThatIsNotClosedIsNamed(t *testing.T) {
	var said []string
	for r := range rowsOf(strings.NewReader("text,label\n\"one,x\ntwo,\"y\nthree,\"z\"\nfour\"five,x\nsix\n"), "a.csv") {
		said = append(said, fmt.Sprintf("%d %v", r.line, r.err))
	}
	want := []string{
		`2 a quotation mark opens here and is not closed: line 3, column 5: extraneous or missing " in quoted-field`,
		`3 a quotation mark opens here and is not closed: line 4, column 7: extraneous or missing " in quoted-field`,
		`4 <nil>`,
		`5 column 5: bare " in non-quoted-field`,
		`6 1 fields, the header has 2: an empty field needs its comma, too`,
	}
	if !slices.Equal(said, want) {
		t.Errorf("got %s\nwant %s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

// TestLabelsOfAFileThatBeginsBadly are those of its good rows.
func TestLabelsOfAFileThatBeginsBadly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	for text, want := range map[string]string{
		"text,topic\n\"one,x\ntwo,y\n": "[topic] <nil>",
		"text,topic\n\"one,x\n":        "[] rows cannot be used: " + path + ": line 2: column 8: ",
		"text,topic\n":                 "[] rows cannot be used: " + path + ": line 1: there is no row",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		tasks, err := (&evaluation{data: path}).labelled(t.Context(), &classify.Bundle{}, []string{"sentiment", "topic"})
		if got := fmt.Sprint(tasks, " ", err); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

// TestAFileOfAnotherKindIsNamed, with the way out, and what has no telling name is what it begins
// like.
func TestAFileOfAnotherKindIsNamed(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"a.csv", "text,label\none, two,x\n", "2 3 fields, the header has 2: a text with a comma in it must be in quotation marks"},
		{"a.csv", "text,label,text\na,x,b\n", "1 the header names the column text twice"},
		{"a.tsv", "text\tlabel\ttext\na\tx\tb\n", "1 the header names the column text twice"},
		{"a.csv", "text,label,,\na,x,,\n", "2 <nil>"}, // as spreadsheets write empty columns
		{"a.csv", "text;label\na;x\n", "1 the header is one column, \"text;label\": it looks parted by semicolons"},
		{"a.csv", "text\tlabel\na\tx\n", "1 the header is one column, \"text\\tlabel\": it looks parted by tabs"},
		{"a.tsv", "text,label\na,x\n", "1 the header is one column, \"text,label\": it looks parted by commas"},
		{"a.csv.gz", "\x1f\x8b\x08\x00", "1 it is packed with gzip"},
		{"a.csv", "PK\x03\x04....", "1 it is a zip archive"},
		{"a.parquet", "PAR1....", "1 it is Parquet"},
		{"a.csv", "\xff\xfet\x00e\x00", "1 it is UTF-16"},
		{"a.json", "[{\"text\": \"a\"}]\n", "1 rows are read as JSON lines, one object a line, and this is an array"},
		{"a.json", "{\n\"text\": \"a\"}\n", "1 rows are read as JSON lines"},
		{"a.json", "{\"text\": \"a\", \"text\": \"b\"}\n", "1 the object has the key \"text\" twice"},
		{"-", "text,label\na,x\n", "2 <nil>"},
		{"-", "text\tlabel\na\tx\n", "2 <nil>"},
		{"-", "{\"text\": \"a\", \"label\": \"x\"}\n", "1 <nil>"},
		{"a.txt", "\ufefftext,label\na,x\n", "2 <nil>"},
	} {
		for r := range rowsOf(strings.NewReader(c.text), c.name) {
			if got := fmt.Sprint(r.line, " ", r.err); !strings.HasPrefix(got, c.want) || r.err == nil && (r.fields["text"] != "a" || r.fields["label"] != "x") {
				t.Errorf("%s %q: %s %q, want %s", c.name, c.text, got, r.fields, c.want)
			}
			break
		}
	}
	for _, text := range []string{"", "text,sentiment\n"} {
		head := bert.Head{Task: news.TaskSentiment}
		_, _, err := finetune.Read(finetune.Source{Task: head.Task, Name: "a.csv", Rows: fileRows(strings.NewReader(text), "a.csv")}, head, false)
		if !errors.Is(err, finetune.ErrRows) || !strings.Contains(err.Error(), "a.csv: line 1: there is no row") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// FuzzCSV: well-formed CSV reads as encoding/csv reads it, and whatever the bytes are, each
// line ends up in one row and reading comes to an end.
func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "a,b\n\"1\n\n2\",3\r\n4,5", "a\n\"\n\"\"\nx\"y\n\"", "a,b\n\"x,1\n\"y\",2\n\n\n\"z"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got []row
		last := 0
		for r := range rowsOf(strings.NewReader(text), "a.csv") {
			if r.line <= last && last > 0 {
				t.Fatalf("line %d after line %d of %q", r.line, last, text)
			}
			last = r.line
			got = append(got, r)
		}
		if last > strings.Count(text, "\n")+1 {
			t.Errorf("line %d of %q", last, text)
		}
		records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil || len(records) == 0 {
			return
		}
		records[0][0] = strings.TrimPrefix(records[0][0], "\ufeff")
		if foreign([]byte(text)) != nil || checkHeader(records[0], ',') != nil {
			return
		}
		if len(got) != len(records)-1 {
			t.Fatalf("%d rows, encoding/csv has %d, of %q", len(got), len(records)-1, text)
		}
		for i, r := range got {
			fields := map[string]string{}
			for column, name := range records[0] {
				fields[name] = records[i+1][column]
			}
			if !maps.Equal(r.fields, fields) {
				t.Errorf("row %d is %q, encoding/csv says %q, of %q", i, r.fields, fields, text)
			}
		}
	})
}
