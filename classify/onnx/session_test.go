package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

var batchAndSeq = []onnxpb.Dim{{Name: "batch"}, {Name: "seq"}}

// ownClassifier is a model as a user might bring it: two of the three inputs, logits
// first and another output behind. Its logits are the sums of the tokens' rows in a
// table of 5 ids x 2 labels; it carries nothing of Barograph's.
func ownClassifier(t testing.TB) []byte {
	t.Helper()
	b := onnxpb.NewBuilder("own", 17)
	ids := b.Input("input_ids", onnxpb.Int64, batchAndSeq...)
	mask := b.Input("attention_mask", onnxpb.Int64, batchAndSeq...)
	table := b.Floats("table", []int{5, 2}, []float32{9, 9, 1, 0, 0, 1, 2, -2, 0.5, 0.25})
	rows := b.Op("Gather", []string{table, ids})
	weight := b.Op("Unsqueeze", []string{b.Op("Cast", []string{mask}, onnxpb.Int("to", int(onnxpb.Float32))), b.Int64s(2)})
	kept := b.Op("Mul", []string{rows, weight})
	logits := b.Op("ReduceSum", []string{kept, b.Int64s(1)}, onnxpb.Int("keepdims", 0))
	b.Output(logits, onnxpb.Float32, onnxpb.Dim{Name: "batch"}, onnxpb.Dim{Size: 2})
	b.Output(kept, onnxpb.Float32, onnxpb.Dim{Name: "batch"}, onnxpb.Dim{Name: "seq"}, onnxpb.Dim{Size: 2})
	model, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	return model
}

func openSession(t testing.TB, c SessionConfig) *Session {
	t.Helper()
	r := openRuntime(t)
	s, err := r.NewSession(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestUsersOwnClassifierRunsAsItIs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "own.onnx")
	if err := os.WriteFile(path, ownClassifier(t), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]SessionConfig{"memory": {Model: ownClassifier(t)}, "file": {Path: path}} {
		t.Run(name, func(t *testing.T) {
			s := openSession(t, c)
			if s.Device() != CPU || len(s.Outputs()) != 1 {
				t.Errorf("on %s with outputs %v", s.Device(), s.Outputs())
			}
			out, err := s.Run(Batch{Rows: 2, Cols: 3, IDs: []int64{1, 3, 4, 2, 0, 0}, Mask: []int64{1, 1, 1, 1, 0, 0}})
			if err != nil {
				t.Fatal(err)
			}
			if len(out) != 1 || out[0].Labels != 2 ||
				!slices.Equal(out[0].Row(0), []float32{3.5, -1.75}) || !slices.Equal(out[0].Row(1), []float32{0, 1}) {
				t.Errorf("logits %+v", out)
			}
		})
	}
}

// Several goroutines may share a session.
func TestRunConcurrently(t *testing.T) {
	s := openSession(t, SessionConfig{Model: ownClassifier(t), Threads: 2})
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for n := 1; n < 50; n++ {
				b := Batch{Rows: 1, Cols: n, IDs: slices.Repeat([]int64{int64(worker%2 + 1)}, n), Mask: slices.Repeat([]int64{1}, n)}
				out, err := s.Run(b)
				if err != nil || out[0].Data[worker%2] != float32(n) || out[0].Data[1-worker%2] != 0 {
					t.Errorf("worker %d, %d tokens: %v, %v", worker, n, out, err)
					return
				}
			}
		})
	}
	group.Wait()
}

