// Package bert turns a checkpoint of the BERT family in Hugging Face's layout
// (config.json, model.safetensors, or a PEFT LoRA adapter on a base) into an ONNX graph
// for inference, and archives, PyTorch's ONNX exports and TensorFlow SavedModels into that layout.
//
// It needs neither ONNX Runtime nor Python: the graph's bytes are for classify/onnx.
package bert

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ErrCheckpoint is wrapped by errors about weights that are missing or do not fit.
var ErrCheckpoint = errors.New("cannot use this checkpoint")

// Checkpoint is a model in memory: float32 weights, with an adapter merged into them.
// Nothing changes it, so it may be used by several goroutines.
type Checkpoint struct {
	Config  Config // an adapter's own over its base's
	weights weightSet
	heads   []loadedHead
}

// loadedHead is a head and where its weights are.
type loadedHead struct {
	Head
	weight, bias tensor // [labels, hidden], [labels]
}

// Open reads the checkpoint in dir: model.safetensors (F32, F16 or BF16; names with or
// without "bert.", gamma and beta for LayerNorm's), or a PEFT LoRA adapter
// (adapter_config.json, adapter_model.safetensors) on a base. The base is the folder
// under one of bases that has the name barograph.base.name or, without it, the last
// element of the adapter's base_model_name_or_path; the sha256 of its model.safetensors
// is compared with barograph.base.sha256 where that is given.
//
// The first head of Config.Heads is classifier.weight and .bias, every other one
// TASK.weight [labels, hidden] and TASK.bias [labels] in heads.safetensors, where the
// first may be too. A checkpoint without any of them has no heads: a base to train on.
//
// Errors name the file and the tensor, and wrap ErrConfig, ErrSafetensors, ErrAdapter,
// ErrCheckpoint or fs.ErrNotExist.
func Open(dir string, bases []string) (*Checkpoint, error) {
	c := &Checkpoint{weights: weightSet{map[string]tensor{}, map[string]string{}}}
	open := c.openFull
	if _, err := os.Stat(filepath.Join(dir, adapterConfigFile)); err == nil {
		open = func(dir string) error { return c.openAdapter(dir, bases) }
	}
	if err := open(dir); err != nil {
		return nil, err
	}
	if err := c.Config.checkSizes(); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "config.json"), err)
	}
	if err := c.checkEncoder(dir); err != nil {
		return nil, err
	}
	if err := c.loadHeads(dir); err != nil {
		return nil, err
	}
	return c, c.checkPooling(dir)
}

const weightsName = "model.safetensors"

func (c *Checkpoint) openFull(dir string) (err error) {
	if c.Config, err = ReadConfig(dir); err != nil {
		return err
	}
	path := filepath.Join(dir, weightsName)
	w, err := openWeights(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w (a model in several files or in pytorch_model.bin must be saved as one %s)", err, weightsName)
	}
	if err != nil {
		return err
	}
	defer w.close()
	return c.weights.load(w)
}

// checkEncoder checks that every weight of the encoder is there and has the shape that
// the config makes it.
func (c *Checkpoint) checkEncoder(dir string) error {
	file := filepath.Join(dir, weightsName)
	for _, s := range c.Config.encoderShapes() {
		if err := c.weights.need(s.name, s.shape, file); err != nil {
			return err
		}
	}
	if t, ok := c.weights.tensors[typeEmbeddings]; ok {
		if len(t.shape) != 2 || t.shape[0] < 1 || t.shape[1] != c.Config.HiddenSize {
			return c.weights.need(typeEmbeddings, []int{c.Config.TypeVocabSize, c.Config.HiddenSize}, file)
		}
		c.Config.TypeVocabSize = t.shape[0]
	}
	return nil
}

// loadHeads finds the heads' weights. No head at all is fine, some of several is not.
func (c *Checkpoint) loadHeads(dir string) error {
	extra := weightSet{map[string]tensor{}, map[string]string{}}
	path := filepath.Join(dir, "heads.safetensors")
	w, err := openWeights(path)
	switch {
	case err == nil:
		defer w.close()
		if err := extra.load(w); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	if len(extra.tensors) == 0 && c.weights.tensors["classifier.weight"].data == nil &&
		(c.Config.Barograph == nil || len(c.Config.Barograph.Heads) == 0) {
		return nil
	}
	for i, h := range c.headsFor() {
		set, name, file := &extra, h.Task, path
		if _, ok := extra.tensors[h.Task+".weight"]; !ok && i == 0 {
			set, name, file = &c.weights, "classifier", filepath.Join(dir, weightsName)
		}
		if err := set.need(name+".weight", []int{len(h.Labels), c.Config.HiddenSize}, file); err != nil {
			return fmt.Errorf("head %s: %w", h.Task, err)
		}
		if err := set.need(name+".bias", []int{len(h.Labels)}, file); err != nil {
			return fmt.Errorf("head %s: %w", h.Task, err)
		}
		c.heads = append(c.heads, loadedHead{h, set.tensors[name+".weight"], set.tensors[name+".bias"]})
	}
	return nil
}

// headsFor is Config.Heads, but a classifier without id2label has as many labels as
// its weights have rows.
func (c *Checkpoint) headsFor() []Head {
	heads := c.Config.Heads()
	w, ok := c.weights.tensors["classifier.weight"]
	named := len(c.Config.Labels) > 0 || (c.Config.Barograph != nil && len(c.Config.Barograph.Heads) > 0)
	if named || !ok || len(w.shape) != 2 {
		return heads
	}
	heads[0].Labels = nil
	for i := range w.shape[0] {
		heads[0].Labels = append(heads[0].Labels, fmt.Sprintf("LABEL_%d", i))
	}
	return heads
}

func (c *Checkpoint) checkPooling(dir string) error {
	if len(c.heads) == 0 || c.Config.Pooling() != PoolPooler {
		return nil
	}
	d, file := c.Config.HiddenSize, filepath.Join(dir, weightsName)
	if _, ok := c.weights.tensors[poolerName+".weight"]; !ok {
		return fmt.Errorf("%s: %w: it has no pooler (%s.weight): say \"pooling\": \"cls\" or \"mean\" in config.json's section barograph",
			file, ErrCheckpoint, poolerName)
	}
	if err := c.weights.need(poolerName+".weight", []int{d, d}, file); err != nil {
		return err
	}
	return c.weights.need(poolerName+".bias", []int{d}, file)
}

const poolerName = "pooler.dense"

// Heads lists the heads that the checkpoint has weights for, in the order of the
// graph's outputs.
func (c *Checkpoint) Heads() []Head {
	heads := make([]Head, len(c.heads))
	for i, h := range c.heads {
		heads[i] = h.Head
		heads[i].Labels = slices.Clone(h.Labels)
	}
	return heads
}

// FindBase is the folder under one of bases where the base of that name is: one with a
// model.safetensors.
func FindBase(name string, bases []string) (string, error) {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, `/\`) {
		return "", fmt.Errorf("%w: base %q is not a plain name: set barograph.base.name in config.json", ErrAdapter, name)
	}
	for _, dir := range bases {
		folder := filepath.Join(dir, name)
		if _, err := os.Stat(filepath.Join(folder, weightsName)); err == nil {
			return folder, nil
		}
	}
	return "", fmt.Errorf("%w: base %s: %w in %s: import or pull it first", ErrAdapter, name, fs.ErrNotExist, strings.Join(bases, ", "))
}
