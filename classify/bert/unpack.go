package bert

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/barograph/barograph/internal/plain"
)

// unpacker takes files out of an archive, into a folder of its own. They have made-up
// names there.
type unpacker struct {
	archive
	dir  string
	left int64 // bytes that may still be unpacked

	within string // the name of the zip in the archive that is read, "" for none
	inner  []io.Closer
}

// Close closes the archives within the archive.
func (u *unpacker) Close() error {
	var faults []error
	for _, c := range u.inner {
		faults = append(faults, c.Close())
	}
	return errors.Join(faults...)
}

// find finds the one model in the archive, or in the one zip in it that holds one: the
// unpacker is then that zip's.
func (u *unpacker) find() (foundModel, error) {
	models := findModels(u.names())
	if len(models) == 0 {
		if err := u.enter(); err != nil {
			return foundModel{}, err
		}
		models = findModels(u.names())
	}
	switch len(models) {
	case 0:
		return foundModel{}, fmt.Errorf("%w: it holds no model.safetensors with a config.json, no TensorFlow SavedModel and no .onnx", ErrArchive)
	case 1:
		return models[0], nil
	}
	names := make([]string, len(models))
	for i, m := range models {
		names[i] = m.name
	}
	return foundModel{}, fmt.Errorf("%w: it holds %d models (%s): pack the one that is wanted into a zip of its own",
		ErrArchive, len(models), plain.Line(strings.Join(names, ", "), 200))
}

// enter goes on in the zip that the archive holds, if there is one. A tar.gz is not
// searched.
func (u *unpacker) enter() error {
	outer, ok := u.archive.(*zipArchive)
	if !ok {
		return nil
	}
	var zips []string
	for _, name := range outer.names() {
		begins, err := beginsAsZip(outer, name)
		if err != nil {
			return err
		}
		if begins {
			zips = append(zips, name)
		}
	}
	if len(zips) != 1 {
		return nil
	}
	file, err := u.unpack(zips[0], maxUnpacked)
	if err != nil {
		return err
	}
	inner, err := openArchive(file)
	if err != nil {
		return fmt.Errorf("%s: %w", plain.Line(zips[0], 200), err)
	}
	u.archive, u.within, u.inner = inner, zips[0], append(u.inner, inner)
	return nil
}

func beginsAsZip(a archive, name string) (bool, error) {
	r, err := a.open(name)
	if err != nil {
		return false, err
	}
	defer r.Close()
	begin := make([]byte, len(zipMagic))
	_, err = io.ReadFull(r, begin)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("%w: %s: %w", ErrArchive, plain.Line(name, 200), err)
	}
	return bytes.Equal(begin, zipMagic), nil
}

// unpack writes a file of the archive to the disk and gives its path. It takes no more
// than limit, and all files together no more than the unpacker may take.
func (u *unpacker) unpack(name string, limit int64) (string, error) {
	f, err := os.CreateTemp(u.dir, "part-*")
	if err != nil {
		return "", err
	}
	if err := errors.Join(u.copyTo(f, name, limit), f.Close()); err != nil {
		return "", err
	}
	return f.Name(), nil
}

func (u *unpacker) copyTo(w io.Writer, name string, limit int64) error {
	r, err := u.open(name)
	if err != nil {
		return err
	}
	defer r.Close()
	limit = min(limit, u.left)
	n, err := io.Copy(w, io.LimitReader(r, limit+1))
	u.left -= n
	switch {
	case n > limit:
		return fmt.Errorf("%w: %s unpacks to more than %d bytes", ErrArchive, plain.Line(name, 200), limit)
	case err != nil:
		return fmt.Errorf("%w: %s: %w", ErrArchive, plain.Line(name, 200), err)
	}
	return nil
}

// text is a file that is read into memory.
func (u *unpacker) text(name string) ([]byte, error) {
	if !u.has(name) {
		return nil, fmt.Errorf("%w: it has no %s", ErrArchive, plain.Line(name, 200))
	}
	var b bytes.Buffer
	err := u.copyTo(&b, name, maxText)
	return b.Bytes(), err
}

func (u *unpacker) has(name string) bool {
	_, ok := slices.BinarySearch(u.names(), name)
	return ok
}

// checkpointNames are the files that an imported model may have.
var checkpointNames = []string{"config.json", weightsName, "heads.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "README.md"}

// importCheckpoint takes a checkpoint as it is.
func (u *unpacker) importCheckpoint(folder, dir string) error {
	for _, name := range checkpointNames {
		if !u.has(path.Join(dir, name)) {
			continue // what it needs of them, Open and the tokenizer's reader say
		}
		limit := int64(maxText)
		if path.Ext(name) == ".safetensors" {
			limit = maxUnpacked
		}
		err := writeFile(filepath.Join(folder, name), func(w io.Writer) error { return u.copyTo(w, path.Join(dir, name), limit) })
		if err != nil {
			return err
		}
	}
	return nil
}

// importExport imports an ONNX export with the tokenizer beside it: NAME-tokenizer.json of
// NAME.onnx, or else tokenizer.json.
func (u *unpacker) importExport(folder, name string, o ImportOptions) error {
	tokenizer := strings.TrimSuffix(name, ".onnx") + "-tokenizer.json"
	if !u.has(tokenizer) {
		tokenizer = path.Join(path.Dir(name), "tokenizer.json")
	}
	if !u.has(tokenizer) {
		return fmt.Errorf("%w: it has no %s", ErrArchive, plain.Line(tokenizer, 200))
	}
	tokenizerFile, err := u.unpack(tokenizer, maxText)
	if err != nil {
		return err
	}
	model, err := u.unpack(name, maxONNX)
	if err != nil {
		return err
	}
	return importONNX(folder, model, tokenizerFile, o)
}

// maxONNX is protobuf's own limit.
const maxONNX = 2 << 30
