package finetune

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune/step"
	"github.com/barograph/barograph/internal/digest"
	"github.com/barograph/barograph/internal/hub"
	"github.com/barograph/barograph/news"
)

// ErrBase is wrapped by errors about a base that cannot be trained on as asked.
var ErrBase = errors.New("cannot train on this base")

// base is what training begins with.
type base struct {
	checkpoint *bert.Checkpoint
	tokenizer  classify.Tokenizer
	folder     string       // as given
	dir        string       // of the checkpoint that an adapter is for
	adapter    bool         // an adapter is continued
	name       string       // by which an adapter on it finds it in a folder of bases
	sha256     string       // of its model.safetensors
	kept       *bert.Bundle // of the bundle that is continued, nil for a bare base
	heads      []bert.Head  // that it has
	pulled     hub.Origin   // of dir; zero where it was not pulled
	init       map[string][]float32
}

// openBase opens a folder in Hugging Face's layout, or a bundle, which is continued: its
// heads, and in LoRA mode its adapter, are what training begins with. In the other modes
// an adapter is merged first. Where others were promoted into the bundle's place, it is the
// one that is live there.
func openBase(dir string, bases []string, s *Settings) (*base, error) {
	given, err := filepath.Abs(dir) // its name counts
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(given); err == nil && !info.IsDir() {
		return nil, fmt.Errorf("%w: %s is a file; a base or a bundle is a folder", ErrBase, given)
	}
	if dir, err = classify.Live(given); err != nil {
		return nil, err
	}
	config, err := bert.ReadConfig(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is no base model and no bundle: %w", ErrBase, given, err)
	}
	if err != nil {
		return nil, err
	}
	b := &base{folder: dir, dir: dir, init: map[string][]float32{}, kept: config.Barograph}
	_, err = os.Stat(filepath.Join(dir, "adapter_config.json"))
	adapter := err == nil
	if adapter {
		if b.dir, err = b.adapterBase(dir, config, bases); err != nil {
			return nil, err
		}
	}
	whole, err := bert.Open(dir, bases)
	if err != nil {
		return nil, err
	}
	b.checkpoint, b.heads = whole, whole.Heads()
	prefix := ""
	if s.Mode == step.LoRA {
		prefix = "base_model.model."
	}
	if adapter && s.Mode == step.LoRA {
		if b.checkpoint, err = bert.Open(b.dir, nil); err != nil {
			return nil, err
		}
		b.adapter = true
		b.checkpoint.Config.Barograph = &bert.Bundle{Pooling: whole.Config.Pooling()}
		if err := b.continueAdapter(dir, s); err != nil {
			return nil, err
		}
	}
	b.initHeads(whole, prefix)
	if b.tokenizer, err = classify.OpenTokenizer(dir, b.dir); err != nil {
		return nil, err
	}
	b.name = filepath.Base(b.dir)
	if b.dir != given && b.dir == dir { // promoted: its folder is named by its digest
		promoted, err := classify.OpenBundle(given, bases)
		if err != nil {
			return nil, err
		}
		b.name = path.Base(promoted.Name)
	}
	if b.pulled, err = hub.ReadOrigin(b.dir); err != nil {
		return nil, err
	}
	b.sha256, err = digest.File(filepath.Join(b.dir, "model.safetensors"))
	return b, err
}

