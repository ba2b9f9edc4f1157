package bert

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/barograph/barograph/internal/plain"
)

// ErrArchive is wrapped by errors about an archive that holds no model to import, several,
// or more than is taken.
var ErrArchive = errors.New("cannot import this archive")

// What is taken out of an archive at most, whatever it says of itself.
const (
	maxUnpacked = 8 << 30  // all together, in bytes on the disk
	maxText     = 64 << 20 // a vocabulary, a config, an index: what is read into memory
)

// archive lists files and opens them. Their names are only compared: nothing is ever
// written under a name that an archive has.
type archive interface {
	names() []string
	open(name string) (io.ReadCloser, error)
	Close() error
}

var zipMagic, gzipMagic = []byte("PK\x03\x04"), []byte{0x1f, 0x8b}

// openArchive tells an archive by how it begins. It is nil for another file.
func openArchive(file string) (archive, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	begin := make([]byte, len(zipMagic))
	n, err := io.ReadFull(f, begin)
	begin = begin[:n]
	switch {
	case err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF):
		f.Close()
		return nil, err
	case bytes.HasPrefix(begin, zipMagic):
		return openZip(f)
	case bytes.HasPrefix(begin, gzipMagic):
		f.Close()
		return openTar(file)
	}
	return nil, f.Close()
}

// zipArchive is a zip: a jar and a wheel are.
type zipArchive struct {
	file    *os.File
	entries map[string]*zip.File
}

// openZip closes the file where it cannot be read.
func openZip(f *os.File) (archive, error) {
	a := &zipArchive{file: f, entries: map[string]*zip.File{}}
	info, err := f.Stat()
	if err == nil {
		err = a.read(info.Size())
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

func (a *zipArchive) read(size int64) error {
	r, err := zip.NewReader(a.file, size)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrArchive, err)
	}
	for _, entry := range r.File {
		if strings.HasSuffix(entry.Name, "/") {
			continue
		}
		if a.entries[entry.Name] != nil {
			return fmt.Errorf("%w: it has %q twice", ErrArchive, entry.Name)
		}
		a.entries[entry.Name] = entry
	}
	return nil
}

func (a *zipArchive) names() []string { return sortedKeys(a.entries) }

func (a *zipArchive) open(name string) (io.ReadCloser, error) {
	r, err := a.entries[name].Open()
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrArchive, plain.Line(name, 200), err)
	}
	return r, nil
}

// Close closes the file.
func (a *zipArchive) Close() error { return a.file.Close() }

// tarArchive is a tar.gz, which PyPI's source archives are. It is read again from its
// beginning for each file that is opened.
type tarArchive struct {
	file  string
	found map[string]bool
}

func openTar(file string) (archive, error) {
	a := &tarArchive{file: file, found: map[string]bool{}}
	r, err := a.open("")
	if err != nil {
		return nil, err
	}
	return a, r.Close()
}

func (a *tarArchive) names() []string { return sortedKeys(a.found) }

// Close has nothing to close.
func (a *tarArchive) Close() error { return nil }

// open goes to the file of that name. For the name "" it lists them all, and gives a file
// of no bytes.
func (a *tarArchive) open(name string) (_ io.ReadCloser, err error) {
	f, err := os.Open(a.file)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	compressed, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrArchive, err)
	}
	// Names and what is skipped count, too: a few bytes can stand for a great many.
	r := tar.NewReader(&io.LimitedReader{R: compressed, N: maxUnpacked})
	for {
		entry, err := r.Next()
		switch {
		case errors.Is(err, io.EOF) && name == "":
			return tarFile{bytes.NewReader(nil), f}, nil
		case err != nil:
			return nil, fmt.Errorf("%w: %w", ErrArchive, err)
		case entry.Typeflag != tar.TypeReg:
		case name == "" && a.found[entry.Name]:
			return nil, fmt.Errorf("%w: it has %q twice", ErrArchive, entry.Name)
		case name == "":
			a.found[entry.Name] = true
		case entry.Name == name:
			return tarFile{r, f}, nil
		}
	}
}

type tarFile struct {
	io.Reader
	io.Closer
}

func sortedKeys[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// kind is what a model in an archive is, in words.
type kind string

const (
	checkpointKind kind = "a checkpoint in Hugging Face's layout"
	savedModelKind kind = "a TensorFlow SavedModel"
	exportKind     kind = "an ONNX export"
)

// foundModel is a model in an archive and the file that shows it.
type foundModel struct {
	kind kind
	name string
}

func (m foundModel) dir() string { return path.Dir(m.name) }

// findModels lists what could be imported: checkpoints, or else SavedModels, or else
// exports. An archive may hold one model in several of these forms.
func findModels(names []string) []foundModel {
	has := func(name string) bool { _, ok := slices.BinarySearch(names, name); return ok }
	found := map[kind][]foundModel{}
	for _, name := range names {
		m := foundModel{name: name}
		switch base := path.Base(name); {
		case base == weightsName && has(path.Join(m.dir(), "config.json")):
			m.kind = checkpointKind
		case base == "saved_model.pb" && has(path.Join(m.dir(), variablesIndex)):
			m.kind = savedModelKind
		case path.Ext(base) == ".onnx":
			m.kind = exportKind
		default:
			continue
		}
		found[m.kind] = append(found[m.kind], m)
	}
	for _, kind := range []kind{checkpointKind, savedModelKind, exportKind} {
		if len(found[kind]) > 0 {
			return found[kind]
		}
	}
	return nil
}
