#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "capacity.h"

/* count the slots */
size_t capacity_slots(double factor, size_t tokens, size_t top_k,
                      size_t experts)
{
    const uint64_t million = 1000000;
    /* refuse a factor that is none */
    if (!(factor >= 0 && factor <= 1000) || experts < 1
        || tokens * top_k > 1000000000) {
        fprintf(stderr, "capacity.c: the factor must be from 0 to 1000, "
                "the choices at most 1e9, the experts at least 1; got %g, "
                "%zu, %zu\n", factor, tokens * top_k, experts);
        abort();
    }
    uint64_t millionths = (uint64_t)llround(factor * 1e6);
    uint64_t over = million * experts;
    return (size_t)((millionths * tokens * top_k + over - 1) / over);
}

/* make room for the slots */
struct capacity capacity_new(size_t tokens, size_t experts,
                             size_t top_k)
{
    size_t choices = tokens * top_k;
    struct capacity c = {0, calloc(choices + 1, sizeof *c.slot),
        calloc(experts, sizeof *c.taken),
        calloc(choices + 1, sizeof *c.line)};
    if (!c.slot || !c.taken || !c.line) abort();
    return c;
}

/* free the slots */
void capacity_free(struct capacity *capacity)
{
    free(capacity->slot), free(capacity->taken), free(capacity->line);
}

/* fill the slots */
/* compare two in line */
static int by_place(const void *left, const void *right)
{
    const struct capacity_place *a = left, *b = right;
    if (a->before != b->before) return a->before < b->before ? -1 : 1;
    return a->position < b->position ? -1 : 1;
}

/* line up */
static void line_up(struct capacity *c, const struct routes *routes,
                    enum capacity_order order, struct matrix p)
{
    size_t n = 0;
    if (order == CAPACITY_PROBABILITY)
        matrix_expect(p, routes->tokens, routes->experts, "p [T, E]");
    for (size_t k = 0; k < routes->top_k; k++)
        for (size_t t = 0; t < routes->tokens; t++, n++) {
            /* place choice k of token t */
            size_t choice = t * routes->top_k + k;
            double before = order == CAPACITY_POSITION ? 0
                : -(double)matrix_row(p, t)[routes->expert[choice]];
            c->line[n] = (struct capacity_place){before, n, choice};
        }
    if (order == CAPACITY_PROBABILITY)
        qsort(c->line, n, sizeof *c->line, by_place);
}

void capacity_fill(struct capacity *c, const struct routes *routes,
                   size_t slots, enum capacity_order order,
                   struct matrix probabilities)
{
    size_t choices = routes->tokens * routes->top_k;
    line_up(c, routes, order, probabilities);
    c->slots = slots;
    /* let the line walk */
    for (size_t e = 0; e < routes->experts; e++) c->taken[e] = 0;
    for (size_t i = 0; i < choices; i++) {
        size_t choice = c->line[i].choice;
        size_t expert = routes->expert[choice];
        c->slot[choice] = c->taken[expert] < slots
            ? c->taken[expert]++ : CAPACITY_DROPPED;
    }
}

/* do the sums of capacity */
/* weigh what was kept */
static int is_kept(const struct capacity *c, size_t choice)
{
    return c->slot[choice] != CAPACITY_DROPPED;
}

/* sum a token's gates */
/* Of the gates: all of them, the kept, and the kept times d. */
struct sums { double all, kept, slope; };

static struct sums sum_gates(const struct capacity *c,
                             const struct routes *r, size_t t,
                             const real *d)
{
    struct sums sum = {0, 0, 0};
    for (size_t k = 0; k < r->top_k; k++) {
        /* add one gate to the sums */
        double g = (double)matrix_row(r->gate, t)[k];
        int kept = is_kept(c, t * r->top_k + k);
        sum.all += g;
        if (kept) sum.kept += g;
        if (kept && d) sum.slope += g * (double)d[k];
    }
    return sum;
}

/* weigh every token's choices */
void capacity_gates(const struct capacity *c, const struct routes *r,
                    int share_out, struct matrix kept)
{
    matrix_expect(kept, r->tokens, r->top_k, "kept [T, K]");
    for (size_t t = 0; t < r->tokens; t++) {
        struct sums sum = sum_gates(c, r, t, NULL);
        double scale = share_out && sum.kept > 0
                     ? sum.all / sum.kept : 1;
        for (size_t k = 0; k < r->top_k; k++)
            matrix_row(kept, t)[k] = is_kept(c, t * r->top_k + k)
                ? (real)(scale * (double)matrix_row(r->gate, t)[k]) : 0;
    }
}

/* weigh backward what was kept */
static double gate_slope(struct sums sum, int kept, double a)
{
    double g = sum.all, m = sum.kept;
    if (!(m > 0)) return 0;
    return sum.slope / m + (kept ? a * g / m - sum.slope * g / m / m
                                 : 0);
}

/* walk every token's choices backward */
void capacity_gates_backward(const struct capacity *c,
                             const struct routes *r, int share_out,
                             struct matrix dgate, struct matrix dkept)
{
    matrix_expect(dgate, r->tokens, r->top_k, "dgate [T, K]");
    matrix_expect(dkept, r->tokens, r->top_k, "dkept [T, K]");
    for (size_t t = 0; t < r->tokens; t++) {
        struct sums sum = sum_gates(c, r, t, matrix_row(dkept, t));
        /* walk one token's choices backward */
        for (size_t k = 0; k < r->top_k; k++) {
            int kept = is_kept(c, t * r->top_k + k);
            double a = (double)matrix_row(dkept, t)[k];
            matrix_row(dgate, t)[k] = (real)(share_out
                ? gate_slope(sum, kept, a) : kept ? a : 0);
        }
    }
}

/* measure drops and waste */
struct capacity_count capacity_measure(const struct capacity *c,
                                       const struct routes *r)
{
    struct capacity_count n = {.choices = r->tokens * r->top_k,
                               .slots = r->experts * c->slots};
    for (size_t e = 0; e < r->experts; e++)
        n.wasted += c->slots - c->taken[e];
    for (size_t t = 0; t < r->tokens; t++) {
        /* count what a token lost */
        size_t kept = 0;
        for (size_t k = 0; k < r->top_k; k++)
            kept += (size_t)is_kept(c, t * r->top_k + k);
        n.dropped += r->top_k - kept;
        n.lost += kept == 0;
        n.partly += kept > 0 && kept < r->top_k;
    }
    return n;
}

/* expect drops */
static double chance(size_t draws, size_t hits, double p)
{
    double n = (double)draws, x = (double)hits;
    if (p <= 0 || p >= 1) return hits == (p >= 1 ? draws : 0);
    return exp(lgamma(n + 1) - lgamma(x + 1) - lgamma(n - x + 1)
               + x * log(p) + (n - x) * log1p(-p));
}

/* sum up what is above the capacity */
double capacity_expected(const double *share, size_t experts,
                         size_t tokens, size_t slots)
{
    double sum = 0;
    for (size_t e = 0; e < experts; e++)
        for (size_t n = slots + 1; n <= tokens; n++)
            sum += (double)(n - slots) * chance(tokens, n, share[e]);
    return tokens ? sum / (double)tokens : 0;
}
