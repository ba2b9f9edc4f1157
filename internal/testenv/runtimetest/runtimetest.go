// Package runtimetest opens the ONNX Runtime that `make deps` fetched, for tests.
package runtimetest

import (
	"testing"

	"github.com/barograph/barograph/classify/onnx"
)

// Open gives the runtime, which is closed at the test's end, after all that the test opens on it.
func Open(t testing.TB) *onnx.Runtime {
	t.Helper()
	library, err := onnx.Find()
	if err != nil {
		t.Fatal(err)
	}
	r, err := onnx.Open(library)
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
