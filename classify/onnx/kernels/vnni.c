#ifdef __x86_64__

#define LANES 16
#define INSTRUCTIONS "avx512vnni,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"
#define VNNI
#define TILE_ROWS 8
#define TILE_VECS 3
#define TASK_ROWS 64
#define TASK_DEPTH SIZE_MAX
#define FUNCTIONS functions_vnni
#include "level.inc.h"

#endif
