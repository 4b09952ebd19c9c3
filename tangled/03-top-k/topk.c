#include <stdlib.h>
#include "stop.h"
#include "topk.h"

static size_t gather(struct topk_work *work, struct matrix x,
                     const struct routes *routes, size_t expert)
{
    size_t rows = 0;
    for (size_t t = 0; t < x.rows; t++)
        for (size_t k = 0; k < routes->top_k; k++)
            if (routes_expert(routes, t, k) == expert) {
                work->token[rows] = t, work->choice[rows] = k;
                row_copy(matrix_row(work->in, rows++), matrix_row(x, t),
                         x.cols);
            }
    return rows;
}

static void run_expert(const struct ffn *expert, struct topk_work *work,
                       size_t rows)
{
    struct ffn_trace trace = {matrix_rows(work->trace.pre, 0, rows),
                              matrix_rows(work->trace.hidden, 0, rows),
                              matrix_rows(work->trace.dpre, 0, rows)};
    ffn_forward(expert, matrix_rows(work->out, 0, rows),
                matrix_rows(work->in, 0, rows), &trace);
    work->expert_rows += rows;
}

static void combine(struct matrix y, const struct topk_work *work,
                    const struct routes *routes, size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        size_t t = work->token[r];
        real g = matrix_row(routes->gate, t)[work->choice[r]];
        row_add(matrix_row(y, t), g, matrix_row(work->out, r), y.cols);
    }
}

static void start(struct matrix y, struct matrix x,
                  const struct routes *routes)
{
    matrix_expect(x, routes->tokens, x.cols, "x [T, D]");
    matrix_expect(y, x.rows, x.cols, "y [T, D]");
    matrix_clear(y);
}

void topk_forward(struct matrix y, struct matrix x,
                  const struct routes *routes,
                  const struct ffn *experts, struct topk_work *work)
{
    start(y, x, routes);
    for (size_t e = 0; e < routes->experts; e++) {
        size_t rows = gather(work, x, routes, e);
        run_expert(&experts[e], work, rows);
        combine(y, work, routes, rows);
    }
}

void topk_forward_naive(struct matrix y, struct matrix x,
                        const struct routes *routes,
                        const struct ffn *experts,
                        struct topk_work *work)
{
    start(y, x, routes);
    for (size_t t = 0; t < x.rows; t++)
        row_copy(matrix_row(work->in, t), matrix_row(x, t), x.cols);
    for (size_t e = 0; e < routes->experts; e++) {
        run_expert(&experts[e], work, x.rows);
        for (size_t i = 0; i < x.rows * routes->top_k; i++)
            if (routes->expert[i] == e)
                row_add(matrix_row(y, i / routes->top_k),
                        routes->gate.at[i],
                        matrix_row(work->out, i / routes->top_k),
                        y.cols);
    }
}

void topk_gate_slopes(struct matrix dgate, struct matrix dy,
                      struct matrix x, const struct routes *routes,
                      const struct ffn *experts,
                      struct topk_work *work)
{
    matrix_expect(x, routes->tokens, x.cols, "x [T, D]");
    matrix_expect(dy, x.rows, x.cols, "dy [T, D]");
    matrix_expect(dgate, x.rows, routes->top_k, "dgate [T, K]");
    matrix_clear(dgate);
    for (size_t e = 0; e < routes->experts; e++) {
        size_t rows = gather(work, x, routes, e);
        run_expert(&experts[e], work, rows);
        for (size_t r = 0; r < rows; r++) {
            size_t t = work->token[r];
            matrix_row(dgate, t)[work->choice[r]] = (real)row_dot(
                matrix_row(dy, t), matrix_row(work->out, r), x.cols);
        }
    }
}

struct topk_work topk_work_new(size_t tokens, size_t width,
                               size_t hidden)
{
    return (struct topk_work){
        .token = room(tokens, sizeof(size_t)),
        .choice = room(tokens, sizeof(size_t)),
        .in = matrix_new(tokens, width),
        .out = matrix_new(tokens, width),
        .trace = ffn_trace_new(tokens, hidden)};
}

void topk_work_free(struct topk_work *work)
{
    free(work->token), free(work->choice);
    matrix_free(&work->in), matrix_free(&work->out);
    ffn_trace_free(&work->trace);
}

struct ffn *topk_experts_new(size_t experts, size_t width,
                             size_t hidden, struct random *random)
{
    struct ffn *made = room(experts, sizeof *made);
    for (size_t e = 0; e < experts; e++)
        made[e] = ffn_new(width, hidden, FFN_RELU, random);
    return made;
}

void topk_experts_free(struct ffn *experts, size_t count)
{
    for (size_t e = 0; e < count; e++) ffn_free(&experts[e]);
    free(experts);
}
