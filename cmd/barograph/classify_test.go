package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barograph/barograph/internal/testenv"
)

// modelArguments point a command at the repository's bundles and bases.
func modelArguments(t *testing.T) []string {
	root := testenv.Root(t)
	return []string{"--model", root + "/models/en," + root + "/models/zh", "--bases", testenv.Deps(t) + "/bases", "--threads", "1"}
}

// Readings come in the order of the rows, whatever the texts' languages and lengths are; a
// row that cannot be read has a line of its own.
func TestClassifyKeepsTheOrder(t *testing.T) {
	texts := []string{"Apple shares jump after record quarter", "公司业绩大幅下滑，股价跌停", "$BABA 跌停",
		strings.Repeat("The bank expects heavy losses this year. ", 200), "Shares of the airline plunge on profit warning"}
	var rows bytes.Buffer
	rows.WriteString("id,text\n")
	for i := range 60 {
		text := texts[i%len(texts)]
		if i == 17 {
			text = ""
		}
		fmt.Fprintf(&rows, "row-%d,%q\n", i, text)
	}
	file := filepath.Join(t.TempDir(), "texts.csv")
	if err := os.WriteFile(file, rows.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "readings.jsonl")

	root := newRoot()
	var said bytes.Buffer
	root.SetOut(&said)
	root.SetErr(&said)
	root.SetArgs(append([]string{"classify", file, "-o", out}, modelArguments(t)...))
	if err := root.ExecuteContext(t.Context()); err == nil || !strings.Contains(err.Error(), "line 19") {
		t.Errorf("error %v; want one that names line 19, which has no text", err)
	}

	written, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(written))
	position := 0
	for ; lines.Scan(); position++ {
		var line struct {
			ID, Lang, Error string
			Sentiment       struct{ Negative, Positive float64 }
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		if want := fmt.Sprintf("row-%d", position); line.ID != want {
			t.Fatalf("line %d is of %s, want %s", position, line.ID, want)
		}
		if (line.Error != "") != (position == 17) {
			t.Errorf("%s: error %q", line.ID, line.Error)
		}
		if position%len(texts) == 0 && line.Sentiment.Positive < 0.5 {
			t.Errorf("%s: %+v for good news", line.ID, line.Sentiment)
		}
		if language := map[bool]string{true: "zh", false: "en"}[position%5 == 1 || position%5 == 2]; position != 17 && line.Lang != language {
			t.Errorf("%s: language %q, want %s", line.ID, line.Lang, language)
		}
	}
	if position != 60 {
		t.Errorf("%d lines for 60 rows", position)
	}
}

