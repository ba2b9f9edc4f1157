// The functions of product.h as operators: see kernels.go.

#include <stdatomic.h>
#include <stdlib.h>

#include "op.h"

struct product_task {
    struct product product;
    const struct functions *run;  // one, as panels are another's otherwise
    size_t blocks, panels, group; // of rows; in all; in a task
};

static void pack_panel(void *data, size_t panel) {
    struct product_task *t = data;
    t->run->pack(&t->product, panel);
}

static void multiply_block(void *data, size_t i) {
    struct product_task *t = data;
    t->run->multiply(&t->product, i % t->blocks * t->run->task_rows, i / t->blocks * t->group, t->group);
}

static OrtStatus *product_compute(void *node, OrtKernelContext *context) {
    const struct node *n = node;
    struct tensor x, w, add, a, b;
    TRY(read_inputs(context, (struct tensor *[]){&x, &w, &add, &a, &b}, 5));
    WANT(w.rank == 2 && w.count > 0);
    size_t depth = n->turned ? w.rows : w.last, columns = n->turned ? w.last : w.rows, rank = a.rows;
    WANT(x.last == depth);
    WANT(!add.data || (add.last == columns && (add.rows == 1 || add.rows == x.rows)));
    WANT(!a.data == !b.data);
    WANT(!a.data || (a.last == w.last && b.last == rank && b.rows == w.rows));
    struct product_task t = {
        .product = {.rows = x.rows, .depth = depth, .columns = columns, .turned = n->turned, .alpha = n->alpha, .scale = n->scale,
                    .x = x.data, .w = w.data, .rank = rank, .a = a.data, .b = b.data, .add = add.data, .add_row = add.rows == 1 ? 0 : columns},
        .run = run, .blocks = blocks(x.rows, run->task_rows), .panels = blocks(columns, run->panel),
        .group = CACHED / ((depth < run->task_depth ? depth : run->task_depth) * run->panel),
    };
    if (t.group == 0)
        t.group = 1;
    TRY(output(context, 0, &x, columns, &t.product.y));
    size_t size = depth * blocks(columns, run->panel) * run->panel * sizeof(float);
    OrtAllocator *allocator; // which keeps what is freed, and hands it out again
    TRY(api->KernelContext_GetAllocator(context, memory_info, &allocator));
    OrtStatus *status = api->AllocatorAlloc(allocator, size, (void **)&t.product.packed);
    if (!status) {
        size_t tasks = t.blocks * blocks(t.panels, t.group);
        status = api->KernelContext_ParallelFor(context, pack_panel, t.panels, t.panels, &t);
        if (!status)
            status = api->KernelContext_ParallelFor(context, multiply_block, tasks, tasks, &t);
        OrtStatus *freed = api->AllocatorFree(allocator, t.product.packed);
        status = status ? status : freed;
    }
    api->ReleaseAllocator(allocator);
    return status;
}

struct weights_task {
    struct weights weights;
    size_t squares; // from top to bottom
    atomic_bool no_memory;
};

static void weights_square(void *data, size_t i) {
    struct weights_task *t = data;
    float *room = aligned_alloc(64, run->weights_room() * sizeof *room); // of cache lines, which tiles read whole
    if (room)
        run->weights_grad(&t->weights, i % t->squares * GRAD_BLOCK, i / t->squares * GRAD_BLOCK, room);
    else
        t->no_memory = true;
    free(room);
}

static OrtStatus *weights_grad_compute(void *node, OrtKernelContext *context) {
    struct tensor x, dy;
    TRY(read_inputs(context, (struct tensor *[]){&x, &dy}, 2));
    WANT(dy.rows == x.rows && x.count > 0 && dy.count > 0);
    struct weights_task t = {
        .weights = {.rows = x.rows, .in = x.last, .out = dy.last, .alpha = ((struct node *)node)->alpha, .x = x.data, .dy = dy.data},
        .squares = blocks(dy.last, GRAD_BLOCK),
    };
    TRY(output_of(context, 0, (int64_t[]){dy.last, x.last}, 2, &t.weights.dw));
    size_t tasks = t.squares * blocks(x.last, GRAD_BLOCK);
    OrtStatus *status = api->KernelContext_ParallelFor(context, weights_square, tasks, tasks, &t);
    return status ? status : t.no_memory ? no_memory() : NULL;
}

struct adapter_task {
    struct adapter adapter;
    atomic_bool no_memory;
};

static void adapter_chunk(void *data, size_t chunk) {
    struct adapter_task *t = data;
    float *room = malloc(run->adapter_room(&t->adapter) * sizeof *room);
    if (room)
        run->adapter_grad(&t->adapter, chunk, room);
    else
        t->no_memory = true;
    free(room);
}

static OrtStatus *adapter_grad_compute(void *node, OrtKernelContext *context) {
    struct tensor x, dy, a, b;
    TRY(read_inputs(context, (struct tensor *[]){&x, &dy, &a, &b}, 4));
    size_t rank = a.rows, in = x.last, out = dy.last, both = in + out, chunks = blocks(x.rows, ADAPTER_CHUNK);
    WANT(dy.rows == x.rows && rank > 0);
    WANT(a.rank == 2 && a.last == in);
    WANT(b.rank == 2 && b.last == rank && b.rows == out);
    float scale = ((struct node *)node)->scale, *da, *db;
    TRY(output(context, 0, &a, in, &da));
    TRY(output(context, 1, &b, rank, &db));
    struct adapter_task t = {.adapter = {.rows = x.rows, .in = in, .out = out, .rank = rank, .x = x.data, .dy = dy.data, .a = a.data, .b = b.data}};
    float *sums = t.adapter.sums = malloc((chunks + 1) * rank * both * sizeof(float)), *sum = sums + chunks * rank * both;
    if (!sums)
        return no_memory();
    OrtStatus *status = api->KernelContext_ParallelFor(context, adapter_chunk, chunks, chunks, &t);
    add_up(sum, sums, rank * both, chunks, rank * both);
    for (size_t i = 0; i < rank * in; i++)
        da[i] = scale * sum[i];
    for (size_t r = 0; r < rank; r++)
        for (size_t i = 0; i < out; i++)
            db[i * rank + r] = scale * sum[rank * in + r * out + i];
    free(sums);
    return status ? status : t.no_memory ? no_memory() : NULL;
}

struct op product_ops[PRODUCT_OPS] = {
    {.name = "Product", .inputs = 5, .outputs = 1, .optional = 1 << 2 | 1 << 3 | 1 << 4, .types = {FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT},
     .attributes = ALPHA | SCALE | TURNED, .compute = product_compute},
    {.name = "WeightGrad", .inputs = 2, .outputs = 1, .types = {FLOAT, FLOAT, FLOAT}, .attributes = ALPHA, .compute = weights_grad_compute},
    {.name = "AdapterGrad", .inputs = 4, .outputs = 2, .types = {FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT}, .attributes = SCALE,
     .compute = adapter_grad_compute},
};
