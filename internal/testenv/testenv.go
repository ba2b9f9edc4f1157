// Package testenv starts what tests need of the world: a real Apache Kafka and a real
// Redis on free loopback ports, and finds the third-party files that `make deps` fetched.
package testenv

import (
	"os"
	"path/filepath"
	"testing"
)

// Deps is the folder of fetched third-party files: BAROGRAPH_DEPS, or .deps at the
// repository's root. It fails the test where there is none.
func Deps(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("BAROGRAPH_DEPS"); dir != "" {
		return dir
	}
	dir := filepath.Join(Root(t), ".deps")
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("no third-party files at %s: run `make deps` first", dir)
	}
	return dir
}

// Root is the repository's root folder.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("not inside the repository: no go.mod above the working folder")
		}
		dir = filepath.Dir(dir)
	}
}

// Data is the folder of shared data sets: BAROGRAPH_DATA, or ../shared/data beside the
// repository. It skips the test where there is none.
func Data(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("BAROGRAPH_DATA")
	if dir == "" {
		dir = filepath.Join(filepath.Dir(Root(t)), "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("no data sets at %s (set BAROGRAPH_DATA to their folder)", dir)
	}
	return dir
}
