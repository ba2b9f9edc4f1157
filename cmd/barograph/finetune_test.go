package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune"
	"github.com/barograph/barograph/finetune/step"
	"github.com/barograph/barograph/internal/broker"
	"github.com/barograph/barograph/internal/retry"
	"github.com/barograph/barograph/internal/testenv"
	"github.com/barograph/barograph/news"
)

// finetuneArguments train MiniLM on one core on the first rows of the sample.
func finetuneArguments(t *testing.T, rows int, out string, more ...string) []string {
	t.Helper()
	sample, err := os.ReadFile(filepath.Join(testenv.Root(t), "finetune", "testdata", "tweets.csv"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "tweets.csv")
	lines := bytes.SplitAfter(sample, []byte("\n"))
	if err := os.WriteFile(file, bytes.Join(lines[:rows+1], nil), 0o644); err != nil {
		t.Fatal(err)
	}
	deps := testenv.Deps(t)
	t.Setenv("BAROGRAPH_ONNXRUNTIME", filepath.Join(deps, "onnxruntime"))
	return append([]string{"finetune", "--task", "sentiment", "--train", file, "--base", filepath.Join(deps, "bases", "all-minilm-l6-v2"),
		"--out", out, "--batch", "8", "--epochs", "3", "--max-tokens", "48", "--threads", "1", "--device", "cpu"}, more...)
}

// TestFinetuneGoesOnAfterAKill: the process is killed in the second epoch, and --resume
// ends in the very bytes of a run that was left alone.
func TestFinetuneGoesOnAfterAKill(t *testing.T) {
	dir := t.TempDir()
	whole, killed := filepath.Join(dir, "whole"), filepath.Join(dir, "killed")
	run := func(args []string, kill bool) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
		cmd.Env = append(os.Environ(), asMain+"=1")
		pipe, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var log strings.Builder
		for lines := bufio.NewScanner(pipe); lines.Scan(); {
			fmt.Fprintln(&log, lines.Text())
			if kill && strings.HasPrefix(lines.Text(), "epoch 1 after") {
				_ = cmd.Process.Kill()
			}
		}
		if err := cmd.Wait(); (err != nil) != kill {
			t.Fatalf("%q: %v\n%s", args, err, log.String())
		}
		return log.String()
	}
	run(finetuneArguments(t, 96, whole), false)
	run(finetuneArguments(t, 96, killed), true)
	log := run(finetuneArguments(t, 96, killed, "--resume"), false)
	if !strings.Contains(log, "going on after update") {
		t.Errorf("it did not go on from a checkpoint:\n%s", log)
	}
	for _, name := range []string{"adapter_model.safetensors", "metrics.csv"} {
		want, err := os.ReadFile(filepath.Join(whole, name))
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(killed, name))
		if err != nil || !bytes.Equal(want, got) {
			t.Errorf("%s is not that of the run that was left alone (%v)", name, err)
		}
	}
}

