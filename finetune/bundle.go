package finetune

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/finetune/step"
	"github.com/barograph/barograph/internal/disk"
)

// writeBundle writes all that the bundle classifies with into a folder: the adapter, or
// the whole checkpoint, the heads, config.json and the tokenizer.
func (j *job) writeBundle(dir string) error {
	files, err := j.weightFiles()
	if err != nil {
		return err
	}
	if err := j.tokenizerFiles(files); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := writeFile(filepath.Join(dir, name), files[name]); err != nil {
			return fmt.Errorf("writing %s: %w", name, err)
		}
	}
	return j.writeConfig(dir, "", "")
}

type writer = func(io.Writer) error

func (j *job) weightFiles() (map[string]writer, error) {
	files := map[string]writer{}
	model, heads := map[string]bert.Tensor{}, map[string]bert.Tensor{}
	name := "model.safetensors"
	if j.best.settings.Mode == step.LoRA {
		name = "adapter_model.safetensors"
		for key, t := range j.trainer.Weights() {
			if strings.HasPrefix(key, "base_model.model.") {
				model[key] = t
			} else {
				heads[key] = t
			}
		}
		files["adapter_config.json"] = func(w io.Writer) error { return writeJSON(w, j.adapterConfig()) }
	} else {
		checkpoint, err := j.trainer.Checkpoint(j.heads)
		if err != nil {
			return nil, err
		}
		model, heads = checkpoint.Tensors()
	}
	files[name] = func(w io.Writer) error { return bert.WriteSafetensors(w, model) }
	if len(heads) > 0 {
		files["heads.safetensors"] = func(w io.Writer) error { return bert.WriteSafetensors(w, heads) }
	}
	return files, nil
}

// adapterConfig is PEFT's LoraConfig.
func (j *job) adapterConfig() map[string]any {
	s := j.best.settings
	targets := s.Targets
	if len(targets) == 0 {
		targets = allLinears
	}
	alpha := s.Alpha
	if alpha == 0 {
		alpha = 2 * float64(s.Rank)
	}
	return map[string]any{
		"peft_type": "LORA", "task_type": "SEQ_CLS", "base_model_name_or_path": j.base.name, "r": s.Rank, "lora_alpha": alpha,
		"lora_dropout": s.LoRADropout, "target_modules": targets, "modules_to_save": []string{"classifier", "pooler"}, "bias": "none",
		"fan_in_fan_out": false, "init_lora_weights": true, "inference_mode": true,
	}
}

// tokenizerFiles copies the tokenizer: the bundle's that is continued, or the base's.
func (j *job) tokenizerFiles(files map[string]writer) error {
	for _, dir := range []string{j.base.folder, j.base.dir} {
		for _, name := range []string{"tokenizer.json", "vocab.txt", "tokenizer_config.json"} {
			content, err := os.ReadFile(filepath.Join(dir, name))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return err
			}
			files[name] = func(w io.Writer) error { _, err := w.Write(content); return err }
		}
		if files["tokenizer.json"] != nil && files["tokenizer_config.json"] == nil {
			return j.tokenizerConfig(dir, files)
		}
		if files["tokenizer.json"] != nil || files["vocab.txt"] != nil {
			return nil
		}
	}
	return nil
}

// tokenizerConfig says of a tokenizer.json that has none beside it what transformers asks there: its
// BertTokenizerFast would else make all letters small, whatever tokenizer.json says.
func (j *job) tokenizerConfig(dir string, files map[string]writer) error {
	raw, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
	if err != nil {
		return err
	}
	var t struct {
		Normalizer struct {
			Type    string `json:"type"`
			Lower   bool   `json:"lowercase"`
			Accents *bool  `json:"strip_accents"`
			Chinese bool   `json:"handle_chinese_chars"`
		} `json:"normalizer"`
	}
	if err := json.Unmarshal(raw, &t); err != nil {
		return fmt.Errorf("reading %s/tokenizer.json: %w", dir, err)
	}
	if n := t.Normalizer; n.Type == "BertNormalizer" {
		files["tokenizer_config.json"] = func(w io.Writer) error {
			return writeJSON(w, map[string]any{"tokenizer_class": "BertTokenizer", "do_lower_case": n.Lower, "strip_accents": n.Accents,
				"tokenize_chinese_chars": n.Chinese, "model_max_length": j.base.checkpoint.Config.MaxPositions})
		}
	}
	return nil
}

