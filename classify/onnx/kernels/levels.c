#include "levels.h"

#include <stdbool.h>

extern const struct functions functions_plain, functions_avx2, functions_avx512;

const struct functions *functions(int *level) {
#ifdef __x86_64__
    bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (*level >= 2 && has_avx512)
        return *level = 2, &functions_avx512;
    if (*level >= 1 && has_avx2)
        return *level = 1, &functions_avx2;
#endif
    return *level = 0, &functions_plain;
}
