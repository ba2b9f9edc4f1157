package bert

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/barograph/barograph/internal/digest"
)

// ErrAdapter is wrapped by every error about a PEFT adapter or its base.
var ErrAdapter = errors.New("cannot use this adapter")

const adapterName = "adapter_model.safetensors"

// openAdapter reads the base, lays the adapter's config.json over the base's, and
// merges the adapter's products into the base's weights.
func (c *Checkpoint) openAdapter(dir string, bases []string) error {
	adapter, err := readAdapterConfig(dir)
	if err != nil {
		return err
	}
	own, err := ReadConfig(dir)
	if err != nil {
		return err
	}
	name, digest := path.Base(adapter.Base), ""
	if own.Barograph != nil && own.Barograph.Base.Name != "" {
		name, digest = own.Barograph.Base.Name, own.Barograph.Base.SHA256
	}
	base, err := FindBase(name, bases)
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := checkDigest(filepath.Join(base, weightsName), digest); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if err := c.openFull(base); err != nil {
		return err
	}
	if err := c.layOver(dir); err != nil {
		return err
	}
	w, err := openWeights(filepath.Join(dir, adapterName))
	if err != nil {
		return err
	}
	defer w.close()
	return c.merge(w, adapter)
}

func checkDigest(path, want string) error {
	if want == "" {
		return nil
	}
	got, err := digest.File(path)
	if err != nil {
		return err
	}
	if !strings.EqualFold(got, want) {
		return fmt.Errorf("%w: %s has sha256 %s, the adapter was trained on %s", ErrAdapter, path, got, want)
	}
	return nil
}

// layOver reads dir's config.json over the base's. Sizes may be repeated there, but not
// differently.
func (c *Checkpoint) layOver(dir string) error {
	base := c.Config
	c.Config.Labels, c.Config.Barograph = nil, nil // a map would be merged
	if err := c.Config.read(dir); err != nil {
		return err
	}
	for _, s := range []struct {
		key       string
		own, base any
	}{
		{"hidden_size", c.Config.HiddenSize, base.HiddenSize},
		{"num_hidden_layers", c.Config.Layers, base.Layers},
		{"num_attention_heads", c.Config.AttentionHeads, base.AttentionHeads},
		{"intermediate_size", c.Config.IntermediateSize, base.IntermediateSize},
		{"vocab_size", c.Config.VocabSize, base.VocabSize},
		{"hidden_act", c.Config.HiddenAct, base.HiddenAct},
		{"layer_norm_eps", c.Config.LayerNormEps, base.LayerNormEps},
	} {
		if s.own != s.base {
			return fmt.Errorf("%s: %w: %s is %v, its base's is %v", filepath.Join(dir, "config.json"), ErrConfig, s.key, s.own, s.base)
		}
	}
	return nil
}

// merge adds scale * B A to every weight that the adapter has a pair for, and replaces
// the modules that were saved whole (modules_to_save).
func (c *Checkpoint) merge(w *weightsFile, a adapterConfig) error {
	pairs, saved, err := sortAdapter(w)
	if err != nil {
		return err
	}
	for _, module := range slices.Sorted(maps.Keys(pairs)) {
		if !a.targets(module) {
			return fmt.Errorf("%s: %w: it has a pair for %q, which target_modules does not name", w.path, ErrAdapter, module)
		}
		if err := c.mergePair(w, a, module, pairs[module]); err != nil {
			return err
		}
	}
	if err := c.checkTargets(w, a, pairs); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(saved)) {
		if !a.saves(strings.TrimSuffix(strings.TrimSuffix(name, ".weight"), ".bias")) {
			return fmt.Errorf("%s: %w: tensor %q belongs to no pair and to no module of modules_to_save", w.path, ErrAdapter, name)
		}
		t, err := w.read(saved[name])
		if err != nil {
			return err
		}
		short := canonicalName(name)
		if old, ok := c.weights.tensors[short]; ok && !strings.HasPrefix(short, "classifier.") && !slices.Equal(old.shape, t.shape) {
			return fmt.Errorf("%s: %w: tensor %q has shape %v, its base's %v", w.path, ErrAdapter, name, t.shape, old.shape)
		}
		c.weights.tensors[short], c.weights.origin[short] = t, w.path
	}
	return nil
}

