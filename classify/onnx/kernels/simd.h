// LANES floats at a time, 16, 8 or 4, by the vector extensions of GCC and Clang. They should be as
// many as a register holds: GCC keeps wider ones in memory.

#ifndef BAROGRAPH_SIMD_H
#define BAROGRAPH_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define INLINE static inline __attribute__((always_inline))

// What is in an array whose loops are unrolled stays in registers.
#define UNROLL _Pragma("GCC unroll 8")

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef uint8_t bytes __attribute__((vector_size(LANES)));

INLINE size_t padded(size_t n) { return (n + LANES - 1) / LANES * LANES; }

INLINE vec splat(float x) { return x - (vec){0}; }

// load reads as many of LANES floats as are left; the others are 0.
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

INLINE ivec load_bits(const int32_t *from) {
    ivec v;
    memcpy(&v, from, sizeof v);
    return v;
}

// first is as many of v as are left, and 0 behind them.
INLINE vec first(vec v, size_t left) {
    if (left < LANES)
        memset((char *)&v + left * sizeof(float), 0, (LANES - left) * sizeof(float));
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

// ROOT is the square root of each number.
#if LANES == 16
#define ROOT(v) ((vec)_mm512_sqrt_ps((__m512)(v)))
#elif LANES == 8
#define ROOT(v) ((vec)_mm256_sqrt_ps((__m256)(v)))
#elif defined(__SSE2__)
#define ROOT(v) ((vec)_mm_sqrt_ps((__m128)(v)))
#elif defined(__aarch64__)
#define ROOT(v) ((vec)vsqrtq_f32((float32x4_t)(v)))
#else
#define ROOT(v) root_of(v)
INLINE vec root_of(vec v) {
    for (int i = 0; i < LANES; i++)
        v[i] = sqrtf(v[i]);
    return v;
}
#endif

// LOW and HIGH interleave the halves of two vectors;
// HALVES and QUARTERS change the halves of a vector over, and those of its halves.
#if LANES == 16
#define LOW(a, b) SHUFFLE(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(a, b) SHUFFLE(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define HALVES(v) SHUFFLE(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)
#define QUARTERS(v) SHUFFLE(v, v, 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)
#elif LANES == 8
#define LOW(a, b) SHUFFLE(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) SHUFFLE(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
#define QUARTERS(v) SHUFFLE(v, v, 4, 5, 6, 7, 0, 1, 2, 3)
#else
#define LOW(a, b) SHUFFLE(a, b, 0, 4, 1, 5)
#define HIGH(a, b) SHUFFLE(a, b, 2, 6, 3, 7)
#endif

// transpose turns LANES rows into columns, by interleaving halves as often as LANES is halved.
INLINE void transpose(vec m[LANES]) {
    for (int left = LANES; left > 1; left /= 2) {
        vec n[LANES];
        for (int i = 0; i < LANES / 2; i++) {
            vec a = m[i], b = m[i + LANES / 2];
            n[2 * i] = LOW(a, b);
            n[2 * i + 1] = HIGH(a, b);
        }
        memcpy(m, n, sizeof n);
    }
}

// where takes a number of x where all bits are set, and of otherwise where none is.
INLINE vec where(ivec bits, vec x, vec otherwise) {
    return (vec)(((ivec)x & bits) | ((ivec)otherwise & ~bits));
}

INLINE vec larger(vec a, vec b) { return where(a > b, a, b); }

INLINE vec magnitude(vec a) {
    return (vec)((ivec)a & 0x7fffffff);
}

INLINE float largest_of(vec v) {
#if LANES == 16
    v = larger(v, HALVES(v));
#endif
#if LANES >= 8
    v = larger(v, QUARTERS(v));
#endif
    float x = v[0] > v[1] ? v[0] : v[1], y = v[2] > v[3] ? v[2] : v[3];
    return x > y ? x : y;
}

INLINE float sum_of(vec v) {
#if LANES == 16
    v += HALVES(v);
#endif
#if LANES >= 8
    v += QUARTERS(v);
#endif
    return (v[0] + v[1]) + (v[2] + v[3]);
}

// exponential is e^x to 4e-6 of it (to 1e-7 near 0), for x cut to [-85, 85]: 2^n times the polynomial of
// 2^f over [-.5, .5] (its Taylor series). What is not a number stays so.
INLINE vec exponential(vec number) {
    vec x = larger(number, splat(-85));
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
    return where(number == number, (vec)((ivec)p + (n << 23)), number);
}

// rounded is the nearest integers to v + zero, which must lie in [0, 255].
INLINE bytes rounded(vec v, float zero) {
    return __builtin_convertvector(__builtin_convertvector(v + (zero + .5f), ivec), bytes);
}

// factors reads as many of LANES bytes as are left: x for one that is not 0, else 0. (GCC 12 takes
// __builtin_convertvector and splat apart into numbers here.)
INLINE vec factors(const uint8_t *from, size_t left, float x) {
    bytes b = {0};
    if (left >= LANES)
        memcpy(&b, from, sizeof b);
    else
        memcpy(&b, from, left);
    b = (bytes)(b != 0);
    int8_t narrow[LANES];
    int32_t wide[LANES], bits;
    memcpy(narrow, &b, sizeof b);
    for (int i = 0; i < LANES; i++)
        wide[i] = narrow[i];
    memcpy(&bits, &x, sizeof bits);
    return (vec)(load_bits(wide) & bits);
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
