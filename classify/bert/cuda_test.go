package bert

import (
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// onCUDA are the operators of an fp16 graph that ONNX Runtime's CUDA provider has at opset 17 for float16 and
// float32 (int32 and int64 in Cast, Gather, Shape and Slice): ONNX Runtime, docs/OperatorKernels.md, "Operators
// implemented by CUDAExecutionProvider".
const onCUDA = " Add Cast Gather Gemm LayerNormalization MatMul Shape Slice Squeeze Tanh com.microsoft.BiasGelu" +
	" com.microsoft.MultiHeadAttention com.microsoft.SkipLayerNormalization "

// The graph for GPUs has no operator that only the CPU has, so that nothing of it goes back and
// forth. This is read off the graph: it has not run on a card.
func TestNothingOfAGraphForCUDAIsForCPUsOnly(t *testing.T) {
	for _, lang := range []string{"en", "zh"} {
		model, err := openModel(t, lang).Graph(FP16, nil)
		if err != nil {
			t.Fatal(err)
		}
		graph, err := onnxpb.Parse(model)
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]bool{}
		for _, n := range graph.Nodes {
			operator := strings.TrimPrefix(n.Domain+"."+n.Op, ".")
			if operator != "Constant" && !strings.Contains(onCUDA, " "+operator+" ") && !seen[operator] {
				t.Errorf("%s: %s of %v is no operator that CUDA is known to have", lang, operator, n.Outputs)
			}
			seen[operator] = true
		}
	}
}
