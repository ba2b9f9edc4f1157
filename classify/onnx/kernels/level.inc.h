// The functions of levels.h for one instruction set: a file for each includes this once, with
// LANES, INSTRUCTIONS (none for what the compiler takes by itself), VNNI if it is among them, TILE_ROWS and TILE_VECS (a tile of
// a product is TILE_ROWS by TILE_VECS * LANES numbers, which are to find room in the registers), TASK_ROWS and
// TASK_DEPTH (a task of a product is so many rows, as a sum over so many numbers of each at a time: what a tile
// reads is to find room in the first-level cache) and FUNCTIONS, the table's name.

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "levels.h"

// TARGET is for what is not inlined. Clang wants it of what is, too; GCC makes slower code (a tenth, of
// the whole of classify) where it has it of all by a pragma.
#ifdef INSTRUCTIONS
#define TARGET __attribute__((target(INSTRUCTIONS)))
#ifdef __clang__
#define PRAGMA_OF(...) _Pragma(#__VA_ARGS__)
#define PRAGMA(...) PRAGMA_OF(__VA_ARGS__)
PRAGMA(clang attribute push(TARGET, apply_to = function))
#endif
#else
#define TARGET
#endif

#include "simd.h"

#include "bytes.inc.h"
#include "product.inc.h"
#include "rows.inc.h"
#include "train.inc.h"

const struct functions FUNCTIONS = {
    .multiply_bytes = multiply_bytes, .bytes_rows = BYTES_ROWS,
    .norm = norm_rows, .gelu = gelu_rows, .attend = attend, .queries = QUERIES, .attend_room = attend_room,
    .scaled_gelu = scaled_gelu, .scaled_gelu_grad = scaled_gelu_grad, .add_norm = add_norm, .add_norm_grad = add_norm_grad,
    .self_attention = self_attention, .self_attention_grad = self_attention_grad, .attention_room = attention_room, .adamw = adamw,
    .pack = pack, .multiply = multiply, .panel = PANEL, .task_rows = TASK_ROWS, .task_depth = TASK_DEPTH, .weights_grad = weights_grad,
    .weights_room = weights_room, .adapter_grad = adapter_grad, .adapter_room = adapter_room,
};

#if defined(INSTRUCTIONS) && defined(__clang__)
#pragma clang attribute pop
#endif
