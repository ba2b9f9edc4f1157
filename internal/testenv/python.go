package testenv

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Python is an interpreter with torch, transformers and peft: BAROGRAPH_PYTHON, or what
// `make deps` made. Without one it skips the test, but not in CI.
func Python(t testing.TB) string {
	t.Helper()
	python := os.Getenv("BAROGRAPH_PYTHON")
	if python == "" {
		python = filepath.Join(Deps(t), "python", "bin", "python")
	}
	if err := exec.Command(python, "-c", "import torch, transformers, peft").Run(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s has no torch, transformers and peft, which `deps/fetch python` installs: %v", python, err)
		}
		t.Skipf("%s has no torch, transformers and peft; `deps/fetch python` installs them: %v", python, err)
	}
	return python
}
