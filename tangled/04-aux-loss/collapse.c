#include <math.h>
#include <stdlib.h>
#include "balance.h"
#include "collapse.h"
#include "quantile.h"
#include "router.h"
#include "softmax.h"
#include "stop.h"

#define RATE 0.1
enum { BATCH = CHARLM_BATCH };

struct mixture {
    struct collapse_options options;
    struct router router, grad;
    struct matrix *expert;                  /* E of [D, V] */
    struct matrix common, x, z, p, dz;      /* [1, D], [T, .] */
    struct matrix biased, dgate, out, miss; /* and [K, V], [1, V] */
    struct routes routes;
    double *count, *f, *mean, *bias;        /* [E] */
};

/* make and free a mixture */
static struct mixture mixture_new(const struct collapse_options *o,
                                  const struct charlm *model,
                                  struct random *r)
{
    size_t width = model->embed.cols, n = o->experts, k = o->top_k;
    size_t v = model->unembed.cols;
    struct mixture m = {.options = *o,
        .router = router_new(width, n, 1, r),
        .grad = {matrix_new(width, n)},
        .expert = room(n, sizeof *m.expert),
        .common = matrix_new(1, width), .x = matrix_new(BATCH, width),
        .z = matrix_new(BATCH, n), .p = matrix_new(BATCH, n),
        .dz = matrix_new(BATCH, n), .biased = matrix_new(BATCH, n),
        .dgate = matrix_new(BATCH, k), .out = matrix_new(k, v),
        .miss = matrix_new(1, v), .routes = routes_new(BATCH, n, k),
        .count = room(n, sizeof(double)), .f = room(n, sizeof(double)),
        .mean = room(n, sizeof(double)),
        .bias = room(n, sizeof(double))};
    for (size_t e = 0; e < n; e++) m.expert[e] = matrix_new(width, v);
    for (size_t d = 0; d < width; d++)
        m.common.at[d] = random_below(r, 2) ? 1 : -1;
    return m;
}

static void mixture_free(struct mixture *m)
{
    for (size_t e = 0; e < m->routes.experts; e++)
        matrix_free(&m->expert[e]);
    router_free(&m->router), router_free(&m->grad);
    matrix_free(&m->common), matrix_free(&m->x), matrix_free(&m->z);
    matrix_free(&m->p), matrix_free(&m->dz), matrix_free(&m->biased);
    matrix_free(&m->dgate), matrix_free(&m->out);
    matrix_free(&m->miss), routes_free(&m->routes), free(m->expert);
    free(m->count), free(m->f), free(m->mean), free(m->bias);
}

static void route(struct mixture *m, const struct charlm *model,
                  const char *text)
{
    double c = m->options.common;
    charlm_vectors(model, m->x, text);
    for (size_t t = 0; t < BATCH; t++) {
        row_add(matrix_row(m->x, t), (real)c, m->common.at, m->x.cols);
        for (size_t d = 0; d < m->x.cols; d++)
            matrix_row(m->x, t)[d] /= (real)sqrt(1 + c * c);
    }
    router_forward(&m->router, m->z, m->x);
    softmax_rows(m->p, NULL, m->z);
    for (size_t i = 0; i < BATCH * m->p.cols; i++)
        m->biased.at[i] = m->p.at[i] + (real)m->bias[i % m->p.cols];
    routes_select(&m->routes, m->biased);
    routes_weigh(&m->routes, GATE_SOFTMAX, m->z, m->p);
}

static void learn(struct mixture *m, size_t t, char next)
{
    size_t v = m->miss.cols, top_k = m->routes.top_k;
    struct matrix x = matrix_rows(m->x, t, 1);
    real *gate = matrix_row(m->routes.gate, t), *miss = m->miss.at;
    matrix_clear(m->miss);
    for (size_t k = 0; k < top_k; k++) {
        struct matrix out = matrix_rows(m->out, k, 1);
        matmul(out, x, m->expert[routes_expert(&m->routes, t, k)]);
        row_add(miss, gate[k], out.at, v);
    }
    miss[text_symbol(next)] -= 1;
    for (size_t k = 0; k < top_k; k++) {
        size_t e = routes_expert(&m->routes, t, k);
        double slope = row_dot(miss, matrix_row(m->out, k), v);
        matrix_row(m->dgate, t)[k] = (real)(slope * 2 / BATCH);
        for (size_t d = 0; d < x.cols; d++)
            row_add(matrix_row(m->expert[e], d),
                    (real)-RATE * 2 / BATCH * gate[k] * x.at[d],
                    miss, v);
    }
}

