package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// TestEvaluateAgainst holds a bundle against itself, on headlines with several companies: a
// bundle that reads no company reads the headline, and there is no difference.
func TestEvaluateAgainst(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows.csv")
	rows := `title,entities_json
Nokia falls as Ericsson wins a large order,"{""Nokia"":""negative"",""Ericsson"":""positive""}"
Shares of Infosys jump after record profit,"{""Infosys"":""positive""}"
Board of directors to meet on Tuesday,"{""Tata"":""neutral""}"
`
	if err := os.WriteFile(file, []byte(rows), 0o644); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(testenv.Root(t), "models", "en")
	run := func(args ...string) string {
		t.Helper()
		root := newRoot()
		var out bytes.Buffer
		root.SetOut(&out)
		root.SetErr(new(bytes.Buffer))
		root.SetArgs(append([]string{"evaluate", "--data", file, "--entity-column", "entities_json", "--model", bundle, "--against", bundle},
			append(modelArguments(t)[2:], args...)...))
		if err := root.ExecuteContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		return out.String()
	}
	var got struct {
		Rows    int                 `json:"rows"`
		Compare classify.Comparison `json:"comparison"`
	}
	if err := json.Unmarshal([]byte(run("--json")), &got); err != nil {
		t.Fatal(err)
	}
	if got.Rows != 4 || got.Compare.Rows != 4 || got.Compare.Gain != 0 || got.Compare.McNemar != 1 {
		t.Errorf("against itself: %+v", got)
	}
	if text := run(); !strings.Contains(text, "no difference beyond chance") || !strings.Contains(text, "p = 1") {
		t.Errorf("the comparison is written as\n%s", text)
	}
}

// A text that the model cannot read is named by its place, not by all of its words.
func TestEvaluateNamesTheLineItCannotRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows.csv")
	rows := "text,sentiment\nShares fall,negative\n" + strings.Repeat("shares ", 33000) + ",negative\n"
	if err := os.WriteFile(file, []byte(rows), 0o644); err != nil {
		t.Fatal(err)
	}
	root := newRoot()
	root.SetOut(new(bytes.Buffer))
	root.SetErr(new(bytes.Buffer))
	root.SetArgs(append([]string{"evaluate", "--data", file, "--model", filepath.Join(testenv.Root(t), "models", "en")}, modelArguments(t)[2:]...))
	err := root.ExecuteContext(t.Context())
	if !errors.Is(err, classify.ErrTooLong) || !strings.Contains(err.Error(), file+": line 3: ") || len(err.Error()) > 1000 {
		t.Errorf("error %.300v", err)
	}
}

