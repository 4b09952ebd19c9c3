#include <math.h>
#include "heads.h"
#include "lanes.h"

#ifdef LANES
enum { MOST = 128, KEYS = 64 * MOST };

/* out = a b for 16 rows and 16 columns, summed over k from first to
 * end - 1. The next row of a is `down` numbers on, its next column
 * `right`; the next row of b is `next` on, of out `step`. */
static inline void square(float *out, size_t step, const float *a,
                          size_t down, size_t right, const float *b,
                          size_t next, size_t first, size_t end)
{
    lanes sum[LANES] = {{0}};
    for (size_t k = first; k < end; k++) {
        lanes factor = lanes_get(b + k * next);
        for (size_t r = 0; r < LANES; r++)
            sum[r] += a[r * down + k * right] * factor;
    }
    for (size_t r = 0; r < LANES; r++)
        lanes_put(out + r * step, sum[r]);
}

/* Rows of a head, `step` apart, as columns. */
static void turn(float *columns, const float *rows, size_t step,
                 size_t window, size_t size)
{
    lanes x[LANES];
    for (size_t j = 0; j < window; j += LANES)
        for (size_t d = 0; d < size; d += LANES) {
            for (size_t r = 0; r < LANES; r++)
                x[r] = lanes_get(rows + (j + r) * step + d);
            lanes_turn(x);
            for (size_t r = 0; r < LANES; r++)
                lanes_put(columns + (d + r) * window + j, x[r]);
        }
}

static lanes_bits ahead_of(size_t place)
{
    static const lanes_bits order = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10,
                                     11, 12, 13, 14, 15};
    return order > (int32_t)place;
}

/* a[0 .. 16 n), where the row's own place is in the last vector. */
static void soften(float *a, size_t n, size_t place, float root)
{
    lanes z[MOST / LANES], zero = {0}, sum = {0};
    lanes_bits ahead = ahead_of(place);
    for (size_t i = 0; i < n; i++) z[i] = root * lanes_get(a + 16 * i);
    lanes most = lanes_pick(ahead, zero - INFINITY, z[n - 1]);
    for (size_t i = 0; i + 1 < n; i++) most = lanes_most(most, z[i]);
    float top = lanes_max(most);
    for (size_t i = 0; i < n; i++) {
        z[i] = lanes_exp(z[i] - top);
        if (i + 1 == n) z[i] = lanes_pick(ahead, zero, z[i]);
        sum += z[i];
    }
    float one = 1 / lanes_sum(sum);
    for (size_t i = 0; i < n; i++) lanes_put(a + 16 * i, one * z[i]);
}

struct head { const float *q, *k, *v; size_t step, size, window, at; };
                              /* at: of its part of [T, D] */

static void look(float *share, float *mixed, struct head h)
{
    float keys[KEYS], root = (float)(1 / sqrt((double)h.size));
    size_t width = h.step / 3;
    turn(keys, h.k, h.step, h.window, h.size);
    for (size_t i = 0; i < h.window; i += LANES) {
        float *rows = share + i * h.window;
        for (size_t j = 0; j <= i; j += LANES)
            square(rows + j, h.window, h.q + i * h.step, h.step, 1,
                   keys + j, h.window, 0, h.size);
        for (size_t r = 0; r < LANES; r++)
            soften(rows + r * h.window, i / LANES + 1, r, root);
        for (size_t d = 0; d < h.size; d += LANES)
            square(mixed + i * width + d, width, rows, h.window, 1,
                   h.v + d, h.step, 0, i + LANES);
    }
}

static void harden(float *da, const float *a, size_t n, float root)
{
    lanes along = {0};
    for (size_t j = 0; j < n; j += LANES)
        along += lanes_get(a + j) * lanes_get(da + j);
    float average = lanes_sum(along);
    for (size_t j = 0; j < n; j += LANES)
        lanes_put(da + j, root * lanes_get(a + j)
                          * (lanes_get(da + j) - average));
}

static void look_back(const float *share, const float *dmixed,
                      struct head h, float *dq)
{
    float values[KEYS], slope[MOST * MOST];
    float root = (float)(1 / sqrt((double)h.size));
    size_t width = h.step / 3, n = h.window;
    float *dk = dq + width, *dv = dk + width;
    turn(values, h.v, h.step, n, h.size);
    for (size_t i = 0; i < n; i += LANES) {
        float *rows = slope + i * n;
        for (size_t j = 0; j <= i; j += LANES)
            square(rows + j, n, dmixed + i * width, width, 1,
                   values + j, n, 0, h.size);
        for (size_t r = i; r < i + LANES; r++)
            harden(slope + r * n, share + r * n, i + LANES, root);
        for (size_t d = 0; d < h.size; d += LANES)
            square(dq + i * h.step + d, h.step, rows, n, 1, h.k + d,
                   h.step, 0, i + LANES);
    }
    for (size_t j = 0; j < n; j += LANES)
        for (size_t d = 0; d < h.size; d += LANES) {
            square(dk + j * h.step + d, h.step, slope + j, 1, n,
                   h.q + d, h.step, j, n);
            square(dv + j * h.step + d, h.step, share + j, 1, n,
                   dmixed + d, width, j, n);
        }
}

static struct head head_of(struct matrix qkv, struct matrix share,
                           size_t i)
{
    size_t width = qkv.cols / 3, heads = share.rows / qkv.rows;
    size_t first = i / heads * share.cols, size = width / heads;
    const float *at = matrix_row(qkv, first) + i % heads * size;
    return (struct head){at, at + width, at + 2 * width, qkv.cols, size,
                         share.cols, first * width + i % heads * size};
}

static int fits(struct matrix share, struct matrix qkv)
{
    size_t window = share.cols, size = qkv.rows
        ? qkv.cols / 3 * qkv.rows / share.rows : 0;
    return size && window % LANES == 0 && size % LANES == 0
        && window <= MOST && window * size <= KEYS;
}

int heads_forward(struct matrix share, struct matrix mixed,
                  struct matrix qkv)
{
    if (!fits(share, qkv)) return 0;
    MATRIX_PARALLEL(static)
    for (size_t i = 0; i < share.rows / share.cols; i++) {
        struct head h = head_of(qkv, share, i);
        look(matrix_row(share, i * share.cols),
             mixed.at + h.at, h);
    }
    return 1;
}

int heads_backward(struct matrix dqkv, struct matrix dmixed,
                   struct matrix share, struct matrix qkv)
{
    if (!fits(share, qkv)) return 0;
    MATRIX_PARALLEL(static)
    for (size_t i = 0; i < share.rows / share.cols; i++) {
        struct head h = head_of(qkv, share, i);
        look_back(matrix_row(share, i * share.cols),
                  dmixed.at + h.at, h, dqkv.at + (h.q - qkv.at));
    }
    return 1;
}
#else
int heads_forward(struct matrix share, struct matrix mixed,
                  struct matrix qkv)
{
    return (void)share, (void)mixed, (void)qkv, 0;
}

int heads_backward(struct matrix dqkv, struct matrix dmixed,
                   struct matrix share, struct matrix qkv)
{
    return (void)dqkv, (void)dmixed, (void)share, (void)qkv, 0;
}
#endif
