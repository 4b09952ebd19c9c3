/* include what routing needs */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "router.h"
#include "topk.h"

/* make a routing table */
struct routes routes_new(size_t tokens, size_t experts, size_t top_k)
{
    if (top_k < 1 || top_k > experts) {
        fprintf(stderr, "topk.c: K = %zu of E = %zu experts: K must be "
                "from 1 to E\n", top_k, experts);
        abort();
    }
    size_t *expert = calloc(tokens * top_k + 1, sizeof *expert);
    if (!expert) abort();
    return (struct routes){tokens, experts, top_k, expert,
                           matrix_new(tokens, top_k)};
}

/* free and read a routing table */
void routes_free(struct routes *routes)
{
    free(routes->expert);
    matrix_free(&routes->gate);
}

size_t routes_expert(const struct routes *routes, size_t token,
                     size_t choice)
{
    return routes->expert[token * routes->top_k + choice];
}

/* select the best experts */
static int beats(real a, real b)
{
    return a > b || (isnan((double)b) && !isnan((double)a));
}

/* keep the best experts of one token */
static void select_row(size_t *best, const real *z, size_t experts,
                       size_t top_k)
{
    for (size_t i = 0, kept = 0; i < experts; i++) {
        size_t place = kept;
        while (place > 0 && beats(z[i], z[best[place - 1]])) place--;
        if (place == top_k) continue;
        /* shift the list down and insert the expert */
        if (kept < top_k) kept++;
        for (size_t last = kept - 1; last > place; last--)
            best[last] = best[last - 1];
        best[place] = i;
    }
}

/* select for every token */
void topk_select(struct routes *routes, struct matrix logits)
{
    matrix_expect(logits, routes->tokens, routes->experts,
                  "logits [T, E]");
    for (size_t t = 0; t < logits.rows; t++)
        select_row(routes->expert + t * routes->top_k,
                   matrix_row(logits, t), logits.cols, routes->top_k);
}

/* weigh the chosen experts */
static double counted_exp(double x, size_t *count)
{
    ++*count;
    return exp(x);
}

/* score a logit */
static double score(enum topk_gate gate, double z, size_t *count)
{
    if (gate != TOPK_SIGMOID) return z;
    return fmin(z, 0) - log1p(counted_exp(-fabs(z), count));
}

/* notice what is not a number */
static int countable(const real *z, size_t experts)
{
    int some = 0;
    for (size_t i = 0; i < experts; i++) {
        if (isnan((double)z[i]) || (double)z[i] == INFINITY) return 0;
        some |= (double)z[i] != -INFINITY;
    }
    return some;
}

/* weigh the choices of a token */
static void weigh_row(real *g, const size_t *chosen, size_t top_k,
                      const real *z, size_t experts,
                      enum topk_gate gate, size_t *count)
{
    /* find the largest score of the row */
    size_t terms = gate == TOPK_SOFTMAX ? experts : top_k;
    double most = -INFINITY, sum = 0;
    for (size_t j = 0; j < terms; j++) {
        size_t i = gate == TOPK_SOFTMAX ? j : chosen[j];
        most = fmax(most, score(gate, (double)z[i], count));
    }
    if (!countable(z, experts)) most = NAN;
    /* add up the exponentials of the row */
    for (size_t j = 0; j < terms; j++) {
        size_t i = gate == TOPK_SOFTMAX ? j : chosen[j];
        double u = score(gate, (double)z[i], count);
        sum += counted_exp(u - most, count);
    }
    for (size_t k = 0; k < top_k; k++) {
        double u = score(gate, (double)z[chosen[k]], count);
        g[k] = (real)(counted_exp(u - most, count) / sum);
    }
}

/* weigh for every token */
size_t topk_weigh(struct routes *routes, enum topk_gate gate,
                  struct matrix logits)
{
    size_t count = 0, top_k = routes->top_k;
    matrix_expect(logits, routes->tokens, routes->experts,
                  "logits [T, E]");
    for (size_t t = 0; t < logits.rows; t++)
        weigh_row(matrix_row(routes->gate, t),
                  routes->expert + t * top_k, top_k,
                  matrix_row(logits, t), logits.cols, gate, &count);
    return count;
}

/* walk the gates backward */
static double softmax_slope(double g, double a, double average,
                            enum topk_gate gate, double z)
{
    double slope = g * (a - average);
    if (gate == TOPK_SIGMOID) slope *= 1 / (1 + exp(z)); /* 1 - sigma */
    return slope;
}

/* walk one token's gates backward */
static void weigh_row_backward(real *dz, const struct routes *routes,
                               size_t t, enum topk_gate gate,
                               const real *a, const real *z)
{
    const size_t *chosen = routes->expert + t * routes->top_k;
    const real *g = matrix_row(routes->gate, t);
    double average = 0;
    for (size_t k = 0; k < routes->top_k; k++)
        average += (double)g[k] * (double)a[k];
    /* start with the experts that were not chosen */
    for (size_t j = 0; j < routes->experts; j++) {
        double p = gate != TOPK_SOFTMAX ? 0 : (double)g[0]
                 * exp((double)z[j] - (double)z[chosen[0]]);
        dz[j] = (real)(-p * average);
    }
    for (size_t k = 0; k < routes->top_k; k++)
        dz[chosen[k]] = (real)softmax_slope((double)g[k], (double)a[k],
            average, gate, (double)z[chosen[k]]);
}