// adapterBase finds the folder of an adapter's base.
func (b *base) adapterBase(dir string, config bert.Config, bases []string) (string, error) {
	if config.Barograph != nil && config.Barograph.Base.Name != "" {
		return bert.FindBase(config.Barograph.Base.Name, bases)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	if err != nil {
		return "", err
	}
	var adapter struct {
		Base string `json:"base_model_name_or_path"`
	}
	if err := json.Unmarshal(raw, &adapter); err != nil {
		return "", fmt.Errorf("reading %s/adapter_config.json: %w", dir, err)
	}
	return bert.FindBase(adapter.Base[strings.LastIndexByte(adapter.Base, '/')+1:], bases)
}

// continueAdapter takes the adapter's weights as first values, and its rank, alpha, targets
// and dropout, as PEFT does: another rank would be another adapter.
func (b *base) continueAdapter(dir string, s *Settings) error {
	raw, err := os.ReadFile(filepath.Join(dir, "adapter_config.json"))
	if err != nil {
		return err
	}
	var adapter struct {
		Rank    int             `json:"r"`
		Alpha   float64         `json:"lora_alpha"`
		Dropout float64         `json:"lora_dropout"`
		RSLoRA  bool            `json:"use_rslora"`
		Ranks   json.RawMessage `json:"rank_pattern"`
		Alphas  json.RawMessage `json:"alpha_pattern"`
	}
	if err := json.Unmarshal(raw, &adapter); err != nil {
		return fmt.Errorf("reading %s/adapter_config.json: %w", dir, err)
	}
	plain := func(r json.RawMessage) bool { return len(r) == 0 || string(r) == "{}" || string(r) == "null" }
	if adapter.RSLoRA || !plain(adapter.Ranks) || !plain(adapter.Alphas) {
		return fmt.Errorf("%w: %s has an adapter of several ranks or of rsLoRA: merge it by --full, or begin from its base", ErrBase, dir)
	}
	if !(adapter.Dropout >= 0 && adapter.Dropout < 1) {
		return fmt.Errorf("%w: lora_dropout is %g in %s/adapter_config.json; it must be 0 to under 1", ErrBase, adapter.Dropout, dir)
	}
	tensors, err := bert.ReadTensors(filepath.Join(dir, "adapter_model.safetensors"))
	if err != nil {
		return err
	}
	s.Rank, s.Alpha, s.Targets, s.LoRADropout = adapter.Rank, adapter.Alpha, nil, adapter.Dropout
	pairs := 0
	for name, t := range tensors {
		name = strings.Replace(name, ".default.", ".", 1)
		name = strings.Replace(name, ".modules_to_save.", ".", 1)
		b.init[name] = t.Data
		if module, ok := strings.CutSuffix(name, ".lora_A.weight"); ok {
			pairs++
			if kind := kindOf(module); !slices.Contains(s.Targets, kind) {
				s.Targets = append(s.Targets, kind)
			}
		}
	}
	slices.Sort(s.Targets)
	if layers := b.checkpoint.Config.Layers; pairs != len(s.Targets)*layers {
		return fmt.Errorf("%w: the adapter in %s has %d pairs for %d kinds of linear layers in %d encoder layers: merge it by --full, or begin from its base",
			ErrBase, dir, pairs, len(s.Targets), layers)
	}
	return nil
}

// allLinears are an encoder layer's linear layers, as PEFT's target_modules names them.
var allLinears = []string{"query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"}

// kindOf is which of them a module is, "" for none.
func kindOf(module string) string {
	for _, l := range allLinears {
		if module == l || strings.HasSuffix(module, "."+l) {
			return l
		}
	}
	return ""
}

// initHeads takes the heads' weights, under the names that package step gives them.
func (b *base) initHeads(whole *bert.Checkpoint, prefix string) {
	model, heads := whole.Tensors()
	for name, t := range heads {
		b.init[name] = t.Data
	}
	for _, name := range []string{"classifier.weight", "classifier.bias"} {
		if t, ok := model[name]; ok {
			b.init[prefix+name] = t.Data
		}
	}
}

// withTasks are the base's heads and, after them, new ones for the tasks that it lacks:
// sentiment first, which is then the checkpoint's own classifier.
func (b *base) withTasks(tasks []string) []bert.Head {
	heads := slices.Clone(b.heads)
	tasks = slices.Compact(slices.Sorted(slices.Values(tasks)))
	if i := slices.Index(tasks, news.TaskSentiment); i >= 0 {
		tasks = slices.Insert(slices.Delete(tasks, i, i+1), 0, news.TaskSentiment)
	}
	for _, task := range tasks {
		if !slices.ContainsFunc(heads, func(h bert.Head) bool { return h.Task == task }) {
			heads = append(heads, bert.Head{Task: task})
		}
	}
	return heads
}

// readsEntity tells whether the bundle that is continued reads an entity after the text.
func (b *base) readsEntity() bool { return b.kept != nil && b.kept.EntitySegment }

// inTokens are the texts as the base was taught to read them, to ask it: an entity goes in after
// the text only where it reads one.
func (b *base) inTokens(examples []*Example, most int) ([]*Example, error) {
	out := make([]*Example, len(examples))
	for i, e := range examples {
		entity := e.Entity
		if !b.readsEntity() {
			entity = ""
		}
		ids, types, _, err := b.tokenizer.Pair(e.Text, entity, min(most, b.checkpoint.Config.MaxPositions))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.At, err)
		}
		out[i] = &Example{ids: ids, types: types}
	}
	return out, nil
}
