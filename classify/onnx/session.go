package onnx

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strconv"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// ErrModel is wrapped by errors about a model that is not a text classifier this
// package can feed.
var ErrModel = errors.New("cannot run this ONNX model")

// ErrBatch is wrapped by errors about a batch that does not fit its model; the model
// was not run.
var ErrBatch = errors.New("batch does not fit the model")

// SessionConfig says which model to run, and how.
type SessionConfig struct {
	Model   []byte       // the serialised model; not kept
	Path    string       // or the file it is in, for models with their weights beside them
	Device  Device       // Auto is CUDA where it works, else CPU
	Threads int          // for one Run on the CPU; 0 is one a core
	Vocab   int          // ids must be under it; 0 takes the model's metadata, or no limit
	Log     *slog.Logger // nil is slog.Default()
}

// Session is an opened model. Run may be called by several goroutines, which share the
// session's threads; Close must come after the last Run.
type Session struct {
	session *ort.DynamicAdvancedSession
	device  Device
	inputs  []string
	outputs []string
	limits  limits
	closing sync.Once
}

// NewSession opens a model. Inputs are found by name: input_ids, and attention_mask and
// token_type_ids where the model has them, each int64 [batch, seq] with both dimensions
// free. Outputs are float32, rows first: every head of a model made by classify/bert,
// and the first output of any other, which a user's own export of a classifier calls
// its logits.
func (r *Runtime) NewSession(c SessionConfig) (*Session, error) {
	name := c.Path
	if c.Model == nil {
		model, err := os.ReadFile(c.Path)
		if err != nil {
			return nil, err
		}
		c.Model = model
	} else {
		name, c.Path = "in memory", ""
	}
	face, err := onnxpb.ReadInterface(c.Model)
	if err != nil {
		return nil, fmt.Errorf("open model %s: %w", name, err)
	}
	s := &Session{limits: limitsOf(face.Metadata, c.Vocab)}
	if err := s.match(face); err != nil {
		return nil, fmt.Errorf("open model %s: %w", name, err)
	}
	if s.device, err = r.Resolve(c.Device, c.Log); err != nil {
		return nil, err
	}
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	if err := s.open(r, c); err != nil {
		return nil, fmt.Errorf("open model %s on %s: %w", name, s.device, err)
	}
	process.Lock()
	process.sessions++
	process.Unlock()
	return s, nil
}

func (s *Session) open(r *Runtime, c SessionConfig) error {
	options, err := r.sessionOptions(s.device, c.Threads)
	if err != nil {
		return err
	}
	defer options.Destroy()
	if c.Path != "" {
		s.session, err = ort.NewDynamicAdvancedSession(c.Path, s.inputs, s.outputs, options)
	} else {
		s.session, err = ort.NewDynamicAdvancedSessionWithONNXData(c.Model, s.inputs, s.outputs, options)
	}
	return err
}

// match finds the inputs to feed and the outputs to fetch.
func (s *Session) match(face onnxpb.Interface) error {
	seen := false
	for _, in := range face.Inputs {
		switch in.Name {
		case "input_ids":
			seen = true
		case "attention_mask", "token_type_ids":
		default:
			return fmt.Errorf("%w: input %q is not one of input_ids, attention_mask, token_type_ids", ErrModel, in.Name)
		}
		if in.Type != onnxpb.Int64 {
			return fmt.Errorf("%w: input %q is %s, not int64", ErrModel, in.Name, in.Type)
		}
		for _, d := range in.Shape {
			if d.Size > 0 {
				return fmt.Errorf("%w: input %q has a dimension fixed at %d: export it with dynamic axes for batch and sequence",
					ErrModel, in.Name, d.Size)
			}
		}
		s.inputs = append(s.inputs, in.Name)
	}
	if !seen {
		return fmt.Errorf("%w: it has no input input_ids", ErrModel)
	}
	outputs := face.Outputs
	if len(outputs) == 0 {
		return fmt.Errorf("%w: it has no output", ErrModel)
	}
	if face.Metadata[onnxpb.MetaHeads] == "" {
		outputs = outputs[:1]
	}
	for _, out := range outputs {
		if out.Type != onnxpb.Float32 {
			return fmt.Errorf("%w: output %q is %s, not float32", ErrModel, out.Name, out.Type)
		}
		s.outputs = append(s.outputs, out.Name)
	}
	return nil
}

// Outputs names the outputs, in the order of Run's results: the tasks of a model made
// by classify/bert.
func (s *Session) Outputs() []string { return s.outputs }

// Device is where the session runs: CPU or CUDA.
func (s *Session) Device() Device { return s.device }

// Close frees the model. Closing twice is fine.
func (s *Session) Close() error {
	var err error
	s.closing.Do(func() {
		err = s.session.Destroy()
		process.Lock()
		process.sessions--
		process.Unlock()
	})
	return err
}

// limits are what ids must be under; 0 is no limit.
type limits struct{ vocab, types, positions int }

func limitsOf(metadata map[string]string, vocab int) limits {
	number := func(key string) int { n, _ := strconv.Atoi(metadata[key]); return n }
	l := limits{number(onnxpb.MetaVocab), number(onnxpb.MetaTypes), number(onnxpb.MetaPositions)}
	if vocab > 0 {
		l.vocab = vocab
	}
	return l
}
