package grad

import (
	"fmt"

	"github.com/barograph/barograph/classify/onnx/onnxpb"
)

// Dropout is x/(1-p) where keep is 1 and 0 where it is 0 (Srivastava et al. 2014,
// "Dropout"). The mask is an input of uint8, which the caller draws: ONNX's own Dropout
// draws from a generator in the session, whose state can be neither saved nor moved to
// another device, and is taken out of the graph where an optimiser thinks it idle.
func (t *Tape) Dropout(x, keep *Value, p float64) *Value {
	return t.Mul(x, t.dropFactor(keep, p))
}

// dropFactor is what dropout multiplies by: 0 or 1/(1-p).
func (t *Tape) dropFactor(keep *Value, p float64) *Value {
	// This operator is one pass from bytes to scaled numbers. It gives float32 only.
	scale := t.b.Floats(fmt.Sprintf("scale %g", 1/(1-p)), nil, []float32{float32(1 / (1 - p))})
	factor := t.node("DequantizeLinear", keep.shape, []*Value{keep, {name: scale}})
	if t.float != onnxpb.Float32 {
		factor = t.Float(factor)
	}
	return factor
}
