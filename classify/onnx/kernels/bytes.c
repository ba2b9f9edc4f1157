// Products of bytes as operators, with what follows them: see kernels.go.

#include <stdatomic.h>
#include <stdlib.h>

#include "op.h"

// A task is ROWS tiles of rows at most, with all columns: what it writes stays in the second-level cache for what
// follows. TASKS is how many there are at least, if they are of a tile each.
enum { ROWS = 4, TASKS = 16 };

struct bytes_task {
    struct bytes_product product;
    const struct functions *run;
    size_t rows, block; // in all; of a task
    float *y;           // where nothing follows
    struct norm norm;
    struct gelu gelu;
    atomic_bool no_memory;
};

// end is the row behind those of a task.
static size_t end(const struct bytes_task *t, size_t from) {
    return from + t->block < t->rows ? from + t->block : t->rows;
}

static void product_block(void *data, size_t i) {
    struct bytes_task *t = data;
    size_t from = i * t->block;
    t->run->multiply_bytes(&t->product, from, end(t, from), t->y + from * t->product.columns);
}

// multiplied is the rows of a task's product, to be freed.
static float *multiplied(struct bytes_task *t, size_t from, size_t to) {
    float *y = aligned_alloc(64, blocks((to - from) * t->product.columns * sizeof *y, 64) * 64); // whole cache lines
    if (y)
        t->run->multiply_bytes(&t->product, from, to, y);
    else
        t->no_memory = true;
    return y;
}

static void product_norm_block(void *data, size_t i) {
    struct bytes_task *t = data;
    size_t from = i * t->block, to = end(t, from);
    struct norm n = t->norm;
    float *y = multiplied(t, from, to);
    n.first = from, n.x = y;
    if (y)
        t->run->norm(&n, from, to);
    free(y);
}

static void product_gelu_block(void *data, size_t i) {
    struct bytes_task *t = data;
    size_t from = i * t->block, to = end(t, from);
    struct gelu g = t->gelu;
    float *y = multiplied(t, from, to);
    g.first = from, g.x = y;
    for (size_t row = from; y && row < to; row++)
        t->run->gelu(&g, row, row + 1, y + (row - from) * g.width);
    free(y);
}

// prepare reads the inputs, of which the last three are the product's weights, and the shape of the product.
static OrtStatus *prepare(OrtKernelContext *context, struct tensor **inputs, size_t count, struct bytes_task *t) {
    TRY(read_inputs(context, inputs, count));
    struct tensor x = *inputs[0], w = *inputs[count - 3], offset = *inputs[count - 2], scale = *inputs[count - 1];
    size_t width = scale.count;
    WANT(x.last > 0 && width > 0 && x.last % BYTES_DEPTH == 0);
    WANT(offset.count == width);
    WANT(w.count == blocks(width, BYTES_PANEL) * BYTES_PANEL * x.last);
    size_t tiles = blocks(x.rows, run->bytes_rows) / TASKS;
    *t = (struct bytes_task){
        .product = {.depth = x.last, .columns = width, .x = x.data, .w = w.data, .offset = offset.data, .scale = scale.data},
        .run = run, .rows = x.rows, .block = run->bytes_rows * (tiles < 1 ? 1 : tiles < ROWS ? tiles : ROWS),
    };
    return NULL;
}

static OrtStatus *finish(OrtKernelContext *context, void (*task)(void *data, size_t i), struct bytes_task *t) {
    size_t tasks = blocks(t->rows, t->block);
    TRY(api->KernelContext_ParallelFor(context, task, tasks, tasks, t));
    return t->no_memory ? no_memory() : NULL;
}

static OrtStatus *product_compute(void *node, OrtKernelContext *context) {
    (void)node;
    struct tensor x, w, offset, w_scale;
    struct bytes_task t;
    TRY(prepare(context, (struct tensor *[]){&x, &w, &offset, &w_scale}, 4, &t));
    TRY(output(context, 0, &x, t.product.columns, &t.y));
    return finish(context, product_block, &t);
}

static OrtStatus *product_norm_compute(void *node, OrtKernelContext *context) {
    struct tensor x, scale, bias, residual, gamma, beta, inverse_range, w, offset, w_scale;
    struct bytes_task t;
    TRY(prepare(context, (struct tensor *[]){&x, &scale, &bias, &residual, &gamma, &beta, &inverse_range, &w, &offset, &w_scale}, 10, &t));
    size_t width = t.product.columns;
    WANT(scale.count == x.rows && bias.count == width && residual.count == x.rows * width);
    WANT(gamma.count == width && beta.count == width && inverse_range.count == width);
    t.norm = (struct norm){.width = width, .epsilon = ((struct node *)node)->epsilon, .scale = scale.data, .bias = bias.data,
                           .residual = residual.data, .gamma = gamma.data, .beta = beta.data, .inverse_range = inverse_range.data};
    TRY(output(context, 0, &x, width, &t.norm.y));
    TRY(output(context, 1, &x, width, &t.norm.quantised));
    TRY(output(context, 2, &x, 1, &t.norm.out_scale));
    return finish(context, product_norm_block, &t);
}

static OrtStatus *product_gelu_compute(void *node, OrtKernelContext *context) {
    (void)node;
    struct tensor x, scale, bias, w, offset, w_scale;
    struct bytes_task t;
    TRY(prepare(context, (struct tensor *[]){&x, &scale, &bias, &w, &offset, &w_scale}, 6, &t));
    size_t width = t.product.columns;
    WANT(scale.count == x.rows && bias.count == width);
    t.gelu = (struct gelu){.width = width, .scale = scale.data, .bias = bias.data};
    TRY(output(context, 0, &x, width, &t.gelu.quantised));
    TRY(output(context, 1, &x, 1, &t.gelu.out_scale));
    return finish(context, product_gelu_block, &t);
}

struct op bytes_ops[BYTES_OPS] = {
    {.name = "ProductOfBytes", .inputs = 4, .outputs = 1, .types = {UINT8, INT8, INT32, FLOAT, FLOAT}, .compute = product_compute},
    {.name = "ProductAddNormQuantize", .inputs = 10, .outputs = 3,
     .types = {UINT8, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, INT8, INT32, FLOAT, FLOAT, UINT8, FLOAT},
     .attributes = EPSILON, .compute = product_norm_compute},
    {.name = "ProductGeluQuantize", .inputs = 6, .outputs = 2, .types = {UINT8, FLOAT, FLOAT, INT8, INT32, FLOAT, UINT8, FLOAT},
     .compute = product_gelu_compute},
};
