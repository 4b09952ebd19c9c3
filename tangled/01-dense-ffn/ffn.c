#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "ffn.h"
#include "stop.h"

/* make and free a block */
/* draw a random matrix */
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

/* make a block */
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

/* free a block */
void ffn_free(struct ffn *ffn)
{
    matrix_free(&ffn->w1), matrix_free(&ffn->b1);
    matrix_free(&ffn->w2), matrix_free(&ffn->b2);
}

void ffn_weights(struct weights *list, const char *name,
                 struct ffn *value, struct ffn *slope)
{
    weights_add_part(list, name, "w1", value->w1, slope->w1);
    weights_add_part(list, name, "b1", value->b1, slope->b1);
    weights_add_part(list, name, "w2", value->w2, slope->w2);
    weights_add_part(list, name, "b2", value->b2, slope->b2);
}

/* make and free a trace */
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

/* bend a number */
/* raise two to a power */
#ifdef REAL_DOUBLE
static inline real power_of_two(real t) { return exp2(t); }
#else
/* Off by 2e-7 of it at most, for t from -126 to 127; infinite from 128
 * on, so that the gate of a number far below zero is zero. */
static inline real power_of_two(real t)
{
    t = t > 128 ? 128 : t < -126 ? -126 : t;
    real shifted = t + 12582912; /* 1.5 * 2^23: leaves a whole number */
    real f = t - (shifted - 12582912);
    /* sum the polynomial and set the exponent */
    real p = fmaf(1.32647180e-3f, f, 9.67151858e-3f);
    p = fmaf(p, f, 5.55073395e-2f), p = fmaf(p, f, 0.240222424f);
    p = fmaf(p, f, 0.693147004f), p = fmaf(p, f, 1);
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23; /* 2 ^ the whole number, as a float */
    memcpy(&shifted, &bits, sizeof bits);
    return p * shifted;
}
#endif

/* sigma(2 u): what GELU multiplies z with. In float off by 2e-7. */
static inline real gelu_gate(real z)
{
    real t = z * ((real)2.3022081981443250
                  + (real)0.10294323958002350 * (z * z));
    return 1 / (1 + power_of_two(-t));
}

/* bend a row */
static void bend_row(enum ffn_activation activation, size_t n,
                     real *restrict hidden, real *restrict pre,
                     const real *restrict bias)
{
    if (activation == FFN_RELU)
        for (size_t j = 0; j < n; j++) {
            pre[j] += bias[j];
            hidden[j] = pre[j] > 0 ? pre[j] : 0;
        }
    else
        for (size_t j = 0; j < n; j++) {
            pre[j] += bias[j];
            hidden[j] = pre[j] * gelu_gate(pre[j]);
        }
}

/* run, count and measure the block */
/* run the block forward */
static void add_bias(struct matrix m, struct matrix bias)
{
    for (size_t t = 0; t < m.rows; t++)
        for (size_t j = 0; j < m.cols; j++)
            matrix_row(m, t)[j] += bias.at[j];
}

/* come down */
void ffn_down(const struct ffn *ffn, struct matrix y,
              struct matrix hidden)
{
    matmul(y, hidden, ffn->w2); /* [T, D] */
    add_bias(y, ffn->b2);
}

/* go up, bend, come down */
void ffn_forward(const struct ffn *ffn, struct matrix y,
                 struct matrix x, struct ffn_trace *trace)
{
    matmul(trace->pre, x, ffn->w1); /* [T, H] */
    matrix_expect(trace->hidden, x.rows, ffn->w1.cols, "hidden [T, H]");
    for (size_t t = 0; t < x.rows; t++)
        bend_row(ffn->activation, ffn->w1.cols,
                 matrix_row(trace->hidden, t),
                 matrix_row(trace->pre, t), ffn->b1.at);
    ffn_down(ffn, y, trace->hidden);
}

/* run the block backward */
/* bend a row backward */
/* dpre *= the activation's slope at pre. */
static void bend_row_backward(enum ffn_activation activation, size_t n,
                              real *restrict dpre,
                              const real *restrict pre)
{
    if (activation == FFN_RELU)
        for (size_t j = 0; j < n; j++) dpre[j] *= pre[j] > 0;
    else
        for (size_t j = 0; j < n; j++) {
            /* multiply by GELU's slope */
            real z = pre[j], s = gelu_gate(z);
            real inner = (real)1.5957691216057308 * (1 + (real)0.134145 * z * z);
            dpre[j] *= s + z * s * (1 - s) * inner;
        }
}

