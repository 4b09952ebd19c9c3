#include <stdlib.h>
#include "stop.h"
#include "topk.h"

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
