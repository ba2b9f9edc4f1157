// Package kernels adds operators of Barograph's own to ONNX Runtime, for what lies between
// the products of a BERT layer in int8, and for a step of training. ONNX Runtime's own operators
// go over the same numbers in ten passes where one is enough, and its attention is made for long
// texts.
//
// The domain is Domain, for the CPU only. In the operators of inference a product's row is
// multiplied by the row's scale, and each row that leaves has a scale of its own, so a text's
// logits do not depend on its company in the batch:
//
//   - AddNormQuantize(x [..., n], scale [..., 1], bias [n], residual [..., n], gamma [n], beta [n],
//     inverse_range [n]; epsilon): y = LayerNorm(scale x + bias + residual), and y times inverse_range
//     as uint8 with the zero point Zero and a scale [..., 1]. scale, bias and residual may be left out.
//   - GeluQuantize(x [..., n], scale [..., 1], bias [n]): GELU(scale x + bias), as uint8 with the zero
//     point GeluZero and a scale [..., 1].
//   - AttentionQuantize(q [texts, queries, m], q_scale [texts, queries, 1], kv [texts, keys, k],
//     kv_scale [texts, keys, 1], bias [3n], mask int64 [texts, keys]; num_heads): attention
//     [texts, queries, n], as uint8 with the zero point Zero and a scale [texts, queries, 1]. A row of q begins
//     with the query, and a row of kv ends with the key and the value: both may be the product
//     of all three. A text whose mask keeps no key attends to all.
//   - ProductOfBytes(x uint8 [..., in], w int8, offset int32 [out], w_scale [out]): w_scale (x w + offset), the product
//     that these read, with w as Pack orders it and x's zero point in the offset. in is a multiple of BytesDepth.
//     ProductAddNormQuantize(x, scale, bias, residual, gamma, beta, inverse_range, w, offset, w_scale; epsilon) and
//     ProductGeluQuantize(x, scale, bias, w, offset, w_scale) are AddNormQuantize and GeluQuantize of such a product,
//     whose rows do not leave the cache between.
//
// Those of training are float32. A gradient comes with the sums of its rows, which are the gradient
// of a bias. keep is a mask of dropout, uint8: what is not 0 is multiplied by scale.
//
//   - ScaledGelu(u [..., n]): u (1 + erf u). ScaledGeluGrad(dy, u): du, its sums [n].
//   - AddNorm(x [..., n], keep, residual, gamma [n], beta [n]; epsilon, scale): y = LayerNorm(dropout(x) +
//     residual), moments [rows, 2] (mean, 1/deviation), and what was normalised, unless it is x. keep and
//     residual may be left out. AddNormGrad(dy, sum, moments, gamma, keep; scale): dsum, dgamma [n],
//     dbeta [n], the sums of dx [n], and dx with keep, which else is dsum.
//   - SelfAttention(q [texts * queries, n], k, v [texts * keys, n], mask int64 [texts, keys],
//     keep [texts, heads, queries, keys]; num_heads, scale): dropout(softmax(q kᵀ)) v, and what its gradient
//     needs of the softmax. A text whose mask keeps no key attends to all; keep may be left out.
//     SelfAttentionGrad(dcontext, q, k, v, context, softmax, mask, keep; num_heads, scale): dq, dk, dv, the sums
//     of each.
//   - Product(x [rows, in], w [out, in], add, a [rank, in], b [out, rank]; alpha, scale, turned): add and
//     alpha x (w + scale b a)ᵀ; with turned at 1 it is x [rows, out] without the transposition. add is a row
//     or a matrix; it may be left out, and a and b both. AdapterGrad(x, dy, a, b; scale): da = scale (dy b)ᵀ x, db = scale dyᵀ (x aᵀ).
//   - WeightGrad(x [rows, in], dy [rows, out]; alpha): alpha dyᵀ x.
package kernels

// #cgo CFLAGS: -O3 -std=gnu11 -Wall -Wno-psabi
// #cgo LDFLAGS: -ldl -lm
// #include <stdlib.h>
// #include "ops.h"
// #include "rows.h"
import "C"

import (
	"errors"
	"unsafe"
)

// Domain is the operators' domain.
const Domain = "barograph"

// The zero points of what the operators quantise.
const (
	Zero     = C.ZERO
	GeluZero = C.GELU_ZERO
)

// Ops are the operators for the sessions of one loaded library.
type Ops struct{ domain *C.OrtCustomOpDomain }

// Open makes the operators for ONNX Runtime's library at that path, which must be loaded
// already. They are kept until the process ends.
func Open(library string) (*Ops, error) {
	path := C.CString(library)
	defer C.free(unsafe.Pointer(path))
	o := &Ops{}
	err := failure(func(message *C.char, size C.size_t) *C.char {
		return C.open_ops(path, &o.domain, message, size)
	})
	return o, err
}

// Add makes the operators known to sessions with those options, an OrtSessionOptions.
func (o *Ops) Add(options unsafe.Pointer) error {
	return failure(func(message *C.char, size C.size_t) *C.char {
		return C.add_ops(options, o.domain, message, size)
	})
}

// use has all sessions run what is compiled for a level, 0 for the least that the compiler
// knows up to 3 for AVX-512 with VNNI, or for what this processor has of it; it returns the level.
func use(level int) int { return int(C.use(C.int(level))) }

// FastProducts reports whether Product and WeightGrad are known to be faster here than ONNX Runtime's own
// products: with AVX-512 and with AVX2.
func FastProducts() bool { return C.best_level() >= 1 }

// FastBytes reports whether the operators that begin with a product of bytes are known to be faster here than ONNX
// Runtime's own products with what follows them: with VNNI, unless there is AMX, which only ONNX Runtime uses.
// They were compared on AMD's Zen 4; of Intel's processors with VNNI alone on none.
func FastBytes() bool { return C.fast_bytes() != 0 }

// AdamW is one step of AdamW (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization",
// algorithm 2): of a gradient g, with g' = Scale g, the moments are m = Beta1 m + Rest1 g' and
// v = Beta2 v + Rest2 g'^2, and a weight is Keep w - Rate m / (Root sqrt v + Epsilon).
type AdamW struct{ Scale, Beta1, Rest1, Beta2, Rest2, Keep, Rate, Root, Epsilon float32 }

// Move applies the step to vectors of one length, of which it changes all but the gradients. A number's
// step does not depend on the others. Open must have been called.
func (s AdamW) Move(weights, grads, first, second []float32) {
	n := len(weights)
	if n == 0 {
		return
	}
	of := func(v []float32) *C.float { return (*C.float)(unsafe.SliceData(v[:n])) }
	step := C.struct_adamw{
		scale: C.float(s.Scale), beta1: C.float(s.Beta1), rest1: C.float(s.Rest1), beta2: C.float(s.Beta2), rest2: C.float(s.Rest2),
		keep: C.float(s.Keep), rate: C.float(s.Rate), root: C.float(s.Root), epsilon: C.float(s.Epsilon),
	}
	C.move_weights(step, of(weights), of(grads), of(first), of(second), C.size_t(n))
}

func failure(call func(message *C.char, size C.size_t) *C.char) error {
	const size = 300
	message := (*C.char)(C.malloc(size))
	defer C.free(unsafe.Pointer(message))
	if text := call(message, size); text != nil {
		return errors.New(C.GoString(text))
	}
	return nil
}
