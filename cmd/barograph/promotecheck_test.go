package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
)

func TestMisfit(t *testing.T) {
	bundle := func(languages string, heads ...string) *classify.Bundle {
		b := &classify.Bundle{Languages: strings.Fields(languages)}
		for _, h := range heads {
			task, labels, _ := strings.Cut(h, ":")
			b.Heads = append(b.Heads, bert.Head{Task: task, Labels: strings.Split(labels, " ")})
		}
		return b
	}
	const mood, topic = "sentiment:negative neutral positive", "topic:Macro Oil"
	live := bundle("en", mood, topic)
	for name, c := range map[string]struct {
		new  *classify.Bundle
		slot string
		want []string
	}{
		"alike":                             {bundle("en", topic, "sentiment:positive negative neutral"), "b", nil},
		"a head more":                       {bundle("en", mood, topic, "region:EU US"), "b", nil},
		"another language":                  {bundle("zh", mood, topic), "b", []string{"it reads zh, the live one en"}},
		"a language more":                   {bundle("en zh", mood, topic), "b", []string{"it reads en, zh, the live one en"}},
		"no language, in the first place":   {bundle("", mood, topic), "a", nil},
		"no language, in the second":        {bundle("", mood, topic), "b", []string{"no language that it names"}},
		"no topics":                         {bundle("en", mood), "b", []string{"no head for topic"}},
		"other topics and another language": {bundle("zh", mood, "topic:Macro Gold"), "b", []string{"it reads zh", "its labels of topic are Macro, Gold, the live one's Macro, Oil"}},
	} {
		err := misfit([]string{"a", "b"}, c.slot, live, c.new)
		if (err != nil) != (len(c.want) > 0) || err != nil && !errors.Is(err, errMisfit) {
			t.Errorf("%s: %v", name, err)
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q", name, err, want)
			}
		}
	}
}

// readsCompanies has a bundle read a text for a company.
func readsCompanies(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, "config.json")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(text), `"languages":`, `"entity_segment": true, "languages":`, 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// Of two bundles of a language, one for texts and one for companies, each takes its own kind's place.
func TestPromoteFindsThePlace(t *testing.T) {
	texts, companies := tinyBundle(t, filepath.Join(t.TempDir(), "texts"), "1", 0), readsCompanies(t, tinyBundle(t, filepath.Join(t.TempDir(), "companies"), "1", 0))
	for dir, want := range map[string]string{tinyBundle(t, t.TempDir(), "2", 17): texts, readsCompanies(t, tinyBundle(t, t.TempDir(), "2", 17)): companies} {
		candidate, err := classify.OpenBundle(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, bundles := range [][]string{{texts, companies}, {companies, texts}} {
			if got, err := (promotion{}).place(classifyConfig{Bundles: bundles}, candidate); err != nil || got != want {
				t.Errorf("for companies %v: place %s, %v, want %s", candidate.EntitySegment, got, err, want)
			}
		}
	}
}

// A configured folder is found however --to writes it.
func TestPromoteFindsThePlaceHoweverItIsWritten(t *testing.T) {
	dir := t.TempDir()
	whole := tinyBundle(t, filepath.Join(dir, "models", "en"), "1", 0)
	t.Chdir(dir)
	for _, configured := range []string{"models/en", "./models/en/", whole} {
		for _, to := range []string{"models/en", "models/en/", "./models/en", whole + "/"} {
			got, err := promotion{slot: to}.place(classifyConfig{Bundles: []string{configured}}, nil)
			if err != nil || got != configured {
				t.Errorf("--to %s, configured %s: place %s, %v", to, configured, got, err)
			}
		}
	}
	if got, err := (promotion{slot: "models"}).place(classifyConfig{Bundles: []string{"models/en"}}, nil); err != nil || got != "models" {
		t.Errorf("a folder that is not configured: %s, %v", got, err)
	}
	if got, err := (promotion{slot: "models/zh"}).place(classifyConfig{Bundles: []string{"models/en"}}, nil); err == nil {
		t.Errorf("a folder that there is not: %s", got)
	}
}

// What makes a bundle unfit for a place is said before rows are read, and --force overrules it.
func TestPromoteRefusesWhatDoesNotFit(t *testing.T) {
	slot := tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0)
	next := tinyBundle(t, t.TempDir(), "2", 17)
	chinese := tinyBundle(t, t.TempDir(), `3`, 17)
	path := filepath.Join(chinese, "config.json")
	text, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, []byte(strings.Replace(string(text), `"en"`, `"zh"`, 1)), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	company := readsCompanies(t, tinyBundle(t, t.TempDir(), "4", 17))
	config, rows := slotConfig(t, slot, ""), labelledBy(t, next)
	moods := filepath.Join(t.TempDir(), "moods.csv")
	if err := os.WriteFile(moods, []byte("text,sentiment\nw1 w2,positive\nw3,merry\n"), 0o644); err != nil { // which no reader of rows would take
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		bundle string
		data   []string
		is     error
		says   string
	}{
		"another language":         {chinese, []string{rows}, errMisfit, "it reads zh"},
		"for a company":            {company, []string{rows}, errMisfit, "it reads a text for a company, the live one as a whole"},
		"no rows for a head":       {next, []string{moods}, errNotBetter, "give --data topic=FILE"},
		"no such head":             {next, []string{"mood=" + rows}, nil, "no head for mood that both bundles have (they have sentiment, topic)"},
		"neither, of another head": {chinese, []string{moods}, errMisfit, "give --data topic=FILE"},
	} {
		args := []string{"model", "promote", c.bundle, "-c", config, "--to", slot}
		for _, d := range c.data {
			args = append(args, "--data", d)
		}
		_, err := commandLine(t, args...)
		if err == nil || c.is != nil && (!errors.Is(err, c.is) || !strings.Contains(err.Error(), "--force")) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %q", name, err, c.says)
		}
	}
	if said := mustRun(t, "model", "promote", chinese, "-c", config, "--to", slot, "--data", rows, "--force"); !strings.Contains(said, "forced, though") || !strings.Contains(said, "serves in") {
		t.Errorf("forced:\n%s", said)
	}
}

