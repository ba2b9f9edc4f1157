// Products of matrices for training: with LoRA's pair merged into the weights while they are
// packed, and the pair's gradients.

#ifndef BAROGRAPH_PRODUCT_H
#define BAROGRAPH_PRODUCT_H

#include <stdbool.h>
#include <stddef.h>

// struct product is y = x Mᵀ + add, or x M + add where turned, of M = alpha (w + scale b a) (Hu et al.
// 2021, "LoRA: Low-Rank Adaptation of Large Language Models", section 4.1).
struct product {
    size_t rows, depth, columns; // of x, and of y; w is [columns, depth], or [depth, columns] where turned
    bool turned;
    float alpha, scale;
    const float *x, *w;
    size_t rank;
    const float *a, *b; // [rank, w's columns], [w's rows, rank], or NULL
    const float *add;   // [rows, columns] with add_row of columns, [columns] with 0, or NULL
    size_t add_row;
    float *packed;      // M, for each panel of columns [depth, panel]
    float *y;
};

// A task of product is some rows by as many panels as stay in the second- or third-level cache.
enum { CACHED = 160 << 10 };

// struct weights is dw [out, in] = alpha dyᵀ x: the gradient of a layer's weights.
struct weights {
    size_t rows, in, out;
    float alpha;
    const float *x, *dy; // [rows, in], [rows, out]
    float *dw;
};

// A task is a square of dw, GRAD_BLOCK to a side, as a sum over GRAD_DEPTH rows at a time: what is packed
// of these is in the second-level cache with the square. What is packed for a tile is GRAD_APART numbers more
// from that for the next, as at even distances all would share a few sets of the first-level cache.
enum { GRAD_BLOCK = 192, GRAD_DEPTH = 192, GRAD_APART = 16 };

// struct adapter is the gradients of LoRA's pair, but for a factor: da = (dy b)ᵀ x, and db = dyᵀ (x aᵀ).
struct adapter {
    size_t rows, in, out, rank;
    const float *x, *dy; // [rows, in], [rows, out]
    const float *a, *b;  // [rank, in], [out, rank]
    float *sums;         // [chunks, rank, in + out]: da, and db transposed
};

// ADAPTER_CHUNK is how many rows are one task and have one sum.
enum { ADAPTER_CHUNK = 256 };

#endif
