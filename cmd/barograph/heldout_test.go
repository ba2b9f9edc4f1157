package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barograph/barograph/finetune"
)

// TestOnRowsItWasTrainedOn no bundle is judged: finetune writes down the file and the split, and
// evaluate and promote look there.
func TestOnRowsItWasTrainedOn(t *testing.T) {
	dir := t.TempDir()
	live := tinyBundle(t, filepath.Join(dir, "live"), "1", 0)
	config, rows := slotConfig(t, live, ""), labelledBy(t, live)
	other := filepath.Join(dir, "other.csv")
	content, err := os.ReadFile(rows)
	if err == nil {
		err = os.WriteFile(other, content[:len(content)/2+strings.IndexByte(string(content[len(content)/2:]), '\n')+1], 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	trained := func(name string, more ...string) string {
		t.Helper()
		out := filepath.Join(dir, name)
		mustRun(t, append([]string{"finetune", "--task", "sentiment", "--train", rows, "--base", live, "--head-only", "--steps", "1", "--threads", "1",
			"--languages", "en", "--out", out}, more...)...)
		return out
	}
	stratified, hashed, whole := trained("stratified"), trained("hashed", "--split", "hash"), trained("whole", "--valid", other)
	card, err := os.ReadFile(filepath.Join(stratified, "README.md"))
	if err != nil || !strings.Contains(string(card), "--split stratified") {
		t.Errorf("%v; the card says nothing of the split:\n%s", err, card)
	}
	further := filepath.Join(dir, "further")
	mustRun(t, "finetune", "--task", "sentiment", "--train", other, "--split", "hash", "--base", stratified, "--head-only", "--steps", "1", "--threads", "1", "--out", further)
	for base, split := range map[string]string{stratified: "stratified", hashed: "hash"} { // what each held back, it holds back again
		for _, how := range []string{"stratified", "hash"} {
			_, err := commandLine(t, "finetune", "--task", "sentiment", "--train", rows, "--split", how, "--base", base, "--head-only", "--steps", "1",
				"--threads", "1", "--out", filepath.Join(t.TempDir(), "again"))
			if how == split && err != nil || how != split && (!errors.Is(err, finetune.ErrTrainedOn) || !strings.Contains(err.Error(), "--split "+split)) {
				t.Errorf("%s, then --split %s: %v", base, how, err)
			}
		}
	}
	for name, c := range map[string]struct {
		dir, data, split string
		refused, warned  bool
	}{
		"stratified":                        {stratified, rows, "validation", true, false},
		"stratified, another file":          {stratified, other, "validation", false, false},
		"stratified, all rows":              {stratified, rows, "all", false, true},
		"hash":                              {hashed, rows, "validation", false, false},
		"hash, all rows":                    {hashed, rows, "all", false, true},
		"no split, for there was --valid":   {whole, rows, "validation", true, false},
		"trained further on other rows":     {further, other, "validation", false, false},
		"trained further, the first's rows": {further, rows, "validation", true, false},
	} {
		said, err := commandLine(t, "evaluate", "-c", config, "--model", c.dir, "--data", c.data, "--split", c.split)
		if errors.Is(err, finetune.ErrTrainedOn) != c.refused || (err != nil) != c.refused || strings.Contains(said, "brighter") != c.warned {
			t.Errorf("%s: evaluate: %v\n%s", name, err, said)
		}
		said, err = commandLine(t, "model", "promote", c.dir, "-c", config, "--to", live, "--data", c.data, "--split", c.split)
		if errors.Is(err, finetune.ErrTrainedOn) != (c.refused || c.warned) || err == nil {
			t.Errorf("%s: promote: %v\n%s", name, err, said)
		}
	}
	if said := mustRun(t, "model", "promote", stratified, "-c", config, "--to", live, "--data", rows, "--force"); !strings.Contains(said, "forced, though") {
		t.Errorf("forced:\n%s", said)
	}
}
