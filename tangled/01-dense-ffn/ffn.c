#include <math.h>
#include <stdlib.h>
#include "ffn.h"

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
static real gelu_tanh(real z)
{
    double x = (double)z;
    return (real)tanh(0.7978845608028654 * (x + 0.044715 * x * x * x));
}

static real bend(enum ffn_activation activation, real z)
{
    if (activation == FFN_RELU) return z > 0 ? z : 0;
    return z / 2 * (1 + gelu_tanh(z));
}

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
    size_t cells = x.rows * ffn->w1.cols;
    matmul(trace->pre, x, ffn->w1); /* [T, H] */
    add_bias(trace->pre, ffn->b1);
    for (size_t i = 0; i < cells; i++)
        trace->hidden.at[i] = bend(ffn->activation, trace->pre.at[i]);
    ffn_down(ffn, y, trace->hidden);
}

/* run the block backward */
static real bend_slope(enum ffn_activation activation, real z)
{
    if (activation == FFN_RELU) return z > 0;
    real t = gelu_tanh(z), x = z;
    real inner = (real)0.7978845608028654
               * (1 + 3 * (real)0.044715 * x * x);
    return (1 + t) / 2 + x / 2 * (1 - t * t) * inner;
}

/* sum the rows of a gradient */
static void sum_rows(struct matrix out, struct matrix m)
{
    for (size_t j = 0; j < m.cols; j++) {
        double sum = 0;
        for (size_t t = 0; t < m.rows; t++)
            sum += (double)matrix_row(m, t)[j];
        out.at[j] = (real)sum;
    }
}

/* walk the block from right to left */
void ffn_backward(const struct ffn *ffn, struct ffn *grad,
                  struct matrix dx, struct matrix dy, struct matrix x,
                  struct ffn_trace *trace)
{
    struct matrix dpre = trace->dpre; /* [T, H] */
    matmul_tn(grad->w2, trace->hidden, dy);
    sum_rows(grad->b2, dy);
    matmul_nt(dpre, dy, ffn->w2);
    for (size_t i = 0; i < dpre.rows * dpre.cols; i++)
        dpre.at[i] *= bend_slope(ffn->activation, trace->pre.at[i]);
    matmul_tn(grad->w1, x, dpre);
    sum_rows(grad->b1, dpre);
    matmul_nt(dx, dpre, ffn->w1);
}

/* count what the block costs */
size_t ffn_parameters(size_t width, size_t hidden)
{
    return 2 * width * hidden + hidden + width;
}

size_t ffn_flops_per_token(size_t width, size_t hidden)
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
    struct unit *units = malloc((hidden.cols + 1) * sizeof *units);
    if (!units) abort();
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
