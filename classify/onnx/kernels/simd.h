// Sixteen floats at a time, by the vector extensions of GCC and Clang: whatever the
// processor has becomes of them.

#ifndef BAROGRAPH_SIMD_H
#define BAROGRAPH_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

// What is in an array whose loops are unrolled stays in registers.
#define UNROLL _Pragma("GCC unroll 8")

enum { LANES = 16 };

typedef float vec __attribute__((vector_size(64)));
typedef int32_t ivec __attribute__((vector_size(64)));
typedef uint8_t bytes __attribute__((vector_size(16)));

INLINE vec splat(float x) { return x - (vec){0}; }

// load reads as many of 16 floats as are left; the others are 0.
INLINE vec load(const float *from, size_t left) {
    vec v;
    if (left >= LANES) {
        memcpy(&v, from, sizeof v);
        return v;
    }
    float part[LANES] = {0};
    memcpy(part, from, left * sizeof *from);
    memcpy(&v, part, sizeof v);
    return v;
}

INLINE void store(float *to, vec v, size_t left) {
    if (left >= LANES) {
        memcpy(to, &v, sizeof v);
        return;
    }
    float part[LANES];
    memcpy(part, &v, sizeof v);
    memcpy(to, part, left * sizeof *to);
}

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif

// transpose turns 16 rows into 16 columns, by interleaving halves four times.
INLINE void transpose(vec m[LANES]) {
    for (int round = 0; round < 4; round++) {
        vec n[LANES];
        for (int i = 0; i < LANES / 2; i++) {
            vec a = m[i], b = m[i + LANES / 2];
            n[2 * i] = SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            n[2 * i + 1] = SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        memcpy(m, n, sizeof n);
    }
}

INLINE vec larger(vec a, vec b) {
    ivec over = a > b;
    return (vec)(((ivec)a & over) | ((ivec)b & ~over));
}

INLINE vec magnitude(vec a) {
    return (vec)((ivec)a & 0x7fffffff);
}

INLINE float largest_of(vec v) {
    float x = v[0];
    for (int i = 1; i < LANES; i++)
        x = v[i] > x ? v[i] : x;
    return x;
}

INLINE float sum_of(vec v) {
    float x = 0;
    for (int i = 0; i < LANES; i++)
        x += v[i];
    return x;
}

// exponential is e^x to 1e-7 of it, for x cut to [-85, 85]: 2^n times the polynomial of
// 2^f over [-.5, .5] (its Taylor series).
INLINE vec exponential(vec x) {
    x = larger(x, splat(-85));
    x = -larger(-x, splat(-85));
    vec t = x * 1.44269504f;
    vec rounding = splat(12582912); // 1.5 * 2^23: what is added to it is rounded
    vec shifted = t + rounding;
    vec f = t - (shifted - rounding);
    vec p = 1.5403530e-4f + f * 1.5252734e-5f;
    p = 1.3333558e-3f + f * p;
    p = 9.6181291e-3f + f * p;
    p = 5.5504109e-2f + f * p;
    p = 2.4022651e-1f + f * p;
    p = 6.9314718e-1f + f * p;
    p = 1 + f * p;
    ivec n = (ivec)shifted - (ivec)rounding;
    return (vec)((ivec)p + (n << 23));
}

// rounded is the nearest integers to v + zero, which must lie in [0, 255].
INLINE bytes rounded(vec v, float zero) {
    return __builtin_convertvector(__builtin_convertvector(v + (zero + .5f), ivec), bytes);
}

INLINE void store_bytes(uint8_t *to, bytes v, size_t left) {
    if (left >= LANES) {
        memcpy(to, &v, sizeof v);
        return;
    }
    uint8_t part[LANES];
    memcpy(part, &v, sizeof v);
    memcpy(to, part, left);
}

#endif