// Rows that cannot be used are an error that says how to go on without them, and that way works.
func TestEvaluateLeavesBadRowsOutWhenAsked(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(file, []byte("text,sentiment\nShares fall,negative\nhttps://example.com,neutral\nProfit rises,positive\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	evaluate := func(more ...string) (string, error) {
		var out bytes.Buffer
		root := newRoot()
		root.SetOut(&out)
		root.SetErr(new(bytes.Buffer))
		args := append([]string{"evaluate", "--data", file, "--model", filepath.Join(testenv.Root(t), "models", "en")}, modelArguments(t)[2:]...)
		root.SetArgs(append(args, more...))
		err := root.ExecuteContext(t.Context())
		return out.String(), err
	}
	if _, err := evaluate(); !errors.Is(err, finetune.ErrRows) || !strings.Contains(err.Error(), "--skip-bad") {
		t.Errorf("error %v", err)
	}
	if out, err := evaluate("--skip-bad", "--json"); err != nil || !strings.Contains(out, `"rows":2`) {
		t.Errorf("%v\n%s", err, out)
	}
}

// What of a file is not measured is said: rows that repeat a text, or contradict it, by their
// lines. A bundle that reads a company reads those of SEntFiN's column unasked.
func TestEvaluateSaysWhatItLeavesOut(t *testing.T) {
	dir := t.TempDir()
	whole, byEntity := tinyBundle(t, filepath.Join(dir, "whole"), "1", 0), tinyBundle(t, filepath.Join(dir, "by-entity"), `1", "entity_segment": true, "x": "`, 0)
	twice, companies := filepath.Join(dir, "twice.csv"), filepath.Join(dir, "companies.csv")
	err := errors.Join(os.WriteFile(twice, []byte("text,sentiment\nw1,negative\nw2,neutral\nw1,negative\nw2,positive\n"), 0o644),
		os.WriteFile(companies, []byte("title,entities_json\nw1 w2 w3,\"{\"\"w1\"\":\"\"negative\"\",\"\"w2\"\":\"\"positive\"\"}\"\nw4 w5,\"{\"\"w4\"\":\"\"neutral\"\"}\"\n"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		model, data string
		says        []string
	}{
		{whole, twice, []string{"2 rows: accuracy", "left out: 1 repeat a text before them with the same label", "left out: 1 repeat a text before them with another label",
			twice + ": line 5 says positive of a text that is neutral at line 3"}},
		{whole, companies, []string{"1 rows: accuracy", "left out: 1 have entities of several sentiments"}},
		{byEntity, companies, []string{"3 rows: accuracy"}},
	} {
		said := mustRun(t, "evaluate", "--model", c.model, "--data", c.data, "--against", c.model, "--precision", "fp32", "--threads", "1")
		for _, want := range c.says {
			if strings.Count(said, want) != 1 {
				t.Errorf("%s of %s: %q is not there once:\n%s", c.model, c.data, want, said)
			}
		}
	}
}

// TestEvaluateReadsTheCorrections as finetune does, and so does promote; a bundle that was trained
// on them is not judged by them.
func TestEvaluateReadsTheCorrections(t *testing.T) {
	server := testenv.StartKafka(t)
	server.CreateTopic("barograph.labels", 1)
	writer := openBroker(t, server.Addr).Writer("barograph.labels")
	defer writer.Close()
	for i, l := range []news.Label{{Task: "sentiment", Label: "negative"}, {Task: "sentiment", Label: "positive"}, {Task: "topic", Label: "Macro"}} {
		l.ID, l.At, l.Author, l.Text = fmt.Sprint(i), time.Now(), "console:jane", tinyText(i)
		value, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		if err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 10}, kafka.Message{Key: []byte(l.Key()), Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0)
	next := tinyBundle(t, t.TempDir(), "2", 17)
	config := slotConfig(t, slot, fmt.Sprintf("kafka: {brokers: ['%s'], topics: [{name: news, kind: news}]}", server.Addr))
	said := mustRun(t, "evaluate", "-c", config, "--model", slot, "--data", "labels", "--task", "sentiment", "--threads", "1")
	if !strings.Contains(said, "2 rows: accuracy") || !strings.Contains(said, "left out: 1 correction of topic") {
		t.Errorf("evaluate says\n%s", said)
	}
	if _, err := commandLine(t, "model", "promote", next, "-c", config, "--data", "labels", "--data", "topic="+labelledBy(t, slot)); !errors.Is(err, errNotBetter) {
		t.Errorf("promote: %v", err)
	}
	if err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 10}, kafka.Message{Key: []byte("?"), Value: []byte("neutral!")}); err != nil {
		t.Fatal(err)
	}
	held := filepath.Join(t.TempDir(), "held.csv")
	if err := os.WriteFile(held, []byte("text,sentiment\nw30 w31,negative\nw31 w30,positive\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, command := range [][]string{
		{"evaluate", "-c", config, "--model", slot, "--data", "labels", "--task", "sentiment", "--threads", "1"},
		{"model", "promote", next, "-c", config, "--data", "labels", "--data", "topic=" + labelledBy(t, slot)},
		{"finetune", "-c", config, "--task", "sentiment", "--train", "labels", "--valid", held, "--base", slot, "--head-only", "--steps", "1", "--out", filepath.Join(t.TempDir(), "out")},
	} {
		if _, err := commandLine(t, command...); !errors.Is(err, finetune.ErrRows) || !strings.Contains(err.Error(), "topic barograph.labels: partition 0, offset 3: the message is no label") {
			t.Errorf("%s, a message that is no label: %v", command[0], err)
		}
		if _, err := commandLine(t, append(command, "--skip-bad")...); err != nil && !errors.Is(err, errNotBetter) {
			t.Errorf("%s, without the message that is no label: %v", command[0], err)
		}
	}
	path := filepath.Join(next, "config.json")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(text), `"version": "2"`, `"version": "2", "trained_on": [{"split": "stratified"}]`, 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := commandLine(t, "model", "promote", next, "-c", config, "--data", "labels", "--data", "topic="+labelledBy(t, slot)); !errors.Is(err, finetune.ErrTrainedOn) {
		t.Errorf("promote, trained on them: %v", err)
	}
}

// TestEvaluateRefusesWhatItWouldPassOver: settings and columns that would do nothing, each with no
// advice that does not help.
func TestEvaluateRefusesWhatItWouldPassOver(t *testing.T) {
	dir := tinyBundle(t, t.TempDir(), "1", 0)
	rows := labelledBy(t, dir)
	for _, c := range []struct{ flag, value, says string }{
		{"--threads", "-3", "threads is -3"},
		{"--device", "gpu", `device "gpu": want auto, cpu or cuda`},
		{"--entity-column", "company", rows + ": no row has a company in a column company"},
		{"--data", "labels", "labels is the topic of the corrections in Kafka"},
	} {
		_, err := commandLine(t, "evaluate", "--model", dir, "--data", rows, c.flag, c.value)
		if err == nil || !strings.HasPrefix(err.Error(), c.says) || strings.Contains(err.Error(), "--task measures") {
			t.Errorf("%s %s: %v", c.flag, c.value, err)
		}
	}
}

func TestEvaluateNamesHeadsAndFolders(t *testing.T) {
	dir := tinyBundle(t, t.TempDir(), "1", 0)
	if _, err := commandLine(t, "evaluate", "--model", dir, "--data", "rows.csv", "--task", "mood"); err == nil || !strings.Contains(err.Error(), "no head for mood: --task is one of sentiment, topic") {
		t.Errorf("another task: %v", err)
	}
	if _, err := commandLine(t, "evaluate", "--model", "nope", "--data", "rows.csv"); err == nil || !strings.Contains(err.Error(), "nope: there is no such folder") {
		t.Errorf("no bundle: %v", err)
	}
}

// TestEvaluateMeasuresEachHeadOnItsRows: rows carry one label or both, and a row without any is at
// fault. --task, and --label-column, measure one head.
func TestEvaluateMeasuresEachHeadOnItsRows(t *testing.T) {
	dir := tinyBundle(t, t.TempDir(), "1", 0)
	b, err := classify.OpenBundle(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	topic := b.Heads[1].Labels[0]
	file := filepath.Join(t.TempDir(), "both.csv")
	write := func(more string) {
		t.Helper()
		rows := "text,sentiment,topic\nw1,negative," + topic + "\nw2,neutral,\nw3,positive, \nw4,," + topic + "\n" + more
		if err := os.WriteFile(file, []byte(rows), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("")
	evaluate := []string{"evaluate", "--model", dir, "--against", dir, "--data", file, "--threads", "1"}
	said := mustRun(t, evaluate...)
	for _, want := range []string{"sentiment on 3 rows: accuracy", "topic on 2 rows: accuracy", "1 of 4 rows have no label of sentiment, but of topic", "2 of 4 rows have no label of topic, but of sentiment"} {
		if strings.Count(said, want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, said)
		}
	}
	if said := mustRun(t, append(evaluate, "--task", "topic")...); strings.Contains(said, "sentiment on") || !strings.Contains(said, "topic on 2 rows") {
		t.Errorf("of topic alone it says\n%s", said)
	}
	if said := mustRun(t, append(evaluate, "--label-column", "sentiment")...); strings.Contains(said, "topic on") || !strings.Contains(said, "sentiment on 3 rows") {
		t.Errorf("of a column alone it says\n%s", said)
	}
	one := withoutTopics(t, tinyBundle(t, t.TempDir(), "1", 0))
	if said := mustRun(t, "evaluate", "--model", one, "--data", file, "--threads", "1"); !strings.Contains(said, "sentiment on 3 rows") || strings.Contains(said, "topic on") {
		t.Errorf("a bundle without topics says\n%s", said)
	}
	write("w5,,\n")
	if said, err := commandLine(t, evaluate...); !errors.Is(err, finetune.ErrRows) || !strings.Contains(err.Error(), file+": line 6: ") {
		t.Errorf("a row without any label: %v\n%s", err, said)
	}
	if said := mustRun(t, append(evaluate, "--skip-bad")...); !strings.Contains(said, "topic on 2 rows") || strings.Count(said, "left out: 1 cannot be used") != 2 {
		t.Errorf("left out as asked it says\n%s", said)
	}
}

// withoutTopics leaves a bundle its first head only.
func withoutTopics(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var config map[string]any
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	own := config["barograph"].(map[string]any)
	own["heads"] = own["heads"].([]any)[:1]
	if raw, err = json.Marshal(config); err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestRowsFromStandardInputAreReadOnce: for all heads and both bundles. promote, which looks for the
// columns first, asks for the task where there are several.
func TestRowsFromStandardInputAreReadOnce(t *testing.T) {
	dir := tinyBundle(t, t.TempDir(), "1", 0)
	rows := labelledBy(t, dir)
	piped := func(args ...string) (string, error) {
		t.Helper()
		input, err := os.Open(rows)
		if err != nil {
			t.Fatal(err)
		}
		defer input.Close()
		stdin := os.Stdin
		os.Stdin = input
		defer func() { os.Stdin = stdin }()
		return commandLine(t, args...)
	}
	said, err := piped("evaluate", "--model", dir, "--against", dir, "--data", "-", "--precision", "fp32", "--threads", "1")
	if err != nil || strings.Count(said, "rows: accuracy 1.0000") != 2 || strings.Count(said, "no difference beyond chance") != 2 {
		t.Errorf("evaluate: %v\n%s", err, said)
	}
	config := slotConfig(t, tinyBundle(t, t.TempDir(), "1", 0), "")
	promote := []string{"model", "promote", tinyBundle(t, t.TempDir(), "2", 17), "-c", config}
	for _, data := range [][]string{{"--data", "-"}, {"--data", "sentiment=-", "--data", "topic=-"}} {
		var wrong usageError
		if said, err := piped(append(promote, data...)...); !errors.As(err, &wrong) || !strings.Contains(err.Error(), "read once") {
			t.Errorf("promote %q: %v\n%s", data, err, said)
		}
	}
	pipe := filepath.Join(t.TempDir(), "pipe") // as of a shell's <(…)
	content, err := os.ReadFile(rows)
	if err = errors.Join(err, syscall.Mkfifo(pipe, 0o600)); err != nil {
		t.Fatal(err)
	}
	var wrote sync.WaitGroup
	wrote.Go(func() {
		if err := os.WriteFile(pipe, content, 0o600); err != nil {
			t.Error(err)
		}
	})
	said, err = commandLine(t, "evaluate", "--model", dir, "--against", dir, "--data", pipe, "--precision", "fp32", "--threads", "1")
	wrote.Wait()
	if err != nil || strings.Count(said, "rows: accuracy 1.0000") != 2 {
		t.Errorf("evaluate, of a pipe: %v\n%s", err, said)
	}
	for _, command := range [][]string{
		append(promote, "--data", pipe),
		{"finetune", "--task", "sentiment", "--train", pipe, "--base", dir, "--out", filepath.Join(t.TempDir(), "out")},
	} {
		var wrong usageError
		if _, err := commandLine(t, command...); !errors.As(err, &wrong) || !strings.HasSuffix(err.Error(), "to a file") && !strings.HasSuffix(err.Error(), "write them to one") {
			t.Errorf("%s, of a pipe: %v", command[0], err)
		}
	}
	if said, err := piped(append(promote, "--data", "sentiment=-", "--data", "topic="+rows)...); !errors.Is(err, errNotBetter) || !strings.Contains(err.Error(), "worse on sentiment") {
		t.Errorf("promote, of one head: %v\n%s", err, said)
	}
}