// On a pipe the reading of a row comes before the next row is there.
func TestClassifyAnswersOnAPipe(t *testing.T) {
	rows, feed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	readings, out := io.Pipe()
	root := newRoot()
	root.SetOut(out)
	root.SetErr(io.Discard)
	root.SetArgs(append([]string{"classify", fmt.Sprintf("/dev/fd/%d", rows.Fd())}, modelArguments(t)...))
	ended := make(chan error, 1)
	go func() {
		err := root.ExecuteContext(t.Context())
		out.CloseWithError(err)
		ended <- err
	}()
	lines := bufio.NewScanner(readings)
	for _, id := range []string{"1", "2"} {
		if _, err := fmt.Fprintf(feed, `{"id":%q,"text":"Profits fall"}`+"\n", id); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || !strings.Contains(lines.Text(), fmt.Sprintf(`"id":%q`, id)) {
			t.Fatalf("after row %s: %q, %v", id, lines.Text(), lines.Err())
		}
	}
	feed.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// Of a row nothing is kept once its reading is written.
func TestRowsReadAreForgotten(t *testing.T) {
	const rows = 10_000
	r := rowsRead{rows: func(yield func(row) bool) {
		for i := range rows {
			if !yield(row{line: i + 1, fields: map[string]string{"text": "x"}}) {
				return
			}
		}
	}}
	n := 0
	for range r.items() {
		n++
		if got, last := r.next(); got.line != n || got.fault != nil || !last {
			t.Fatalf("row %d: %+v, the last: %v", n, got, last)
		}
	}
	if n != rows || cap(r.pending) > 10 {
		t.Errorf("%d rows, %d kept", n, cap(r.pending))
	}
}

func TestRows(t *testing.T) {
	tests := []struct{ name, file, text, want string }{
		{"JSON lines", "a.jsonl", "{\"text\":\"one\"}\n\n{\"text\":\"three\",\"n\":3}\nnot JSON\n[1]\n{\"text\":\"six\"}", "1:one 3:three 4! 5! 6:six"},
		{"JSON after a byte-order mark", "a.jsonl", "\ufeff{\"text\":\"one\"}\n\ufeff{\"text\":\"two\"}\n", "1:one 2!"},
		{"JSON after a byte-order mark, by what it is like", "-", "\ufeff{\"text\":\"one\"}\n", "1:one"},
		{"JSON with texts that are none", "a.jsonl", "{\"text\":5}\n{\"title\":[\"T\"]}\n{\"text\":\"three\",\"title\":null,\"label\":5}\n", "1! 2! 3:three"},
		{"CSV with a quoted header after a byte-order mark", "a.csv", "\ufeff\"text\"\none\n", "2:one"},
		{"nothing but a byte-order mark", "a.csv", "\ufeff", ""},
		{"CSV", "a.csv", "\ufefftext,label\n\"one, \"\"quoted\"\"\",x\ntwo\nthree,y\n", "2:one, \"quoted\" 3! 4:three"},
		{"TSV", "a.tsv", "text\tlabel\nsays \"this\"\tx\n", "2:says \"this\""},
		{"TSV that begins with a quotation", "a.tsv", "\ufefftext\tlabel\r\n\"We do.\" He does.\tx\r\n\n\"one, \"\"quoted\"\"\"\ty\r\n\"two\" and \"three\"\tx", `2:"We do." He does. 4:one, "quoted" 5:"two" and "three"`},
		{"TSV with a tab too much", "a.tsv", "text\tlabel\na\tb\tx\nfine\tx\nshort\n", "2! 3:fine 4!"},
		{"a quote within a field", "a.csv", "text\na\"b\nfine\n", "2! 3:fine"},
		{"a quote that is never closed", "a.csv", "text,label\none,x\nbefore,\"two\nthree,y\n\n\"fi\nve\",z\nseven,\"", "2:one 3! 4:three 6:fi\nve 8!"},
		{"a quote that another row's closes", "a.csv", "text,label\n\"one,x\n\"two\",y\n\"three,z\nfour,\"x\"\n", "2! 3:two 4! 5:four"},
		{"a quote not closed in a row of several lines", "a.csv", "text,label\n\"o\nne\",\"x\nfour,y\n", "2! 3! 4:four"},
		{"quotes within quotes", "a.csv", "text,label\n\"He said \"no\" and left\",x\nfine,y\n", "2! 3:fine"},
		{"JSON with bad UTF-8", "a.jsonl", "{\"text\":\"\xff\"}\n{\"text\":\"ok\"}\n", "1! 2:ok"},
		{"JSON with a key twice", "a.jsonl", "{\"text\":\"one\",\"n\":{\"a\":1,\"a\":2}}\n{\"text\":\"one\",\"n\":[{}],\"te\\u0078t\":\"two\"}\n{\"text\":\"three\"}\n", "1:one 2! 3:three"},
		{"CSV with bad UTF-8", "a.csv", "text\nbad \xff byte\n", "2!"},
		{"empty", "a.csv", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for r := range rowsOf(strings.NewReader(tt.text), tt.file) {
				if r.err != nil {
					got = append(got, fmt.Sprintf("%d!", r.line))
					continue
				}
				got = append(got, fmt.Sprintf("%d:%s", r.line, r.fields["text"]))
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("got %q, want %q", strings.Join(got, " "), tt.want)
			}
		})
	}
}

// evaluate measures on the rows of the split, each text once, and names a label that the
// bundle does not have.
func TestEvaluate(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows.csv")
	rows := "text,mood\nShares jump after record profit,positive\nShares jump after record profit,positive\nShares plunge after the company warns of heavy losses,negative\n"
	if err := os.WriteFile(file, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) (string, error) {
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(&out)
		root.SetArgs(append(append([]string{"evaluate", "--data", file}, modelArguments(t)[2:]...), args...))
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	bundle := testenv.Root(t) + "/models/en"
	out, err := run("--model", bundle, "--label-column", "mood")
	if err != nil || !strings.Contains(out, "2 rows: accuracy 1.0000") {
		t.Errorf("error %v, output\n%s", err, out)
	}
	if _, err := run("--model", bundle, "--task", "topic", "--label-column", "mood"); err == nil || !strings.Contains(err.Error(), `"positive"`) {
		t.Errorf("error %v; want one that names the label", err)
	}
	if _, err := run("--model", bundle); err == nil || !strings.Contains(err.Error(), "--label-column") {
		t.Errorf("error %v; want one that says how to name the column", err)
	}
}
