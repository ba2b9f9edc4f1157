package bert

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// importONNX writes the model that an ONNX export of PyTorch holds.
//
// Exporters fold the transposition of a linear layer's weight, which then loses its
// name; its bias keeps it. The MatMul whose result is added to X.bias holds X.weight,
// transposed.
func importONNX(folder, exportONNX, tokenizerJSON string, o ImportOptions) error {
	tokenizer, err := os.ReadFile(tokenizerJSON)
	if err != nil {
		return err
	}
	if !json.Valid(tokenizer) {
		return fmt.Errorf("%w: its tokenizer is not JSON", ErrExport)
	}
	model, err := os.ReadFile(exportONNX)
	if err != nil {
		return err
	}
	graph, err := onnxpb.Parse(model)
	if err != nil {
		return err
	}
	weights, err := exportedWeights(graph)
	if err != nil {
		return err
	}
	config, err := exportedConfig(graph, weights, o)
	if err != nil {
		return err
	}
	return writeModel(folder, config, weights, tokenizer)
}

// exportedWeights collects the named tensors, without the prefix that the exporter's
// wrapper gave them, and pairs the nameless ones with their biases.
func exportedWeights(g *onnxpb.Graph) (map[string]tensor, error) {
	prefix := ""
	for name := range g.Tensors {
		if p, ok := strings.CutSuffix(name, wordEmbeddings); ok && (prefix == "" || len(p) < len(prefix)) {
			prefix = p
		}
	}
	weights := map[string]tensor{}
	for name, t := range g.Tensors {
		short := canonicalName(strings.TrimPrefix(name, prefix))
		if !isWeightName(short) || t.Type == onnxpb.Int64 {
			continue
		}
		w, err := floats(t)
		if err != nil {
			return nil, err
		}
		weights[short] = w
	}
	if err := pairLinears(g, prefix, weights); err != nil {
		return nil, err
	}
	return weights, nil
}

func isWeightName(name string) bool {
	for _, part := range []string{"embeddings.", "encoder.layer.", "pooler.", "classifier."} {
		if strings.HasPrefix(name, part) {
			return strings.HasSuffix(name, ".weight") || strings.HasSuffix(name, ".bias")
		}
	}
	return false
}

// pairLinears names the weights of linear layers by the biases that they feed: an Add
// of a MatMul and a bias, or a Gemm of three inputs.
func pairLinears(g *onnxpb.Graph, prefix string, weights map[string]tensor) error {
	producer := map[string]*onnxpb.Node{}
	for i := range g.Nodes {
		for _, out := range g.Nodes[i].Outputs {
			producer[out] = &g.Nodes[i]
		}
	}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		var bias, weight string
		transposed := true // as a MatMul holds it, [in, out]
		switch {
		case n.Op == "Add" && len(n.Inputs) == 2:
			bias, weight = addedMatMul(n, producer)
		case n.Op == "Gemm" && len(n.Inputs) == 3:
			weight, bias = n.Inputs[1], n.Inputs[2]
			a, ok := n.Attr("transB")
			transposed = !(ok && a.Int != nil && *a.Int == 1)
		}
		name, ok := strings.CutSuffix(canonicalName(strings.TrimPrefix(bias, prefix)), ".bias")
		if !ok || !isWeightName(name+".bias") || strings.Contains(name, "LayerNorm") {
			continue
		}
		if p := producer[weight]; p != nil && p.Op == "Transpose" && len(p.Inputs) == 1 {
			weight, transposed = p.Inputs[0], !transposed
		}
		t, ok := g.Tensors[weight]
		if !ok {
			continue // named as missing when the config is made
		}
		w, err := floats(t)
		if err != nil {
			return err
		}
		if transposed {
			if w, err = w.transpose(); err != nil {
				return fmt.Errorf("tensor %s, weight of %s: %w", weight, name, err)
			}
		}
		weights[name+".weight"] = w
	}
	return nil
}

// addedMatMul finds, of an Add, which input is a bias and which weight the MatMul that
// makes the other one has.
func addedMatMul(n *onnxpb.Node, producer map[string]*onnxpb.Node) (bias, weight string) {
	for i, in := range n.Inputs {
		if p := producer[in]; p != nil && p.Op == "MatMul" && len(p.Inputs) == 2 {
			return n.Inputs[1-i], p.Inputs[1]
		}
	}
	return "", ""
}

func floats(t onnxpb.Tensor) (tensor, error) {
	w := tensor{shape: t.Dims}
	switch t.Type {
	case onnxpb.Float32:
		w.data = fromFloat32(t.Raw)
	case onnxpb.Float16:
		w.data = fromHalf(t.Raw)
	case onnxpb.BFloat16:
		w.data = fromBrain(t.Raw)
	default:
		return w, fmt.Errorf("%w: tensor %s is %s; a quantised export cannot be imported, its float original can",
			ErrExport, t.Name, t.Type)
	}
	return w, nil
}

func (t tensor) transpose() (tensor, error) {
	if len(t.shape) != 2 {
		return t, fmt.Errorf("%w: shape %v has not two dimensions", ErrExport, t.shape)
	}
	rows, cols := t.shape[0], t.shape[1]
	out := tensor{shape: []int{cols, rows}, data: make([]float32, len(t.data))}
	for r := range rows {
		for c := range cols {
			out.data[c*rows+r] = t.data[r*cols+c]
		}
	}
	return out, nil
}
