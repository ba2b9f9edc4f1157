package onnx

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A build for the CPU has nothing to warn of, and refuses only what it cannot do.
func TestResolveOnABuildForTheCPU(t *testing.T) {
	r := openRuntime(t)
	if _, err := os.Stat(filepath.Join(filepath.Dir(r.Library()), "libonnxruntime_providers_cuda.so")); err == nil {
		t.Skip("this library has CUDA")
	}
	var log bytes.Buffer
	for _, d := range []Device{Auto, CPU} {
		if got, err := r.Resolve(d, slog.New(slog.NewTextHandler(&log, nil))); got != CPU || err != nil {
			t.Errorf("%s: %s, %v, want cpu", d, got, err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("it warned: %s", &log)
	}
	if _, err := r.Resolve(CUDA, nil); !errors.Is(err, ErrDevice) {
		t.Errorf("cuda: %v, want ErrDevice", err)
	}
	if _, err := r.NewSession(SessionConfig{Model: ownClassifier(t), Device: CUDA}); !errors.Is(err, ErrDevice) {
		t.Errorf("session on cuda: %v, want ErrDevice", err)
	}
	if _, err := r.Resolve("tpu", nil); !errors.Is(err, ErrDevice) {
		t.Errorf("tpu: %v, want ErrDevice", err)
	}
}

// A library that has CUDA and cannot use it: Auto says so once and runs on the CPU, and
// CUDA demanded refuses with the same reason. Here the provider beside the library is an
// empty file. The real provider fails in two more places, which took the same way when
// tried by hand: without CUDA's libraries when it is loaded, without a driver when the
// probe's session is made.
func TestResolveFallsBackWithOneWarning(t *testing.T) {
	real := openRuntime(t)
	dir := t.TempDir()
	for _, name := range []string{"libonnxruntime_providers_cuda.so", "libonnxruntime_providers_shared.so"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r := &Runtime{library: filepath.Join(dir, filepath.Base(real.Library()))}
	var log bytes.Buffer
	for range 3 {
		if got, err := r.Resolve(Auto, slog.New(slog.NewTextHandler(&log, nil))); got != CPU || err != nil {
			t.Fatalf("auto: %s, %v, want cpu", got, err)
		}
	}
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "reason=") {
		t.Errorf("%d warnings: %s", n, &log)
	}
	if _, err := r.Resolve(CUDA, nil); !errors.Is(err, ErrDevice) {
		t.Errorf("cuda: %v, want ErrDevice", err)
	}
}

func TestDeviceText(t *testing.T) {
	for text, want := range map[string]Device{"": Auto, "auto": Auto, "cpu": CPU, "cuda": CUDA} {
		var d Device
		if err := d.UnmarshalText([]byte(text)); err != nil || d != want {
			t.Errorf("%q: %v, %v", text, d, err)
		}
	}
	var d Device
	if err := d.UnmarshalText([]byte("gpu0")); err == nil {
		t.Error("gpu0 was taken")
	}
}
