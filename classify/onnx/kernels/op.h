// What the files of operators have in common.

#ifndef BAROGRAPH_OP_H
#define BAROGRAPH_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "levels.h"
#include "onnxruntime_c_api.h"

extern const OrtApi *api;
extern const struct functions *run;
extern const OrtMemoryInfo *memory_info; // of the CPU

enum { FLOAT = ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, UINT8 = ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, INT8 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
       INT32 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, INT64 = ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64 };

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

OrtStatus *no_memory(void);
OrtStatus *read_inputs(OrtKernelContext *context, struct tensor **to, size_t count);

// output_of makes an output of that shape.
OrtStatus *output_of(OrtKernelContext *context, size_t index, const int64_t *dims, size_t rank, void *data);

// output makes an output that is like an input but for its last dimension.
OrtStatus *output(OrtKernelContext *context, size_t index, const struct tensor *like, size_t last, void *data);

// add_up adds rows of width numbers, which are row apart.
void add_up(float *sum, const float *from, size_t row, size_t rows, size_t width);

static inline size_t blocks(size_t rows, size_t of) {
    return (rows + of - 1) / of;
}

// A node's state is its attributes, of which an operator has some.
struct node {
    float epsilon;
    int64_t heads;
    float scale, alpha;
    int64_t turned;
};

enum { EPSILON = 1, HEADS = 2, SCALE = 4, ALPHA = 8, TURNED = 16 };

// struct op is an operator: types are those of its inputs and then of its outputs.
struct op {
    OrtCustomOp custom;
    const char *name;
    size_t inputs, outputs;
    unsigned optional, optional_outputs; // a bit for each that may be left out
    ONNXTensorElementDataType types[16];
    unsigned attributes;
    OrtStatus *(*compute)(void *node, OrtKernelContext *context);
};

enum { INFERENCE_OPS = 3, BYTES_OPS = 3, TRAINING_OPS = 6, PRODUCT_OPS = 3 };

extern struct op inference_ops[INFERENCE_OPS], bytes_ops[BYTES_OPS], training_ops[TRAINING_OPS], product_ops[PRODUCT_OPS];

#endif
