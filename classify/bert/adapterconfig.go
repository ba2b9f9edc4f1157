package bert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const adapterConfigFile = "adapter_config.json"

// adapterConfig is what Barograph honours of PEFT's LoraConfig.
type adapterConfig struct {
	Type         string        `json:"peft_type"`
	Base         string        `json:"base_model_name_or_path"`
	Rank         int           `json:"r"`
	Alpha        float64       `json:"lora_alpha"`
	Targets      targetModules `json:"target_modules"`
	Saved        []string      `json:"modules_to_save"`
	RSLoRA       bool          `json:"use_rslora"`
	RankPattern  patterns      `json:"rank_pattern"`
	AlphaPattern patterns      `json:"alpha_pattern"`
}

// honoured are the keys above and those that change nothing at inference.
// fan_in_fan_out is among them because PEFT itself turns it off on linear layers, and
// BERT has no other kind.
var honoured = []string{"peft_type", "base_model_name_or_path", "r", "lora_alpha", "target_modules", "modules_to_save",
	"use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out",
	"auto_mapping", "inference_mode", "lora_dropout", "peft_version", "qalora_group_size", "revision", "task_type"}

func readAdapterConfig(dir string) (adapterConfig, error) {
	path := filepath.Join(dir, adapterConfigFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		return adapterConfig{}, err
	}
	c, err := parseAdapterConfig(raw)
	if err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func parseAdapterConfig(raw []byte) (adapterConfig, error) {
	c := adapterConfig{Rank: 8, Alpha: 8} // PEFT's own defaults
	var all map[string]json.RawMessage
	if err := json.Unmarshal(raw, &all); err != nil {
		return c, fmt.Errorf("%w: %w", ErrAdapter, err)
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		return c, fmt.Errorf("%w: %w", ErrAdapter, err)
	}
	if c.Type != "LORA" {
		return c, fmt.Errorf("%w: peft_type %q is not supported: LORA is", ErrAdapter, c.Type)
	}
	for key, value := range all {
		if !slices.Contains(honoured, key) && !isOff(key, value) {
			return c, fmt.Errorf("%w: %s %s is not supported: merge the adapter with peft and save the whole model", ErrAdapter, key, value)
		}
	}
	if c.Rank < 1 || c.Rank > 1<<16 || c.Alpha == 0 {
		return c, fmt.Errorf("%w: r %d, lora_alpha %v", ErrAdapter, c.Rank, c.Alpha)
	}
	for _, p := range c.RankPattern {
		if p.value < 1 || p.value > 1<<16 || p.value != math.Trunc(p.value) {
			return c, fmt.Errorf("%w: rank_pattern %s: %v", ErrAdapter, p.module, p.value)
		}
	}
	return c, nil
}

// isOff tells a setting that is there but does nothing: null, false, empty or PEFT's
// default. Ways to initialise are off where they leave the base's weights alone (PiSSA
// and others do not).
func isOff(key string, value json.RawMessage) bool {
	v := string(value)
	switch key {
	case "bias":
		return v == `"none"`
	case "init_lora_weights":
		return slices.Contains([]string{"true", "false", `"gaussian"`, `"eva"`, `"orthogonal"`}, v)
	case "megatron_core":
		return true // only the name of a module, used with megatron_config
	case "eva_config":
		return true // of the initialisation
	}
	return slices.Contains([]string{"null", "false", "{}", "[]", `""`, "0"}, v)
}

// targetModules is PEFT's target_modules: a list of names, a regular expression over a
// module's whole name, or "all-linear".
type targetModules struct {
	names   []string
	pattern *regexp.Regexp
	all     bool
}

// UnmarshalJSON implements json.Unmarshaler, for PEFT's three forms.
func (t *targetModules) UnmarshalJSON(raw []byte) error {
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return json.Unmarshal(raw, &t.names)
	}
	if text == "all-linear" {
		t.all = true
		return nil
	}
	pattern, err := regexp.Compile(`^(?:` + text + `)$`)
	if err != nil {
		return fmt.Errorf("target_modules: %w", err)
	}
	t.pattern = pattern
	return nil
}

// targets tells whether the adapter changes that module of the model, as PEFT's
// check_target_module_exists does.
func (c adapterConfig) targets(module string) bool {
	switch {
	case c.Targets.all:
		return !strings.HasPrefix(module, "classifier")
	case c.Targets.pattern != nil:
		return c.Targets.pattern.MatchString(module)
	}
	return slices.ContainsFunc(c.Targets.names, func(name string) bool {
		return module == name || strings.HasSuffix(module, "."+name)
	})
}

// saves tells whether the module, or one that it is part of, was saved whole.
func (c adapterConfig) saves(module string) bool {
	return slices.ContainsFunc(c.Saved, func(name string) bool {
		return strings.Contains("."+module+".", "."+name+".")
	})
}

// rankOf is the module's rank and alpha: a pattern's, or else the adapter's.
func (c adapterConfig) rankOf(module string) (rank int, alpha float64) {
	return int(c.RankPattern.find(module, float64(c.Rank))), c.AlphaPattern.find(module, c.Alpha)
}

// patterns are PEFT's rank_pattern and alpha_pattern: the first key that matches wins,
// so their order is kept.
type patterns []pattern

type pattern struct {
	module *regexp.Regexp
	value  float64
}

// find is the value of the first pattern that a module matches, or else otherwise.
func (p patterns) find(module string, otherwise float64) float64 {
	for _, x := range p {
		if x.module.MatchString(module) {
			return x.value
		}
	}
	return otherwise
}

// UnmarshalJSON implements json.Unmarshaler. The patterns keep the order of the file: of several
// that match, PEFT takes the first.
func (p *patterns) UnmarshalJSON(raw []byte) error {
	var values map[string]float64
	if err := json.Unmarshal(raw, &values); err != nil {
		return err
	}
	keys := json.NewDecoder(bytes.NewReader(raw))
	for {
		token, err := keys.Token()
		if err == io.EOF {
			return nil
		}
		key, ok := token.(string) // the braces and the numbers are not
		if !ok {
			continue
		}
		// As PEFT's get_pattern_key reads a key.
		module, err := regexp.Compile(`^(?:.*\.)?(?:` + key + `)$`)
		if err != nil {
			return err
		}
		*p = append(*p, pattern{module, values[key]})
	}
}