// TestPromoteFindsTheLabels wherever evaluate does: in SEntFiN's column for a bundle that reads
// companies, and in whichever row of JSON lines has them.
func TestPromoteFindsTheLabels(t *testing.T) {
	company := func(version string, shift int) string {
		return withoutTopics(t, readsCompanies(t, tinyBundle(t, filepath.Join(t.TempDir(), "company"), version, shift)))
	}
	dir := t.TempDir()
	companies, lines := filepath.Join(dir, "companies.csv"), filepath.Join(dir, "rows.jsonl")
	b, err := classify.OpenBundle(tinyBundle(t, t.TempDir(), "1", 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(os.WriteFile(companies, []byte("title,entities_json\nw1 w2 w3,\"{\"\"w1\"\":\"\"negative\"\",\"\"w2\"\":\"\"positive\"\"}\"\nw4 w5,\"{\"\"w4\"\":\"\"neutral\"\"}\"\n"), 0o644),
		os.WriteFile(lines, fmt.Appendf(nil, `{"text": "w1", "topic": %q}
{"text": "w2", "sentiment": "negative"}
`, b.Heads[1].Labels[0]), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		live, next, data string
		tables           []string
	}{
		{company("1", 0), company("2", 17), companies, []string{"sentiment     3"}},
		{tinyBundle(t, filepath.Join(t.TempDir(), "slot"), "1", 0), tinyBundle(t, t.TempDir(), "2", 17), lines, []string{"sentiment     1", "topic     1"}},
	} {
		said, err := commandLine(t, "model", "promote", c.next, "-c", slotConfig(t, c.live, ""), "--data", c.data)
		if err != nil && !errors.Is(err, errNotBetter) {
			t.Errorf("%s: %v", c.data, err)
		}
		for _, table := range c.tables {
			if !strings.Contains(said, table) {
				t.Errorf("%s: %q is not in\n%s", c.data, table, said)
			}
		}
	}
}
