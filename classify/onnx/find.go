package onnx

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sort"
	"strings"
)

// EnvLibrary names the environment variable that points at the shared library, or at
// the folder that it is in.
const EnvLibrary = "BAROGRAPH_ONNXRUNTIME"

// Find looks for ONNX Runtime's shared library: where BAROGRAPH_ONNXRUNTIME points (and
// then nowhere else); beside the program, in its folder lib and in .deps/onnxruntime
// above it; in .deps/onnxruntime of the working folder and the folders above it; in
// LD_LIBRARY_PATH and the system's library folders.
func Find() (string, error) {
	working, _ := os.Getwd()
	program, _ := os.Executable()
	if p, err := filepath.EvalSymlinks(program); err == nil {
		program = p
	}
	return find(os.Getenv(EnvLibrary), program, working, filepath.SplitList(os.Getenv("LD_LIBRARY_PATH")))
}

func find(named, program, working string, search []string) (string, error) {
	if named != "" {
		if path := libraryAt(named); path != "" {
			return path, nil
		}
		return "", fmt.Errorf("%w: %s is %s, where there is no %s", ErrRuntime, EnvLibrary, named, libraryName())
	}
	for _, folder := range folders(program, working, search) {
		if path := libraryAt(folder); path != "" {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w: no %s beside the program, in .deps/onnxruntime here or above, or among the system's libraries; "+
		"run `make deps`, or point %s at the library", ErrRuntime, libraryName(), EnvLibrary)
}

func folders(program, working string, search []string) []string {
	var out []string
	deps := filepath.Join(".deps", "onnxruntime")
	if program != "" {
		beside := filepath.Dir(program)
		out = append(out, beside, filepath.Join(beside, "lib"), filepath.Join(filepath.Dir(beside), deps))
	}
	for dir := working; dir != ""; dir = filepath.Dir(dir) {
		out = append(out, filepath.Join(dir, deps))
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for _, dir := range search {
		if dir != "" {
			out = append(out, dir)
		}
	}
	return append(out, "/usr/local/lib", "/usr/lib", "/usr/lib64", "/usr/lib/"+machine()+"-linux-gnu", "/opt/onnxruntime/lib")
}

// libraryAt is the library that path is or, where it is a folder, that lies in it: the
// plain name, or else the highest version.
func libraryAt(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	if !info.IsDir() {
		return path
	}
	plain := filepath.Join(path, libraryName())
	if info, err := os.Stat(plain); err == nil && !info.IsDir() {
		return plain
	}
	versions, _ := filepath.Glob(plain + ".*")
	sort.Slice(versions, func(i, j int) bool {
		if len(versions[i]) != len(versions[j]) {
			return len(versions[i]) < len(versions[j]) // 1.9.0 before 1.24.1
		}
		return versions[i] < versions[j]
	})
	if len(versions) > 0 {
		return versions[len(versions)-1]
	}
	return ""
}

func libraryName() string {
	if runtime.GOOS == "darwin" {
		return "libonnxruntime.dylib"
	}
	return "libonnxruntime.so"
}

func machine() string {
	return strings.NewReplacer("amd64", "x86_64", "arm64", "aarch64").Replace(runtime.GOARCH)
}
