#include <stdio.h>
#include <stdlib.h>
#include "balance.h"
#include "moe.h"
#include "softmax.h"
#include "stop.h"
#include "tiles.h"

/* declare what is at the back */
struct moe_scratch {
    double *log_z;         /* [T] */
    struct matrix own;     /* [T, E] the gate's own scores */
    struct matrix through; /* [T, D] dx by the router */
    int ran;               /* dispatch, since the last moe_route */
};
static void expect_work(const struct moe *m, struct matrix x,
                        const struct moe_work *w);
static void expect_gradient(const struct moe *m,
                            const struct moe *grad);
static void expect_tokens(struct matrix y, const struct moe_work *w,
                          const char *name);

void moe_route(const struct moe *m, struct matrix x,
               struct moe_work *w)
{
    const struct moe_options *o = &m->options;
    double *log_z = w->scratch->log_z;
    expect_work(m, x, w);
#ifdef _OPENMP
    tiles_route(&m->router, o->gate, x, w->z, w->p, log_z, &w->routes);
#else
    router_forward(&m->router, w->z, x);
    softmax_rows(w->p, log_z, w->z);
    routes_select(&w->routes, w->z);
    routes_weigh(&w->routes, o->gate, w->z, w->p);
#endif
    routes_mask(&w->routes, w->valid, &w->p, log_z);
    /* drop what is over the capacity */
    size_t valid = w->routes.valid;
    size_t slots = o->factor == 0 ? valid
        : capacity_slots(o->factor, valid, o->top_k, o->experts);
    capacity_fill(&w->capacity, &w->routes, slots, o->order, w->p);
    capacity_gates(&w->capacity, &w->routes, o->share_out, w->kept);
    /* take both losses */
    struct matrix scores = o->own_scores ? w->scratch->own : w->p;
    if (o->own_scores) {
        balance_scores(scores, o->gate, w->z);
        routes_mask(&w->routes, w->valid, &scores, NULL);
    }
    balance_load(w->f, &w->routes); /* before drops */
    balance_mean(w->mean, scores, valid);
    w->aux = balance_loss(w->f, w->mean, o->experts);
    w->z_loss = balance_z_loss(log_z, x.rows, valid);
    w->scratch->ran = 0;
}

void moe_dispatch(struct moe_work *w)
{
    rows_sort(&w->rows, &w->routes, &w->capacity);
    tiles_cut(&w->rows);
    w->scratch->ran = 1;
}

static struct ffn_trace trace_rows(const struct moe_work *w,
                                   struct rows_run r)
{
    return (struct ffn_trace){
        matrix_rows(w->trace.pre, r.first, r.count),
        matrix_rows(w->trace.hidden, r.first, r.count),
        matrix_rows(w->trace.dpre, r.first, r.count)};
}

static void run_rows(const struct moe *m, struct matrix x,
                     struct moe_work *w, struct rows_run r)
{
    struct matrix in = matrix_rows(w->in, r.first, r.count);
    struct ffn_trace trace = trace_rows(w, r);
    for (size_t i = 0; i < r.count; i++) {
        size_t token = w->rows.choice[r.first + i] / w->rows.each;
        row_copy(matrix_row(in, i), matrix_row(x, token), x.cols);
    }
    ffn_forward(&m->expert[r.expert],
                matrix_rows(w->out, r.first, r.count), in, &trace);
}

void moe_experts(const struct moe *m, struct matrix x,
                 struct moe_work *w)
{
    expect_work(m, x, w);
    MATRIX_PARALLEL(dynamic)
    for (size_t i = 0; i < w->rows.runs; i++)
        run_rows(m, x, w, w->rows.run[i]);
}

real moe_gate(const struct moe_work *w, size_t t, size_t j)
{
    return j < w->kept.cols ? matrix_row(w->kept, t)[j] : 1;
}

void moe_combine(struct matrix y, struct matrix residual,
                 const struct moe_work *w)
{
    expect_tokens(y, w, "y [T, D]");
    if (residual.cols) expect_tokens(residual, w, "residual [T, D]");
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < y.rows; t++) {
        if (!residual.cols) matrix_clear(matrix_rows(y, t, 1));
        else row_copy(matrix_row(y, t), matrix_row(residual, t),
                      y.cols);
        for (size_t j = 0; j < w->rows.each; j++) {
            size_t row = w->rows.place[t * w->rows.each + j];
            if (row != CAPACITY_DROPPED)
                row_add(matrix_row(y, t), moe_gate(w, t, j),
                        matrix_row(w->out, row), y.cols);
        }
    }
}

