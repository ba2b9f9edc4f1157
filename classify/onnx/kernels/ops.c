// The functions of rows.h as custom operators of ONNX Runtime, in the domain "barograph".

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "ops.h"
#include "onnxruntime_c_api.h"
#include "rows.h"

static const OrtApi *api;
static const struct functions *run;

enum { FLOAT = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, UINT8 = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, INT64 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 };

// struct tensor is an input: data is NULL for one that is not there.
struct tensor {
    void *data;
    size_t rank, count;
    int64_t dims[4];
    size_t last, rows; // the last dimension, and the product of the others
};

#define TRY(call)                 \
    do {                          \
        OrtStatus *status = call; \
        if (status)               \
            return status;        \
    } while (0)

#define WANT(condition)                                                                   \
    do {                                                                                  \
        if (!(condition))                                                                 \
            return api->CreateStatus(ORT_INVALID_ARGUMENT, "shapes do not fit: " #condition); \
    } while (0)

static OrtStatus *no_memory(void) {
    return api->CreateStatus(ORT_FAIL, "out of memory");
}

static OrtStatus *input(OrtKernelContext *context, size_t index, struct tensor *t) {
    const OrtValue *value;
    *t = (struct tensor){0};
    TRY(api->KernelContext_GetInput(context, index, &value));
    if (!value)
        return NULL;
    OrtTensorTypeAndShapeInfo *shape;
    TRY(api->GetTensorTypeAndShape(value, &shape));
    OrtStatus *status = api->GetDimensionsCount(shape, &t->rank);
    if (!status && (t->rank < 1 || t->rank > 4))
        status = api->CreateStatus(ORT_INVALID_ARGUMENT, "an input has no dimension or more than 4");
    if (!status)
        status = api->GetDimensions(shape, t->dims, t->rank);
    if (!status)
        status = api->GetTensorShapeElementCount(shape, &t->count);
    api->ReleaseTensorTypeAndShapeInfo(shape);
    if (status)
        return status;
    t->last = t->dims[t->rank - 1];
    t->rows = t->last ? t->count / t->last : 0;
    return api->GetTensorMutableData((OrtValue *)value, &t->data);
}

static OrtStatus *read_inputs(OrtKernelContext *context, struct tensor **to, size_t count) {
    for (size_t i = 0; i < count; i++)
        TRY(input(context, i, to[i]));
    return NULL;
}

static OrtStatus *output(OrtKernelContext *context, size_t index, const struct tensor *like, size_t last, void *data) {
    int64_t dims[4];
    memcpy(dims, like->dims, sizeof dims);
    dims[like->rank - 1] = last;
    OrtValue *value;
    TRY(api->KernelContext_GetOutput(context, index, dims, like->rank, &value));
    return api->GetTensorMutableData(value, data);
}

// BLOCK is how many rows are one task of the session's threads.
enum { BLOCK = 16 };

static size_t blocks(size_t rows, size_t of) {
    return (rows + of - 1) / of;
}

// A node's state is its one attribute.
struct node {
    float epsilon;
    int64_t heads;
};

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
    size_t blocks; // of a text
    atomic_bool no_memory;
};

static void attention_block(void *data, size_t block) {
    struct attention_task *t = data;
    float *room = malloc(attend_room(&t->attention) * sizeof *room);
    if (room)
        run->attend(&t->attention, block / t->blocks, block % t->blocks * QUERIES, room);
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
    struct attention_task t = {.attention = a, .blocks = blocks(a.queries, QUERIES)};
    TRY(api->KernelContext_ParallelFor(context, attention_block, texts * t.blocks, 0, &t));
    return t.no_memory ? no_memory() : NULL;
}

// struct op is an operator: types are those of its inputs and then of its outputs.
struct op {
    OrtCustomOp custom;
    const char *name;
    size_t inputs, outputs, optional_from, optional_to;
    ONNXTensorElementDataType types[10];
    OrtStatus *(*attribute)(const OrtKernelInfo *info, struct node *node);
    OrtStatus *(*compute)(void *node, OrtKernelContext *context);
};

static OrtStatus *read_epsilon(const OrtKernelInfo *info, struct node *node) {
    return api->KernelInfoGetAttribute_float(info, "epsilon", &node->epsilon);
}

static OrtStatus *read_heads(const OrtKernelInfo *info, struct node *node) {
    return api->KernelInfoGetAttribute_int64(info, "num_heads", &node->heads);
}

static OrtStatus *read_nothing(const OrtKernelInfo *info, struct node *node) {
    (void)info, (void)node;
    return NULL;
}

// The places in ops.
enum { NORM, GELU, ATTENTION, OPS };

