// Package onnx runs text classifiers on ONNX Runtime. It is the only package that
// touches github.com/yalue/onnxruntime_go, whose state is one per process, and so is
// this package's Runtime.
package onnx

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/barograph/barograph/classify/onnx/kernels"
)

// ErrRuntime is wrapped by errors about the shared library: not found, not loadable, or
// not of a version that this program can use.
var ErrRuntime = errors.New("ONNX Runtime is not usable")

// Runtime is the loaded shared library. Its methods may be called by any goroutine.
type Runtime struct {
	library string
	version string
	ops     *kernels.Ops

	probe    sync.Mutex
	probed   bool
	cudaErr  error // why CUDA cannot be used; nil once it was used
	warnOnce sync.Once
}

// The library can be loaded once in a process: what is loaded, for how many openers and
// with how many open sessions.
var process struct {
	sync.Mutex
	runtime  *Runtime
	openers  int
	sessions int
}

// Open loads the shared library at that path (see Find). A process holds one: opening
// the same path again gives the same Runtime, to be closed as often as it was opened;
// opening another path is an error until then.
func Open(library string) (*Runtime, error) {
	path, err := filepath.Abs(library)
	if err != nil {
		return nil, err
	}
	process.Lock()
	defer process.Unlock()
	if r := process.runtime; r != nil {
		if r.library != path {
			return nil, fmt.Errorf("%w: open %s: this process already uses %s", ErrRuntime, path, r.library)
		}
		process.openers++
		return r, nil
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRuntime, err)
	}
	ort.SetSharedLibraryPath(path)
	// ONNX Runtime writes its own warnings to standard error; what matters of them
	// reaches the caller as an error.
	if err := ort.InitializeEnvironment(ort.WithLogLevelError()); err != nil {
		return nil, fmt.Errorf("%w: load %s (version 1.24 or later is needed): %w", ErrRuntime, path, err)
	}
	ops, err := kernels.Open(path)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%w: operators for %s: %w", ErrRuntime, path, err), ort.DestroyEnvironment())
	}
	process.runtime, process.openers = &Runtime{library: path, version: ort.GetVersion(), ops: ops}, 1
	return process.runtime, nil
}

// Version is the library's version, such as "1.24.1".
func (r *Runtime) Version() string { return r.version }

// Library is the absolute path of the shared library.
func (r *Runtime) Library() string { return r.library }

// Close unloads the library when its last opener closes it. It refuses while sessions
// are open.
func (r *Runtime) Close() error {
	process.Lock()
	defer process.Unlock()
	if process.runtime != r {
		return nil // closed already
	}
	if process.openers > 1 {
		process.openers--
		return nil
	}
	if process.sessions > 0 {
		return fmt.Errorf("%w: close %s: %d sessions are open", ErrRuntime, r.library, process.sessions)
	}
	process.runtime, process.openers = nil, 0
	return ort.DestroyEnvironment()
}

func logger(l *slog.Logger) *slog.Logger {
	if l == nil {
		return slog.Default()
	}
	return l
}
