#include <stdlib.h>
#include "stop.h"
#include "topk.h"

void topk_route(struct topk *layer, struct matrix x)
{
    router_forward(&layer->router, layer->z, x);
    routes_fill(&layer->routes, layer->gate, layer->p, layer->z);
}

static void copy_in(struct topk *layer, size_t row, struct matrix x,
                    size_t t, size_t k)
{
    real *to = matrix_row(layer->in, row);
    row_copy(to, matrix_row(x, t), x.cols);
    for (size_t d = 0; layer->gate_in && d < x.cols; d++)
        to[d] *= matrix_row(layer->routes.gate, t)[k];
}

static size_t gather(struct topk *layer, struct matrix x, size_t expert)
{
    const struct routes *routes = &layer->routes;
    size_t rows = 0;
    for (size_t t = 0; t < x.rows; t++)
        for (size_t k = 0; k < routes->top_k; k++)
            if (routes_expert(routes, t, k) == expert) {
                layer->token[rows] = t, layer->choice[rows] = k;
                copy_in(layer, rows++, x, t, k);
            }
    return rows;
}

static int is_identity(const struct topk *layer, size_t expert)
{
    return expert + layer->identities >= layer->routes.experts;
}

static struct ffn_trace run_expert(struct topk *layer, size_t expert,
                                   size_t rows)
{
    struct ffn_trace trace = {matrix_rows(layer->trace.pre, 0, rows),
                              matrix_rows(layer->trace.hidden, 0, rows),
                              matrix_rows(layer->trace.dpre, 0, rows)};
    struct matrix in = matrix_rows(layer->in, 0, rows);
    struct matrix out = matrix_rows(layer->out, 0, rows);
    if (is_identity(layer, expert)) {
        row_copy(out.at, in.at, rows * in.cols);
        return trace;
    }
    ffn_forward(&layer->experts[expert], out, in, &trace);
    layer->expert_rows += rows;
    return trace;
}

static void combine(struct matrix y, const struct topk *layer,
                    size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        size_t t = layer->token[r];
        real g = matrix_row(layer->routes.gate, t)[layer->choice[r]];
        row_add(matrix_row(y, t), layer->gate_in ? 1 : g,
                matrix_row(layer->out, r), y.cols);
    }
}

static void expect_rows(const struct topk *layer, struct matrix y,
                        struct matrix x)
{
    matrix_expect(x, layer->in.rows, layer->in.cols, "x [T, D]");
    matrix_expect(y, x.rows, x.cols, "y or dy [T, D]");
}

void topk_forward(struct topk *layer, struct matrix y, struct matrix x)
{
    expect_rows(layer, y, x);
    matrix_clear(y);
    for (size_t e = 0; e < layer->routes.experts; e++) {
        size_t rows = gather(layer, x, e);
        run_expert(layer, e, rows);
        combine(y, layer, rows);
    }
}

void topk_forward_naive(struct topk *layer, struct matrix y,
                        struct matrix x)
{
    const struct routes *routes = &layer->routes;
    size_t n = x.rows * routes->top_k, each = routes->top_k;
    expect_rows(layer, y, x);
    matrix_clear(y);
    for (size_t e = 0; e < routes->experts; e++) {
        row_copy(layer->in.at, x.at, x.rows * x.cols);
        for (size_t i = 0; layer->gate_in && i < n; i++)
            if (routes->expert[i] == e)
                copy_in(layer, i / each, x, i / each, i % each);
        run_expert(layer, e, x.rows);
        for (size_t i = 0; i < n; i++)
            if (routes->expert[i] == e)
                row_add(matrix_row(y, i / each),
                        layer->gate_in ? 1 : routes->gate.at[i],
                        matrix_row(layer->out, i / each), y.cols);
    }
}

static void slopes_in(struct topk *layer, size_t e, size_t rows,
                      struct matrix dy, struct ffn_trace *trace)
{
    struct matrix in = matrix_rows(layer->in, 0, rows); /* dy's rows */
    for (size_t r = 0; r < rows; r++)
        row_copy(matrix_row(in, r), matrix_row(dy, layer->token[r]),
                 dy.cols);
    if (is_identity(layer, e))
        row_copy(layer->out.at, in.at, rows * in.cols);
    else
        ffn_backward_rows(&layer->experts[e],
                          matrix_rows(layer->out, 0, rows), in, trace);
}

static void gate_slopes(struct topk *layer, struct matrix dy,
                        struct matrix x)
{
    matrix_clear(layer->dgate);
    for (size_t e = 0; e < layer->routes.experts; e++) {
        size_t rows = gather(layer, x, e);
        struct ffn_trace trace = run_expert(layer, e, rows);
        if (layer->gate_in) slopes_in(layer, e, rows, dy, &trace);
        for (size_t r = 0; r < rows; r++) {
            size_t t = layer->token[r];
            const real *at = matrix_row(layer->gate_in ? x : dy, t);
            matrix_row(layer->dgate, t)[layer->choice[r]] =
                (real)row_dot(at, matrix_row(layer->out, r), x.cols);
        }
    }
}

void topk_backward(struct topk *layer, struct router *grad,
                   struct matrix dy, struct matrix x)
{
    expect_rows(layer, dy, x);
    gate_slopes(layer, dy, x);
    routes_weigh_backward(&layer->routes, layer->gate, layer->dz,
                          layer->dgate, layer->z, layer->p);
    router_backward(&layer->router, grad, NULL, layer->dz, x);
}

struct topk topk_new(struct topk_sizes s, enum routes_gate gate,
                     double scale, struct random *random)
{
    struct topk layer = {
        .gate = gate,
        .router = router_new(s.width, s.experts, scale, random),
        .experts = room(s.experts, sizeof(struct ffn)),
        .routes = routes_new(s.tokens, s.experts, s.top_k),
        .z = matrix_new(s.tokens, s.experts),
        .p = matrix_new(s.tokens, s.experts),
        .dz = matrix_new(s.tokens, s.experts),
        .dgate = matrix_new(s.tokens, s.top_k),
        .token = room(s.tokens, sizeof(size_t)),
        .choice = room(s.tokens, sizeof(size_t)),
        .in = matrix_new(s.tokens, s.width),
        .out = matrix_new(s.tokens, s.width),
        .trace = ffn_trace_new(s.tokens, s.hidden)};
    for (size_t e = 0; e < s.experts; e++)
        layer.experts[e] = ffn_new(s.width, s.hidden, FFN_RELU, random);
    return layer;
}

void topk_free(struct topk *layer)
{
    for (size_t e = 0; e < layer->routes.experts; e++)
        ffn_free(&layer->experts[e]);
    free(layer->experts), free(layer->token), free(layer->choice);
    router_free(&layer->router), routes_free(&layer->routes);
    matrix_free(&layer->z), matrix_free(&layer->p);
    matrix_free(&layer->dz), matrix_free(&layer->dgate);
    matrix_free(&layer->in), matrix_free(&layer->out);
    ffn_trace_free(&layer->trace);
}
