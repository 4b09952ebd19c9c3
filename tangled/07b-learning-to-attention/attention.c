#include <math.h>
#include "attention.h"
#include "heads.h"
#include "stop.h"

struct head { const real *q, *k, *v; size_t step, size; };

static struct head head_of(struct matrix qkv, size_t row, size_t head,
                           size_t size)
{
    size_t width = qkv.cols / 3;
    const real *at = matrix_row(qkv, row) + head * size;
    return (struct head){at, at + width, at + 2 * width, qkv.cols,
                         size};
}

static void look(struct matrix share, struct matrix mixed, size_t first,
                 size_t column, struct head h)
{
    double root = 1 / sqrt((double)h.size);
    for (size_t i = 0; i < share.rows; i++) {
        real *a = matrix_row(share, i);
        double most = -INFINITY, sum = 0;
        for (size_t j = 0; j <= i; j++) {
            const real *q = h.q + i * h.step, *k = h.k + j * h.step;
            real dot = 0;
            for (size_t d = 0; d < h.size; d++) dot += q[d] * k[d];
            a[j] = (real)((double)dot * root);
            most = fmax(most, (double)a[j]);
        }
        for (size_t j = 0; j <= i; j++) sum += exp((double)a[j] - most);
        for (size_t j = 0; j <= i; j++)
            a[j] = (real)(exp((double)a[j] - most) / sum);
        real *o = matrix_row(mixed, first + i) + column;
        for (size_t d = 0; d < h.size; d++) o[d] = 0;
        for (size_t j = 0; j <= i; j++)
            row_add(o, a[j], h.v + j * h.step, h.size);
    }
}

void attention_forward(const struct attention *a, struct matrix y,
                       struct matrix x, struct attention_work *w)
{
    size_t size = x.cols / a->heads, windows = x.rows / w->window;
    matmul(w->qkv, x, a->qkv);
    size_t pairs = heads_forward(w->share, w->mixed, w->qkv) ? 0
                 : windows * a->heads;
    MATRIX_PARALLEL(static)
    for (size_t i = 0; i < pairs; i++) {
        size_t first = i / a->heads * w->window, head = i % a->heads;
        look(matrix_rows(w->share, i * w->window, w->window), w->mixed,
             first, head * size, head_of(w->qkv, first, head, size));
    }
    matmul(y, w->mixed, a->out);
}

static void look_back(struct matrix share, const real *dmixed,
                      size_t width, struct head h, real *dq, real *dk,
                      real *dv)
{
    double root = 1 / sqrt((double)h.size);
    double da[1024]; /* attention_work_new allows no longer window */
    for (size_t i = 0; i < share.rows; i++) {
        const real *a = matrix_row(share, i);
        const real *slope = dmixed + i * width;
        double average = 0;
        for (size_t j = 0; j <= i; j++) {
            const real *v = h.v + j * h.step;
            real dot = 0;
            for (size_t d = 0; d < h.size; d++) dot += slope[d] * v[d];
            row_add(dv + j * h.step, a[j], slope, h.size);
            da[j] = (double)dot, average += (double)a[j] * da[j];
        }
        for (size_t j = 0; j <= i; j++) {
            real s = (real)((double)a[j] * (da[j] - average) * root);
            row_add(dq + i * h.step, s, h.k + j * h.step, h.size);
            row_add(dk + j * h.step, s, h.q + i * h.step, h.size);
        }
    }
}

void attention_backward(const struct attention *a,
                        struct attention *grad, struct matrix dx,
                        struct matrix dy, struct matrix x,
                        struct attention_work *w)
{
    size_t size = x.cols / a->heads, windows = x.rows / w->window;
    matmul_tn(grad->out, w->mixed, dy);
    matmul_nt(w->dmixed, dy, a->out);
    size_t pairs = heads_backward(w->dqkv, w->dmixed, w->share, w->qkv)
                 ? 0 : windows * a->heads;
    if (pairs) matrix_clear(w->dqkv);
    MATRIX_PARALLEL(static)
    for (size_t i = 0; i < pairs; i++) {
        size_t first = i / a->heads * w->window, head = i % a->heads;
        real *dq = matrix_row(w->dqkv, first) + head * size;
        look_back(matrix_rows(w->share, i * w->window, w->window),
                  matrix_row(w->dmixed, first) + head * size, x.cols,
                  head_of(w->qkv, first, head, size), dq, dq + x.cols,
                  dq + 2 * x.cols);
    }
    matmul_tn(grad->qkv, x, w->dqkv);
    matmul_nt(dx, w->dqkv, a->qkv);
}

uint64_t attention_parameters(uint64_t width)
{
    return 4 * width * width;
}

uint64_t attention_flops(uint64_t width, uint64_t window)
{
    return 8 * width * width + 2 * width * (window + 1);
}

static struct matrix drawn(size_t rows, size_t cols, double shrink,
                           struct random *random)
{
    struct matrix m = matrix_new(rows, cols);
    double a = shrink * sqrt(3 / (double)rows);
    for (size_t i = 0; i < rows * cols; i++)
        m.at[i] = (real)random_symmetric(random, a);
    return m;
}

struct attention attention_new(size_t width, size_t heads,
                               double shrink, struct random *random)
{
    if (!heads || width % heads)
        stop("%zu heads do not share a width of %zu evenly", heads,
             width);
    struct attention a = {heads, drawn(width, 3 * width, 1, random),
                          drawn(width, width, shrink, random)};
    return a;
}

void attention_free(struct attention *attention)
{
    matrix_free(&attention->qkv), matrix_free(&attention->out);
}

void attention_weights(struct weights *list, const char *name,
                       struct attention *value,
                       struct attention *slope)
{
    weights_add_part(list, name, "qkv", value->qkv, slope->qkv);
    weights_add_part(list, name, "out", value->out, slope->out);
}

struct attention_work attention_work_new(size_t tokens, size_t window,
                                         size_t width, size_t heads)
{
    if (!window || window > 1024 || tokens % window)
        stop("%zu tokens are not windows of %zu, from 1 to 1024",
             tokens, window);
    return (struct attention_work){window,
        matrix_new(tokens, 3 * width), matrix_new(tokens, 3 * width),
        matrix_new(tokens, width), matrix_new(tokens, width),
        matrix_new(heads * tokens, window)};
}

void attention_work_free(struct attention_work *w)
{
    matrix_free(&w->qkv), matrix_free(&w->dqkv);
    matrix_free(&w->mixed), matrix_free(&w->dmixed);
    matrix_free(&w->share);
}
