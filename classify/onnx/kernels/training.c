// The functions of train.h as operators: see kernels.go.

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "op.h"

// end is the row behind a chunk's last.
static size_t end(size_t chunk, size_t rows) {
    return (chunk + 1) * CHUNK < rows ? (chunk + 1) * CHUNK : rows;
}

struct gelu_task {
    struct scaled_gelu gelu;
    size_t rows;
};

static void gelu_chunk(void *data, size_t chunk) {
    struct gelu_task *t = data;
    run->scaled_gelu(&t->gelu, chunk * CHUNK, end(chunk, t->rows));
}

static OrtStatus *gelu_compute(void *node, OrtKernelContext *context) {
    (void)node;
    struct tensor u;
    TRY(read_inputs(context, (struct tensor *[]){&u}, 1));
    struct gelu_task t = {.gelu = {.width = u.last, .u = u.data}, .rows = u.rows};
    TRY(output(context, 0, &u, u.last, &t.gelu.y));
    return api->KernelContext_ParallelFor(context, gelu_chunk, blocks(u.rows, CHUNK), blocks(u.rows, CHUNK), &t);
}

static void gelu_grad_chunk(void *data, size_t chunk) {
    struct gelu_task *t = data;
    run->scaled_gelu_grad(&t->gelu, chunk * CHUNK, end(chunk, t->rows));
}

static OrtStatus *gelu_grad_compute(void *node, OrtKernelContext *context) {
    (void)node;
    struct tensor dy, u;
    TRY(read_inputs(context, (struct tensor *[]){&dy, &u}, 2));
    WANT(dy.count == u.count && dy.last == u.last);
    size_t width = u.last, chunks = blocks(u.rows, CHUNK);
    struct gelu_task t = {.gelu = {.width = width, .u = u.data, .dy = dy.data}, .rows = u.rows};
    float *sum;
    TRY(output(context, 0, &u, width, &t.gelu.du));
    TRY(output_of(context, 1, (int64_t[]){width}, 1, &sum));
    t.gelu.sums = malloc((chunks * width + 1) * sizeof(float));
    if (!t.gelu.sums)
        return no_memory();
    OrtStatus *status = api->KernelContext_ParallelFor(context, gelu_grad_chunk, chunks, chunks, &t);
    add_up(sum, t.gelu.sums, width, chunks, width);
    free(t.gelu.sums);
    return status;
}

struct norm_task {
    struct add_norm norm;
    size_t rows;
};

static void norm_chunk(void *data, size_t chunk) {
    struct norm_task *t = data;
    run->add_norm(&t->norm, chunk * CHUNK, end(chunk, t->rows));
}

static OrtStatus *norm_compute(void *node, OrtKernelContext *context) {
    const struct node *n = node;
    struct tensor x, keep, residual, gamma, beta;
    TRY(read_inputs(context, (struct tensor *[]){&x, &keep, &residual, &gamma, &beta}, 5));
    size_t width = x.last;
    WANT(gamma.count == width && beta.count == width);
    WANT(!keep.data || keep.count == x.count);
    WANT(!residual.data || residual.count == x.count);
    struct norm_task t = {
        .norm = {.width = width, .epsilon = n->epsilon, .x = x.data, .keep = keep.data, .scale = n->scale, .residual = residual.data,
                 .gamma = gamma.data, .beta = beta.data},
        .rows = x.rows,
    };
    TRY(output(context, 0, &x, width, &t.norm.y));
    TRY(output_of(context, 1, (int64_t[]){x.rows, 2}, 2, &t.norm.moments));
    if (keep.data || residual.data)
        TRY(output(context, 2, &x, width, &t.norm.sum));
    return api->KernelContext_ParallelFor(context, norm_chunk, blocks(x.rows, CHUNK), blocks(x.rows, CHUNK), &t);
}

static void norm_grad_chunk(void *data, size_t chunk) {
    struct norm_task *t = data;
    run->add_norm_grad(&t->norm, chunk * CHUNK, end(chunk, t->rows));
}

static OrtStatus *norm_grad_compute(void *node, OrtKernelContext *context) {
    struct tensor dy, sum, moments, gamma, keep;
    TRY(read_inputs(context, (struct tensor *[]){&dy, &sum, &moments, &gamma, &keep}, 5));
    size_t width = sum.last, chunks = blocks(sum.rows, CHUNK);
    WANT(dy.count == sum.count && dy.last == sum.last);
    WANT(moments.count == 2 * sum.rows);
    WANT(gamma.count == width);
    WANT(!keep.data || keep.count == sum.count);
    struct norm_task t = {
        .norm = {.width = width, .keep = keep.data, .scale = ((struct node *)node)->scale, .gamma = gamma.data, .sum = sum.data,
                 .moments = moments.data, .dy = dy.data},
        .rows = sum.rows,
    };
    float *sums[3];
    TRY(output(context, 0, &sum, width, &t.norm.dsum));
    for (size_t i = 0; i < 3; i++)
        TRY(output_of(context, 1 + i, (int64_t[]){width}, 1, &sums[i]));
    if (keep.data)
        TRY(output(context, 4, &sum, width, &t.norm.dx));
    t.norm.sums = malloc((chunks * 3 * width + 1) * sizeof(float));
    if (!t.norm.sums)
        return no_memory();
    OrtStatus *status = api->KernelContext_ParallelFor(context, norm_grad_chunk, chunks, chunks, &t);
    for (size_t i = 0; i < 3; i++)
        add_up(sums[i], t.norm.sums + i * width, 3 * width, chunks, width);
    free(t.norm.sums);
    return status;
}

