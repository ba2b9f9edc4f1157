package bert

import (
	"fmt"
	"math"
	"sort"
	"strconv"
	"strings"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// exportedConfig reads config.json's numbers off the weights' shapes and the graph.
// Everything that cannot be found is named in one error.
func exportedConfig(g *onnxpb.Graph, weights map[string]tensor, o ImportOptions) (Config, error) {
	var missing []string
	dim := func(name string, i int) int {
		w, ok := weights[name]
		if !ok || len(w.shape) <= i {
			missing = append(missing, name)
			return 0
		}
		return w.shape[i]
	}
	c := Config{
		Architectures: []string{"BertModel"}, ModelType: "bert",
		VocabSize: dim(wordEmbeddings, 0), HiddenSize: dim(wordEmbeddings, 1),
		MaxPositions:     dim(positionEmbeddings, 0),
		IntermediateSize: dim("encoder.layer.0.intermediate.dense.bias", 0),
		AttentionHeads:   o.AttentionHeads,
		HiddenAct:        exportedActivation(g),
	}
	if _, ok := weights[typeEmbeddings]; ok {
		c.TypeVocabSize = dim(typeEmbeddings, 0)
	}
	if _, ok := weights["classifier.weight"]; ok {
		c.Architectures = []string{"BertForSequenceClassification"}
	}
	for name := range weights {
		var layer int
		if n, _ := fmt.Sscanf(name, "encoder.layer.%d.", &layer); n == 1 && layer < 1<<10 {
			c.Layers = max(c.Layers, layer+1)
		}
	}
	if c.AttentionHeads == 0 {
		c.AttentionHeads = exportedHeads(g, c.HiddenSize)
	}
	var eps bool
	c.LayerNormEps, eps = exportedEpsilon(g)
	for what, found := range map[string]bool{
		"the encoder's layers (encoder.layer.0.…)":                                        c.Layers > 0,
		"the number of attention heads (say it by --heads, ImportOptions.AttentionHeads)": c.AttentionHeads > 0,
		"the activation (GELU)":                  c.HiddenAct != "",
		"the epsilon of the layer normalisation": eps,
	} {
		if !found {
			missing = append(missing, what)
		}
	}
	for _, name := range c.weightNames() {
		if _, ok := weights[name]; !ok {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		sort.Strings(missing)
		return c, fmt.Errorf("%w: not found: %s", ErrExport, strings.Join(missing, ", "))
	}
	return c, c.checkSizes()
}

// exportedHeads looks for the Reshape that splits the query into [batch, seq, heads,
// width]: its shape is a constant, or a Concat that ends with two constants.
func exportedHeads(g *onnxpb.Graph, hidden int) int {
	concat := map[string]*onnxpb.Node{}
	for i := range g.Nodes {
		if n := &g.Nodes[i]; n.Op == "Concat" && len(n.Outputs) == 1 {
			concat[n.Outputs[0]] = n
		}
	}
	for _, n := range g.Nodes {
		if n.Op != "Reshape" || len(n.Inputs) != 2 {
			continue
		}
		shape := int64s(g.Tensors[n.Inputs[1]])
		if c := concat[n.Inputs[1]]; c != nil && len(c.Inputs) == 4 {
			shape = []int64{0, 0}
			for _, in := range c.Inputs[2:] {
				shape = append(shape, int64s(g.Tensors[in])...)
			}
		}
		if len(shape) == 4 && shape[2] > 0 && shape[3] > 0 && int(shape[2])*int(shape[3]) == hidden {
			return int(shape[2])
		}
	}
	return 0
}

func int64s(t onnxpb.Tensor) []int64 {
	if t.Type != onnxpb.Int64 {
		return nil
	}
	var out []int64
	for i := 0; i+8 <= len(t.Raw); i += 8 {
		v := uint64(0)
		for j := 7; j >= 0; j-- {
			v = v<<8 | uint64(t.Raw[i+j])
		}
		out = append(out, int64(v))
	}
	return out
}

// exportedActivation tells GELU's two forms by the function in the graph: Erf, or a
// Tanh in each layer (the pooler's Tanh alone does not count).
func exportedActivation(g *onnxpb.Graph) string {
	tanh, relu := 0, 0
	for _, n := range g.Nodes {
		switch n.Op {
		case "Erf":
			return "gelu"
		case "Gelu":
			if a, ok := n.Attr("approximate"); ok && a.Text != nil && *a.Text == "tanh" {
				return "gelu_new"
			}
			return "gelu"
		case "FastGelu":
			return "gelu_new"
		case "Tanh":
			tanh++
		case "Relu":
			relu++
		}
	}
	if tanh > 1 && tanh > relu {
		return "gelu_new"
	}
	return ""
}

// exportedEpsilon finds the constant that is added under the square root, or the
// attribute of a LayerNormalization.
func exportedEpsilon(g *onnxpb.Graph) (float64, bool) {
	adds := map[string]*onnxpb.Node{}
	for i := range g.Nodes {
		n := &g.Nodes[i]
		switch n.Op {
		case "Add":
			adds[n.Outputs[0]] = n
		case "LayerNormalization", "SkipLayerNormalization":
			if a, ok := n.Attr("epsilon"); ok && a.Float != nil {
				return decimal(*a.Float), true
			}
		case "Sqrt":
			if len(n.Inputs) != 1 {
				continue
			}
			for _, in := range inputsOf(adds[n.Inputs[0]]) {
				t := g.Tensors[in]
				if t.Type == onnxpb.Float32 && len(t.Raw) == 4 {
					return decimal(fromFloat32(t.Raw)[0]), true
				}
			}
		}
	}
	return 0, false
}

func inputsOf(n *onnxpb.Node) []string {
	if n == nil {
		return nil
	}
	return n.Inputs
}

// decimal is the shortest decimal that rounds to f: 1e-12 for the float32 nearest it.
func decimal(f float32) float64 {
	d, err := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	if err != nil || math.IsNaN(d) {
		return 0
	}
	return d
}
