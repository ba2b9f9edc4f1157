package kernels

// #include "bytes.h"
import "C"

// BytesDepth is what the rows of weights must be a multiple of for Pack.
const BytesDepth = C.BYTES_DEPTH

// Pack brings int8 weights [in, out] into the order in which the products of bytes read them, with zeros behind the
// last out, and gives the sum of each out's weights.
func Pack(w []byte, out int) (packed []byte, sums []int32) {
	const panel = C.BYTES_PANEL
	in := len(w) / out
	packed, sums = make([]byte, (out+panel-1)/panel*panel*in), make([]int32, out)
	for i, v := range w {
		row, column := i/out, i%out
		at := column/panel*panel*in + (row/BytesDepth*panel+column%panel)*BytesDepth + row%BytesDepth
		packed[at] = v
		sums[column] += int32(int8(v))
	}
	return packed, sums
}
