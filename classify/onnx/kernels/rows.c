#include "rows.h"

#include <math.h>
#include <stdbool.h>

#include "simd.h"

_Static_assert((int)QUERIES == (int)LANES, "a query is a lane");

// quantise_row rounds width numbers times inverse_range (NULL for 1) to bytes, with the
// scale that the largest magnitude among them asks for.
INLINE void quantise_row(const float *row, const float *inverse_range, size_t width, float largest, uint8_t *to, float *scale) {
    *scale = (largest > 1e-30f ? largest : 1e-30f) / 127;
    float inverse = 1 / *scale;
    for (size_t i = 0; i < width; i += LANES) {
        vec v = load(row + i, width - i) * inverse;
        if (inverse_range)
            v *= load(inverse_range + i, width - i);
        store_bytes(to + i, rounded(v, ZERO), width - i);
    }
}

// gelu_of is GELU(v) = v (1 + erf(v / sqrt 2)) / 2 to 1.4e-4: v/2 plus an even function, which is a
// polynomial in v^2 (the one of its degree that comes nearest over [0, 4]) or, from 4 on, |v|/2. The
// tanh form is another 5e-4 off; a step of the rounding is 5e-3 or more.
INLINE vec gelu_of(vec v) {
    vec s = v * v;
    vec p = 1.04196182e-7f - 1.30129666e-9f * s;
    p = -3.65713637e-6f + s * p;
    p = 7.48550926e-5f + s * p;
    p = -1.00649074e-3f + s * p;
    p = 9.50539963e-3f + s * p;
    p = -6.58878454e-2f + s * p;
    p = 3.98673396e-1f + s * p;
    ivec near = s < 16;
    vec even = (vec)(((ivec)(s * p) & near) | ((ivec)(magnitude(v) * .5f) & ~near));
    return v * .5f + even;
}

INLINE size_t padded(size_t n) {
    return (n + LANES - 1) / LANES * LANES;
}

size_t attend_room(const struct attention *a) {
    size_t head = padded(a->head_width);
    return QUERIES * a->width + head * QUERIES + a->keys * QUERIES + a->keys * 2;
}

// Each function is compiled for AVX-512, for AVX2 and for whatever the compiler takes by itself.

#ifdef __x86_64__

#define NAME(function) function##_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")))
#include "rows.inc.h"
#undef NAME
#undef TARGET

#define NAME(function) function##_avx2
#define TARGET __attribute__((target("avx2,fma")))
#include "rows.inc.h"
#undef NAME
#undef TARGET

#endif

#define NAME(function) function##_plain
#define TARGET
#include "rows.inc.h"

const struct functions *functions(int *level) {
    static const struct functions plain = {norm_rows_plain, gelu_rows_plain, attend_plain};
#ifdef __x86_64__
    static const struct functions avx2 = {norm_rows_avx2, gelu_rows_avx2, attend_avx2};
    static const struct functions avx512 = {norm_rows_avx512, gelu_rows_avx512, attend_avx512};
    bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    if (*level >= 2 && has_avx512)
        return *level = 2, &avx512;
    if (*level >= 1 && has_avx2)
        return *level = 1, &avx2;
#endif
    return *level = 0, &plain;
}
