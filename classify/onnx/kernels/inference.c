// The functions of rows.h as operators: see kernels.go.

#include <stdatomic.h>
#include <stdlib.h>

#include "op.h"

// BLOCK is how many rows are one task of the session's threads.
enum { BLOCK = 16 };

struct norm_task {
    struct norm norm;
    size_t rows;
};

static void norm_block(void *data, size_t block) {
    struct norm_task *t = data;
    size_t from = block * BLOCK, to = from + BLOCK < t->rows ? from + BLOCK : t->rows;
    run->norm(&t->norm, from, to);
}

static OrtStatus *norm_compute(void *node, OrtKernelContext *context) {
    struct tensor x, scale, bias, residual, gamma, beta, inverse_range;
    struct tensor *inputs[] = {&x, &scale, &bias, &residual, &gamma, &beta, &inverse_range};
    TRY(read_inputs(context, inputs, 7));
    WANT(x.last > 0);
    size_t width = x.last, rows = x.rows;
    WANT(gamma.count == width && beta.count == width && inverse_range.count == width);
    WANT(!scale.data || scale.count == rows);
    WANT(!bias.data || bias.count == width);
    WANT(!residual.data || residual.count == x.count);
    struct norm_task t = {
        .norm = {.width = width, .epsilon = ((struct node *)node)->epsilon, .x = x.data, .scale = scale.data, .bias = bias.data,
                 .residual = residual.data, .gamma = gamma.data, .beta = beta.data, .inverse_range = inverse_range.data},
        .rows = rows,
    };
    TRY(output(context, 0, &x, width, &t.norm.y));
    TRY(output(context, 1, &x, width, &t.norm.quantised));
    TRY(output(context, 2, &x, 1, &t.norm.out_scale));
    return api->KernelContext_ParallelFor(context, norm_block, blocks(rows, BLOCK), 0, &t);
}

struct gelu_task {
    struct gelu gelu;
    size_t rows;
    atomic_bool no_memory;
};

static void gelu_block(void *data, size_t block) {
    struct gelu_task *t = data;
    size_t from = block * BLOCK, to = from + BLOCK < t->rows ? from + BLOCK : t->rows;
    float *room = malloc(t->gelu.width * sizeof *room);
    if (room)
        run->gelu(&t->gelu, from, to, room);
    else
        t->no_memory = true;
    free(room);
}

static OrtStatus *gelu_compute(void *node, OrtKernelContext *context) {
    (void)node;
    struct tensor x, scale, bias;
    struct tensor *inputs[] = {&x, &scale, &bias};
    TRY(read_inputs(context, inputs, 3));
    WANT(x.last > 0);
    WANT(scale.count == x.rows);
    WANT(bias.count == x.last);
    struct gelu_task t = {.gelu = {.width = x.last, .x = x.data, .scale = scale.data, .bias = bias.data}, .rows = x.rows};
    TRY(output(context, 0, &x, x.last, &t.gelu.quantised));
    TRY(output(context, 1, &x, 1, &t.gelu.out_scale));
    TRY(api->KernelContext_ParallelFor(context, gelu_block, blocks(x.rows, BLOCK), 0, &t));
    return t.no_memory ? no_memory() : NULL;
}

struct attention_task {
    struct attention attention;
    const struct functions *run;
    size_t blocks; // of a text
    atomic_bool no_memory;
};

static void attention_block(void *data, size_t block) {
    struct attention_task *t = data;
    float *room = malloc(t->run->attend_room(&t->attention) * sizeof *room);
    if (room)
        t->run->attend(&t->attention, block / t->blocks, block % t->blocks * t->run->queries, room);
    else
        t->no_memory = true;
    free(room);
}

static OrtStatus *attention_compute(void *node, OrtKernelContext *context) {
    struct tensor q, q_scale, kv, kv_scale, bias, mask;
    struct tensor *inputs[] = {&q, &q_scale, &kv, &kv_scale, &bias, &mask};
    TRY(read_inputs(context, inputs, 6));
    WANT(q.rank == 3 && kv.rank == 3 && q.dims[0] == kv.dims[0]);
    size_t texts = q.dims[0], width = bias.count / 3, heads = ((struct node *)node)->heads;
    struct attention a = {
        .heads = heads, .head_width = heads ? width / heads : 0, .width = width, .queries = q.dims[1], .keys = kv.dims[1],
        .q = q.data, .q_scale = q_scale.data, .q_width = q.last, .kv = kv.data, .kv_scale = kv_scale.data, .kv_width = kv.last,
        .bias = bias.data, .mask = mask.data,
    };
    WANT(a.heads * a.head_width * 3 == bias.count && width > 0);
    WANT(a.q_width >= width && a.kv_width >= 2 * width);
    WANT(q_scale.count == q.rows && kv_scale.count == kv.rows && mask.count == kv.rows);
    TRY(output(context, 0, &q, width, &a.quantised));
    TRY(output(context, 1, &q, 1, &a.out_scale));
    struct attention_task t = {.attention = a, .run = run, .blocks = blocks(a.queries, run->queries)};
    TRY(api->KernelContext_ParallelFor(context, attention_block, texts * t.blocks, 0, &t));
    return t.no_memory ? no_memory() : NULL;
}

struct op inference_ops[INFERENCE_OPS] = {
    {.name = "AddNormQuantize", .inputs = 7, .outputs = 3, .optional = 1 << 1 | 1 << 2 | 1 << 3,
     .types = {FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, UINT8, FLOAT},
     .attributes = EPSILON, .compute = norm_compute},
    {.name = "GeluQuantize", .inputs = 3, .outputs = 2, .types = {FLOAT, FLOAT, FLOAT, UINT8, FLOAT}, .compute = gelu_compute},
    {.name = "AttentionQuantize", .inputs = 6, .outputs = 2, .types = {FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, INT64, UINT8, FLOAT},
     .attributes = HEADS, .compute = attention_compute},
};
