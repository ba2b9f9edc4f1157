#ifndef BAROGRAPH_OPS_H
#define BAROGRAPH_OPS_H

#include "onnxruntime_c_api.h"
#include "train.h"

// open_ops makes the domain with the operators, for sessions of the library at that path,
// which must be loaded. It returns NULL or what is wrong, perhaps in message.
const char *open_ops(const char *library, OrtCustomOpDomain **domain, char *message, size_t size);

// add_ops adds the domain to an OrtSessionOptions.
const char *add_ops(void *options, OrtCustomOpDomain *domain, char *message, size_t size);

// use chooses a level of functions, see rows.h, and returns which it is.
int use(int level);

// move_weights is adamw of the functions in use: see levels.h.
void move_weights(struct adamw s, float *weights, const float *grads, float *first_moments, float *second_moments, size_t count);

// best_level is that of this processor.
int best_level(void);

// fast_bytes is whether the processor has VNNI, and not AMX.
int fast_bytes(void);

#endif