void moe_forward(const struct moe *m, struct matrix y, struct matrix x,
                 struct moe_work *w)
{
    moe_route(m, x, w);
    moe_dispatch(w);
    moe_experts(m, x, w);
    moe_combine(y, x, w);
}

void moe_combine_backward(struct matrix dy, struct moe_work *w)
{
    expect_tokens(dy, w, "dy [T, D]");
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < dy.rows; t++)
        for (size_t j = 0; j < w->rows.each; j++) {
            size_t row = w->rows.place[t * w->rows.each + j];
            const real *from = matrix_row(dy, t);
            int kept = row != CAPACITY_DROPPED;
            real gate = moe_gate(w, t, j);
            if (j < w->dkept.cols)
                matrix_row(w->dkept, t)[j] = kept ? (real)row_dot(from,
                    matrix_row(w->out, row), dy.cols) : 0;
            for (size_t d = 0; kept && d < dy.cols; d++)
                matrix_row(w->dout, row)[d] = gate * from[d];
        }
}

void moe_experts_backward(const struct moe *m, struct moe *grad,
                          struct moe_work *w)
{
    const size_t *start = w->rows.start;
    expect_gradient(m, grad);
    MATRIX_PARALLEL(dynamic)
    for (size_t i = 0; i < w->rows.runs; i++) {
        struct rows_run r = w->rows.run[i];
        struct ffn_trace trace = trace_rows(w, r);
        ffn_backward_rows(&m->expert[r.expert],
                          matrix_rows(w->din, r.first, r.count),
                          matrix_rows(w->dout, r.first, r.count),
                          &trace);
    }
    MATRIX_PARALLEL(dynamic)
    for (size_t i = 0; i < 2 * w->rows.experts; i++) {
        size_t e = i / 2, n = start[e + 1] - start[e];
        struct rows_run all = {e, start[e], n};
        struct ffn_trace trace = trace_rows(w, all);
        struct matrix in = matrix_rows(w->in, start[e], n);
        struct matrix dout = matrix_rows(w->dout, start[e], n);
        if (i % 2) ffn_backward_w1(&grad->expert[e], in, &trace);
        else ffn_backward_w2(&grad->expert[e], dout, &trace);
    }
}

void moe_dispatch_backward(struct matrix dx, struct moe_work *w)
{
    expect_tokens(dx, w, "dx [T, D]");
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < dx.rows; t++) {
        matrix_clear(matrix_rows(dx, t, 1));
        for (size_t j = 0; j < w->rows.each; j++) {
            size_t row = w->rows.place[t * w->rows.each + j];
            if (row != CAPACITY_DROPPED)
                row_add(matrix_row(dx, t), 1, matrix_row(w->din, row),
                        dx.cols);
        }
    }
}

void moe_route_backward(const struct moe *m, struct moe *grad,
                        struct matrix dx, struct matrix x,
                        struct moe_work *w)
{
    const struct moe_options *o = &m->options;
    struct moe_scratch *s = w->scratch;
    size_t valid = w->routes.valid;
    expect_work(m, x, w);
    capacity_gates_backward(&w->capacity, &w->routes, o->share_out,
                            w->dgate, w->dkept);
    routes_weigh_backward(&w->routes, o->gate, w->dz, w->dgate, w->z,
                          w->p);
    if (o->own_scores)
        balance_scores_backward(w->dz, o->gate, s->own, w->z, valid,
                                w->f, o->alpha);
    else balance_loss_backward(w->dz, w->p, valid, w->f, o->alpha);
    balance_z_loss_backward(w->dz, w->p, valid, s->log_z, o->zeta);
    router_backward(&m->router, &grad->router, &s->through, w->dz, x);
    matrix_add(dx, dx, 1, s->through);
}

void moe_backward(const struct moe *m, struct moe *grad,
                  struct matrix dx, struct matrix dy, struct matrix x,
                  struct moe_work *w)
{
    moe_combine_backward(dy, w);
    moe_experts_backward(m, grad, w);
    moe_dispatch_backward(dx, w);
    moe_route_backward(m, grad, dx, x, w);
    matrix_add(dx, dx, 1, dy);
}

