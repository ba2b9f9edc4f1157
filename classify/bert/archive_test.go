package bert

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/barograph/barograph/internal/digest"
)

// filesOf is a folder's files, by their names within it.
func filesOf(t testing.TB, folder string) map[string]string {
	t.Helper()
	files := map[string]string{}
	root := os.DirFS(folder)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		raw, err := fs.ReadFile(root, name)
		files[name] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func zipped(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tarred(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))})
		if err == nil {
			_, err = w.Write([]byte(files[name]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// under puts files into a folder.
func under(folder string, files map[string]string) map[string]string {
	out := map[string]string{}
	for name, content := range files {
		out[folder+"/"+name] = content
	}
	return out
}

// checkpointFiles are those of a base in Hugging Face's layout.
func checkpointFiles(t testing.TB) map[string]string {
	files := filesOf(t, filepath.Join("testdata", "tiny", "bases", "base"))
	files["tokenizer.json"], files["README.md"], files["setup.py"] = "{}", "---\nlicense: mit\n---\n", "boom()"
	return files
}

// What an archive holds is found wherever it is packed, and the card names the archive.
func TestImportFindsTheModelInAnArchive(t *testing.T) {
	export := map[string]string{"tiny.onnx": string(exported(t, openTiny(t, "hub"))), "tiny-tokenizer.json": "{}", "META-INF/MANIFEST.MF": ""}
	for name, x := range map[string]struct {
		archive []byte
		layers  int
		card    []string
	}{
		"jar of an export":       {zipped(t, export), 2, []string{"an ONNX export, `tiny.onnx`"}},
		"export in a folder":     {zipped(t, map[string]string{"a/model.onnx": export["tiny.onnx"], "a/tokenizer.json": "{}"}), 2, []string{"`a/model.onnx`"}},
		"jar of a SavedModel":    {zipped(t, under("module", savedFiles(t))), 2, []string{"a TensorFlow SavedModel, `module/saved_model.pb`"}},
		"zip in a jar":           {zipped(t, map[string]string{"com/x/bert": string(zipped(t, savedFiles(t))), "x.class": "x"}), 2, []string{"`com/x/bert/saved_model.pb`"}},
		"wheel of a checkpoint":  {zipped(t, under("x/model", checkpointFiles(t))), 2, []string{"license: mit", "a checkpoint in Hugging Face's layout, `x/model/model.safetensors`"}},
		"tar.gz of a checkpoint": {tarred(t, under("x-0.1/x", checkpointFiles(t))), 2, []string{"`x-0.1/x/model.safetensors`"}},
		"checkpoint and export": {zipped(t, func() map[string]string {
			files := checkpointFiles(t)
			files["onnx/model.onnx"] = "broken"
			return files
		}()), 2, []string{"a checkpoint"}},
		"names that lead out": {zipped(t, under("../../..", checkpointFiles(t))), 2, []string{"a checkpoint"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file, out := filepath.Join(dir, "packed"), filepath.Join(dir, "a", "b", "out")
			if err := os.WriteFile(file, x.archive, 0o644); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second replaces the first
				config, err := Import(file, out, ImportOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if config.Layers != x.layers {
					t.Errorf("%d layers", config.Layers)
				}
			}
			sum, err := digest.File(file)
			if err != nil {
				t.Fatal(err)
			}
			files := filesOf(t, dir)
			card := files["a/b/out/README.md"]
			for _, says := range append(x.card, "`packed`", sum) {
				if !strings.Contains(card, says) {
					t.Errorf("the card does not say %q:\n%s", says, card)
				}
			}
			for name := range files {
				if name != "packed" && filepath.Dir(name) != "a/b/out" || strings.Contains(name, "setup.py") {
					t.Errorf("%s was written", name)
				}
			}
		})
	}
}

// A checkpoint is taken byte for byte: its digest is the one that others know.
func TestImportTakesACheckpointAsItIs(t *testing.T) {
	files := checkpointFiles(t)
	out, err := importFiles(t, files)
	if err != nil {
		t.Fatal(err)
	}
	got := filesOf(t, out)
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json"} {
		if got[name] != files[name] {
			t.Errorf("%s differs", name)
		}
	}
}

func TestArchiveThatCannotBeImported(t *testing.T) {
	checkpoint := checkpointFiles(t)
	twice := zipped(t, map[string]string{"a": "x", "b": "x"})
	twice = bytes.ReplaceAll(twice, []byte("b"), []byte("a"))
	whole := zipped(t, checkpoint)
	for name, x := range map[string]struct {
		file      []byte
		tokenizer string
		kind      error
		says      string
	}{
		"nothing":              {nil, "", ErrArchive, "tokenizer.json"},
		"no archive":           {[]byte("no archive"), "", ErrArchive, "tokenizer.json"},
		"empty":                {zipped(t, map[string]string{"a": "x"}), "", ErrArchive, "no TensorFlow SavedModel"},
		"two models":           {zipped(t, merge(under("a", checkpoint), under("b", checkpoint))), "", ErrArchive, "a/model.safetensors, b/model.safetensors"},
		"a name twice":         {twice, "", ErrArchive, "twice"},
		"cut off":              {whole[:len(whole)/2], "", ErrArchive, "zip"},
		"tar.gz cut off":       {tarred(t, checkpoint)[:300], "", ErrArchive, ""},
		"a tokenizer too many": {whole, "tokenizer.json", ErrArchive, "brings its own"},
		"export alone":         {zipped(t, map[string]string{"a/x.onnx": "x"}), "", ErrArchive, "a/tokenizer.json"},
		"zip in a zip in a zip": {zipped(t, map[string]string{"a": string(zipped(t, map[string]string{"b": string(whole)}))}), "",
			ErrArchive, "no TensorFlow SavedModel"},
		"checkpoint of another kind": {zipped(t, merge(checkpoint, map[string]string{"config.json": `{"model_type":"roberta"}`})), "", ErrConfig, "roberta"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file, out := filepath.Join(dir, "packed"), filepath.Join(dir, "out")
			if err := os.WriteFile(file, x.file, 0o644); err != nil {
				t.Fatal(err)
			}
			_, err := Import(file, out, ImportOptions{Tokenizer: x.tokenizer})
			if !errors.Is(err, x.kind) || !strings.Contains(err.Error(), x.says) || !strings.Contains(err.Error(), file) {
				t.Errorf("got %v, want %v, %q and the file's name", err, x.kind, x.says)
			}
			if left := filesOf(t, dir); len(left) != 1 {
				t.Errorf("left behind: %v", slices.Sorted(maps.Keys(left)))
			}
		})
	}
}

func merge(a, b map[string]string) map[string]string {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

// What unpacks to more than is taken is given up, whatever size the archive says.
func TestUnpackingEnds(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	archive := zipped(t, map[string]string{"a": big, "b": big})
	honest := bytes.Clone(archive)
	lying := bytes.ReplaceAll(archive, []byte{0, 0, 0x10, 0}, []byte{8, 0, 0, 0}) // 1 MiB is said to be 8 bytes
	if bytes.Equal(honest, lying) {
		t.Fatal("the sizes were not found")
	}
	for name, content := range map[string][]byte{"honest": honest, "lying": lying} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "x.zip")
			if err := os.WriteFile(file, content, 0o644); err != nil {
				t.Fatal(err)
			}
			a, err := openArchive(file)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			u := &unpacker{archive: a, dir: t.TempDir(), left: 3 << 19}
			var faults []error
			for _, name := range []string{"a", "b"} {
				_, err := u.unpack(name, maxUnpacked)
				faults = append(faults, err)
			}
			if !errors.Is(errors.Join(faults...), ErrArchive) || u.left < -1 {
				t.Errorf("%v, %d bytes left", faults, u.left)
			}
		})
	}
}

