package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/internal/hub"
	"github.com/barograph/barograph/internal/plain"
	"github.com/barograph/barograph/internal/secret"
)

// pulling is what `barograph model pull` is asked for.
type pulling struct {
	endpoint string
	out      string
	labels   []string
	maxFile  int64
	model    classifyConfig
}

func newModelPull() *cobra.Command {
	p := pulling{model: defaults().Classify}
	cmd := &cobra.Command{
		Use:   "pull ORG/NAME[@REVISION]",
		Short: "Fetch a model from Hugging Face's hub, or one that speaks its API",
		Long: "Fetches the files that a bundle or a base needs (config.json, safetensors or an adapter, tokenizer, model\n" +
			"card), checks their digests, opens the model, and puts the folder under its name only then. What was cut\n" +
			"off goes on where it ended when the command is given again. A private or gated model needs a token in the\n" +
			"variable HF_TOKEN; it is sent to the endpoint only. REVISION is a branch, tag, commit or refs/pr/NUMBER.",
		Example: `  barograph model pull ProsusAI/finbert@refs/pr/21 --out models/finbert
  barograph model pull BAAI/bge-base-en-v1.5 --out .deps/bases/bge-base-en-v1.5
  barograph model pull me/my-model --labels negative,neutral,positive --endpoint https://hub.example`,
		Args: arguments(1, 1, "a model's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			reference, err := hub.ParseReference(args[0])
			if err != nil {
				return usageError{err}
			}
			if p.maxFile <= 0 {
				return usageError{fmt.Errorf("--max-bytes %d: it is the size of a file", p.maxFile)}
			}
			p.out = filepath.Clean(or(p.out, filepath.Join("models", reference.Name())))
			return p.run(cmd, reference)
		},
	}
	cmd.Flags().StringVar(&p.endpoint, "endpoint", os.Getenv("HF_ENDPOINT"), "address of the hub; HF_ENDPOINT, or else https://huggingface.co, without it")
	cmd.Flags().StringVar(&p.out, "out", "", "folder to make; models/NAME without it")
	cmd.Flags().StringSliceVar(&p.labels, "labels", nil, "names for the model's labels, in its order, where its own (LABEL_0, …) say nothing")
	cmd.Flags().Int64Var(&p.maxFile, "max-bytes", 4<<30, "largest file to take, in bytes")
	basesFlag(cmd, &p.model.Bases)
	return cmd
}

func (p pulling) run(cmd *cobra.Command, reference hub.Reference) error {
	if _, err := os.Lstat(p.out); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is there already: name another folder with --out", p.out)
	}
	log := newLogger(logConfig{Level: slog.LevelWarn})
	bar := newProgress(cmd.ErrOrStderr(), 0, "pull")
	defer bar.Close()
	client, err := hub.New(hub.Config{Endpoint: p.endpoint, Token: secret.Secret(os.Getenv("HF_TOKEN")), MaxFile: p.maxFile, Log: log,
		Progress: func(_ string, bytes int64) { _ = bar.Add64(bytes) }})
	if err != nil {
		return err
	}
	found, err := client.Find(cmd.Context(), reference)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "%s at %.12s: %d files, %.1f MB\n", reference, found.Commit, len(found.Files), float64(found.Size())/1e6)
	bar.ChangeMax64(found.Size())
	dir := filepath.Join(filepath.Dir(p.out), fmt.Sprintf(".%s.pull-%.12s", filepath.Base(p.out), found.Commit))
	if err := client.Fetch(cmd.Context(), found, dir); err != nil {
		return fmt.Errorf("%w (given again, the command goes on from what is in %s)", err, dir)
	}
	_ = bar.Finish()
	what, err := p.open(dir, log)
	if err != nil {
		return fmt.Errorf("%s was pulled to %s, but cannot be used: %w", reference, dir, err)
	}
	if err := client.Origin(found).Write(dir); err != nil {
		return err
	}
	if err := os.Rename(dir, p.out); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %s\n", p.out, what)
	return nil
}

// open makes sure that the model is one that runs here, and says what it is.
func (p pulling) open(dir string, log *slog.Logger) (string, error) {
	if len(p.labels) > 0 {
		if err := nameLabels(filepath.Join(dir, "config.json"), p.labels); err != nil {
			return "", err
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "model.onnx")); err != nil {
		checkpoint, err := bert.Open(dir, p.model.Bases)
		if err != nil {
			return "", err
		}
		if len(checkpoint.Heads()) == 0 {
			if _, err := classify.OpenTokenizer(dir); err != nil {
				return "", err
			}
			return fmt.Sprintf("a base of %d layers × %d, to be trained: barograph finetune -h", checkpoint.Config.Layers, checkpoint.Config.HiddenSize), nil
		}
	}
	config, err := modelConfig(p.model, log)
	if err != nil {
		return "", err
	}
	model, err := classify.OpenModel(dir, config)
	if errors.Is(err, classify.ErrBundle) && len(p.labels) == 0 {
		return "", fmt.Errorf("%w (or give them with --labels, in the order of id2label)", err)
	}
	if err != nil {
		return "", err
	}
	defer model.Close()
	var heads []string
	for _, head := range model.Bundle.Heads {
		heads = append(heads, fmt.Sprintf("%s (%s)", head.Task, plain.Line(strings.Join(head.Labels, ", "), 200)))
	}
	return fmt.Sprintf("%s, digest %.12s", strings.Join(heads, "; "), model.Bundle.Digest), nil
}

// nameLabels gives the labels of a config.json names. Nothing else in it changes.
func nameLabels(path string, labels []string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var config map[string]json.RawMessage
	if err := json.Unmarshal(raw, &config); err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if config == nil { // null
		return fmt.Errorf("reading %s: it is no JSON object", path)
	}
	names, numbers := map[string]string{}, map[string]int{}
	for i, label := range labels {
		names[strconv.Itoa(i)], numbers[label] = label, i
	}
	for key, value := range map[string]any{"id2label": names, "label2id": numbers} {
		if config[key], err = json.Marshal(value); err != nil {
			return err
		}
	}
	if raw, err = json.MarshalIndent(config, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}