struct attention_task {
    struct self_attention attention;
    bool grad;
    atomic_bool no_memory;
};

static void attention_head(void *data, size_t i) {
    struct attention_task *t = data;
    const struct self_attention *a = &t->attention;
    float *room = malloc(run->attention_room(a) * sizeof *room);
    if (room)
        (t->grad ? run->self_attention_grad : run->self_attention)(a, i / a->heads, i % a->heads, room);
    else
        t->no_memory = true;
    free(room);
}

// attention_shapes fills in what both passes are given, for texts in mask's first dimension.
static OrtStatus *attention_shapes(const struct node *n, const struct tensor *q, const struct tensor *k, const struct tensor *v,
                                   const struct tensor *mask, const struct tensor *keep, struct self_attention *a) {
    size_t texts = mask->dims[0], keys = mask->last, heads = n->heads, width = q->last;
    WANT(mask->rank == 2 && mask->count > 0);
    WANT(n->heads > 0 && width > 0 && width % heads == 0);
    WANT(q->rows % texts == 0);
    WANT(k->last == width && k->rows == mask->count);
    WANT(v->last == width && v->rows == mask->count);
    *a = (struct self_attention){
        .heads = heads, .head_width = width / heads, .width = width, .queries = q->rows / texts, .keys = keys,
        .q = q->data, .k = k->data, .v = v->data, .mask = mask->data, .keep = keep->data, .scale = n->scale,
    };
    WANT(!keep->data || keep->count == heads * q->rows * keys);
    return NULL;
}

static OrtStatus *attention_compute(void *node, OrtKernelContext *context) {
    struct tensor q, k, v, mask, keep;
    TRY(read_inputs(context, (struct tensor *[]){&q, &k, &v, &mask, &keep}, 5));
    struct attention_task t = {0};
    struct self_attention *a = &t.attention;
    TRY(attention_shapes(node, &q, &k, &v, &mask, &keep, a));
    TRY(output(context, 0, &q, q.last, &a->context));
    TRY(output_of(context, 1, (int64_t[]){mask.dims[0], a->heads, a->queries, 2}, 4, &a->softmax));
    TRY(api->KernelContext_ParallelFor(context, attention_head, mask.dims[0] * a->heads, mask.dims[0] * a->heads, &t));
    return t.no_memory ? no_memory() : NULL;
}

static OrtStatus *attention_grad_compute(void *node, OrtKernelContext *context) {
    struct tensor dcontext, q, k, v, attended, softmax, mask, keep;
    TRY(read_inputs(context, (struct tensor *[]){&dcontext, &q, &k, &v, &attended, &softmax, &mask, &keep}, 8));
    struct attention_task t = {.grad = true};
    struct self_attention *a = &t.attention;
    TRY(attention_shapes(node, &q, &k, &v, &mask, &keep, a));
    WANT(dcontext.count == q.count && dcontext.last == q.last);
    WANT(attended.count == q.count && attended.last == q.last);
    WANT(softmax.count == 2 * q.rows * a->heads);
    size_t texts = mask.dims[0], width = a->width;
    a->dcontext = dcontext.data, a->context = attended.data, a->softmax = softmax.data;
    float *sums[3];
    TRY(output(context, 0, &q, width, &a->dq));
    TRY(output(context, 1, &k, width, &a->dk));
    TRY(output(context, 2, &v, width, &a->dv));
    for (size_t i = 0; i < 3; i++)
        TRY(output_of(context, 3 + i, (int64_t[]){width}, 1, &sums[i]));
    a->sums = malloc(texts * 3 * width * sizeof(float));
    if (!a->sums)
        return no_memory();
    OrtStatus *status = api->KernelContext_ParallelFor(context, attention_head, texts * a->heads, texts * a->heads, &t);
    for (size_t i = 0; i < 3; i++)
        add_up(sums[i], a->sums + i * width, 3 * width, texts, width);
    free(a->sums);
    return status ? status : t.no_memory ? no_memory() : NULL;
}

struct op training_ops[TRAINING_OPS] = {
    {.name = "ScaledGelu", .inputs = 1, .outputs = 1, .types = {FLOAT, FLOAT}, .compute = gelu_compute},
    {.name = "ScaledGeluGrad", .inputs = 2, .outputs = 2, .types = {FLOAT, FLOAT, FLOAT, FLOAT}, .compute = gelu_grad_compute},
    {.name = "AddNorm", .inputs = 5, .outputs = 3, .optional = 1 << 1 | 1 << 2, .optional_outputs = 1 << 2,
     .types = {FLOAT, UINT8, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT}, .attributes = EPSILON | SCALE, .compute = norm_compute},
    {.name = "AddNormGrad", .inputs = 5, .outputs = 5, .optional = 1 << 4, .optional_outputs = 1 << 4,
     .types = {FLOAT, FLOAT, FLOAT, FLOAT, UINT8, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT}, .attributes = SCALE, .compute = norm_grad_compute},
    {.name = "SelfAttention", .inputs = 5, .outputs = 2, .optional = 1 << 4,
     .types = {FLOAT, FLOAT, FLOAT, INT64, UINT8, FLOAT, FLOAT}, .attributes = HEADS | SCALE, .compute = attention_compute},
    {.name = "SelfAttentionGrad", .inputs = 8, .outputs = 6, .optional = 1 << 7,
     .types = {FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, INT64, UINT8, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT},
     .attributes = HEADS | SCALE, .compute = attention_grad_compute},
};