/* sum the rows of a gradient */
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

/* walk the rows from right to left */
void ffn_backward_rows(const struct ffn *ffn, struct matrix dx,
                       struct matrix dy, struct ffn_trace *trace)
{
    struct matrix dpre = trace->dpre; /* [T, H] */
    matmul_nt(dpre, dy, ffn->w2);
    matrix_expect(trace->pre, dpre.rows, dpre.cols, "pre [T, H]");
    for (size_t t = 0; t < dpre.rows; t++)
        bend_row_backward(ffn->activation, dpre.cols,
                          matrix_row(dpre, t),
                          matrix_row(trace->pre, t));
    matmul_nt(dx, dpre, ffn->w1);
}

/* take the gradients of the weights */
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

/* walk the block from right to left */
void ffn_backward(const struct ffn *ffn, struct ffn *grad,
                  struct matrix dx, struct matrix dy, struct matrix x,
                  struct ffn_trace *trace)
{
    ffn_backward_rows(ffn, dx, dy, trace);
    ffn_backward_w1(grad, x, trace);
    ffn_backward_w2(grad, dy, trace);
}

/* count what the block costs */
uint64_t ffn_parameters(uint64_t width, uint64_t hidden)
{
    return 2 * width * hidden + hidden + width;
}

uint64_t ffn_flops_per_token(uint64_t width, uint64_t hidden)
{
    return 4 * width * hidden;
}

/* measure what the hidden units carry */
double ffn_zero_share(struct matrix hidden)
{
    size_t cells = hidden.rows * hidden.cols, zeros = 0;
    for (size_t i = 0; i < cells; i++) zeros += hidden.at[i] == 0;
    return cells ? (double)zeros / (double)cells : 0;
}

/* rank the units of one token */
struct unit { double strength; size_t index; };

static int stronger(const void *left, const void *right)
{
    const struct unit *a = left, *b = right;
    if (a->strength != b->strength)
        return a->strength < b->strength ? 1 : -1;
    return a->index < b->index ? -1 : 1;
}

/* measure the length of a row */
static double row_norm(struct matrix m, size_t row)
{
    double sum = 0;
    for (size_t d = 0; d < m.cols; d++)
        sum += (double)matrix_row(m, row)[d] * matrix_row(m, row)[d];
    return sqrt(sum);
}

/* measure the share of the strongest units */
void ffn_keep(const struct ffn *ffn, struct matrix hidden, size_t keep)
{
    struct unit *units = room(hidden.cols, sizeof *units);
    for (size_t t = 0; t < hidden.rows; t++) {
        real *h = matrix_row(hidden, t);
        /* sort the units by strength */
        for (size_t j = 0; j < hidden.cols; j++)
            units[j] = (struct unit){
                fabs((double)h[j]) * row_norm(ffn->w2, j), j};
        qsort(units, hidden.cols, sizeof *units, stronger);
        for (size_t i = keep; i < hidden.cols; i++)
            h[units[i].index] = 0;
    }
    free(units);
}

/* compare the outputs */
double ffn_top_share(const struct ffn *ffn, struct matrix hidden,
                     size_t keep)
{
    size_t tokens = hidden.rows, width = ffn->w2.cols;
    struct matrix kept = matrix_new(tokens, hidden.cols);
    struct matrix y = matrix_new(tokens, width);
    struct matrix rest = matrix_new(tokens, width);
    matrix_add(kept, kept, 1, hidden);
    ffn_keep(ffn, kept, keep);
    /* take the output apart */
    double missing = 0, all = 0;
    matmul(y, hidden, ffn->w2);
    matmul(rest, kept, ffn->w2);
    matrix_add(rest, y, -1, rest);
    for (size_t t = 0; t < tokens; t++) {
        missing += pow(row_norm(rest, t), 2);
        all += pow(row_norm(y, t), 2);
    }
    matrix_free(&kept), matrix_free(&y), matrix_free(&rest);
    return all > 0 ? 1 - missing / all : 1;
}
