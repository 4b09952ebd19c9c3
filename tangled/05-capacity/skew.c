#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include "hand.h"
#include "router.h"
#include "skew.h"
#include "softmax.h"
#include "stop.h"
#include "text.h"

static double gumbel(struct random *r)
{
    double u = random_uniform(r);
    while (u <= 0) u = random_uniform(r);
    return -log(-log(u));
}

static void hand_out(size_t *due, const double *share, size_t experts,
                     size_t tokens)
{
    size_t left = tokens;
    for (size_t e = 0; e < experts; e++)
        left -= due[e] = (size_t)(share[e] * tokens);
    while (left--) {
        size_t best = 0;
        for (size_t e = 1; e < experts; e++)
            if (share[e] * tokens - due[e]
                > share[best] * tokens - due[best]) best = e;
        due[best]++;
    }
}

static void trade(real *z, size_t experts, size_t expert)
{
    size_t best = 0;
    for (size_t e = 1; e < experts; e++) if (z[e] > z[best]) best = e;
    real most = z[best];
    z[best] = z[expert], z[expert] = most;
}

static size_t draw_due(size_t *due, size_t left, struct random *r)
{
    size_t n = random_below(r, left), e = 0;
    while (n >= due[e]) n -= due[e++];
    due[e]--;
    return e;
}

void skew_draw(struct skew *skew, const double *weight, int exact,
               struct random *random)
{
    size_t tokens = skew->z.rows, experts = skew->z.cols;
    double sum = 0;
    for (size_t e = 0; e < experts; e++) sum += weight[e];
    for (size_t e = 0; e < experts; e++)
        skew->share[e] = weight[e] / sum;
    hand_out(skew->wanted, skew->share, experts, tokens);
    for (size_t t = 0; t < tokens; t++) {
        real *z = matrix_row(skew->z, t);
        for (size_t e = 0; e < experts; e++)
            z[e] = log(skew->share[e]) + gumbel(random);
        if (exact)
            trade(z, experts,
                  draw_due(skew->wanted, tokens - t, random));
    }
}

void skew_text(struct skew *skew, char *text, struct random *random)
{
    size_t tokens = skew->z.rows;
    struct router router = {hand_w()};
    struct matrix x = matrix_new(tokens, HAND_WIDTH);
    text_fill(text, tokens, random);
    for (size_t t = 0; t < tokens; t++) {
        int letter = isalpha((unsigned char)text[t]) != 0;
        int digit = isdigit((unsigned char)text[t]) != 0;
        real features[] = {letter, digit, !letter && !digit,
                           !t || text[t - 1] == '\n'};
        row_copy(matrix_row(x, t), features, HAND_WIDTH);
    }
    router_forward(&router, skew->z, x);
    matrix_free(&x);
}

static double share(double part, size_t whole)
{
    return whole ? part / whole : 0;
}

void skew_fill(struct skew *skew, enum routes_gate gate, double factor,
               enum capacity_order order)
{
    struct routes *r = &skew->routes;
    softmax_rows(skew->p, NULL, skew->z);
    routes_select(r, skew->z);
    routes_weigh(r, gate, skew->z, skew->p);
    for (size_t e = 0; e < r->experts; e++) skew->wanted[e] = 0;
    for (size_t i = 0; i < r->tokens * r->top_k; i++)
        skew->wanted[r->expert[i]]++;
    capacity_fill(&skew->capacity, r, capacity_slots(factor, r->tokens,
                  r->top_k, r->experts), order, skew->p);
    skew->count = capacity_measure(&skew->capacity, r);
    skew->dropped = share(skew->count.dropped, skew->count.choices);
    skew->wasted = share(skew->count.wasted, skew->count.slots);
    double sum = 0;
    for (size_t i = 0; i < skew->count.choices; i++)
        if (skew->capacity.slot[i] == CAPACITY_DROPPED)
            sum += matrix_row(skew->p, i / r->top_k)[r->expert[i]];
    skew->refused = share(sum, skew->count.dropped);
}

size_t skew_moved(const struct skew *skew, enum capacity_order order)
{
    const struct routes *r = &skew->routes;
    struct capacity c = capacity_new(r->tokens, r->experts, r->top_k);
    size_t moved = 0;
    capacity_fill(&c, r, skew->capacity.slots, order, skew->p);
    for (size_t i = 0; i < c.choices; i++)
        moved += (c.slot[i] == CAPACITY_DROPPED)
            != (skew->capacity.slot[i] == CAPACITY_DROPPED);
    capacity_free(&c);
    return moved;
}

struct skew skew_new(size_t tokens, size_t experts, size_t top_k)
{
    return (struct skew){room(experts, sizeof(double)),
        room(experts, sizeof(size_t)), matrix_new(tokens, experts),
        matrix_new(tokens, experts), routes_new(tokens, experts, top_k),
        capacity_new(tokens, experts, top_k), {0}, 0, 0, 0};
}

void skew_free(struct skew *skew)
{
    free(skew->share), free(skew->wanted);
    matrix_free(&skew->z), matrix_free(&skew->p);
    routes_free(&skew->routes), capacity_free(&skew->capacity);
}
