#ifndef LANES_H
#define LANES_H
/* Sixteen floats as one value, in the fast build; LANES is defined
 * where there are such. */
#include <stdint.h>
#include <string.h>
#include "matrix.h"

#if defined MATRIX_FAST && !defined REAL_DOUBLE && defined __has_builtin
#if __has_builtin(__builtin_shufflevector)
#define LANES 16
typedef float lanes __attribute__((vector_size(64)));
typedef int32_t lanes_bits __attribute__((vector_size(64)));

static inline lanes lanes_get(const float *at)
{
    lanes v;
    memcpy(&v, at, sizeof v);
    return v;
}

static inline void lanes_put(float *at, lanes v)
{
    memcpy(at, &v, sizeof v);
}

/* a where the mask's bits are set, b elsewhere. */
static inline lanes lanes_pick(lanes_bits mask, lanes a, lanes b)
{
    return (lanes)((mask & (lanes_bits)a) | (~mask & (lanes_bits)b));
}

static inline lanes lanes_most(lanes a, lanes b)
{
    return lanes_pick(a > b, a, b);
}

/* Halves against each other, until one is left. */
#define LANES_FOLD(v, with) \
    v = with(v, __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, \
        14, 15, 0, 1, 2, 3, 4, 5, 6, 7)); \
    v = with(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3, \
        12, 13, 14, 15, 8, 9, 10, 11)); \
    v = with(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5, \
        10, 11, 8, 9, 14, 15, 12, 13)); \
    v = with(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6, \
        9, 8, 11, 10, 13, 12, 15, 14))
#define LANES_PLUS(a, b) ((a) + (b))

static inline float lanes_sum(lanes v)
{
    LANES_FOLD(v, LANES_PLUS);
    return v[0];
}

static inline float lanes_max(lanes v)
{
    LANES_FOLD(v, lanes_most);
    return v[0];
}

#define LANES_CROSS(half, first, second) \
    for (size_t r = 0; r < LANES; r++) \
        if (!(r & half)) { \
            lanes a = x[r], b = x[r + half]; \
            x[r] = __builtin_shufflevector(a, b, first); \
            x[r + half] = __builtin_shufflevector(a, b, second); \
        }
#define LANES_LIST(...) __VA_ARGS__

static inline void lanes_turn(lanes x[LANES])
{
    LANES_CROSS(8, LANES_LIST(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19,
        20, 21, 22, 23), LANES_LIST(8, 9, 10, 11, 12, 13, 14, 15, 24,
        25, 26, 27, 28, 29, 30, 31))
    LANES_CROSS(4, LANES_LIST(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11,
        24, 25, 26, 27), LANES_LIST(4, 5, 6, 7, 20, 21, 22, 23, 12, 13,
        14, 15, 28, 29, 30, 31))
    LANES_CROSS(2, LANES_LIST(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25,
        12, 13, 28, 29), LANES_LIST(2, 3, 18, 19, 6, 7, 22, 23, 10, 11,
        26, 27, 14, 15, 30, 31))
    LANES_CROSS(1, LANES_LIST(0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10,
        26, 12, 28, 14, 30), LANES_LIST(1, 17, 3, 19, 5, 21, 7, 23, 9,
        25, 11, 27, 13, 29, 15, 31))
}

/* exp(x) for x <= 0, off by 3e-7 of it; 1e-38 below -87. */
static inline lanes lanes_exp(lanes x)
{
    lanes t = x * 1.44269504f, low = (lanes){0} - 126;
    t = lanes_pick(t < low, low, t);
    lanes shifted = t + 12582912, f = t - (shifted - 12582912);
    lanes p = 1.32647180e-3f * f + 9.67151858e-3f;
    p = p * f + 5.55073395e-2f, p = p * f + 0.240222424f;
    p = p * f + 0.693147004f, p = p * f + 1;
    lanes_bits power = ((lanes_bits)shifted + 127) << 23;
    return p * (lanes)power;
}
#endif
#endif
#endif