// writeConfig writes config.json: the base's, with what was trained, and the precisions on the CPU
// and on CUDA where they are not the usual ones.
func (j *job) writeConfig(dir string, cpu, cuda bert.Precision) error {
	raw, err := os.ReadFile(filepath.Join(j.base.dir, "config.json"))
	if err != nil {
		return err
	}
	config := map[string]any{}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber() // 1e-12 stays as it is
	if err := decoder.Decode(&config); err != nil {
		return fmt.Errorf("reading %s/config.json: %w", j.base.dir, err)
	}
	labels, ids := map[string]string{}, map[string]int{}
	for i, l := range j.heads[0].Labels {
		labels[strconv.Itoa(i)], ids[l] = l, i
	}
	delete(config, "_name_or_path")
	maps.Copy(config, map[string]any{
		"model_type": "bert", "architectures": []string{"BertForSequenceClassification"}, "problem_type": "single_label_classification",
		"num_labels": len(labels), "id2label": labels, "label2id": ids, "barograph": j.section(cpu, cuda),
	})
	return writeFile(filepath.Join(dir, "config.json"), func(w io.Writer) error { return writeJSON(w, config) })
}

// section is Barograph's own part of config.json.
func (j *job) section(cpu, cuda bert.Precision) bert.Bundle {
	b := bert.Bundle{Name: j.Name, Version: j.Version, Languages: j.Languages, Pooling: j.base.checkpoint.Config.Pooling(),
		Heads: j.heads, EntitySegment: j.entities(), Precision: cpu, PrecisionCUDA: cuda}
	if b.Languages == nil && j.base.kept != nil {
		b.Languages = j.base.kept.Languages
	}
	b.TrainedOn = j.trainedOn()
	if j.best.settings.Mode == step.LoRA {
		b.Base = bert.Base{Name: j.base.name, SHA256: j.base.sha256}
	}
	return b
}

// trainedOn lists what the bundle was trained on, after what the bundle was that it continues.
func (j *job) trainedOn() []bert.TrainedOn {
	var out []bert.TrainedOn
	if j.base.kept != nil {
		out = slices.Clone(j.base.kept.TrainedOn)
	}
	for _, s := range j.Train {
		rows := j.heldBack(s)
		if !slices.ContainsFunc(out, func(o bert.TrainedOn) bool { return reflect.DeepEqual(o, rows) }) {
			out = append(out, rows)
		}
	}
	return out
}

// heldBack says what of a source is trained on, and what is not.
func (j *job) heldBack(s Source) bert.TrainedOn {
	rows := bert.TrainedOn{SHA256: s.SHA256}
	if len(j.Valid) > 0 {
		return rows
	}
	rows.Split = string(j.Settings.Split)
	if j.Settings.Split == Stratified {
		rows.Seed = &j.Settings.Seed
	}
	return rows
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// publish moves what was written into the bundle's folder, config.json last: a folder
// with a config.json is whole. When it returns, that lasts: the checkpoints may go.
func publish(from, to string) error {
	entries, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return isConfig(a) - isConfig(b) })
	for _, e := range entries {
		target := filepath.Join(to, e.Name())
		if e.IsDir() { // compiled graphs
			if err := os.RemoveAll(target); err != nil {
				return err
			}
		}
		if err := os.Rename(filepath.Join(from, e.Name()), target); err != nil {
			return err
		}
	}
	return errors.Join(disk.Sync(to), os.Remove(from))
}

func isConfig(e os.DirEntry) int {
	if e.Name() == "config.json" {
		return 1
	}
	return 0
}
