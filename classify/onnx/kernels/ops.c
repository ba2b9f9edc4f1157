// Custom operators of ONNX Runtime, in the domain "barograph".

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op.h"
#include "ops.h"

const OrtApi *api;
const struct functions *run;
const OrtMemoryInfo *memory_info;

OrtStatus *no_memory(void) {
    return api->CreateStatus(ORT_FAIL, "out of memory");
}

void add_up(float *sum, const float *from, size_t row, size_t rows, size_t width) {
    memset(sum, 0, width * sizeof *sum);
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < width; i++)
            sum[i] += from[r * row + i];
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

OrtStatus *read_inputs(OrtKernelContext *context, struct tensor **to, size_t count) {
    for (size_t i = 0; i < count; i++)
        TRY(input(context, i, to[i]));
    return NULL;
}

OrtStatus *output_of(OrtKernelContext *context, size_t index, const int64_t *dims, size_t rank, void *data) {
    OrtValue *value;
    TRY(api->KernelContext_GetOutput(context, index, dims, rank, &value));
    return api->GetTensorMutableData(value, data);
}

OrtStatus *output(OrtKernelContext *context, size_t index, const struct tensor *like, size_t last, void *data) {
    int64_t dims[4];
    memcpy(dims, like->dims, sizeof dims);
    dims[like->rank - 1] = last;
    return output_of(context, index, dims, like->rank, data);
}

#define OP(custom) ((const struct op *)(custom))

static const char *name(const OrtCustomOp *op) { return OP(op)->name; }
static const char *provider(const OrtCustomOp *op) { return (void)op, "CPUExecutionProvider"; }
static size_t inputs(const OrtCustomOp *op) { return OP(op)->inputs; }
static size_t outputs(const OrtCustomOp *op) { return OP(op)->outputs; }
static ONNXTensorElementDataType input_type(const OrtCustomOp *op, size_t i) { return OP(op)->types[i]; }
static ONNXTensorElementDataType output_type(const OrtCustomOp *op, size_t i) { return OP(op)->types[OP(op)->inputs + i]; }

static OrtCustomOpInputOutputCharacteristic input_kind(const OrtCustomOp *op, size_t i) {
    return OP(op)->optional >> i & 1 ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
}

static OrtCustomOpInputOutputCharacteristic output_kind(const OrtCustomOp *op, size_t i) {
    return OP(op)->optional_outputs >> i & 1 ? INPUT_OUTPUT_OPTIONAL : INPUT_OUTPUT_REQUIRED;
}

static OrtMemType memory(const OrtCustomOp *op, size_t i) { return (void)op, (void)i, OrtMemTypeDefault; }
static int start_version(const OrtCustomOp *op) { return (void)op, 1; }
static int end_version(const OrtCustomOp *op) { return (void)op, INT32_MAX; }

// struct kernel is a node of a session.
struct kernel {
    struct node node; // first: compute gets a pointer to it
    OrtStatus *(*compute)(void *node, OrtKernelContext *context);
};

static OrtStatus *read_attributes(const OrtKernelInfo *info, unsigned which, struct node *node) {
    if (which & EPSILON)
        TRY(api->KernelInfoGetAttribute_float(info, "epsilon", &node->epsilon));
    if (which & HEADS)
        TRY(api->KernelInfoGetAttribute_int64(info, "num_heads", &node->heads));
    if (which & SCALE)
        TRY(api->KernelInfoGetAttribute_float(info, "scale", &node->scale));
    if (which & ALPHA)
        TRY(api->KernelInfoGetAttribute_float(info, "alpha", &node->alpha));
    if (which & TURNED)
        TRY(api->KernelInfoGetAttribute_int64(info, "turned", &node->turned));
    return NULL;
}

static OrtStatus *create(const OrtCustomOp *op, const OrtApi *a, const OrtKernelInfo *info, void **out) {
    (void)a;
    struct kernel *k = calloc(1, sizeof *k);
    if (!k)
        return no_memory();
    k->compute = OP(op)->compute;
    OrtStatus *status = read_attributes(info, OP(op)->attributes, &k->node);
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

void move_weights(struct adamw s, float *weights, const float *grads, float *first_moments, float *second_moments, size_t count) {
    run->adamw(&s, weights, grads, first_moments, second_moments, count);
}

int best_level(void) {
    int level = BEST;
    functions(&level);
    return level;
}

int fast_bytes(void) {
    return best_level() == 3 && !has_amx();
}

static OrtStatus *add_each(OrtCustomOpDomain *domain, struct op *ops, size_t count) {
    for (size_t i = 0; i < count; i++) {
        ops[i].custom = (OrtCustomOp){
            .version = ORT_API_VERSION, .GetName = name, .GetExecutionProviderType = provider,
            .GetInputTypeCount = inputs, .GetInputType = input_type, .GetOutputTypeCount = outputs, .GetOutputType = output_type,
            .GetInputCharacteristic = input_kind, .GetOutputCharacteristic = output_kind, .GetInputMemoryType = memory,
            .GetStartVersion = start_version, .GetEndVersion = end_version,
            .CreateKernelV2 = create, .KernelComputeV2 = compute, .KernelDestroy = free,
        };
        TRY(api->CustomOpDomain_Add(domain, &ops[i].custom));
    }
    return NULL;
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
    if (!status)
        status = api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, (OrtMemoryInfo **)&memory_info);
    if (!status)
        status = add_each(*domain, inference_ops, INFERENCE_OPS);
    if (!status)
        status = add_each(*domain, bytes_ops, BYTES_OPS);
    if (!status)
        status = add_each(*domain, training_ops, TRAINING_OPS);
    if (!status)
        status = add_each(*domain, product_ops, PRODUCT_OPS);
    return status ? failure(status, message, size) : NULL;
}

const char *add_ops(void *options, OrtCustomOpDomain *domain, char *message, size_t size) {
    OrtStatus *status = api->AddCustomOpDomain(options, domain);
    return status ? failure(status, message, size) : NULL;
}
