package classify

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/barograph/barograph/classify/bert"
	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/kernels"
	"github.com/barograph/barograph/internal/digest"
)

// graphVersion is part of a compiled file's name. Raise it when classify/bert builds
// another graph of the same checkpoint, or classify/onnx/kernels reads one otherwise.
const graphVersion = 4

// compiler makes sessions of bundles, through files of compiled graphs.
type compiler struct {
	runtime   *onnx.Runtime
	bases     []string
	device    onnx.Device // CPU or CUDA, resolved
	precision bert.Precision
	threads   int
	log       *slog.Logger
}

// open gives a session for the bundle. A user's own model.onnx runs as it is. A
// checkpoint's graph is kept in .compiled/ beside the bundle or, where that cannot be
// written, in the user's cache folder, and is else only in memory; a file that does not
// open is built again.
func (c *compiler) open(b *Bundle) (*onnx.Session, error) {
	if b.export != "" {
		return c.session(onnx.SessionConfig{Path: b.export})
	}
	name, err := c.fileName(b)
	if err != nil {
		return nil, err
	}
	folders := compiledFolders(b)
	for _, dir := range folders {
		path := filepath.Join(dir, name)
		s, err := c.session(onnx.SessionConfig{Path: path})
		if err == nil {
			return s, nil
		}
		if errors.Is(err, onnx.ErrDevice) {
			return nil, err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			c.log.Warn("a compiled model does not open and is built again", "file", path, "error", err)
		}
	}
	graph, err := c.compile(b)
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", b.Dir, err)
	}
	c.keep(folders, name, graph)
	return c.session(onnx.SessionConfig{Model: graph})
}

func (c *compiler) compile(b *Bundle) ([]byte, error) {
	checkpoint, err := bert.Open(b.Dir, c.bases)
	if err != nil {
		return nil, err
	}
	if c.precision != bert.INT8 {
		return checkpoint.Graph(c.precision, nil)
	}
	tokenizer, err := openTokenizer(tokenizerFolders(b)...)
	if err != nil {
		return nil, err
	}
	graph, err := checkpoint.RangesGraph()
	if err != nil {
		return nil, err
	}
	s, err := c.session(onnx.SessionConfig{Model: graph})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	ranges, err := checkpoint.MeasureRanges(s, tokenizer.before, tokenizer.after)
	if err != nil {
		return nil, err
	}
	return checkpoint.Graph(c.format(), ranges)
}

// format is the precision's graph that is the fastest here.
func (c *compiler) format() bert.Precision {
	if c.precision == bert.INT8 && kernels.FastBytes() {
		return bert.INT8VNNI
	}
	return c.precision
}

func (c *compiler) session(s onnx.SessionConfig) (*onnx.Session, error) {
	s.Device, s.Threads, s.Log = c.device, c.threads, c.log
	return c.runtime.NewSession(s)
}

// fileName tells compiled graphs apart: by weights (an adapter's base too, which its
// digest does not cover), format and the version of what built them.
func (c *compiler) fileName(b *Bundle) (string, error) {
	id := b.Digest[:16]
	if b.base != "" {
		base, err := digest.File(filepath.Join(b.base, "model.safetensors"))
		if err != nil {
			return "", err
		}
		id += "-" + base[:16]
	}
	return fmt.Sprintf("%s-%d-%s.onnx", id, graphVersion, c.format()), nil
}

// compiledFolders lists where a bundle's compiled files may be, the best place first.
func compiledFolders(b *Bundle) []string {
	folders := []string{filepath.Join(b.Dir, ".compiled")}
	cache, err := os.UserCacheDir()
	if err != nil {
		return folders
	}
	dir, err := filepath.Abs(b.Dir)
	if err != nil {
		return folders
	}
	sum := sha256.Sum256([]byte(dir))
	return append(folders, filepath.Join(cache, "barograph", "compiled", filepath.Base(dir)+"-"+hex.EncodeToString(sum[:4])))
}

// keep writes the graph into the first folder that takes it. Failing is no error: the
// graph is in memory, and the next start builds it again.
func (c *compiler) keep(folders []string, name string, graph []byte) {
	for _, dir := range folders {
		err := writeWhole(dir, name, graph)
		if err == nil {
			removeOld(dir, name)
			return
		}
		c.log.Debug("a compiled model cannot be kept here", "folder", dir, "error", err)
	}
}

const partial = "partial-"

// writeWhole writes beside and renames, so that a reader sees all of the file or none.
func writeWhole(dir, name string, data []byte) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, partial)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Chmod(0o644), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

// removeOld removes compiled files of other weights or versions, and what a crash left
// half written. Other precisions of the same weights stay.
func removeOld(dir, name string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	current := name[:strings.LastIndexByte(name, '-')+1]
	for _, entry := range entries {
		old := strings.HasSuffix(entry.Name(), ".onnx") && !strings.HasPrefix(entry.Name(), current)
		if strings.HasPrefix(entry.Name(), partial) {
			info, err := entry.Info()
			old = err == nil && time.Since(info.ModTime()) > time.Hour
		}
		if old {
			os.Remove(filepath.Join(dir, entry.Name()))
		}
	}
}
