package onnx

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func openRuntime(t testing.TB) *Runtime {
	t.Helper()
	library, err := Find()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Open(library)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestOpenIsOncePerProcess(t *testing.T) {
	r := openRuntime(t)
	if !strings.HasPrefix(r.Version(), "1.") {
		t.Errorf("version %q", r.Version())
	}
	again, err := Open(r.Library())
	if err != nil || again != r {
		t.Fatalf("the same library gave %p, %v, want %p", again, err, r)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open("/elsewhere/libonnxruntime.so"); !errors.Is(err, ErrRuntime) {
		t.Errorf("another library while one is open: %v, want ErrRuntime", err)
	}
}

func TestOpenRefusesWhatIsNoRuntime(t *testing.T) {
	text := filepath.Join(t.TempDir(), "libonnxruntime.so")
	if err := os.WriteFile(text, []byte("not a library"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(text); !errors.Is(err, ErrRuntime) {
		t.Errorf("a text file: %v, want ErrRuntime", err)
	}
	if _, err := Open(text + ".gone"); !errors.Is(err, ErrRuntime) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v, want ErrRuntime and ErrNotExist", err)
	}
}

func TestCloseRefusesWhileSessionsAreOpen(t *testing.T) {
	r := openRuntime(t)
	s, err := r.NewSession(SessionConfig{Model: ownClassifier(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); !errors.Is(err, ErrRuntime) {
		t.Errorf("got %v, want ErrRuntime", err)
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	put := func(path string) string {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	at := func(path string) string { return filepath.Join(root, path) }
	lib := libraryName()
	named := put("named/onnx-custom.so")
	beside := put("install/bin/lib/" + lib)
	deps := put("repo/.deps/onnxruntime/" + lib)
	put("versions/" + lib + ".1.9.0")
	newest := put("versions/" + lib + ".1.24.1")
	put("versions/" + lib + ".1.23.2")
	for name, x := range map[string]struct {
		named, program, working string
		search                  []string
		want                    string
	}{
		"named file":             {named, at("install/bin/barograph"), at("repo"), nil, named},
		"named folder":           {at("repo/.deps/onnxruntime"), "", "", nil, deps},
		"beside the program":     {"", at("install/bin/barograph"), at("repo"), nil, beside},
		"above the program":      {"", at("repo/bin/barograph"), at("elsewhere"), nil, deps},
		"above the working dir":  {"", "", at("repo/classify/onnx"), nil, deps},
		"newest in LD path":      {"", "", at("elsewhere"), []string{"", at("empty"), at("versions")}, newest},
		"named and not there":    {at("gone"), at("install/bin/barograph"), at("repo"), nil, ""},
		"named folder has nones": {at("install"), at("install/bin/barograph"), at("repo"), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := find(x.named, x.program, x.working, x.search)
			if got != x.want || (err != nil) != (x.want == "") || (err != nil && !errors.Is(err, ErrRuntime)) {
				t.Errorf("got %q, %v, want %q", got, err, x.want)
			}
		})
	}
}
