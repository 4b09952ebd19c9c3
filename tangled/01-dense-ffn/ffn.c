#include <math.h>
#include <stdlib.h>
#include "fast.h"
#include "ffn.h"
#include "stop.h"

static real relu(real z)
{
    return z <= 0 ? 0 : z;
}

static void activate(const struct ffn *ffn, real *restrict hidden,
                     real *restrict pre)
{
    size_t n = ffn->w1.cols;
    row_add(pre, 1, ffn->b1.at, n);
    if (ffn->activation == FFN_RELU)
        for (size_t j = 0; j < n; j++) hidden[j] = relu(pre[j]);
    else if (ffn->activation == FFN_TANH)
        for (size_t j = 0; j < n; j++)
            hidden[j] = (real)tanh((double)pre[j]);
    else if (!fast_gelu(hidden, pre, n))
        for (size_t j = 0; j < n; j++) hidden[j] = ffn_gelu(pre[j]);
}

void ffn_down(const struct ffn *ffn, struct matrix y,
              struct matrix hidden)
{
    matmul(y, hidden, ffn->w2); /* [T, D] */
    for (size_t t = 0; t < y.rows; t++)
        row_add(matrix_row(y, t), 1, ffn->b2.at, y.cols);
}

void ffn_activate(const struct ffn *ffn, struct ffn_trace *trace)
{
    struct matrix pre = trace->pre;
    matrix_expect(trace->hidden, pre.rows, pre.cols, "hidden [T, H]");
    for (size_t t = 0; t < pre.rows; t++)
        activate(ffn, matrix_row(trace->hidden, t), matrix_row(pre, t));
}

void ffn_forward(const struct ffn *ffn, struct matrix y,
                 struct matrix x, struct ffn_trace *trace)
{
    matmul(trace->pre, x, ffn->w1); /* [T, H] */
    ffn_activate(ffn, trace);
    ffn_down(ffn, y, trace->hidden);
}

double ffn_zero_share(struct matrix hidden)
{
    size_t cells = hidden.rows * hidden.cols;
    double zeros = 0;
    for (size_t i = 0; i < cells; i++)
        zeros += isnan(hidden.at[i]) ? NAN : hidden.at[i] == 0;
    return cells ? zeros / (double)cells : 0;
}

struct unit { double strength; size_t index; };

static int stronger(const void *left, const void *right)
{
    const struct unit *a = left, *b = right;
    if (a->strength != b->strength)
        return a->strength < b->strength ? 1 : -1;
    return a->index < b->index ? -1 : 1;
}

void ffn_keep(const struct ffn *ffn, struct matrix hidden, size_t keep)
{
    struct unit *units = room(hidden.cols, sizeof *units);
    for (size_t t = 0; t < hidden.rows; t++) {
        real *h = matrix_row(hidden, t);
        for (size_t j = 0; j < hidden.cols; j++) {
            double s = fabs((double)h[j]) * sqrt(matrix_squares(
                matrix_rows(ffn->w2, j, 1)));
            units[j] = (struct unit){isnan(s) ? INFINITY : s, j};
        }
        qsort(units, hidden.cols, sizeof *units, stronger);
        for (size_t i = keep; i < hidden.cols; i++)
            h[units[i].index] = 0;
    }
    free(units);
}

double ffn_top_share(const struct ffn *ffn, struct matrix hidden,
                     size_t keep)
{
    struct matrix kept = matrix_new(hidden.rows, hidden.cols);
    struct matrix y = matrix_new(hidden.rows, ffn->w2.cols);
    struct matrix missing = matrix_new(hidden.rows, ffn->w2.cols);
    row_copy(kept.at, hidden.at, hidden.rows * hidden.cols);
    ffn_keep(ffn, kept, keep);
    matmul(y, hidden, ffn->w2);
    matmul(missing, kept, ffn->w2);
    matrix_add(missing, y, -1, missing);
    double all = matrix_squares(y), lost = matrix_squares(missing);
    matrix_free(&kept), matrix_free(&y), matrix_free(&missing);
    return all == 0 ? 1 : 1 - lost / all;
}

uint64_t ffn_parameters(uint64_t width, uint64_t hidden)
{
    return 2 * width * hidden + hidden + width;
}

uint64_t ffn_flops_per_token(uint64_t width, uint64_t hidden)
{
    return 4 * width * hidden;
}

/* u and its slope; beyond 100 the tangent is 1 or -1, to all digits. */
static double inner(double z, double *slope)
{
    double c = sqrt(2 / acos(-1));
    z = z > 100 ? 100 : z < -100 ? -100 : z;
    *slope = c * (1 + 3 * 0.044715 * z * z);
    return c * (z + 0.044715 * z * z * z);
}

real ffn_gelu(real z)
{
    double slope, t = tanh(inner((double)z, &slope));
    return (real)((double)z / 2 * (1 + t));
}

real ffn_gelu_slope(real z)
{
    double slope, t = tanh(inner((double)z, &slope));
    return (real)((1 + t + (double)z * (1 - t * t) * slope) / 2);
}

