#include <math.h>
#include <stdlib.h>
#include "routes.h"
#include "scores.h"
#include "softmax.h"
#include "stop.h"

static int beats(real a, real b)
{
    return a > b || (isnan((double)b) && !isnan((double)a));
}

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

void routes_select(struct routes *routes, struct matrix logits)
{
    matrix_expect(logits, routes->tokens, routes->experts,
                  "logits [T, E]");
    routes->valid = routes->tokens;
    for (size_t t = 0; t < logits.rows; t++)
        select_row(routes->expert + t * routes->top_k,
                   matrix_row(logits, t), logits.cols, routes->top_k);
}

static void weigh_row(real *g, const size_t *chosen, size_t top_k,
                      const real *z, size_t experts,
                      enum routes_gate gate)
{
    double most = -INFINITY, sum = 0;
    for (size_t k = 0; k < top_k; k++)
        most = fmax(most, scores_log(gate, (double)z[chosen[k]]));
    for (size_t i = 0; i < experts; i++)
        if (isnan((double)z[i]) || (double)z[i] == INFINITY) most = NAN;
    if (gate == GATE_OWN) most -= most; /* 0, or still NaN */
    for (size_t k = 0; k < top_k; k++) {
        double s = exp(scores_log(gate, (double)z[chosen[k]]) - most);
        sum += s, g[k] = (real)s;
    }
    for (size_t k = 0; k < top_k && gate != GATE_OWN; k++)
        g[k] = (real)(exp(scores_log(gate, (double)z[chosen[k]]) - most)
                      / sum);
}

void routes_weigh(struct routes *routes, enum routes_gate gate,
                  struct matrix logits, struct matrix p)
{
    size_t tokens = routes->tokens, top_k = routes->top_k;
    int softmax = gate == GATE_SOFTMAX;
    matrix_expect(logits, tokens, routes->experts, "logits [T, E]");
    if (softmax) matrix_expect(p, tokens, routes->experts, "p [T, E]");
    for (size_t t = 0; t < tokens; t++) {
        const size_t *chosen = routes->expert + t * top_k;
        real *g = matrix_row(routes->gate, t);
        if (chosen[0] == ROUTES_NONE) continue;
        if (!softmax)
            weigh_row(g, chosen, top_k, matrix_row(logits, t),
                      routes->experts, gate);
        for (size_t k = 0; softmax && k < top_k; k++)
            g[k] = matrix_row(p, t)[chosen[k]];
    }
}

void routes_fill(struct routes *routes, enum routes_gate gate,
                 struct matrix p, struct matrix logits)
{
    softmax_rows(p, NULL, logits);
    routes_select(routes, logits);
    routes_weigh(routes, gate, logits, p);
}

void routes_mask(struct routes *routes, const unsigned char *valid,
                 struct matrix *p, double *log_z)
{
    routes->valid = routes->tokens;
    if (p) matrix_expect(*p, routes->tokens, p->cols, "p [T, E]");
    for (size_t t = 0; valid && t < routes->tokens; t++) {
        if (valid[t]) continue;
        routes->valid--;
        for (size_t k = 0; k < routes->top_k; k++)
            routes->expert[t * routes->top_k + k] = ROUTES_NONE;
        matrix_clear(matrix_rows(routes->gate, t, 1));
        if (p) matrix_clear(matrix_rows(*p, t, 1));
        if (log_z) log_z[t] = 0;
    }
}

double routes_kept(const struct routes *routes, struct matrix p)
{
    double sum = 0;
    matrix_expect(p, routes->tokens, routes->experts, "p [T, E]");
    for (size_t t = 0; t < routes->tokens; t++)
        for (size_t k = 0; k < routes->top_k; k++) {
            size_t e = routes_expert(routes, t, k);
            if (e != ROUTES_NONE) sum += (double)matrix_row(p, t)[e];
        }
    return routes->valid ? sum / (double)routes->valid : 0;
}

static void weigh_row_backward(real *dz, const struct routes *routes,
                               size_t t, enum routes_gate gate,
                               const real *a, const real *z,
                               const real *p)
{
    const size_t *chosen = routes->expert + t * routes->top_k;
    const real *g = matrix_row(routes->gate, t);
    double average = gate == GATE_OWN ? 0
                   : row_dot(g, a, routes->top_k);
    for (size_t j = 0; j < routes->experts; j++)
        dz[j] = gate == GATE_SOFTMAX ? (real)(-(double)p[j] * average)
              : 0;
    for (size_t k = 0; k < routes->top_k; k++) {
        double slope = (double)g[k] * ((double)a[k] - average);
        slope *= scores_log_slope(gate, (double)z[chosen[k]]);
        dz[chosen[k]] = (real)slope;
    }
}

void routes_weigh_backward(const struct routes *routes,
                           enum routes_gate gate, struct matrix dlogits,
                           struct matrix dgate, struct matrix logits,
                           struct matrix p)
{
    size_t tokens = routes->tokens;
    int softmax = gate == GATE_SOFTMAX;
    matrix_expect(dlogits, tokens, routes->experts, "dlogits [T, E]");
    matrix_expect(dgate, tokens, routes->top_k, "dgate [T, K]");
    matrix_expect(logits, tokens, routes->experts, "logits [T, E]");
    if (softmax) matrix_expect(p, tokens, routes->experts, "p [T, E]");
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < tokens; t++)
        if (routes_expert(routes, t, 0) == ROUTES_NONE)
            matrix_clear(matrix_rows(dlogits, t, 1));
        else
            weigh_row_backward(matrix_row(dlogits, t), routes, t, gate,
                               matrix_row(dgate, t),
                               matrix_row(logits, t),
                               softmax ? matrix_row(p, t) : NULL);
}

struct routes routes_new(size_t tokens, size_t experts, size_t top_k)
{
    if (top_k < 1 || top_k > experts)
        stop("K = %zu of E = %zu experts: K must be from 1 to E", top_k,
             experts);
    return (struct routes){tokens, experts, top_k, tokens,
                           room(tokens * top_k, sizeof(size_t)),
                           matrix_new(tokens, top_k)};
}

void routes_free(struct routes *routes)
{
    free(routes->expert);
    matrix_free(&routes->gate);
}

size_t routes_expert(const struct routes *r, size_t t, size_t k)
{
    return r->expert[t * r->top_k + k];
}
