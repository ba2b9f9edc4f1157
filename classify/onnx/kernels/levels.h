// The functions of rows.h and train.h, as they are compiled for each instruction set.

#ifndef BAROGRAPH_LEVELS_H
#define BAROGRAPH_LEVELS_H

#include <stdbool.h>

#include "bytes.h"
#include "product.h"
#include "rows.h"
#include "train.h"

// struct functions is the functions for one instruction set.
struct functions {
    // multiply_bytes writes so many rows to y [to - from, columns]. It does bytes_rows at a time.
    void (*multiply_bytes)(const struct bytes_product *p, size_t from, size_t to, float *y);
    size_t bytes_rows;
    void (*norm)(const struct norm *n, size_t from, size_t to); // rows
    // gelu wants room for width numbers.
    void (*gelu)(const struct gelu *g, size_t from, size_t to, float *room); // rows
    // attend works on the queries of a text from a multiple of queries on, so many of them
    // or those that are left. It wants room for attend_room numbers.
    void (*attend)(const struct attention *a, size_t text, size_t from, float *room);
    size_t queries;
    size_t (*attend_room)(const struct attention *a);

    // Of training, from a multiple of CHUNK on, CHUNK rows or those that are left:
    void (*scaled_gelu)(const struct scaled_gelu *g, size_t from, size_t to);
    void (*scaled_gelu_grad)(const struct scaled_gelu *g, size_t from, size_t to);
    void (*add_norm)(const struct add_norm *n, size_t from, size_t to);
    void (*add_norm_grad)(const struct add_norm *n, size_t from, size_t to);
    // These want room for attention_room numbers.
    void (*self_attention)(const struct self_attention *a, size_t text, size_t head, float *room);
    void (*self_attention_grad)(const struct self_attention *a, size_t text, size_t head, float *room);
    size_t (*attention_room)(const struct self_attention *a);
    // adamw moves count weights by their gradients, and both moments of these.
    void (*adamw)(const struct adamw *s, float *weights, const float *grads, float *first_moments, float *second_moments, size_t count);

    void (*pack)(const struct product *p, size_t panel); // all of them before multiply
    // multiply works on the rows from a multiple of task_rows on, task_rows of them or those that are
    // left, and on so many panels, each of panel columns. It reads task_depth numbers of a row at a time.
    void (*multiply)(const struct product *p, size_t row, size_t panel, size_t panels);
    size_t panel, task_rows, task_depth;
    // weights_grad works on the square of dw from there on. It wants room for weights_room numbers.
    void (*weights_grad)(const struct weights *p, size_t out, size_t in, float *room);
    size_t (*weights_room)(void);
    // adapter_grad wants room for adapter_room numbers.
    void (*adapter_grad)(const struct adapter *p, size_t chunk, float *room);
    size_t (*adapter_room)(const struct adapter *p);
};

enum { BEST = 3 };

// functions gives those of the level, or of the best that this processor has below it: 3 for
// AVX-512 with VNNI, 2 for AVX-512, 1 for AVX2, 0 for what the compiler takes by itself. It writes which.
const struct functions *functions(int *level);

// has_amx is whether the processor multiplies bytes by AMX.
bool has_amx(void);

#endif