static real relu_slope(real z)
{
    return z > 0 ? 1 : z <= 0 ? 0 : z;
}

static real tanh_slope(real z)
{
    double t = tanh((double)z);
    return (real)(1 - t * t);
}

/* dpre *= the activation's slope at pre. */
static void activate_backward(const struct ffn *ffn,
                              real *restrict dpre,
                              const real *restrict pre)
{
    size_t n = ffn->w1.cols;
    if (ffn->activation == FFN_RELU)
        for (size_t j = 0; j < n; j++) dpre[j] *= relu_slope(pre[j]);
    else if (ffn->activation == FFN_TANH)
        for (size_t j = 0; j < n; j++)
            dpre[j] *= tanh_slope(pre[j]);
    else if (!fast_gelu_slope(dpre, pre, n))
        for (size_t j = 0; j < n; j++)
            dpre[j] *= ffn_gelu_slope(pre[j]);
}

void ffn_backward_pre(const struct ffn *ffn, struct matrix dy,
                      struct ffn_trace *trace)
{
    struct matrix dpre = trace->dpre; /* [T, H] */
    matmul_nt(dpre, dy, ffn->w2);
    matrix_expect(trace->pre, dpre.rows, dpre.cols, "pre [T, H]");
    for (size_t t = 0; t < dpre.rows; t++)
        activate_backward(ffn, matrix_row(dpre, t),
                          matrix_row(trace->pre, t));
}

void ffn_backward_rows(const struct ffn *ffn, struct matrix dx,
                       struct matrix dy, struct ffn_trace *trace)
{
    ffn_backward_pre(ffn, dy, trace);
    matmul_nt(dx, trace->dpre, ffn->w1);
}

enum { COLUMNS = 128 };

static void sum_rows(struct matrix out, struct matrix m)
{
    for (size_t first = 0; first < m.cols; first += COLUMNS) {
        double sum[COLUMNS] = {0};
        size_t n = m.cols - first < COLUMNS ? m.cols - first : COLUMNS;
        for (size_t t = 0; t < m.rows; t++) {
            const real *row = matrix_row(m, t) + first;
            for (size_t j = 0; j < n; j++) sum[j] += (double)row[j];
        }
        for (size_t j = 0; j < n; j++)
            out.at[first + j] = (real)sum[j];
    }
}

void ffn_backward_w1(struct ffn *grad, struct matrix x,
                     const struct ffn_trace *trace)
{
    matmul_tn(grad->w1, x, trace->dpre);
    sum_rows(grad->b1, trace->dpre);
}

void ffn_backward_w2(struct ffn *grad, struct matrix dy,
                     const struct ffn_trace *trace)
{
    matmul_tn(grad->w2, trace->hidden, dy);
    sum_rows(grad->b2, dy);
}

void ffn_backward(const struct ffn *ffn, struct ffn *grad,
                  struct matrix dx, struct matrix dy, struct matrix x,
                  struct ffn_trace *trace)
{
    ffn_backward_rows(ffn, dx, dy, trace);
    ffn_backward_w1(grad, x, trace);
    ffn_backward_w2(grad, dy, trace);
}

void ffn_weights(struct weights *list, const char *name,
                 struct ffn *value, struct ffn *slope)
{
    weights_add_part(list, name, "w1", value->w1, slope->w1);
    weights_add_part(list, name, "b1", value->b1, slope->b1);
    weights_add_part(list, name, "w2", value->w2, slope->w2);
    weights_add_part(list, name, "b2", value->b2, slope->b2);
}

static struct matrix random_matrix(size_t rows, size_t cols,
                                   double variance,
                                   struct random *random)
{
    struct matrix m = matrix_new(rows, cols);
    double a = sqrt(3 * variance);
    for (size_t i = 0; i < rows * cols; i++)
        m.at[i] = (real)random_symmetric(random, a);
    return m;
}

struct ffn ffn_new(size_t width, size_t hidden,
                   enum ffn_activation activation,
                   struct random *random)
{
    struct ffn ffn = {.activation = activation};
    ffn.w1 = random_matrix(width, hidden, 2 / (double)width, random);
    ffn.w2 = random_matrix(hidden, width, 1 / (double)hidden, random);
    ffn.b1 = matrix_new(1, hidden);
    ffn.b2 = matrix_new(1, width);
    return ffn;
}

void ffn_free(struct ffn *ffn)
{
    matrix_free(&ffn->w1), matrix_free(&ffn->b1);
    matrix_free(&ffn->w2), matrix_free(&ffn->b2);
}

struct ffn_trace ffn_trace_new(size_t tokens, size_t hidden)
{
    return (struct ffn_trace){matrix_new(tokens, hidden),
        matrix_new(tokens, hidden), matrix_new(tokens, hidden)};
}

void ffn_trace_free(struct ffn_trace *trace)
{
    matrix_free(&trace->pre);
    matrix_free(&trace->hidden);
    matrix_free(&trace->dpre);
}
