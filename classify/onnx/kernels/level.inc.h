// The functions of levels.h for one instruction set: a file for each includes this once, with
// LANES, TARGET, TILE_ROWS and TILE_VECS (a tile of a product is TILE_ROWS by TILE_VECS * LANES
// numbers, which are to find room in the registers) and FUNCTIONS, the table's name.

#include <math.h>
#include <stdbool.h>

#include "levels.h"
#include "simd.h"

#include "product.inc.h"
#include "rows.inc.h"
#include "train.inc.h"

const struct functions FUNCTIONS = {
    .norm = norm_rows, .gelu = gelu_rows, .attend = attend, .queries = QUERIES, .attend_room = attend_room,
    .scaled_gelu = scaled_gelu, .scaled_gelu_grad = scaled_gelu_grad, .add_norm = add_norm, .add_norm_grad = add_norm_grad,
    .self_attention = self_attention, .self_attention_grad = self_attention_grad, .attention_room = attention_room,
    .pack = pack, .multiply = multiply, .panel = PANEL, .adapter_grad = adapter_grad, .adapter_room = adapter_room,
};
