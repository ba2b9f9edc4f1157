package main

import (
	"encoding/csv"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
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
		`6 wrong number of fields`,
	}
	if !slices.Equal(said, want) {
		t.Errorf("got %s\nwant %s", strings.Join(said, "\n"), strings.Join(want, "\n"))
	}
}

// TestColumnsOfAFileThatBeginsBadly are those of its first good row.
func TestColumnsOfAFileThatBeginsBadly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.csv")
	for text, want := range map[string]string{
		"text,label\n\"one,x\ntwo,y\n": "[label text] <nil>",
		"text,label\n\"one,x\n":        "[] " + path + ": line 2: column 8: ",
		"text,label\n":                 "[] " + path + " has no rows",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		names, err := columnsOf(path)
		slices.Sort(names)
		if got := fmt.Sprint(names, " ", err); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %s, want %s", text, got, want)
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
		if len(got) != len(records)-1 {
			t.Fatalf("%d rows, encoding/csv has %d, of %q", len(got), len(records)-1, text)
		}
		for i, r := range got {
			fields := map[string]string{}
			for column, name := range records[0] {
				if column == 0 {
					name = strings.TrimPrefix(name, "\ufeff")
				}
				fields[name] = records[i+1][column]
			}
			if !maps.Equal(r.fields, fields) {
				t.Errorf("row %d is %q, encoding/csv says %q, of %q", i, r.fields, fields, text)
			}
		}
	})
}