func TestRunRefusesBatches(t *testing.T) {
	s := openSession(t, SessionConfig{Model: ownClassifier(t), Vocab: 5})
	s.limits.positions, s.limits.types = 4, 1
	one := []int64{1}
	for name, b := range map[string]Batch{
		"nothing":           {},
		"no columns":        {Rows: 1},
		"too few ids":       {Rows: 2, Cols: 1, IDs: one, Mask: []int64{1, 1}},
		"too few masks":     {Rows: 1, Cols: 1, IDs: one},
		"too many types":    {Rows: 1, Cols: 1, IDs: one, Mask: one, Types: []int64{0, 0}},
		"negative id":       {Rows: 1, Cols: 1, IDs: []int64{-1}, Mask: one},
		"id of no token":    {Rows: 1, Cols: 1, IDs: []int64{5}, Mask: one},
		"mask over 1":       {Rows: 1, Cols: 1, IDs: one, Mask: []int64{2}},
		"type of no kind":   {Rows: 1, Cols: 1, IDs: one, Mask: one, Types: one},
		"longer than model": {Rows: 1, Cols: 5, IDs: make([]int64, 5), Mask: make([]int64, 5)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := s.Run(b); !errors.Is(err, ErrBatch) {
				t.Errorf("got %v, want ErrBatch", err)
			}
		})
	}
	if _, err := s.Run(Batch{Rows: 1, Cols: 1, IDs: one, Mask: one, Types: []int64{0}}); err != nil {
		t.Errorf("a batch that fits: %v", err)
	}
}

// Without a known vocabulary ONNX Runtime refuses the id, and the error says of which
// batch; the session goes on.
func TestRunErrorNamesTheBatch(t *testing.T) {
	s := openSession(t, SessionConfig{Model: ownClassifier(t)})
	_, err := s.Run(Batch{Rows: 1, Cols: 2, IDs: []int64{1, 77}, Mask: []int64{1, 1}})
	if err == nil || !strings.Contains(err.Error(), "1 x 2") {
		t.Errorf("got %v, want an error of 1 x 2", err)
	}
	if _, err := s.Run(Batch{Rows: 1, Cols: 1, IDs: []int64{1}, Mask: []int64{1}}); err != nil {
		t.Error(err)
	}
}

func TestNewSessionRefusesModels(t *testing.T) {
	r := openRuntime(t)
	type value struct {
		name  string
		kind  onnxpb.Type
		shape []onnxpb.Dim
	}
	ids := value{"input_ids", onnxpb.Int64, batchAndSeq}
	model := func(out onnxpb.Type, inputs ...value) []byte {
		b := onnxpb.NewBuilder("x", 17)
		for _, v := range inputs {
			b.Input(v.name, v.kind, v.shape...)
		}
		if out != 0 {
			b.Output(b.Op("Cast", []string{inputs[0].name}, onnxpb.Int("to", int(out))), out, batchAndSeq...)
		}
		m, err := b.Model()
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, x := range map[string]struct {
		model []byte
		want  error
	}{
		"unknown input":     {model(onnxpb.Float32, ids, value{"pixel_values", onnxpb.Int64, batchAndSeq}), ErrModel},
		"no ids":            {model(onnxpb.Float32, value{"attention_mask", onnxpb.Int64, batchAndSeq}), ErrModel},
		"32-bit ids":        {model(onnxpb.Float32, value{"input_ids", onnxpb.Int32, batchAndSeq}), ErrModel},
		"fixed length":      {model(onnxpb.Float32, value{"input_ids", onnxpb.Int64, []onnxpb.Dim{{Name: "batch"}, {Size: 128}}}), ErrModel},
		"no output":         {model(0, ids), ErrModel},
		"half-width output": {model(onnxpb.Float16, ids), ErrModel},
		"not ONNX":          {[]byte("{\"json\": true}"), onnxpb.ErrMalformed},
		"empty":             {[]byte{}, onnxpb.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := r.NewSession(SessionConfig{Model: x.model}); !errors.Is(err, x.want) {
				t.Errorf("got %v, want %v", err, x.want)
			}
		})
	}
	if _, err := r.NewSession(SessionConfig{Path: filepath.Join(t.TempDir(), "gone.onnx")}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	b := onnxpb.NewBuilder("x", 17)
	b.Output(b.Op("NoSuchOperator", []string{b.Input("input_ids", onnxpb.Int64, batchAndSeq...)}), onnxpb.Float32)
	unknown, err := b.Model()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.NewSession(SessionConfig{Model: unknown}); err == nil {
		t.Error("an unknown operator was taken")
	}
}
