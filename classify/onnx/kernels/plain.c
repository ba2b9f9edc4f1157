// What the compiler takes by itself has registers of 16 bytes: SSE2, NEON.
#define LANES 4
#define TILE_ROWS 4
#define TILE_VECS 2
#define TASK_ROWS 64
#define TASK_DEPTH 384
#define FUNCTIONS functions_plain
#include "level.inc.h"
