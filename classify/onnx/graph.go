package onnx

import (
	"fmt"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"sync"

	ort "github.com/yalue/onnxruntime_go"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// GraphConfig says which model to run as a Graph, and how.
type GraphConfig struct {
	Model   []byte       // the serialised model; not kept
	Device  Device       // Auto is CUDA where it works, else CPU
	Threads int          // for one Run on the CPU; 0 is one a core
	Log     *slog.Logger // nil is slog.Default()

	// NoPattern plans no block of memory ahead for each shape of inputs. That is a
	// little slower and saves much where shapes vary and a run keeps most of its values
	// to the end, as a training step does.
	NoPattern bool
}

// Graph is an opened model of any inputs and outputs, for graphs that this program
// builds itself. For text classifiers, Session checks more. It is not safe for
// concurrent use.
type Graph struct {
	session *ort.DynamicAdvancedSession
	device  Device
	inputs  []string
	outputs []string
	closing sync.Once
}

// Tensor is an input or output of a Graph, row major.
type Tensor struct {
	Shape []int // at least one dimension
	Data  any   // []float32, []float64, []int64, []uint8 or []bool
}

// NewGraph opens a model. Errors wrap ErrDevice, or say why ONNX Runtime refused it.
func (r *Runtime) NewGraph(c GraphConfig) (*Graph, error) {
	face, err := onnxpb.ReadInterface(c.Model)
	if err != nil {
		return nil, fmt.Errorf("open graph: %w", err)
	}
	g := &Graph{}
	for _, v := range face.Inputs {
		g.inputs = append(g.inputs, v.Name)
	}
	for _, v := range face.Outputs {
		g.outputs = append(g.outputs, v.Name)
	}
	if len(g.inputs) == 0 || len(g.outputs) == 0 {
		return nil, fmt.Errorf("open graph: %w: %d inputs and %d outputs", ErrModel, len(g.inputs), len(g.outputs))
	}
	if g.device, err = r.Resolve(c.Device, c.Log); err != nil {
		return nil, err
	}
	if c.Threads <= 0 {
		c.Threads = runtime.GOMAXPROCS(0)
	}
	options, err := r.sessionOptions(g.device, c.Threads)
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	if err := options.SetMemPattern(!c.NoPattern); err != nil {
		return nil, err
	}
	g.session, err = ort.NewDynamicAdvancedSessionWithONNXData(c.Model, g.inputs, g.outputs, options)
	if err != nil {
		return nil, fmt.Errorf("open graph on %s: %w", g.device, err)
	}
	process.Lock()
	process.sessions++
	process.Unlock()
	return g, nil
}

// Device is where the graph runs: CPU or CUDA.
func (g *Graph) Device() Device { return g.device }

// Run runs the graph once. in has a tensor for every input. The outputs that into has a
// tensor for are written there, and must have its shape and type; the others are new in
// the result, which has all. The slices must not change until Run returns; they are not
// kept.
func (g *Graph) Run(in, into map[string]Tensor) (map[string]Tensor, error) {
	inputs := make([]ort.Value, len(g.inputs))
	defer destroy(inputs)
	for i, name := range g.inputs {
		t, ok := in[name]
		if !ok {
			return nil, fmt.Errorf("%w: input %s is missing of %v", ErrModel, name, slices.Sorted(maps.Keys(in)))
		}
		var err error
		if inputs[i], err = valueOf(t); err != nil {
			return nil, fmt.Errorf("input %s: %w", name, err)
		}
	}
	outputs := make([]ort.Value, len(g.outputs))
	defer destroy(outputs)
	for i, name := range g.outputs {
		if t, ok := into[name]; ok {
			var err error
			if outputs[i], err = valueOf(t); err != nil {
				return nil, fmt.Errorf("output %s: %w", name, err)
			}
		}
	}
	if err := g.session.Run(inputs, outputs); err != nil {
		return nil, fmt.Errorf("run on %s: %w", g.device, err)
	}
	out := make(map[string]Tensor, len(outputs))
	for i, name := range g.outputs {
		t, err := tensorOf(outputs[i])
		if err != nil {
			return nil, fmt.Errorf("output %s: %w", name, err)
		}
		out[name] = t
	}
	return out, nil
}

// Close frees the model. Closing twice is fine.
func (g *Graph) Close() error {
	var err error
	g.closing.Do(func() {
		err = g.session.Destroy()
		process.Lock()
		process.sessions--
		process.Unlock()
	})
	return err
}

func destroy(values []ort.Value) {
	for _, v := range values {
		if v != nil {
			v.Destroy()
		}
	}
}

// valueOf lends a tensor's memory to ONNX Runtime.
func valueOf(t Tensor) (ort.Value, error) {
	switch data := t.Data.(type) {
	case []float32:
		return newValue(t.Shape, data)
	case []float64:
		return newValue(t.Shape, data)
	case []int64:
		return newValue(t.Shape, data)
	case []uint8:
		return newValue(t.Shape, data)
	case []bool:
		return newValue(t.Shape, data)
	}
	return nil, fmt.Errorf("%w: %T is no type of tensor", ErrModel, t.Data)
}

func newValue[T ort.TensorData](shape []int, data []T) (ort.Value, error) {
	if len(shape) == 0 {
		return nil, fmt.Errorf("%w: a tensor without dimensions", ErrModel)
	}
	dims, n := make(ort.Shape, len(shape)), 1
	for i, d := range shape {
		dims[i] = int64(d)
		n *= d
	}
	if n != len(data) {
		return nil, fmt.Errorf("%w: %d numbers for shape %v", ErrModel, len(data), shape)
	}
	v, err := ort.NewTensor(dims, data)
	if err != nil { // not the nil pointer in an interface
		return nil, err
	}
	return v, nil
}

func tensorOf(v ort.Value) (Tensor, error) {
	var t Tensor
	for _, d := range v.GetShape() {
		t.Shape = append(t.Shape, int(d))
	}
	switch v := v.(type) {
	case *ort.Tensor[float32]:
		t.Data = v.GetData()
	case *ort.Tensor[float64]:
		t.Data = v.GetData()
	case *ort.Tensor[int64]:
		t.Data = v.GetData()
	case *ort.Tensor[uint8]:
		t.Data = v.GetData()
	case *ort.Tensor[bool]:
		t.Data = v.GetData()
	default:
		return t, fmt.Errorf("%w: its type is %d", ErrModel, v.DataType())
	}
	return t, nil
}
