// The arithmetic of a BERT layer's training step between its products, forward and
// backward, in float32: each function goes over its numbers once where ONNX Runtime's
// operators go over them two to thirteen times.

#ifndef BAROGRAPH_TRAIN_H
#define BAROGRAPH_TRAIN_H

#include <stddef.h>
#include <stdint.h>

// CHUNK is how many rows are one task, and have one sum of each column: sums are then made
// in the same order with any number of threads.
enum { CHUNK = 64 };

// struct scaled_gelu is y = u (1 + erf u), which is sqrt 2 GELU(sqrt 2 u) (Hendrycks and Gimpel
// 2016, "Gaussian Error Linear Units", section 2), and du = dy (1 + erf u + 2/sqrt pi u e^(-u^2)).
struct scaled_gelu {
    size_t width;
    const float *u; // [rows, width]
    float *y;       // [rows, width]
    // Of the gradient only:
    const float *dy; // [rows, width]
    float *du;       // [rows, width]
    float *sums;     // [chunks, width]: of du
};

// struct add_norm is y = LayerNorm(sum) of sum = dropout(x) + residual (Ba et al. 2016, "Layer
// Normalization"), and the gradients: dsum = (h - mean h - n mean(h n)) / deviation with
// h = dy gamma and n = (sum - mean) / deviation, which is the residual's, too, and dx, which
// is dsum where x was kept.
struct add_norm {
    size_t width;
    float epsilon;
    const float *x;        // [rows, width]
    const uint8_t *keep;   // [rows, width], 0 where x is dropped, or NULL
    float scale;           // of what is kept
    const float *residual; // [rows, width], or NULL for 0
    const float *gamma, *beta;
    float *y;       // [rows, width]
    float *moments; // [rows, 2]: mean, and 1 / deviation
    float *sum;     // [rows, width]; NULL where it is x
    // Of the gradient only; it reads sum and moments:
    const float *dy; // [rows, width]
    float *dsum;     // [rows, width]
    float *dx;       // [rows, width]; NULL where it is dsum
    float *sums;     // [chunks, 3, width]: of dy n, dy and dx
};

// struct self_attention is multi-head attention of a text's queries to its keys that the mask
// keeps, dropout(softmax(q kT)) v, and its gradients. A text whose mask keeps no key attends to
// all. A head is head_width columns of q, k, v and context.
struct self_attention {
    size_t heads, head_width, width; // width = heads * head_width
    size_t queries, keys;            // of a text
    const float *q;                  // [texts, queries, width], scaled already
    const float *k, *v;              // [texts, keys, width]
    const int64_t *mask;             // [texts, keys]
    const uint8_t *keep;             // [texts, heads, queries, keys], 0 where a weight is dropped, or NULL
    float scale;                     // of weights that are kept
    float *context;                  // [texts, queries, width]
    float *softmax;                  // [texts, heads, queries, 2]: the largest score, and 1 / the sum of exponentials
    // Of the gradient only; it reads context and softmax:
    const float *dcontext; // [texts, queries, width]
    float *dq, *dk, *dv;
    float *sums; // [texts, 3, width]: of dq, dk and dv over a text's rows
};

// struct adamw is a step of AdamW (Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization",
// algorithm 2), in the factors that it has for all numbers of a vector: of a gradient g, g' = scale g,
// m = beta1 m + rest1 g', v = beta2 v + rest2 g'^2 and w = keep w - rate m / (root sqrt v + epsilon).
struct adamw {
    float scale, beta1, rest1, beta2, rest2, keep, rate, root, epsilon;
};

#endif
