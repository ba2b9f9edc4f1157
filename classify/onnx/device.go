package onnx

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"

	ort "github.com/yalue/onnxruntime_go"
	"golang.org/x/sys/cpu"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// Device is where a session runs.
type Device string

// The devices. Auto, the zero value, is CUDA where it works and the CPU else.
const (
	Auto Device = ""
	CPU  Device = "cpu"
	CUDA Device = "cuda"
)

// ErrDevice is wrapped by errors about a device that was demanded and cannot be used.
var ErrDevice = errors.New("device is not usable")

// UnmarshalText takes "auto", "cpu" and "cuda".
func (d *Device) UnmarshalText(text []byte) error {
	switch t := string(text); t {
	case "", "auto":
		*d = Auto
	case "cpu", "cuda":
		*d = Device(t)
	default:
		return fmt.Errorf("device %q: want auto, cpu or cuda", t)
	}
	return nil
}

// String is "auto", "cpu" or "cuda".
func (d Device) String() string {
	if d == Auto {
		return "auto"
	}
	return string(d)
}

// Resolve says where a session for that device would run, CPU or CUDA, so that a caller
// can build the graph that suits it. It runs a small product on the card the first time:
// a build with CUDA but without CUDA's libraries fails when the provider is added, one
// without a driver only when a session is made, and either would else run silently on
// the CPU. CUDA demanded and not usable is an error; with Auto, a library that has CUDA
// and cannot use it is one warning per Runtime, with the reason.
func (r *Runtime) Resolve(d Device, log *slog.Logger) (Device, error) {
	switch d {
	case CPU:
		return CPU, nil
	case CUDA:
		if err := r.checkCUDA(); err != nil {
			return "", fmt.Errorf("%w: cuda: %w", ErrDevice, err)
		}
		return CUDA, nil
	case Auto:
		err := r.checkCUDA()
		if err == nil {
			return CUDA, nil
		}
		if !errors.Is(err, errNoProvider) {
			r.warnOnce.Do(func() {
				logger(log).Warn("the GPU cannot be used, running on the CPU", "reason", err, "library", r.library)
			})
		}
		return CPU, nil
	}
	return "", fmt.Errorf("%w: %q: want auto, cpu or cuda", ErrDevice, string(d))
}

// errNoProvider: the library is a build for the CPU, which is no fault.
var errNoProvider = errors.New("the library is a build without CUDA (take onnxruntime-gpu)")

func (r *Runtime) checkCUDA() error {
	r.probe.Lock()
	defer r.probe.Unlock()
	if !r.probed {
		r.probed, r.cudaErr = true, r.probeCUDA()
	}
	return r.cudaErr
}

func (r *Runtime) probeCUDA() error {
	provider := filepath.Join(filepath.Dir(r.library), "libonnxruntime_providers_cuda.so")
	if _, err := os.Stat(provider); err != nil {
		return errNoProvider
	}
	b := onnxpb.NewBuilder("probe", 17)
	x := b.Input("x", onnxpb.Float32, onnxpb.Dim{Size: 2}, onnxpb.Dim{Size: 2})
	y := b.Op("MatMul", []string{x, x})
	b.Output(y, onnxpb.Float32, onnxpb.Dim{Size: 2}, onnxpb.Dim{Size: 2})
	model, err := b.Model()
	if err != nil {
		return err
	}
	options, err := r.sessionOptions(CUDA, 1)
	if err != nil {
		return err
	}
	defer options.Destroy()
	// Without this, ONNX Runtime would run the probe on the CPU and call it a success.
	if err := options.AddSessionConfigEntry("session.disable_cpu_ep_fallback", "1"); err != nil {
		return err
	}
	session, err := ort.NewDynamicAdvancedSessionWithONNXData(model, []string{x}, []string{y}, options)
	if err != nil {
		return fmt.Errorf("make a session on the GPU (is there a driver?): %w", err)
	}
	defer session.Destroy()
	in, err := ort.NewTensor(ort.NewShape(2, 2), []float32{1, 2, 3, 4})
	if err != nil {
		return err
	}
	defer in.Destroy()
	out := []ort.Value{nil}
	if err := session.Run([]ort.Value{in}, out); err != nil {
		return fmt.Errorf("run on the GPU: %w", err)
	}
	return out[0].Destroy()
}

// sessionOptions are the settings of every session on that device.
func (r *Runtime) sessionOptions(d Device, threads int) (_ *ort.SessionOptions, err error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			o.Destroy()
		}
	}()
	for key, value := range map[string]string{
		// Idle threads sleep: the cores are shared with the rest of the stream.
		"session.intra_op.allow_spinning": "0",
		"session.inter_op.allow_spinning": "0",
	} {
		if err := o.AddSessionConfigEntry(key, value); err != nil {
			return nil, fmt.Errorf("set %s: %w", key, err)
		}
	}
	// Processors with AVX2 or AVX-512 but no VNNI saturate products of int8 and uint8 pairs; this
	// takes the slower, exact kernel. From 1.25 on ONNX Runtime would take it with VNNI, too.
	if !cpu.X86.HasAVX512VNNI && !cpu.X86.HasAVXVNNI {
		if err := o.AddSessionConfigEntry("session.x64quantprecision", "1"); err != nil {
			return nil, fmt.Errorf("set session.x64quantprecision: %w", err)
		}
	}
	if err := errors.Join(o.SetIntraOpNumThreads(threads), o.SetInterOpNumThreads(1)); err != nil {
		return nil, err
	}
	if d == CUDA {
		return o, appendCUDA(o)
	}
	// The wrapper has no call for operators from elsewhere, and keeps ONNX Runtime's pointer to itself.
	options := reflect.ValueOf(o).Elem().FieldByName("o")
	if options.Kind() != reflect.Pointer || options.Type().Elem().Name() != "_Ctype_struct_OrtSessionOptions" {
		return nil, errors.New("onnxruntime_go keeps ONNX Runtime's session options elsewhere than in its field o: operators cannot be added")
	}
	if err := r.ops.Add(options.UnsafePointer()); err != nil {
		return nil, fmt.Errorf("add operators: %w", err)
	}
	return o, nil
}

func appendCUDA(o *ort.SessionOptions) error {
	cuda, err := ort.NewCUDAProviderOptions()
	if err != nil {
		return fmt.Errorf("CUDA options: %w", err)
	}
	defer cuda.Destroy()
	// Batches vary in length: grow the arena by what is asked, not to the next power of 2.
	// This is the call that loads the provider and, with it, CUDA's own libraries.
	if err := cuda.Update(map[string]string{"arena_extend_strategy": "kSameAsRequested"}); err != nil {
		return fmt.Errorf("load CUDA (is LD_LIBRARY_PATH set over the libraries of CUDA 12 and cuDNN 9?): %w", err)
	}
	if err := o.AppendExecutionProviderCUDA(cuda); err != nil {
		return fmt.Errorf("add CUDA to the session: %w", err)
	}
	return nil
}
