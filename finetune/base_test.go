package finetune

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune/step"
	"github.com/barograph/barograph/internal/hub"
	"github.com/barograph/barograph/internal/testenv"
)

// The card of what is trained on a model from a hub names the commit, and not the machine it was on.
func TestTheCardNamesWhatWasPulled(t *testing.T) {
	j := &job{best: &fit{}, base: &base{checkpoint: &bert.Checkpoint{}, pulled: hub.Origin{Endpoint: "https://hub.example", Repo: "org/bert", Revision: "main", Commit: "4556d13"}}}
	card := &strings.Builder{}
	j.cardBase(card, Report{})
	if !strings.Contains(card.String(), "It was pulled from org/bert at commit 4556d13.") || strings.Contains(card.String(), "hub.example") {
		t.Errorf("the card says %s", card)
	}
}

// The tokenizer of bge-small-zh tells capitals apart, which transformers would not without being told.
func TestTransformersIsToldOfCapitals(t *testing.T) {
	for name, want := range map[string]string{"bge-small-zh-v1.5": `"do_lower_case": false`, "bge-small-en-v1.5": `"do_lower_case": true`} {
		dir := filepath.Join(testenv.Deps(t), "bases", name)
		j := &job{base: &base{folder: dir, dir: dir, checkpoint: &bert.Checkpoint{}}}
		files := map[string]writer{}
		if err := j.tokenizerFiles(files); err != nil || files["tokenizer_config.json"] == nil {
			t.Fatalf("%s: %v, %d files", name, err, len(files))
		}
		var said bytes.Buffer
		if err := files["tokenizer_config.json"](&said); err != nil || !strings.Contains(said.String(), want) {
			t.Errorf("%s: %v\n%s", name, err, said.String())
		}
	}
}

// An adapter is trained further with its own dropout, which may be one that nothing is learnt with.
func TestAnAdapterKeepsItsDropout(t *testing.T) {
	tiny := filepath.Join("..", "classify", "bert", "testdata", "tiny")
	bases := []string{filepath.Join(tiny, "bases")}
	for says, want := range map[string]error{`"lora_dropout": 0.1`: nil, `"lora_dropout": 1.0`: ErrBase} {
		dir := t.TempDir()
		path := filepath.Join(dir, "adapter_config.json")
		err := errors.Join(os.CopyFS(dir, os.DirFS(filepath.Join(tiny, "lora-list"))),
			os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte("[PAD]\n[UNK]\n[CLS]\n[SEP]\nup\ndown"), 0o644))
		if err != nil {
			t.Fatal(err)
		}
		config, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, bytes.Replace(config, []byte(`"lora_dropout": 0.1`), []byte(says), 1), 0o644); err != nil {
			t.Fatal(err)
		}
		s := Defaults(step.LoRA)
		if _, err = openBase(dir, bases, &s); !errors.Is(err, want) || want == nil && s.LoRADropout != 0.1 {
			t.Errorf("%s: dropout %g (%v)", says, s.LoRADropout, err)
		}
	}
}