func TestFinetuneRefusesWrongUsage(t *testing.T) {
	for _, args := range [][]string{
		{"--task", "sentiment", "--train", "a.csv"},
		{"--train", "a.csv", "--base", "b", "--out", "o"},
		{"--task", "mood", "--train", "a.csv", "--base", "b", "--out", "o"},
		{"--tasks", "topic", "--base", "b", "--out", "o"},
		{"--task", "topic", "--train", "a.csv", "--base", "b", "--out", "o", "--full", "--head-only"},
		{"--task", "topic", "--train", "a.csv", "--base", "b", "--out", "o", "--sweep", "speed=3"},
		{"--task", "topic", "--train", "a.csv", "--base", "b", "--out", "o", "--budget", "1h"},
		{"--task", "topic", "--train", "a.csv", "--base", "b", "--out", "o", "--sweep", "lr=1e-4,1e-3", "--budget", "-1h"},
		{"--task", "topic", "--train", "-", "--base", "b", "--out", "o"},
		{"--task", "sentiment", "--train", "a.csv", "--valid", "topic=b.csv", "--base", "b", "--out", "o"},
		{"--task", "topic", "--train", "a.csv", "--valid", "b.csv:0.5", "--base", "b", "--out", "o"},
		{"--task", "topic", "--train", "a.csv", "--base", "b", "--out", "o", "--languages", "english"},
		{"--task", "topic", "--train", "a.csv", "--base", "b", "--out", "o", "--languages", "en,ZH"},
	} {
		root := newRoot()
		root.SetArgs(append([]string{"finetune"}, args...))
		root.SetOut(new(bytes.Buffer))
		root.SetErr(new(bytes.Buffer))
		var usage usageError
		if err := root.ExecuteContext(t.Context()); !errors.As(err, &usage) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

// A row at fault is named with its file as it was given: two files may have one name.
func TestFinetuneNamesTheFileOfABadRow(t *testing.T) {
	base, dir := filepath.Join(testenv.Deps(t), "bases", "all-minilm-l6-v2"), t.TempDir()
	good, bad := filepath.Join(dir, "a", "train.csv"), filepath.Join(dir, "b", "train.csv")
	for path, rows := range map[string]string{good: "text,sentiment\nShares fall,negative\n", bad: "text,sentiment\nShares rise,happy\n"} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(rows), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	root := newRoot()
	root.SetArgs([]string{"finetune", "--task", "sentiment", "--train", good + "," + bad, "--base", base, "--out", filepath.Join(dir, "out")})
	root.SetOut(new(bytes.Buffer))
	root.SetErr(new(bytes.Buffer))
	err := root.ExecuteContext(t.Context())
	if !errors.Is(err, finetune.ErrRows) || !strings.Contains(err.Error(), bad+": line 2") {
		t.Errorf("the error is %v; it should name %s", err, bad)
	}
}

// A setting that does nothing is refused by the command line's name of it, in --sweep, too.
func TestFinetuneRefusesASettingThatDoesNothing(t *testing.T) {
	base, rows := filepath.Join(testenv.Deps(t), "bases", "all-minilm-l6-v2"), filepath.Join(t.TempDir(), "rows.csv")
	if err := os.WriteFile(rows, []byte("text,sentiment\nShares fall,negative\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"--head-only", "--sweep", "rank=2,4"}, {"--full", "--alpha", "8"}, {"--full", "--lora-dropout", "0.1"}, {"--steps", "4", "--epochs", "2"}} {
		root := newRoot()
		root.SetArgs(append([]string{"finetune", "--task", "sentiment", "--train", rows, "--base", base, "--out", filepath.Join(t.TempDir(), "out")}, args...))
		root.SetOut(new(bytes.Buffer))
		root.SetErr(new(bytes.Buffer))
		var usage usageError
		if err := root.ExecuteContext(t.Context()); !errors.As(err, &usage) || !errors.Is(err, finetune.ErrSettings) {
			t.Errorf("%q: %v", args, err)
		}
	}
}

func TestSweepsAreEveryCombination(t *testing.T) {
	all, err := parseSweep(finetune.Defaults(step.LoRA), "lr=1e-4,3e-4 rank=8,16")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range all {
		got = append(got, fmt.Sprint(s.Rate, " ", s.Rank))
	}
	if want := []string{"0.0001 8", "0.0001 16", "0.0003 8", "0.0003 16"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if all, err = parseSweep(finetune.Defaults(step.LoRA), "lora-dropout=0,0.1"); err != nil || len(all) != 2 || all[0].LoRADropout != 0 || all[1].LoRADropout != 0.1 {
		t.Errorf("dropout of LoRA: %+v (%v)", all, err)
	}
	for _, bad := range []string{"lr", "lr=x", "lr=1 lr=2", "colour=red"} {
		if _, err := parseSweep(finetune.Defaults(step.LoRA), bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if _, err := parseSweep(finetune.Defaults(step.LoRA), "lr=1e-4,abc"); err == nil || !strings.Contains(err.Error(), `"abc" is no value of lr: it wants numbers, such as lr=1e-4,3e-4`) {
		t.Errorf("lr=abc: %v", err)
	}
}

// TestCorrectionsAreRows: of the labels topic, the last label of each key counts, what was
// taken back does not, and labels about one company are for bundles that read one, unless the text
// is not about it. The newest come first, and before the files, whatever the order on the command
// line. What is left out is counted, with the reason.
func TestCorrectionsAreRows(t *testing.T) {
	server := testenv.StartKafka(t)
	server.CreateTopic("barograph.labels", 3)
	client := openBroker(t, server.Addr)
	writer := client.Writer("barograph.labels")
	defer writer.Close()
	label := func(id, task, label, entity string, value bool) kafka.Message {
		l := news.Label{ID: id, At: time.Now(), Author: "console:jane", Task: task, Label: label, Entity: entity, Text: "text of " + id}
		m := kafka.Message{Key: []byte(l.Key())}
		if value {
			m.Value, _ = json.Marshal(l)
		}
		return m
	}
	err := broker.Write(t.Context(), writer, retry.Policy{Attempts: 10},
		label("1", "sentiment", "positive", "", true), label("1", "sentiment", "negative", "", true),
		label("2", "sentiment", "neutral", "BA", true), label("3", "topic", "Macro", "", true),
		label("4", "sentiment", "neutral", "", true), label("4", "sentiment", "", "", false),
		label("5", "sentiment", "positive", "BA", true), label("5", "entity", "not_about", "BA", true),
		label("2", "entity", "not_about", "Airbus", true))
	if err != nil {
		t.Fatal(err)
	}
	path := writeConfig(t, fmt.Sprintf("kafka: {brokers: ['%s'], topics: [{name: news, kind: news}]}", server.Addr))
	for _, c := range []struct {
		task, entity string
		want, unused []string
	}{
		{"sentiment", "", []string{"text of 1|negative|"}, []string{"1 correction of topic,", "2 corrections that a text is not about a company", "2 corrections toward one company,"}},
		{"sentiment", "entity", []string{"text of 2|neutral|BA", "text of 1|negative|"}, []string{"1 correction of topic,", "2 corrections that a text is not about a company", "1 correction toward a company that the text is not about"}},
		{"topic", "", []string{"text of 3|Macro|"}, []string{"3 corrections of sentiment,", "2 corrections that a text is not about a company"}},
	} {
		t1 := training{task: c.task, entity: c.entity, path: path}
		set, err := t1.sources(t.Context(), []string{path, "labels"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(set.close)
		var got []string
		for row := range set.list[0].Rows {
			got = append(got, row.Fields["text"]+"|"+row.Fields[c.task]+"|"+row.Fields["entity"])
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %s: got %q, want %q", c.task, c.entity, got, c.want)
		}
		unused := set.unusedInWords(c.entity != "")
		if len(unused) != len(c.unused) || !slices.EqualFunc(unused, c.unused, strings.HasPrefix) {
			t.Errorf("%s %s: left out %q, want %q", c.task, c.entity, unused, c.unused)
		}
	}
}

// TestALabelsTopicThatIsNotThereIsSaid: training without the corrections that were asked for would
// pass for training with them.
func TestALabelsTopicThatIsNotThereIsSaid(t *testing.T) {
	server := testenv.StartKafka(t)
	server.CreateTopic("barograph.labels", 1)
	config := "kafka: {brokers: ['%s'], labels: %s, topics: [{name: news, kind: news}]}"
	mistaken := training{task: "sentiment", path: writeConfig(t, fmt.Sprintf(config, server.Addr, "barograph.lables"))}
	_, err := mistaken.sources(t.Context(), []string{"labels"}, nil)
	if err == nil || !strings.Contains(err.Error(), "no topic barograph.lables on "+server.Addr) || !strings.Contains(err.Error(), "kafka.labels") {
		t.Errorf("a topic that is misnamed: %v", err)
	}
	empty := training{task: "sentiment", path: writeConfig(t, fmt.Sprintf(config, server.Addr, "barograph.labels"))}
	set, err := empty.sources(t.Context(), []string{"labels"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer set.close()
	if said := set.unusedInWords(false); len(said) != 0 {
		t.Errorf("an empty topic: left out %q", said)
	}
}

// TestTheViewSaysWhatCameOfEachSource: a topic or a file that gave nothing is seen.
func TestTheViewSaysWhatCameOfEachSource(t *testing.T) {
	var said bytes.Buffer
	newTrainingView(&said).data(finetune.Summary{Train: 80, Valid: 9, Findings: finetune.Findings{Rows: 89}, Sources: []finetune.SourceRows{
		{Name: "topic barograph.labels", Task: "sentiment"}, {Name: "tweets.csv", Task: "sentiment", Train: 80, Valid: 9}}})
	want := "89 rows: 80 texts to train on, 9 for validation\n" +
		"  sentiment of topic barograph.labels: nothing is taken of it\n" +
		"  sentiment of tweets.csv: 80 to train on, 9 for validation\n"
	if said.String() != want {
		t.Errorf("it says\n%s, want\n%s", said.String(), want)
	}
}

// TestFilesNamedAlikeAreToldApart by as few folders as will do: the card says no more of a machine.
func TestFilesNamedAlikeAreToldApart(t *testing.T) {
	want := map[string]string{
		"data/tfns/train.csv": "tfns/train.csv", "./data/topic/train.csv": "topic/train.csv", "data/other.csv": "other.csv",
		"/home/jane/2023/a/rows.csv": "2023/a/rows.csv", "/home/jane/2024/a/rows.csv": "2024/a/rows.csv", "rows.csv": "rows.csv",
	}
	list := []finetune.Source{{Name: "topic barograph.labels"}}
	for name := range want {
		list = append(list, finetune.Source{Name: name, SHA256: "1"}, finetune.Source{Name: name, SHA256: "1"}) // for two heads
	}
	want["topic barograph.labels"] = "topic barograph.labels"
	tellApart(list[:3], list[3:])
	for _, s := range list {
		if s.Short != want[s.Name] {
			t.Errorf("%s is called %q, want %q", s.Name, s.Short, want[s.Name])
		}
	}
}

// TestTheConfigurationSaysWhereBasesAre for what trains a bundle further, for what lists it and for what measures it.
func TestTheConfigurationSaysWhereBasesAre(t *testing.T) {
	dir := t.TempDir()
	tiny := filepath.Join(testenv.Root(t), "classify", "bert", "testdata", "tiny")
	bundle, rows, config := filepath.Join(dir, "models", "mine"), filepath.Join(dir, "rows.csv"), filepath.Join(dir, "barograph.yaml")
	lines, words := []string{"text,sentiment"}, []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]"}
	for i := range 36 {
		lines = append(lines, fmt.Sprintf("w%d w%d,%s", i, i*7%36, []string{"negative", "neutral", "positive"}[i%3]))
		words = append(words, fmt.Sprint("w", i))
	}
	err := errors.Join(os.CopyFS(bundle, os.DirFS(filepath.Join(tiny, "lora-list"))), os.CopyFS(filepath.Join(dir, "weights"), os.DirFS(filepath.Join(tiny, "bases"))),
		os.WriteFile(filepath.Join(bundle, "vocab.txt"), []byte(strings.Join(words, "\n")), 0o644), os.WriteFile(rows, []byte(strings.Join(lines, "\n")), 0o644),
		os.WriteFile(config, []byte("classify: {bases: [weights]}"), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"model", "list", filepath.Dir(bundle), "-c", config},
		{"evaluate", "--model", bundle, "--data", rows, "--threads", "1", "-c", config},
		{"finetune", "--task", "sentiment", "--train", rows, "--base", bundle, "--head-only", "--steps", "1", "--threads", "1", "--out", filepath.Join(dir, "out"), "-c", config},
	} {
		var said bytes.Buffer
		run := func(more ...string) error {
			root := newRoot()
			root.SetArgs(append(args, more...))
			root.SetOut(&said)
			root.SetErr(&said)
			return root.ExecuteContext(t.Context())
		}
		if err := run("--bases", filepath.Join(dir, "elsewhere")); !errors.Is(err, bert.ErrAdapter) {
			t.Errorf("%q with other --bases: %v", args, err)
		}
		if err := run(); err != nil {
			t.Errorf("%q: %v\n%s", args, err, said.String())
		}
	}
}
