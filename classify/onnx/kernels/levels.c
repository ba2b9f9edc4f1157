#include "levels.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

extern const struct functions functions_plain, functions_avx2, functions_avx512, functions_vnni;

const struct functions *functions(int *level) {
#ifdef __x86_64__
    bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (*level >= 3 && has_avx512 && __builtin_cpu_supports("avx512vnni"))
        return *level = 3, &functions_vnni;
    if (*level >= 2 && has_avx512)
        return *level = 2, &functions_avx512;
    if (*level >= 1 && has_avx2)
        return *level = 1, &functions_avx2;
#endif
    return *level = 0, &functions_plain;
}

bool has_amx(void) {
#ifdef __x86_64__
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && d >> 25 & 1; // AMX-INT8
#else
    return false;
#endif
}