struct moe moe_new(struct moe_options o, struct random *random)
{
    size_t experts = o.experts + o.shared;
    struct moe m = {o, router_new(o.width, o.experts, 1, random),
                    room(experts, sizeof(struct ffn))};
    for (size_t e = 0; e < experts; e++)
        m.expert[e] = ffn_new(o.width, o.hidden, o.activation, random);
    return m;
}

void moe_free(struct moe *m)
{
    size_t experts = m->options.experts + m->options.shared;
    for (size_t e = 0; e < experts; e++) ffn_free(&m->expert[e]);
    router_free(&m->router), free(m->expert);
}

void moe_weights(struct weights *list, const char *name,
                 struct moe *value, struct moe *slope)
{
    char part[WEIGHTS_NAME];
    snprintf(part, sizeof part, "%s.router", name);
    router_weights(list, part, &value->router, &slope->router);
    for (size_t e = 0; e < value->options.experts
                         + value->options.shared; e++) {
        snprintf(part, sizeof part, "%s.expert%zu", name, e);
        ffn_weights(list, part, &value->expert[e], &slope->expert[e]);
    }
}

struct moe_work moe_work_new(const struct moe_options *o, size_t tokens)
{
    size_t most = tokens * (o->top_k + o->shared);
    struct moe_work w = {.z = matrix_new(tokens, o->experts),
        .p = matrix_new(tokens, o->experts),
        .dz = matrix_new(tokens, o->experts),
        .kept = matrix_new(tokens, o->top_k),
        .dkept = matrix_new(tokens, o->top_k),
        .dgate = matrix_new(tokens, o->top_k),
        .in = matrix_new(most, o->width),
        .out = matrix_new(most, o->width),
        .din = matrix_new(most, o->width),
        .dout = matrix_new(most, o->width),
        .trace = ffn_trace_new(most, o->hidden),
        .routes = routes_new(tokens, o->experts, o->top_k),
        .capacity = capacity_new(tokens, o->experts, o->top_k),
        .rows = rows_new(tokens, o->experts, o->top_k, o->shared),
        .f = room(o->experts, sizeof(double)),
        .mean = room(o->experts, sizeof(double)),
        .scratch = room(1, sizeof(struct moe_scratch))};
    w.scratch->log_z = room(tokens, sizeof(double));
    w.scratch->own = matrix_new(tokens, o->experts);
    w.scratch->through = matrix_new(tokens, o->width);
    return w;
}

void moe_work_free(struct moe_work *w)
{
    struct matrix *all[] = {&w->z, &w->p, &w->dz, &w->kept, &w->dkept,
        &w->dgate, &w->in, &w->out, &w->din, &w->dout,
        &w->scratch->own, &w->scratch->through};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        matrix_free(all[i]);
    ffn_trace_free(&w->trace), rows_free(&w->rows);
    routes_free(&w->routes), capacity_free(&w->capacity);
    free(w->f), free(w->mean);
    free(w->scratch->log_z), free(w->scratch);
}

static void expect_work(const struct moe *m, struct matrix x,
                        const struct moe_work *w)
{
    const struct moe_options *o = &m->options;
    matrix_expect(x, w->routes.tokens, o->width, "x [T, D]");
    matrix_expect(w->in, x.rows * (o->top_k + o->shared), o->width,
                  "the work's rows [(K + N) T, D]");
    matrix_expect(w->trace.pre, w->in.rows, o->hidden,
                  "the work's hidden rows [(K + N) T, H]");
    if (w->routes.experts != o->experts || w->routes.top_k != o->top_k
        || w->rows.experts != o->experts + o->shared)
        stop("the work is for E = %zu, K = %zu, N = %zu, the layer has "
             "%zu, %zu, %zu: make it with the layer's options",
             w->routes.experts, w->routes.top_k,
             w->rows.each - w->routes.top_k, o->experts, o->top_k,
             o->shared);
}

static void expect_gradient(const struct moe *m, const struct moe *grad)
{
    const struct moe_options *o = &m->options, *g = &grad->options;
    if (g->experts + g->shared != o->experts + o->shared)
        stop("the gradient's experts, E + N: %zu, the layer has %zu",
             g->experts + g->shared, o->experts + o->shared);
}

static void expect_tokens(struct matrix y, const struct moe_work *w,
                          const char *name)
{
    matrix_expect(y, w->routes.tokens, w->in.cols, name);
    if (!w->scratch->ran)
        stop("combine and the way back need what moe_dispatch leaves "
             "in the work: call moe_forward first, with the same x");
}
