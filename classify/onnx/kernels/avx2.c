#ifdef __x86_64__

#define LANES 8
#define INSTRUCTIONS "avx2,fma"
#define TILE_ROWS 6
#define TILE_VECS 2
#define TASK_ROWS 96
#define TASK_DEPTH 384
#define FUNCTIONS functions_avx2
#include "level.inc.h"

#endif