// A folder that does not stand the caller's check does not take another's place.
func TestImportKeepsWhatWasThere(t *testing.T) {
	out, err := importFiles(t, checkpointFiles(t))
	if err != nil {
		t.Fatal(err)
	}
	before := filesOf(t, out)
	archive := filepath.Join(t.TempDir(), "model.whl")
	if err := os.WriteFile(archive, zipped(t, savedFiles(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	refused := fmt.Errorf("refused")
	if _, err := Import(archive, out, ImportOptions{Check: func(string) error { return refused }}); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if !maps.Equal(filesOf(t, out), before) {
		t.Error("the folder changed")
	}
}

// Only an imported model is replaced: a folder of models, or one with anything else in it, stays.
func TestImportReplacesNothingElse(t *testing.T) {
	archive := filepath.Join(t.TempDir(), "model.whl")
	if err := os.WriteFile(archive, zipped(t, checkpointFiles(t)), 0o644); err != nil {
		t.Fatal(err)
	}
	const imported = "# A base model\n\nImported by `barograph model import` from `old.whl` (SHA-256 `00`): a checkpoint.\n"
	for name, x := range map[string]struct {
		files    map[string]string
		replaced bool
	}{
		"models":                    {files: map[string]string{"en/config.json": "{}", "en/model.safetensors": "weights"}},
		"files of another kind":     {files: map[string]string{"config.json": "{}", "notes.txt": "mine"}},
		"a trained bundle":          {files: map[string]string{"config.json": "{}", "model.safetensors": "trained", "heads.safetensors": "h", "README.md": "# Sentiment"}},
		"a model without a card":    {files: map[string]string{"config.json": "{}", "model.safetensors": "mine", "tokenizer.json": "{}"}},
		"a model with its promoted": {files: map[string]string{"config.json": "{}", "model.safetensors": "old", "README.md": imported, ".versions/live.json": "{}"}},
		"a model with notes":        {files: map[string]string{"config.json": "{}", "model.safetensors": "old", "README.md": imported, "notes.txt": "mine"}},
		"a model that was pulled":   {files: map[string]string{"config.json": "{}", "model.safetensors": "old", "README.md": imported, "pulled.json": "{}"}},
		"a model with its graphs":   {files: map[string]string{"config.json": "{}", "model.safetensors": "old", "README.md": imported, ".compiled/x.onnx": "graph"}, replaced: true},
	} {
		t.Run(name, func(t *testing.T) {
			parent := t.TempDir()
			out := filepath.Join(parent, "out")
			for file, content := range x.files {
				path := filepath.Join(out, filepath.FromSlash(file))
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Import(archive, out+"/", ImportOptions{})
			if (err == nil) != x.replaced || err != nil && !strings.Contains(err.Error(), out+" is not replaced") {
				t.Errorf("got %v", err)
			}
			if maps.Equal(filesOf(t, out), x.files) == x.replaced {
				t.Errorf("the folder holds %v", slices.Sorted(maps.Keys(filesOf(t, out))))
			}
			if left, err := os.ReadDir(parent); err != nil || len(left) != 1 {
				t.Errorf("beside it: %v, %v", left, err)
			}
		})
	}
}
