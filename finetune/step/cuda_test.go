package step

import (
	"strings"
	"testing"

	"github.com/barograph/barograph/classify/onnx"
	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// onCUDA are the operators of a step that ONNX Runtime's CUDA provider has at opset 20 for the types
// that they have here (float32; int64 in the arithmetic of shapes, of Cast and of Gather; uint8 in
// DequantizeLinear): ONNX Runtime, docs/OperatorKernels.md, "Operators implemented by CUDAExecutionProvider".
const onCUDA = " Add Cast Concat DequantizeLinear Erf Exp Expand Gather Gelu Gemm Identity LayerNormalization LogSoftmax MatMul Mul Neg Pad" +
	" ReduceMean ReduceSum Reshape Shape Slice Softmax Sub Tanh Transpose com.microsoft.FusedMatMul "

// A step for other devices than the CPU has no operator that only the CPU has. This is read off the
// graph: it has not run on a card.
func TestNothingOfAStepForCUDAIsForCPUsOnly(t *testing.T) {
	for name, c := range map[string]Config{"LoRA": adapted(t, 0.2), "full": tiny(t, Full), "head only": tiny(t, HeadOnly)} {
		model, _, err := buildGraph(c, newTrainer(t, c).weights, operatorsOf(onnx.CUDA))
		if err != nil {
			t.Fatal(err)
		}
		graph, err := onnxpb.Parse(model)
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range graph.Nodes {
			operator := n.Op
			if n.Domain != "" {
				operator = n.Domain + "." + n.Op
			}
			if operator != "Constant" && !strings.Contains(onCUDA, " "+operator+" ") {
				t.Errorf("%s: %s of %v is no operator that CUDA is known to have", name, operator, n.Outputs)
			}
		}
	}
}