static struct op ops[OPS] = {
    [NORM] = {.name = "AddNormQuantize", .inputs = 7, .outputs = 3, .optional_from = 1, .optional_to = 4,
              .types = {FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, UINT8, FLOAT},
              .attribute = read_epsilon, .compute = norm_compute},
    [GELU] = {.name = "GeluQuantize", .inputs = 3, .outputs = 2, .types = {FLOAT, FLOAT, FLOAT, UINT8, FLOAT},
              .attribute = read_nothing, .compute = gelu_compute},
    [ATTENTION] = {.name = "AttentionQuantize", .inputs = 6, .outputs = 2,
                   .types = {FLOAT, FLOAT, FLOAT, FLOAT, FLOAT, INT64, UINT8, FLOAT},
                   .attribute = read_heads, .compute = attention_compute},
};

#define OP(custom) ((const struct op *)(custom))

static const char *name(const OrtCustomOp *op) { return OP(op)->name; }
static const char *provider(const OrtCustomOp *op) { return (void)op, "CPUExecutionProvider"; }
static size_t inputs(const OrtCustomOp *op) { return OP(op)->inputs; }
static size_t outputs(const OrtCustomOp *op) { return OP(op)->outputs; }
static ONNXTensorElementDataType input_type(const OrtCustomOp *op, size_t i) { return OP(op)->types[i]; }
static ONNXTensorElementDataType output_type(const OrtCustomOp *op, size_t i) { return OP(op)->types[OP(op)->inputs + i]; }

static OrtCustomOpInputOutputCharacteristic input_kind(const OrtCustomOp *op, size_t i) {
    bool optional = i >= OP(op)->optional_from && i < OP(op)->optional_to;
    return optional ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
}

static OrtCustomOpInputOutputCharacteristic output_kind(const OrtCustomOp *op, size_t i) {
    return (void)op, (void)i, INPUT_OUTPUT_REQUIRED;
}

static OrtMemType memory(const OrtCustomOp *op, size_t i) { return (void)op, (void)i, OrtMemTypeDefault; }
static int start_version(const OrtCustomOp *op) { return (void)op, 1; }
static int end_version(const OrtCustomOp *op) { return (void)op, INT32_MAX; }

// struct kernel is a node of a session.
struct kernel {
    struct node node; // first: compute gets a pointer to it
    OrtStatus *(*compute)(void *node, OrtKernelContext *context);
};

static OrtStatus *create(const OrtCustomOp *op, const OrtApi *a, const OrtKernelInfo *info, void **out) {
    (void)a;
    struct kernel *k = calloc(1, sizeof *k);
    if (!k)
        return no_memory();
    k->compute = OP(op)->compute;
    OrtStatus *status = OP(op)->attribute(info, &k->node);
    if (status) {
        free(k);
        return status;
    }
    *out = k;
    return NULL;
}

static OrtStatus *compute(void *kernel, OrtKernelContext *context) {
    return ((struct kernel *)kernel)->compute(kernel, context);
}

static const char *failure(OrtStatus *status, char *message, size_t size) {
    snprintf(message, size, "%s", api->GetErrorMessage(status));
    api->ReleaseStatus(status);
    return message;
}

int use(int level) {
    run = functions(&level);
    return level;
}

const char *open_ops(const char *library, OrtCustomOpDomain **domain, char *message, size_t size) {
    // The library is loaded already; this finds it again.
    void *handle = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
    if (!handle)
        return "the library is not loaded";
    const OrtApiBase *(*base)(void);
    *(void **)&base = dlsym(handle, "OrtGetApiBase");
    api = base ? base()->GetApi(ORT_API_VERSION) : NULL;
    dlclose(handle);
    if (!api)
        return "the library does not have the version of the API that is wanted";
    use(BEST);
    OrtStatus *status = api->CreateCustomOpDomain("barograph", domain);
    for (int i = 0; !status && i < OPS; i++) {
        ops[i].custom = (OrtCustomOp){
            .version = ORT_API_VERSION, .GetName = name, .GetExecutionProviderType = provider,
            .GetInputTypeCount = inputs, .GetInputType = input_type, .GetOutputTypeCount = outputs, .GetOutputType = output_type,
            .GetInputCharacteristic = input_kind, .GetOutputCharacteristic = output_kind, .GetInputMemoryType = memory,
            .GetStartVersion = start_version, .GetEndVersion = end_version,
            .CreateKernelV2 = create, .KernelComputeV2 = compute, .KernelDestroy = free,
        };
        status = api->CustomOpDomain_Add(*domain, &ops[i].custom);
    }
    return status ? failure(status, message, size) : NULL;
}

const char *add_ops(void *options, OrtCustomOpDomain *domain, char *message, size_t size) {
    OrtStatus *status = api->AddCustomOpDomain(options, domain);
    return status ? failure(status, message, size) : NULL;
}
