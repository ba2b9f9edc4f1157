package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/internal/hub"
	"github.com/barograph/barograph/internal/hubfake"
	"github.com/barograph/barograph/internal/testenv"
)

// hubModel is a tiny checkpoint in the shape of FinBERT: labels in another order and case, a
// vocab.txt and no tokenizer.json.
func hubModel(t *testing.T) *hubfake.Model {
	t.Helper()
	m := &hubfake.Model{Files: map[string][]byte{"tokenizer_config.json": []byte(`{"do_lower_case":true}`), "README.md": []byte("# A card\n"),
		"pytorch_model.bin": []byte("pickle")}, Large: []string{"model.safetensors"}}
	words := filepath.Join(tinyBundle(t, t.TempDir(), "1", 0), "vocab.txt")
	source := filepath.Join(testenv.Root(t), "classify", "bert", "testdata", "tiny", "hub")
	for name, path := range map[string]string{"vocab.txt": words, "config.json": filepath.Join(source, "config.json"),
		"model.safetensors": filepath.Join(source, "model.safetensors")} {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m.Files[name] = content
	}
	return m
}

func TestModelPull(t *testing.T) {
	m := hubModel(t)
	unnamed := hubModel(t)
	unnamed.Files["config.json"] = []byte(strings.NewReplacer("Positive", "LABEL_0", "negative", "LABEL_1", "Neutral", "LABEL_2").
		Replace(string(m.Files["config.json"])))
	pickled := hubModel(t)
	delete(pickled.Files, "model.safetensors")
	damaged := hubModel(t)
	damaged.Files["model.safetensors"] = damaged.Files["model.safetensors"][:9000]
	base := hubModel(t)
	for name, path := range map[string]string{"config.json": "config.json", "model.safetensors": "model.safetensors"} {
		content, err := os.ReadFile(filepath.Join(testenv.Root(t), "classify", "bert", "testdata", "tiny", "bases", "base", path))
		if err != nil {
			t.Fatal(err)
		}
		base.Files[name] = content
	}
	gated := hubModel(t)
	gated.Gated = true
	s := hubfake.Start(t, map[string]*hubfake.Model{"org/finbert": m, "org/unnamed": unnamed, "org/pickled": pickled,
		"org/damaged": damaged, "org/base": base, "org/gated": gated})
	t.Setenv("HF_ENDPOINT", s.URL)
	folder := t.TempDir()
	out := func(name string) string { return filepath.Join(folder, name) }

	said := mustRun(t, "model", "pull", "org/finbert", "--out", out("finbert"))
	if !strings.Contains(said, "sentiment (positive, negative, neutral)") {
		t.Errorf("pull says\n%s", said)
	}
	b, err := classify.OpenBundle(out("finbert"), nil)
	if err != nil || b.Name != "finbert" {
		t.Errorf("the bundle is %+v, %v", b, err)
	}
	if o, err := hub.ReadOrigin(out("finbert")); err != nil || o != (hub.Origin{Endpoint: s.URL, Repo: "org/finbert", Revision: "main", Commit: hubfake.Commit}) {
		t.Errorf("it says it is of %+v (%v)", o, err)
	}
	if said = mustRun(t, "model", "list", folder); strings.Count(said, "\n") != 2 {
		t.Errorf("the list:\n%s", said)
	}
	items := filepath.Join(t.TempDir(), "items.jsonl")
	if err := os.WriteFile(items, []byte(`{"text":"W1 w2"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if said = mustRun(t, "classify", items, "--model", out("finbert")); !strings.Contains(said, `"model":{"name":"finbert"`) {
		t.Errorf("classify says\n%s", said)
	}

	if said = mustRun(t, "model", "pull", "org/unnamed", "--out", out("named"), "--labels", "positive,negative,neutral"); !strings.Contains(said, "sentiment") {
		t.Errorf("with labels, pull says\n%s", said)
	}
	if said = mustRun(t, "model", "pull", "org/base", "--out", out("base")); !strings.Contains(said, "a base of 2 layers × 16") {
		t.Errorf("of a base, pull says\n%s", said)
	}
	for _, c := range []struct {
		name string
		want error
	}{{"org/unnamed", classify.ErrBundle}, {"org/pickled", hub.ErrFiles}, {"org/damaged", nil}, {"org/nothing", hub.ErrAccess}, {"org/gated", hub.ErrAccess}} {
		_, err := commandLine(t, "model", "pull", c.name, "--out", out("refused"))
		if err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if _, err := os.Stat(out("refused")); err == nil {
			t.Errorf("%s: the folder is there all the same", c.name)
		}
	}
	t.Setenv("HF_TOKEN", hubfake.Token)
	mustRun(t, "model", "pull", "org/gated", "--out", out("gated")+string(filepath.Separator)) // as a shell completes it
	if _, err := commandLine(t, "model", "pull", "org/finbert", "--out", out("finbert")); err == nil {
		t.Error("a folder that is there was pulled over")
	}
}

// A config.json that is no object, as a hub may give it, is an error and not a panic.
func TestLabelsOfNoObject(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.json")
	for _, text := range []string{"null", "[]", "{"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := nameLabels(path, []string{"negative", "neutral", "positive"}); err == nil {
			t.Errorf("%s was given labels", text)
		}
	}
}
