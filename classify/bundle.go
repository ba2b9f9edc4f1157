package classify

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/internal/digest"
	"github.com/barograph/barograph/news"
)

// ErrBundle is wrapped by errors about a bundle's folder that cannot be used as it is.
var ErrBundle = errors.New("cannot use this model bundle")

// maxTokens is the longest window of text, special tokens included. Models that could read
// more were rarely trained on it.
const maxTokens = 512

// Bundle is a classifier's folder in Hugging Face's layout, as described by its
// config.json. It holds no weights.
type Bundle struct {
	Dir       string // of the version that is live; see Slot
	Name      string // barograph.name, or else that of the folder that it was promoted from, or is in
	Version   string // barograph.version
	Digest    string // see Digest
	Languages []string
	Heads     []bert.Head // sentiment labels in small letters; temperatures are over 0
	MaxTokens int         // longest window, special tokens included: the model's positions, at most 512

	// EntitySegment says that the sentiment is that toward one entity, read after the text.
	EntitySegment bool
	TrainedOn     []bert.TrainedOn // what it says it was trained on; nil where it says nothing

	export    string                         // the user's own model.onnx, "" for a checkpoint
	base      string                         // the folder of an adapter's base, "" without
	precision map[onnx.Device]bert.Precision // what it wants there, "" for what suits the device
}

// OpenBundle reads what dir, or the bundle promoted into its place, says of itself. An
// adapter's base is looked for in the folders bases, under its name. Errors wrap ErrBundle,
// bert.ErrConfig, bert.ErrAdapter or fs.ErrNotExist.
func OpenBundle(dir string, bases []string) (*Bundle, error) {
	s, err := OpenSlot(dir)
	if err != nil {
		return nil, err
	}
	var live Version // the slot's own files
	if len(s.Versions) > 0 {
		live = s.Versions[s.Live]
	}
	return s.Open(live, bases)
}

// openFolder reads what a folder says of itself; name is the bundle's where it says none.
func openFolder(dir, name string, bases []string) (*Bundle, error) {
	b := &Bundle{Dir: dir, Name: name}
	config, err := b.readConfig(bases)
	if err != nil {
		return nil, err
	}
	if own := config.Barograph; own != nil {
		b.Name, b.Version, b.Languages = cmp.Or(own.Name, b.Name), own.Version, own.Languages
		b.EntitySegment, b.TrainedOn = own.EntitySegment, own.TrainedOn
		b.precision = map[onnx.Device]bert.Precision{onnx.CPU: own.Precision, onnx.CUDA: own.PrecisionCUDA}
	}
	b.MaxTokens = min(config.MaxPositions, maxTokens)
	if b.Heads, err = namedHeads(config.Heads()); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(b.Dir, "config.json"), err)
	}
	if b.Digest, err = Digest(b.Dir); err != nil {
		return nil, err
	}
	return b, nil
}

// Model is how readings name the bundle.
func (b *Bundle) Model() news.Model {
	return news.Model{Name: b.Name, Version: b.Version, Digest: b.Digest}
}

// readConfig finds out what kind of folder it is: the user's own export is one with
// model.onnx and without weights.
func (b *Bundle) readConfig(bases []string) (bert.Config, error) {
	weights, _ := filepath.Glob(filepath.Join(b.Dir, "*.safetensors"))
	export := filepath.Join(b.Dir, "model.onnx")
	if _, err := os.Stat(export); err == nil && len(weights) == 0 {
		b.export = export
		return exportConfig(b.Dir)
	}
	config, err := bert.ReadConfig(b.Dir)
	if err != nil || len(weights) == 0 {
		return config, cmp.Or(err, fmt.Errorf("%w: %s has no .safetensors and no model.onnx", ErrBundle, b.Dir))
	}
	name, err := adapterBase(b.Dir, config)
	if err != nil || name == "" {
		return config, err
	}
	if b.base, err = bert.FindBase(name, bases); err != nil {
		return config, fmt.Errorf("%s: %w", b.Dir, err)
	}
	base, err := bert.ReadConfig(b.base)
	if err != nil {
		return config, err
	}
	config.MaxPositions = min(config.MaxPositions, base.MaxPositions)
	return config, nil
}

