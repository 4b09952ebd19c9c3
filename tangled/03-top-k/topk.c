#include <stdlib.h>
#include "stop.h"
#include "topk.h"

void topk_route(struct topk *layer, struct matrix x)
{
    router_forward(&layer->router, layer->z, x);
    routes_fill(&layer->routes, layer->gate, layer->p, layer->z);
}

static size_t gather(struct topk *layer, struct matrix x, size_t expert)
{
    const struct routes *routes = &layer->routes;
    size_t rows = 0;
    for (size_t t = 0; t < x.rows; t++)
        for (size_t k = 0; k < routes->top_k; k++)
            if (routes_expert(routes, t, k) == expert) {
                layer->token[rows] = t, layer->choice[rows] = k;
                row_copy(matrix_row(layer->in, rows++),
                         matrix_row(x, t), x.cols);
            }
    return rows;
}

static void run_expert(struct topk *layer, size_t expert, size_t rows)
{
    struct ffn_trace trace = {matrix_rows(layer->trace.pre, 0, rows),
                              matrix_rows(layer->trace.hidden, 0, rows),
                              matrix_rows(layer->trace.dpre, 0, rows)};
    ffn_forward(&layer->experts[expert],
                matrix_rows(layer->out, 0, rows),
                matrix_rows(layer->in, 0, rows), &trace);
    layer->expert_rows += rows;
}

static void combine(struct matrix y, const struct topk *layer,
                    size_t rows)
{
    for (size_t r = 0; r < rows; r++) {
        size_t t = layer->token[r];
        real g = matrix_row(layer->routes.gate, t)[layer->choice[r]];
        row_add(matrix_row(y, t), g, matrix_row(layer->out, r), y.cols);
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
    expect_rows(layer, y, x);
    matrix_clear(y);
    row_copy(layer->in.at, x.at, x.rows * x.cols);
    for (size_t e = 0; e < routes->experts; e++) {
        run_expert(layer, e, x.rows);
        for (size_t i = 0; i < x.rows * routes->top_k; i++)
            if (routes->expert[i] == e)
                row_add(matrix_row(y, i / routes->top_k),
                        routes->gate.at[i],
                        matrix_row(layer->out, i / routes->top_k),
                        y.cols);
    }
}

static void gate_slopes(struct topk *layer, struct matrix dy,
                        struct matrix x)
{
    matrix_clear(layer->dgate);
    for (size_t e = 0; e < layer->routes.experts; e++) {
        size_t rows = gather(layer, x, e);
        run_expert(layer, e, rows);
        for (size_t r = 0; r < rows; r++) {
            size_t t = layer->token[r];
            matrix_row(layer->dgate, t)[layer->choice[r]] =
                (real)row_dot(matrix_row(dy, t),
                              matrix_row(layer->out, r), x.cols);
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
