#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include "capacity.h"
#include "stop.h"

int capacity_exact(double factor)
{
    return fabs(factor * 1e6 - round(factor * 1e6)) < 1e-4;
}

size_t capacity_slots(double factor, size_t tokens, size_t top_k,
                      size_t experts)
{
    const uint64_t million = 1000000, most = 1000000000;
    /* refuse what cannot be counted */
    if (!(factor >= 0 && factor <= 1000) || !capacity_exact(factor)
        || experts < 1 || experts > most
        || (top_k && tokens > most / top_k))
        stop("the factor must be from 0 to 1000 with at most six decimals, "
             "the choices at most 1e9, the experts from 1 to 1e9; got "
             "%.17g, %zu x %zu, %zu", factor, tokens, top_k, experts);
    uint64_t millionths = (uint64_t)llround(factor * 1e6);
    uint64_t over = million * experts;
    uint64_t slots = (millionths * tokens * top_k + over - 1) / over;
    /* refuse more slots than any machine has */
    if (slots > UINT32_MAX)
        stop("the slots of an expert must be below 2^32; got %" PRIu64,
             slots);
    return slots;
}

static double place(const struct routes *routes, size_t t, size_t k,
                    enum capacity_order order, struct matrix p)
{
    double before = 0;
    if (order == CAPACITY_TOKENS) before = t;
    if (order == CAPACITY_PROBABILITY)
        before = -matrix_row(p, t)[routes_expert(routes, t, k)];
    if (order == CAPACITY_GATE) before = -matrix_row(routes->gate, t)[k];
    return isnan(before) ? INFINITY : before;
}

static int compare(const void *left, const void *right)
{
    const struct capacity_place *a = left, *b = right;
    if (a->before != b->before) return a->before < b->before ? -1 : 1;
    return a->position < b->position ? -1 : 1;
}

static size_t line_up(struct capacity *c, const struct routes *routes,
                      enum capacity_order order, struct matrix p)
{
    size_t n = 0;
    for (size_t k = 0; k < routes->top_k; k++)
        for (size_t t = 0; t < routes->tokens; t++) {
            if (routes_expert(routes, t, k) == ROUTES_NONE) continue;
            c->line[n] = (struct capacity_place){
                place(routes, t, k, order, p), n,
                t * routes->top_k + k};
            n++;
        }
    if (order != CAPACITY_POSITION)
        qsort(c->line, n, sizeof *c->line, compare);
    return n;
}

void capacity_fill(struct capacity *c, const struct routes *routes,
                   size_t slots, enum capacity_order order,
                   struct matrix probabilities)
{
    /* refuse routes that do not fit the slots */
    matrix_expect(((struct matrix){c->choices, c->experts, NULL}),
                  routes->tokens * routes->top_k, routes->experts,
                  "the slots [K T, E]");
    if (order == CAPACITY_PROBABILITY)
        matrix_expect(probabilities, routes->tokens, routes->experts,
                      "p [T, E]");
    size_t length = line_up(c, routes, order, probabilities);
    c->slots = slots;
    for (size_t e = 0; e < c->experts; e++) c->taken[e] = 0;
    for (size_t i = 0; i < c->choices; i++)
        c->slot[i] = CAPACITY_DROPPED;
    for (size_t i = 0; i < length; i++) {
        size_t choice = c->line[i].choice;
        size_t *taken = &c->taken[routes->expert[choice]];
        if (*taken < slots) c->slot[choice] = (*taken)++;
    }
}

static int is_kept(const struct capacity *c, size_t choice)
{
    return c->slot[choice] != CAPACITY_DROPPED;
}

struct capacity_count capacity_measure(const struct capacity *c,
                                       const struct routes *r)
{
    struct capacity_count n = {.slots = r->experts * c->slots};
    for (size_t e = 0; e < r->experts; e++)
        n.wasted += c->slots - c->taken[e];
    for (size_t t = 0; t < r->tokens; t++) {
        size_t kept = 0;
        if (routes_expert(r, t, 0) == ROUTES_NONE) continue;
        for (size_t k = 0; k < r->top_k; k++)
            kept += is_kept(c, t * r->top_k + k);
        n.choices += r->top_k;
        n.dropped += r->top_k - kept;
        n.lost += kept == 0;
        n.partly += kept > 0 && kept < r->top_k;
    }
    return n;
}

static double share_scale(const struct capacity *c,
                          const struct routes *r, size_t t)
{
    double all = 0, kept = 0;
    for (size_t k = 0; k < r->top_k; k++) {
        real g = matrix_row(r->gate, t)[k];
        all += g;
        if (is_kept(c, t * r->top_k + k)) kept += g;
    }
    return kept != 0 ? all / kept : 1;
}

void capacity_gates(const struct capacity *c, const struct routes *r,
                    int share_out, struct matrix kept)
{
    matrix_expect(kept, r->tokens, r->top_k, "kept [T, K]");
    for (size_t t = 0; t < r->tokens; t++) {
        double scale = share_out ? share_scale(c, r, t) : 1;
        for (size_t k = 0; k < r->top_k; k++)
            matrix_row(kept, t)[k] = is_kept(c, t * r->top_k + k)
                ? scale * matrix_row(r->gate, t)[k] : 0;
    }
}

static double chance(size_t draws, size_t hits, double p)
{
    double n = draws, x = hits;
    if (p <= 0 || p >= 1) return hits == (p >= 1 ? draws : 0);
    return exp(lgamma(n + 1) - lgamma(x + 1) - lgamma(n - x + 1)
               + x * log(p) + (n - x) * log1p(-p));
}

double capacity_expected(const double *share, size_t experts,
                         size_t tokens, size_t slots)
{
    double sum = 0, one = 0;
    for (size_t e = 0; e < experts; e++) {
        if (!e || share[e] != share[e - 1]) {
            one = 0;
            for (size_t n = tokens; n > slots; n--)
                one += (n - slots) * chance(tokens, n, share[e]);
        }
        sum += one;
    }
    return tokens ? sum / tokens : 0;
}

void capacity_gates_backward(const struct capacity *c,
                             const struct routes *r, int share_out,
                             struct matrix dgate, struct matrix dkept)
{
    matrix_expect(dgate, r->tokens, r->top_k, "dgate [T, K]");
    matrix_expect(dkept, r->tokens, r->top_k, "dkept [T, K]");
    for (size_t t = 0; t < r->tokens; t++) {
        const real *a = matrix_row(dkept, t);
        double scale = share_scale(c, r, t), kept = 0, mean = 0;
        for (size_t k = 0; k < r->top_k; k++)
            if (is_kept(c, t * r->top_k + k)) {
                double g = matrix_row(r->gate, t)[k];
                kept += g, mean += g * a[k];
            }
        if (!share_out || kept == 0) scale = 1, mean = 0;
        else mean /= kept;
        for (size_t k = 0; k < r->top_k; k++)
            matrix_row(dgate, t)[k] = mean + scale
                * (is_kept(c, t * r->top_k + k) ? a[k] - mean : 0);
    }
}

struct capacity capacity_new(size_t tokens, size_t experts,
                             size_t top_k)
{
    size_t choices = tokens * top_k;
    return (struct capacity){choices, experts, 0,
        room(choices, sizeof(size_t)), room(experts, sizeof(size_t)),
        room(choices, sizeof(struct capacity_place))};
}

void capacity_free(struct capacity *capacity)
{
    free(capacity->slot), free(capacity->taken), free(capacity->line);
}