// adapterBase names the base of a PEFT adapter, "" for a full checkpoint.
func adapterBase(dir string, config bert.Config) (string, error) {
	path := filepath.Join(dir, "adapter_config.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if config.Barograph != nil && config.Barograph.Base.Name != "" {
		return config.Barograph.Base.Name, nil
	}
	var adapter struct {
		Base string `json:"base_model_name_or_path"`
	}
	if err := json.Unmarshal(raw, &adapter); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	return adapter.Base[strings.LastIndexByte(adapter.Base, '/')+1:], nil
}

// exportConfig reads the config.json beside a user's own model.onnx, of any architecture.
func exportConfig(dir string) (bert.Config, error) {
	config := bert.Config{MaxPositions: maxTokens}
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return config, err
	}
	if err := json.Unmarshal(raw, &config); err != nil {
		return config, fmt.Errorf("reading %s: %w", path, err)
	}
	for i := range len(config.Labels) {
		if config.Labels[strconv.Itoa(i)] == "" {
			return config, fmt.Errorf("%w: %s: id2label has %d labels but none for %d", ErrBundle, path, len(config.Labels), i)
		}
	}
	if config.MaxPositions < 8 {
		return config, fmt.Errorf("%w: %s: max_position_embeddings is %d", ErrBundle, path, config.MaxPositions)
	}
	if heads := config.Heads(); len(heads) != 1 {
		return config, fmt.Errorf("%w: %s: a model.onnx is read for its first output, but there are %d heads", ErrBundle, path, len(heads))
	}
	return config, nil
}

// namedHeads checks that the labels say what they mean, and writes those of a sentiment
// head small: their order is the model's, they are told apart by name.
func namedHeads(heads []bert.Head) ([]bert.Head, error) {
	for i := range heads {
		h := &heads[i]
		for _, label := range h.Labels {
			if number, ok := strings.CutPrefix(strings.ToUpper(label), "LABEL_"); ok && isNumber(number) {
				return nil, fmt.Errorf("%w: the labels of head %s are %q, which say nothing: name them in id2label (negative, neutral, positive for sentiment)",
					ErrBundle, h.Task, h.Labels)
			}
			if strings.ContainsFunc(label, unicode.IsControl) {
				return nil, fmt.Errorf("%w: label %q of head %s has a control character", ErrBundle, label, h.Task)
			}
		}
		if h.Task != taskSentiment {
			continue
		}
		h.Labels = slices.Clone(h.Labels)
		for j, label := range h.Labels {
			h.Labels[j] = strings.ToLower(label)
		}
		if sorted := slices.Sorted(slices.Values(h.Labels)); !slices.Equal(sorted, []string{"negative", "neutral", "positive"}) {
			return nil, fmt.Errorf("%w: the labels of head sentiment are %q, not negative, neutral and positive", ErrBundle, h.Labels)
		}
	}
	return heads, nil
}

// head is the head for the task, or -1.
func (b *Bundle) head(task string) int {
	return slices.IndexFunc(b.Heads, func(h bert.Head) bool { return h.Task == task })
}

// Digest is the hex SHA-256 over what the folder classifies with: the lines that
// `sha256sum` prints for its config.json, adapter*, *.safetensors, tokenizer.json,
// vocab.txt and model.onnx, sorted by name, and of the tokenizer_config.json that says how
// vocab.txt is meant where there is no tokenizer.json. The model card and compiled files
// are no part of it.
func Digest(dir string) (string, error) {
	names, err := filesThatCount(dir)
	if err != nil {
		return "", err
	}
	total := sha256.New()
	for _, name := range names {
		sum, err := digest.File(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		fmt.Fprintf(total, "%s  %s\n", sum, name)
	}
	return hex.EncodeToString(total.Sum(nil)), nil
}

// filesThatCount lists the files of a bundle that its digest covers, sorted.
func filesThatCount(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() && counts(entry.Name()) {
			names = append(names, entry.Name())
		}
	}
	if slices.Contains(names, "vocab.txt") && !slices.Contains(names, "tokenizer.json") {
		if _, err := os.Stat(filepath.Join(dir, tokenizerConfig)); err == nil {
			names = append(names, tokenizerConfig)
			slices.Sort(names)
		}
	}
	return names, nil
}

// tokenizerConfig is the file in which older checkpoints say how their vocab.txt is meant.
const tokenizerConfig = "tokenizer_config.json"

func counts(name string) bool {
	switch name {
	case "config.json", "tokenizer.json", "vocab.txt", "model.onnx":
		return true
	}
	return strings.HasPrefix(name, "adapter") || strings.HasSuffix(name, ".safetensors")
}

func isNumber(s string) bool {
	_, err := strconv.Atoi(s)
	return err == nil
}
