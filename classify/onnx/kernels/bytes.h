// Products of bytes: what a token's row, quantised, gives with a layer's weights.

#ifndef BAROGRAPH_BYTES_H
#define BAROGRAPH_BYTES_H

#include <stddef.h>
#include <stdint.h>

// Columns of weights are packed BYTES_PANEL at a time, and BYTES_DEPTH of a column beside each other, as VNNI reads them.
enum { BYTES_PANEL = 64, BYTES_DEPTH = 4 };

// struct bytes_product is y = scale (x w + offset). The sums are exact in 32 bits up to a depth of 65,000.
struct bytes_product {
    size_t depth, columns; // depth is a multiple of BYTES_DEPTH
    const uint8_t *x;      // [rows, depth]
    const int8_t *w;       // for each panel [depth / BYTES_DEPTH, BYTES_PANEL, BYTES_DEPTH]
    const int32_t *offset; // [columns]: x's zero point times less a column's sum
    const float *scale;    // [columns]
};

#endif