static void step(struct mixture *m, const struct charlm *model,
                 struct random *r)
{
    const struct collapse_balance *o = &m->options.balance;
    size_t experts = m->options.experts;
    char text[BATCH + 1];
    text_fill(text, sizeof text, r);
    route(m, model, text);
    for (size_t t = 0; t < BATCH; t++) learn(m, t, text[t + 1]);
    routes_weigh_backward(&m->routes, GATE_SOFTMAX, m->dz, m->dgate,
                          m->z, m->p);
    balance_load(m->f, &m->routes);
    balance_loss_backward(m->dz, m->p, BATCH, m->f, o->alpha);
    balance_mean(m->mean, m->p, BATCH);
    balance_entropy_backward(m->dz, m->p, BATCH, m->mean, o->entropy);
    for (size_t e = 0; e < experts; e++) m->count[e] = 0;
    balance_count(m->count, &m->routes);
    balance_bias_update(m->bias, m->count, experts, o->bias_rate);
    if (o->quantile && m->options.top_k < experts)
        quantile_update(m->bias, m->p, m->options.top_k);
    router_backward(&m->router, &m->grad, NULL, m->dz, m->x);
    matrix_add(m->router.w, m->router.w, (real)-RATE, m->grad.w);
}

static void run(const struct collapse_options *o,
                const struct charlm *model, uint64_t seed,
                double *late, double *curve)
{
    struct random r = random_seeded(seed);
    struct mixture m = mixture_new(o, model, &r);
    double *now = room(o->experts, sizeof *now);
    size_t window = o->steps < COLLAPSE_WINDOW ? o->steps
                                               : COLLAPSE_WINDOW;
    for (size_t i = 1; i <= o->steps; i++) {
        step(&m, model, &r);
        for (size_t e = 0; e < o->experts; e++) {
            now[e] += m.f[e] / COLLAPSE_EVERY;
            if (i + window > o->steps)
                late[e] += m.f[e] / (double)window;
        }
        if (!curve || i % COLLAPSE_EVERY) continue;
        curve[i / COLLAPSE_EVERY - 1] += balance_effective(now,
                                                           o->experts);
        for (size_t e = 0; e < o->experts; e++) now[e] = 0;
    }
    if (!isfinite(matrix_squares(m.router.w))) late[0] = NAN;
    mixture_free(&m), free(now);
}

struct collapse_runs collapse_repeat(
    const struct collapse_options *options, const struct charlm *model,
    uint64_t first, size_t seeds, double *curve)
{
    size_t experts = options->experts;
    struct collapse_runs sum = {.least = INFINITY};
    double n = (double)seeds, squares = 0;
    if (!seeds) return (struct collapse_runs){NAN, NAN, NAN, NAN, NAN};
    for (size_t i = 0; i < seeds; i++) {
        double *late = room(experts, sizeof *late);
        run(options, model, first + i, late, curve);
        double one = balance_effective(late, experts);
        sum.mean += one / n, squares += one * one / n;
        sum.least = fmin(sum.least, one);
        sum.most = fmax(sum.most, one);
        sum.top += (1 + balance_max_violation(late, experts))
                 / (double)experts / n;
        free(late);
    }
    for (size_t i = 0; curve && i < options->steps / COLLAPSE_EVERY;)
        curve[i++] /= n;
    if (seeds > 1)
        sum.deviation = sqrt(fmax(0, squares - sum.mean * sum.mean)
                             * n / (n - 1));
    return sum;
}

const struct collapse_balance collapse_balances[COLLAPSE_BALANCES] = {
    {"no balancing", 0, 0, 0, 0},
    {"alpha 0.01", 0.01, 0, 0, 0}, {"alpha 0.1", 0.1, 0, 0, 0},
    {"entropy 0.1", 0, 0.1, 0, 0}, {"biases", 0, 0, 0.01, 0},
    {"quantiles", 0, 0, 0, 1},
};
