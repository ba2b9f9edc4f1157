// The arithmetic between a BERT layer's products of int8, one function for each stretch
// between two products. Numbers come as a product leaves them, raw: a token's row of them
// is to be multiplied by the token's scale. They leave quantised for the next product, each
// token's row with a scale of its own: value = scale * (byte - zero).

#ifndef BAROGRAPH_ROWS_H
#define BAROGRAPH_ROWS_H

#include <stddef.h>
#include <stdint.h>

enum {
    ZERO = 128,     // of what may be as far under 0 as over it
    GELU_ZERO = 32, // of what leaves a GELU, which is never under -0.17
};

// struct norm is y = LayerNorm(scale * x + bias + residual), and y / range quantised.
struct norm {
    size_t width;
    float epsilon;
    size_t first;          // the row that x begins with
    const float *x;        // [rows, width]
    const float *scale;    // [rows], or NULL for 1
    const float *bias;     // [width], or NULL for 0
    const float *residual; // [rows, width], or NULL for 0
    const float *gamma, *beta;
    const float *inverse_range; // [width]
    float *y;                   // [rows, width]
    uint8_t *quantised;         // [rows, width]
    float *out_scale;           // [rows]
};

// struct gelu is GELU(scale * x + bias), quantised (Hendrycks and Gimpel 2016, "Gaussian Error
// Linear Units", section 2).
struct gelu {
    size_t width;
    size_t first; // the row that x begins with
    const float *x, *scale, *bias;
    uint8_t *quantised;
    float *out_scale;
};

// struct attention is multi-head attention of each text's queries to its keys that the
// mask keeps, quantised. A row of q begins with the query; a row of kv ends with the key and
// the value. The bias of the keys is left out: it adds the same to all scores of a query, which
// the softmax takes out again.
struct attention {
    size_t heads, head_width, width; // width = heads * head_width
    size_t queries, keys;            // of a text
    const float *q, *q_scale;        // [texts, queries, q_width], [texts, queries]
    size_t q_width;
    const float *kv, *kv_scale; // [texts, keys, kv_width], [texts, keys]
    size_t kv_width;
    const float *bias;   // [3 * width]: queries, keys, values
    const int64_t *mask; // [texts, keys]
    uint8_t *quantised;  // [texts, queries, width]
    float *out_scale;    // [texts, queries]
};

#endif