// loraPair is the names of A [rank, in] and B [out, rank] in the file.
type loraPair struct{ a, b string }

// sortAdapter tells the adapter's pairs, by module, from tensors that were saved whole,
// by their name in the model. PEFT's keys begin with "base_model.model.".
func sortAdapter(w *weightsFile) (map[string]loraPair, map[string]string, error) {
	pairs, saved := map[string]loraPair{}, map[string]string{}
	for _, key := range w.names() {
		name, ok := strings.CutPrefix(key, "base_model.model.")
		if !ok {
			return nil, nil, fmt.Errorf("%s: %w: tensor %q does not begin with base_model.model.", w.path, ErrAdapter, key)
		}
		// The name of the adapter stands in keys that were not saved by PEFT itself.
		name = strings.Replace(name, ".default.", ".", 1)
		name = strings.Replace(name, ".modules_to_save.", ".", 1)
		if module, ok := strings.CutSuffix(name, ".lora_A.weight"); ok {
			pairs[module] = loraPair{key, pairs[module].b}
		} else if module, ok := strings.CutSuffix(name, ".lora_B.weight"); ok {
			pairs[module] = loraPair{pairs[module].a, key}
		} else if strings.Contains(name, ".lora_") {
			return nil, nil, fmt.Errorf("%s: %w: tensor %q: only lora_A and lora_B of linear layers are supported", w.path, ErrAdapter, key)
		} else {
			saved[name] = key
		}
	}
	return pairs, saved, nil
}

// mergePair computes W += scale * B A in float32, as PEFT's merge does.
func (c *Checkpoint) mergePair(w *weightsFile, cfg adapterConfig, module string, p loraPair) error {
	name := canonicalName(module) + ".weight"
	base, ok := c.weights.tensors[name]
	if !ok || len(base.shape) != 2 || strings.HasPrefix(name, "embeddings.") {
		return fmt.Errorf("%s: %w: it adapts %q, which is no linear layer of the base", w.path, ErrAdapter, module)
	}
	if p.a == "" || p.b == "" {
		return fmt.Errorf("%s: %w: lora_A or lora_B of %q is missing", w.path, ErrAdapter, module)
	}
	a, err := w.read(p.a)
	if err != nil {
		return err
	}
	b, err := w.read(p.b)
	if err != nil {
		return err
	}
	rank, alpha := cfg.rankOf(module)
	out, in := base.shape[0], base.shape[1]
	if !slices.Equal(a.shape, []int{rank, in}) || !slices.Equal(b.shape, []int{out, rank}) {
		return fmt.Errorf("%s: %w: %s has lora_A %v and lora_B %v; rank %d on %v needs [%d %d] and [%d %d]",
			w.path, ErrAdapter, module, a.shape, b.shape, rank, base.shape, rank, in, out, rank)
	}
	scale := alpha / float64(rank)
	if cfg.RSLoRA { // Kalajdzievski 2023, "A Rank Stabilization Scaling Factor for Fine-Tuning with LoRA"
		scale = alpha / math.Sqrt(float64(rank))
	}
	base.addProduct(a, b, scale)
	return nil
}

// checkTargets checks the other way round that no targeted layer lacks its pair: an
// adapter that was cut off must not pass for a weaker one.
func (c *Checkpoint) checkTargets(w *weightsFile, a adapterConfig, pairs map[string]loraPair) error {
	prefix := ""
	for module := range pairs {
		if strings.HasPrefix(module, "bert.") {
			prefix = "bert."
		}
	}
	for i := range c.Config.Layers {
		for _, l := range linears {
			module := prefix + layerName(i) + l
			if _, ok := pairs[module]; !ok && a.targets(module) {
				return fmt.Errorf("%s: %w: target_modules names %q, for which it has no pair", w.path, ErrAdapter, module)
			}
		}
	}
	return nil
}