/* walk every token's gates backward */
void topk_weigh_backward(const struct routes *routes,
                         enum topk_gate gate, struct matrix dlogits,
                         struct matrix dgate, struct matrix logits)
{
    size_t tokens = routes->tokens;
    matrix_expect(dlogits, tokens, routes->experts, "dlogits [T, E]");
    matrix_expect(dgate, tokens, routes->top_k, "dgate [T, K]");
    matrix_expect(logits, tokens, routes->experts, "logits [T, E]");
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < tokens; t++)
        weigh_row_backward(matrix_row(dlogits, t), routes, t, gate,
                           matrix_row(dgate, t), matrix_row(logits, t));
}

/* gather, run, combine */
/* move rows about */
static void copy_row(struct matrix to, size_t to_row,
                     struct matrix from, size_t row)
{
    for (size_t d = 0; d < to.cols; d++)
        matrix_row(to, to_row)[d] = matrix_row(from, row)[d];
}

static void add_row(struct matrix to, size_t to_row, real scale,
                    struct matrix from, size_t row)
{
    for (size_t d = 0; d < to.cols; d++)
        matrix_row(to, to_row)[d] += scale * matrix_row(from, row)[d];
}

/* start from zero */
static void start_output(struct matrix y, struct matrix x,
                         const struct routes *routes)
{
    matrix_expect(x, routes->tokens, x.cols, "x [T, D]");
    matrix_expect(y, x.rows, x.cols, "y [T, D]");
    for (size_t i = 0; i < y.rows * y.cols; i++) y.at[i] = 0;
}

/* gather an expert's rows */
static size_t gather(struct topk_work *work, struct matrix x,
                     const struct routes *routes, size_t expert)
{
    size_t rows = 0;
    for (size_t t = 0; t < x.rows; t++)
        for (size_t k = 0; k < routes->top_k; k++)
            if (routes_expert(routes, t, k) == expert) {
                work->token[rows] = t, work->choice[rows] = k;
                copy_row(work->in, rows++, x, t);
            }
    return rows;
}

/* run an expert on its rows */
static struct matrix first_rows(struct matrix m, size_t rows)
{
    return (struct matrix){rows, m.cols, m.at};
}

static void run_expert(const struct ffn *expert, struct topk_work *work,
                       size_t rows)
{
    struct ffn_trace trace = {first_rows(work->trace.pre, rows),
                              first_rows(work->trace.hidden, rows),
                              first_rows(work->trace.dpre, rows)};
    ffn_forward(expert, first_rows(work->out, rows),
                first_rows(work->in, rows), &trace);
    work->expert_rows += rows;
}

/* combine the rows with their gates */
static void combine(struct matrix y, const struct topk_work *work,
                    const struct routes *routes, size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        size_t t = work->token[r];
        real g = matrix_row(routes->gate, t)[work->choice[r]];
        add_row(y, t, g, work->out, r);
    }
}

/* run the layer with the chosen only */
void topk_forward(struct matrix y, struct matrix x,
                  const struct routes *routes,
                  const struct ffn *experts, struct topk_work *work)
{
    start_output(y, x, routes);
    for (size_t e = 0; e < routes->experts; e++) {
        size_t rows = gather(work, x, routes, e);
        run_expert(&experts[e], work, rows);
        combine(y, work, routes, rows);
    }
}

/* run every expert on every token */
void topk_forward_naive(struct matrix y, struct matrix x,
                        const struct routes *routes,
                        const struct ffn *experts,
                        struct topk_work *work)
{
    start_output(y, x, routes);
    for (size_t t = 0; t < x.rows; t++) copy_row(work->in, t, x, t);
    for (size_t e = 0; e < routes->experts; e++) {
        run_expert(&experts[e], work, x.rows);
        for (size_t i = 0; i < x.rows * routes->top_k; i++)
            if (routes->expert[i] == e)
                add_row(y, i / routes->top_k, routes->gate.at[i],
                        work->out, i / routes->top_k);
    }
}

/* make the room */
struct topk_work topk_work_new(size_t tokens, size_t width,
                               size_t hidden)
{
    struct topk_work work = {
        .token = calloc(tokens + 1, sizeof *work.token),
        .choice = calloc(tokens + 1, sizeof *work.choice),
        .in = matrix_new(tokens, width),
        .out = matrix_new(tokens, width),
        .trace = ffn_trace_new(tokens, hidden)};
    if (!work.token || !work.choice) abort();
    return work;
}

/* free the room */
void topk_work_free(struct topk_work *work)
{
    free(work->token), free(work->choice);
    matrix_free(&work->in), matrix_free(&work->out);
    ffn_trace_free(&work->trace);
}

/* flatten sequences */
size_t topk_row(size_t b, size_t s, size_t length)
{
    return b * length + s;
}

void topk_sequence(size_t row, size_t length, size_t *b, size_t *s)
{
    *b = row / length;
    *s = row % length;
}
