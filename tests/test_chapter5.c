/* Chapter 5: slots, drops and waste. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "assign.h"
#include "balance.h"
#include "capacity.h"
#include "check.h"
#include "contest.h"
#include "conventions.h"
#include "figures.h"
#include "lessons.h"
#include "skew.h"
#include "softmax.h"

extern const struct lesson_table lessons5;

static void program(void) { check_program(5, ""); }
static void lessons(void) { check_lessons(&lessons5, 200, ""); }

/* A batch with skewed random logits, some of its tokens padding, routed and filled. */
struct batch {
    struct matrix z, p;
    struct routes routes;
    struct capacity capacity;
    struct capacity_count count;
    enum capacity_order order;
};

enum { ORDERS = CAPACITY_GATE + 1 };

static void fill(struct batch *b, size_t slots, enum capacity_order order)
{
    b->order = order;
    capacity_fill(&b->capacity, &b->routes, slots, order, b->p);
    b->count = capacity_measure(&b->capacity, &b->routes);
}

static struct batch drawn(struct random *r, enum routes_gate gate)
{
    size_t experts = 1 + random_below(r, 9);
    size_t top_k = 1 + random_below(r, experts), tokens = random_below(r, 40);
    struct batch b = {check_matrix(r, tokens, experts, 2), matrix_new(tokens, experts),
        routes_new(tokens, experts, top_k), capacity_new(tokens, experts, top_k), {0}, 0};
    for (size_t t = 0; t < tokens; t++) matrix_row(b.z, t)[0] += 1;
    softmax_rows(b.p, NULL, b.z);
    routes_select(&b.routes, b.z), routes_weigh(&b.routes, gate, b.z, b.p);
    unsigned char valid[40];
    int padded = random_below(r, 2) == 0;
    for (size_t t = 0; t < tokens; t++) valid[t] = !padded || random_below(r, 4);
    routes_mask(&b.routes, valid, &b.p, NULL);
    size_t order = random_below(r, ORDERS), slots = random_below(r, 2 * tokens * top_k / experts + 2);
    fill(&b, slots, (enum capacity_order)order);
    return b;
}

static void done(struct batch *b)
{
    matrix_free(&b->z), matrix_free(&b->p), routes_free(&b->routes), capacity_free(&b->capacity);
}

static void slots(void)
{
    CU_ASSERT_EQUAL(capacity_slots(1, 64, 1, 8), 8);
    CU_ASSERT_EQUAL(capacity_slots(1.25, 64, 2, 8), 20);
    CU_ASSERT_EQUAL(capacity_slots(1.1, 100, 1, 2), 55); /* ceil in double: 56 */
    CU_ASSERT_EQUAL((size_t)ceil(1.1 * 100 / 2), 56);
    CU_ASSERT_EQUAL(capacity_slots(1, 65, 1, 8), 9);
    CU_ASSERT_EQUAL(capacity_slots(0.01, 1, 1, 8), 1);
    CU_ASSERT_EQUAL(capacity_slots(1, 0, 1, 8), 0);
    CU_ASSERT_EQUAL(capacity_slots(0, 64, 1, 8), 0);
    CU_ASSERT_EQUAL(capacity_slots(1000, 4000000, 1, 1), 4000000000);
    CU_ASSERT_EQUAL(capacity_slots(1000, 1000000000, 1, 1000), 1000000000);
    CU_ASSERT_EQUAL(capacity_slots(1, 1, 1, 1000000000), 1);
    CU_ASSERT(capacity_exact(1.1) && capacity_exact(100) && !capacity_exact(1.2345678));
    CU_ASSERT(!capacity_exact(1.00000001) && !capacity_exact(1 + 1e-9) && !capacity_exact(2.0 / 3));
    CU_ASSERT(capacity_exact(1 + 5e-11) && !capacity_exact(1 + 2e-10)); /* around a ten-thousandth of a millionth */
    struct random r = check_random();
    for (int round = 0; round < 2000; round++)
        CU_ASSERT(capacity_exact((double)random_below(&r, 100000000) / 1e6));
    for (int round = 0; round < 2000; round++) {
        size_t hundredths = random_below(&r, 1000), tokens = random_below(&r, 100000);
        size_t top_k = 1 + random_below(&r, 8), experts = 1 + random_below(&r, 256);
        size_t parts = hundredths * tokens * top_k, over = 100 * experts;
        size_t c = capacity_slots((double)hundredths / 100, tokens, top_k, experts);
        CU_ASSERT(c * over >= parts && (c == 0 || (c - 1) * over < parts));
    }
}

static void sums(void)
{
    struct random r = check_random();
    for (int round = 0; round < 300; round++) {
        struct batch b = drawn(&r, GATE_SOFTMAX);
        const struct routes *routes = &b.routes;
        size_t kept = 0, wanted[9] = {0}, used[9] = {0}, refused = 0, empty = 0, lost = 0, partly = 0;
        for (size_t i = 0; i < routes->tokens * routes->top_k; i++) {
            if (routes->expert[i] != ROUTES_NONE) wanted[routes->expert[i]]++;
            if (b.capacity.slot[i] == CAPACITY_DROPPED) continue;
            CU_ASSERT_FATAL(routes->expert[i] != ROUTES_NONE);
            CU_ASSERT(b.capacity.slot[i] < b.capacity.slots);
            used[routes->expert[i]]++, kept++;
        }
        for (size_t e = 0; e < routes->experts; e++) { /* from the loads alone */
            size_t c = b.capacity.slots;
            CU_ASSERT(used[e] <= c && used[e] == b.capacity.taken[e]);
            refused += wanted[e] > c ? wanted[e] - c : 0;
            empty += wanted[e] < c ? c - wanted[e] : 0;
        }
        CU_ASSERT_EQUAL(kept + b.count.dropped, b.count.choices);
        CU_ASSERT_EQUAL(b.count.choices, routes->valid * routes->top_k);
        CU_ASSERT_EQUAL(b.count.slots, routes->experts * b.capacity.slots);
        CU_ASSERT_EQUAL(b.count.dropped, refused);
        CU_ASSERT_EQUAL(b.count.wasted, empty);
        CU_ASSERT_EQUAL(kept + b.count.wasted, b.count.slots);
        for (size_t t = 0; t < routes->tokens; t++) {
            size_t gone = 0;
            if (routes_expert(routes, t, 0) == ROUTES_NONE) continue;
            for (size_t k = 0; k < routes->top_k; k++)
                gone += b.capacity.slot[t * routes->top_k + k] == CAPACITY_DROPPED;
            lost += gone == routes->top_k, partly += gone > 0 && gone < routes->top_k;
        }
        CU_ASSERT(b.count.lost == lost && b.count.partly == partly);
        if (routes->top_k == 1) CU_ASSERT_EQUAL(b.count.lost, b.count.dropped);
        done(&b);
    }
}

/* No two kept choices share a slot, and slots are taken without gaps. */
static void every_slot_once(void)
{
    struct random r = check_random();
    for (int round = 0; round < 200; round++) {
        struct batch b = drawn(&r, GATE_SOFTMAX);
        size_t choices = b.routes.tokens * b.routes.top_k;
        for (size_t i = 0; i < choices; i++)
            for (size_t j = 0; j < i; j++)
                CU_ASSERT(b.routes.expert[i] != b.routes.expert[j]
                          || b.capacity.slot[i] == CAPACITY_DROPPED
                          || b.capacity.slot[i] != b.capacity.slot[j]);
        done(&b);
    }
}

/* Whoever is kept stands before whoever is dropped, at each expert. */
static void right_ones_kept(void)
{
    struct random r = check_random();
    for (int round = 0; round < 200; round++) {
        struct batch b = drawn(&r, GATE_SOFTMAX);
        size_t top_k = b.routes.top_k, choices = b.routes.tokens * top_k;
        for (size_t i = 0; i < choices; i++)
            for (size_t j = 0; j < choices; j++) {
                size_t e = b.routes.expert[i];
                if (b.routes.expert[j] != e || b.capacity.slot[i] == CAPACITY_DROPPED
                    || b.capacity.slot[j] != CAPACITY_DROPPED) continue;
                if (e == ROUTES_NONE) continue;
                size_t t = i / top_k, u = j / top_k;
                int first = i % top_k < j % top_k || (i % top_k == j % top_k && t < u);
                int right = b.order == CAPACITY_POSITION ? first
                    : b.order == CAPACITY_TOKENS ? i < j
                    : b.order == CAPACITY_PROBABILITY ? matrix_row(b.p, t)[e] >= matrix_row(b.p, u)[e]
                    : b.routes.gate.at[i] >= b.routes.gate.at[j];
                CU_ASSERT(right);
            }
        done(&b);
    }
}

static void ties_by_position(void)
{
    struct matrix p = matrix_new(6, 2);
    struct routes routes = routes_new(6, 2, 1);
    struct capacity c = capacity_new(6, 2, 1);
    for (size_t i = 0; i < 12; i++) p.at[i] = (real)0.5;
    routes_select(&routes, p);
    capacity_fill(&c, &routes, 4, CAPACITY_PROBABILITY, p);
    for (size_t t = 0; t < 6; t++)
        CU_ASSERT_EQUAL(c.slot[t], t < 4 ? t : CAPACITY_DROPPED);
    matrix_free(&p), routes_free(&routes), capacity_free(&c);
}

/* A first choice goes before a second one that is as probable, and NaN last. */
static void first_choices_first(void)
{
    real at[] = {(real)0.5, (real)0.5, 0, (real)0.3, (real)0.5, (real)0.2};
    struct matrix p = {2, 3, at};
    struct routes routes = routes_new(2, 3, 2);
    struct capacity c = capacity_new(2, 3, 2);
    routes_select(&routes, p); /* token 0: 0, 1; token 1: 1, 0 */
    capacity_fill(&c, &routes, 1, CAPACITY_PROBABILITY, p);
    CU_ASSERT(c.slot[1] == CAPACITY_DROPPED && c.slot[2] == 0);
    at[0] = (real)NAN; /* expert 0: token 0 with NaN, token 1 with 0.3 */
    capacity_fill(&c, &routes, 1, CAPACITY_PROBABILITY, p);
    CU_ASSERT(c.slot[0] == CAPACITY_DROPPED && c.slot[3] == 0);
    routes_free(&routes), capacity_free(&c);
}

/* Every third token gives the one expert NaN: slots for the others serve them all. */
static void nan_goes_last(void)
{
    enum { T = 99 };
    struct random r = check_random();
    struct matrix p = check_matrix(&r, T, 1, 1);
    struct routes routes = routes_new(T, 1, 1);
    struct capacity c = capacity_new(T, 1, 1);
    for (size_t t = 0; t < T; t += 3) p.at[t] = (real)NAN;
    routes_select(&routes, p);
    matrix_clear(routes.gate), row_add(routes.gate.at, 1, p.at, T);
    for (int gate = 0; gate < 2; gate++) {
        capacity_fill(&c, &routes, T - T / 3, gate ? CAPACITY_GATE : CAPACITY_PROBABILITY, p);
        for (size_t t = 0; t < T; t++) CU_ASSERT_EQUAL(c.slot[t] == CAPACITY_DROPPED, t % 3 == 0);
    }
    matrix_free(&p), routes_free(&routes), capacity_free(&c);
}

/* The kept gate is 0 to the last digit: nothing to share out in proportion. */
static void gates_of_zero(void)
{
    size_t expert[] = {0, 1}, slot[] = {CAPACITY_DROPPED, 0};
    real gate[] = {1, 0}, kept[2], dkept[] = {5, 3}, dgate[2];
    struct routes r = {1, 2, 2, 1, expert, {1, 2, gate}};
    struct capacity c = {.choices = 2, .experts = 2, .slots = 1, .slot = slot};
    capacity_gates(&c, &r, 1, (struct matrix){1, 2, kept});
    capacity_gates_backward(&c, &r, 1, (struct matrix){1, 2, dgate}, (struct matrix){1, 2, dkept});
    CU_ASSERT(kept[0] == 0 && kept[1] == 0 && dgate[0] == 0 && dgate[1] == 3);
}

/* A gate that is no number, kept or dropped, leaves none where gates are shared
 * out, forward and backward; as they are, only its own place. */
static void gates_of_nan(void)
{
    size_t expert[] = {0, 1, 2}, slot[] = {0, CAPACITY_DROPPED, 0};
    struct capacity c = {.choices = 3, .experts = 3, .slots = 1, .slot = slot};
    for (size_t broken = 0; broken < 3; broken++) {
        real gate[] = {(real)0.25, (real)0.5, (real)0.25}, kept[3], dkept[] = {1, 2, 3}, dgate[3];
        gate[broken] = (real)NAN;
        struct routes r = {1, 3, 3, 1, expert, {1, 3, gate}};
        capacity_gates(&c, &r, 0, (struct matrix){1, 3, kept});
        for (size_t k = 0; k < 3; k++)
            CU_ASSERT(k == 1 ? kept[k] == 0 : k == broken ? isnan(kept[k]) : kept[k] == gate[k]);
        capacity_gates(&c, &r, 1, (struct matrix){1, 3, kept});
        CU_ASSERT(isnan(kept[0]) && kept[1] == 0 && isnan(kept[2]));
        capacity_gates_backward(&c, &r, 1, (struct matrix){1, 3, dgate}, (struct matrix){1, 3, dkept});
        CU_ASSERT(isnan(dgate[0]) && isnan(dgate[2]) && (isnan(dgate[1]) || broken == 1));
    }
}

/* Two tokens want experts 0 and 1, in this order and in the other; a slot each.
 * By position each gets its first; token by token, the first token gets both. */
static void token_by_token(void)
{
    real at[] = {3, 2, 1, 2, 3, 1}, kept[4];
    struct routes routes = routes_new(2, 3, 2);
    struct capacity c = capacity_new(2, 3, 2);
    struct matrix z = {2, 3, at};
    routes_select(&routes, z), routes_weigh(&routes, GATE_RENORM, z, z);
    capacity_fill(&c, &routes, 1, CAPACITY_POSITION, z);
    CU_ASSERT(c.slot[0] == 0 && c.slot[1] == CAPACITY_DROPPED && c.slot[2] == 0 && c.slot[3] == CAPACITY_DROPPED);
    CU_ASSERT_EQUAL(capacity_measure(&c, &routes).partly, 2);
    capacity_fill(&c, &routes, 1, CAPACITY_TOKENS, z);
    CU_ASSERT(c.slot[0] == 0 && c.slot[1] == 0 && c.slot[2] == CAPACITY_DROPPED && c.slot[3] == CAPACITY_DROPPED);
    struct capacity_count n = capacity_measure(&c, &routes);
    CU_ASSERT(n.lost == 1 && n.partly == 0);
    capacity_gates(&c, &routes, 1, (struct matrix){2, 2, kept});
    CU_ASSERT(kept[2] == 0 && kept[3] == 0);
    routes_free(&routes), capacity_free(&c);
}

/* Two tokens want expert 0. The first gives it the larger probability, the second
 * the larger gate, since its other choice gets little. */
static void probable_or_weighty(void)
{
    real at[] = {(real)0.5, (real)0.4, (real)0.1, (real)0.45, (real)0.2, (real)0.35}, logit[6];
    for (size_t i = 0; i < 6; i++) logit[i] = (real)log((double)at[i]);
    struct matrix p = {2, 3, at}, z = {2, 3, logit};
    struct routes routes = routes_new(2, 3, 2);
    struct capacity c = capacity_new(2, 3, 2);
    routes_select(&routes, z), routes_weigh(&routes, GATE_RENORM, z, p);
    capacity_fill(&c, &routes, 1, CAPACITY_PROBABILITY, p);
    CU_ASSERT(c.slot[0] == 0 && c.slot[2] == CAPACITY_DROPPED);
    capacity_fill(&c, &routes, 1, CAPACITY_GATE, p);
    CU_ASSERT(c.slot[0] == CAPACITY_DROPPED && c.slot[2] == 0);
    routes_weigh(&routes, GATE_SOFTMAX, z, p);
    capacity_fill(&c, &routes, 1, CAPACITY_GATE, p);
    CU_ASSERT(c.slot[0] == 0 && c.slot[2] == CAPACITY_DROPPED);
    routes_free(&routes), capacity_free(&c);
}

/* Padding on the left: the tokens fare as if it were not there, and it is nowhere counted. */
static void padding_takes_nothing(void)
{
    enum { T = 30, PADS = 12, E = 4, K = 2 };
    struct random r = check_random();
    for (size_t round = 0; round < 40; round++) {
        enum capacity_order order = (enum capacity_order)(round % ORDERS);
        unsigned char valid[PADS + T];
        struct matrix z = check_matrix(&r, PADS + T, E, 2), p = matrix_new(PADS + T, E);
        struct matrix some = matrix_rows(z, PADS, T), part = matrix_rows(p, PADS, T);
        struct routes all = routes_new(PADS + T, E, K), few = routes_new(T, E, K);
        struct capacity padded = capacity_new(PADS + T, E, K), plain = capacity_new(T, E, K);
        for (size_t t = 0; t < PADS + T; t++) valid[t] = t >= PADS;
        softmax_rows(p, NULL, z);
        routes_select(&few, some), routes_weigh(&few, GATE_RENORM, some, part);
        routes_select(&all, z), routes_weigh(&all, GATE_RENORM, z, p);
        routes_mask(&all, valid, &p, NULL);
        size_t slots = capacity_slots(1, all.valid, K, E);
        CU_ASSERT_EQUAL(slots, capacity_slots(1, T, K, E));
        capacity_fill(&plain, &few, slots, order, part);
        capacity_fill(&padded, &all, slots, order, p);
        for (size_t i = 0; i < PADS * K; i++) CU_ASSERT_EQUAL(padded.slot[i], CAPACITY_DROPPED);
        for (size_t i = 0; i < T * K; i++) CU_ASSERT_EQUAL(padded.slot[PADS * K + i], plain.slot[i]);
        struct capacity_count a = capacity_measure(&padded, &all), b = capacity_measure(&plain, &few);
        CU_ASSERT(a.choices == b.choices && a.dropped == b.dropped && a.slots == b.slots
                  && a.wasted == b.wasted && a.lost == b.lost && a.partly == b.partly);
        matrix_free(&z), matrix_free(&p), routes_free(&all), routes_free(&few);
        capacity_free(&padded), capacity_free(&plain);
    }
}

static void orders_drop_as_many(void)
{
    struct random r = check_random();
    for (int round = 0; round < 100; round++) {
        struct batch b = drawn(&r, GATE_SOFTMAX);
        size_t dropped = b.count.dropped, wasted = b.count.wasted;
        for (size_t order = 0; order < ORDERS; order++) {
            fill(&b, b.capacity.slots, (enum capacity_order)order);
            CU_ASSERT(b.count.dropped == dropped && b.count.wasted == wasted);
        }
        done(&b);
    }
}

static void gates_after_a_drop(void)
{
    struct random r = check_random();
    for (int round = 0; round < 200; round++) {
        struct batch b = drawn(&r, (enum routes_gate)(round % 3));
        size_t top_k = b.routes.top_k;
        struct matrix plain = matrix_new(b.routes.tokens, top_k);
        struct matrix shared = matrix_new(b.routes.tokens, top_k);
        capacity_gates(&b.capacity, &b.routes, 0, plain);
        capacity_gates(&b.capacity, &b.routes, 1, shared);
        for (size_t t = 0; t < b.routes.tokens; t++) {
            double all = 0, left = 0;
            int lost = 1;
            for (size_t k = 0; k < top_k; k++) {
                real g = matrix_row(b.routes.gate, t)[k], got = matrix_row(shared, t)[k];
                int kept = b.capacity.slot[t * top_k + k] != CAPACITY_DROPPED;
                CU_ASSERT_EQUAL(matrix_row(plain, t)[k], kept ? g : 0);
                CU_ASSERT(kept ? got >= g * (real)0.999999 : got == 0);
                lost &= !kept, all += (double)g, left += (double)got;
            }
            CU_ASSERT_DOUBLE_EQUAL(left, lost ? 0 : all, 1e-5);
        }
        matrix_free(&plain), matrix_free(&shared), done(&b);
    }
}

static void enough_slots(void)
{
    struct random r = check_random();
    for (int round = 0; round < 50; round++) {
        struct batch b = drawn(&r, GATE_RENORM);
        struct matrix kept = matrix_new(b.routes.tokens, b.routes.top_k);
        fill(&b, b.routes.tokens, CAPACITY_PROBABILITY);
        CU_ASSERT(b.count.dropped == 0 && b.count.lost == 0 && b.count.partly == 0);
        capacity_gates(&b.capacity, &b.routes, 1, kept);
        for (size_t i = 0; i < b.routes.tokens * b.routes.top_k; i++)
            CU_ASSERT_EQUAL(kept.at[i], b.routes.gate.at[i]);
        fill(&b, 0, CAPACITY_POSITION);
        CU_ASSERT(b.count.dropped == b.count.choices && b.count.wasted == 0);
        CU_ASSERT_EQUAL(b.count.lost, b.routes.valid);
        matrix_free(&kept), done(&b);
    }
}

/* Even routes need exactly the mean load; what the auxiliary loss calls 1. */
static void even_routes(void)
{
    for (size_t experts = 2; experts <= 64; experts *= 2)
        for (size_t top_k = 1; top_k <= 2; top_k++) {
            size_t tokens = 4 * experts;
            double f[64], p[64];
            struct matrix z = matrix_new(tokens, experts), soft = matrix_new(tokens, experts);
            struct routes routes = routes_new(tokens, experts, top_k);
            struct capacity c = capacity_new(tokens, experts, top_k);
            for (size_t t = 0; t < tokens; t++)
                for (size_t k = 0; k < top_k; k++)
                    matrix_row(z, t)[(t + k) % experts] = (real)(2 + k);
            softmax_rows(soft, NULL, z), routes_select(&routes, z);
            capacity_fill(&c, &routes, capacity_slots(1, tokens, top_k, experts),
                          CAPACITY_POSITION, soft);
            struct capacity_count n = capacity_measure(&c, &routes);
            CU_ASSERT(n.dropped == 0 && n.wasted == 0);
            balance_load(f, &routes), balance_mean(p, soft, routes.valid);
            CU_ASSERT_DOUBLE_EQUAL(balance_loss(f, p, experts), 1, 1e-6);
            matrix_free(&z), matrix_free(&soft), routes_free(&routes), capacity_free(&c);
        }
}

static void expectation(void)
{
    double share[8], one[4] = {0, 1, 0, 0}, skew[4] = {0.6, 0.4 / 3, 0.4 / 3, 0.4 / 3};
    for (size_t e = 0; e < 8; e++) share[e] = 1.0 / 8;
    /* of an independent computation, by exact fractions */
    CU_ASSERT_DOUBLE_EQUAL(capacity_expected(share, 8, 64, 8), 0.1305, 5e-5);
    CU_ASSERT_DOUBLE_EQUAL(capacity_expected(share, 8, 64, 10), 0.0453, 5e-5);
    CU_ASSERT_DOUBLE_EQUAL(capacity_expected(share, 8, 256, 32), 0.0658, 5e-5);
    CU_ASSERT_DOUBLE_EQUAL(capacity_expected(share, 8, 1024, 128), 0.0330, 5e-5);
    CU_ASSERT_DOUBLE_EQUAL(capacity_expected(share, 8, 64, 0), 1, 1e-9);
    CU_ASSERT_EQUAL(capacity_expected(share, 8, 64, 64), 0);
    CU_ASSERT_EQUAL(capacity_expected(share, 8, 64, SIZE_MAX), 0);
    CU_ASSERT_EQUAL(capacity_expected(share, 8, 0, 0), 0);
    CU_ASSERT(isnan(capacity_expected((double[]){0.5, NAN}, 2, 64, 32)));
    CU_ASSERT_DOUBLE_EQUAL(capacity_expected(one, 4, 100, 25), 0.75, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(capacity_expected(skew, 4, 100000, 25000), 0.35, 1e-3);
    CU_ASSERT_DOUBLE_EQUAL(capacity_expected(share, 8, 40960, 5120), sqrt(7 / (2 * acos(-1) * 40960)), 1e-5);
}

/* The expectation against batches through the real selection and dropping. */
static void expectation_drawn(void)
{
    enum { T = 60, E = 5, ROUNDS = 2000 };
    struct random r = check_random();
    double share[E] = {0.4, 0.25, 0.2, 0.1, 0.05}, sum = 0;
    struct matrix z = matrix_new(T, E);
    struct routes routes = routes_new(T, E, 1);
    struct capacity c = capacity_new(T, E, 1);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t t = 0; t < T; t++) {
            double u = random_uniform(&r);
            size_t e = 0;
            while (e + 1 < E && u >= share[e]) u -= share[e++];
            for (size_t i = 0; i < E; i++) matrix_row(z, t)[i] = i == e;
        }
        routes_select(&routes, z);
        capacity_fill(&c, &routes, 14, CAPACITY_POSITION, z);
        sum += (double)capacity_measure(&c, &routes).dropped / T / ROUNDS;
    }
    CU_ASSERT_DOUBLE_EQUAL(capacity_expected(share, E, T, 14), sum, 0.006);
    matrix_free(&z), routes_free(&routes), capacity_free(&c);
}

#define SKEW "--tokens 240 --experts 4 --shares 9,2,2,2 --batch exact "

static void published_numbers(void)
{
    CU_ASSERT_DOUBLE_EQUAL(check_value(5, "", "capacity.expected_dropped_share"), 0.1305, 5e-5);
    CU_ASSERT_EQUAL(check_value(5, "", "capacity.slots"), 8);
    CU_ASSERT_DOUBLE_EQUAL(check_value(5, SKEW, "capacity.dropped_share"), 0.35, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(check_value(5, SKEW, "capacity.wasted_share"), 0.35, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(check_value(5, SKEW "--capacity-factor 1.25", "capacity.dropped_share"), 0.2875, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(check_value(5, SKEW "--capacity-factor 1.25", "capacity.wasted_share"), 0.43, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(check_value(5, SKEW "--capacity-factor 2", "capacity.dropped_share"), 0.1, 1e-9);
    CU_ASSERT_EQUAL(check_value(5, SKEW "--drop probability", "capacity.dropped"), 84);
    CU_ASSERT_EQUAL(check_value(5, "--tokens 100 --experts 2 --capacity-factor 1.1", "capacity.slots"), 55);
}

static size_t slots_of(const char *name, double factor, size_t tokens, size_t top_k, size_t experts)
{
    for (const struct convention *c = conventions; c->name; c++)
        if (!strcmp(c->name, name)) return c->slots(factor, tokens, top_k, experts);
    return SIZE_MAX;
}

static void slots_of_others(void)
{
    static const struct { const char *name; size_t one, quarter, tenth; } rows[] = {
        {"megatron", 17, 21, 56}, {"deepspeed", 17, 21, 55}, {"megablocks", 16, 20, 55},
        {"tutel", 18, 22, 55}, {"gshard", 16, 16, 100}, {"mesh", 8, 10, 55}, {NULL, 0, 0, 0}};
    for (size_t i = 0; rows[i].name; i++) {
        CU_ASSERT_EQUAL(slots_of(rows[i].name, 1, 65, 2, 8), rows[i].one);
        CU_ASSERT_EQUAL(slots_of(rows[i].name, 1.25, 65, 2, 8), rows[i].quarter);
        CU_ASSERT_EQUAL(slots_of(rows[i].name, 1.1, 100, 1, 2), rows[i].tenth);
        CU_ASSERT_STRING_EQUAL(conventions[i].name, rows[i].name);
    }
    CU_ASSERT_EQUAL(slots_of("tutel", 1.25, 65, 4, 8), 44); /* 4 times 11, of 11.25 */
}

/* A batch of the module: exact loads are counts, and whoever another order would
 * treat otherwise is counted against the fates themselves. */
static void skewed_batches(void)
{
    struct random r = check_random();
    for (int round = 0; round < 40; round++) {
        double weight[5];
        for (size_t e = 0; e < 5; e++) weight[e] = (double)random_below(&r, 9) + (e == 2);
        size_t tokens = 1 + random_below(&r, 60), top_k = 1 + (size_t)(round % 2), wanted = 0;
        if (top_k == 2) weight[0] += 1;
        struct skew s = skew_new(tokens, 5, top_k);
        skew_draw(&s, weight, top_k == 1, &r);
        skew_fill(&s, GATE_RENORM, 1, CAPACITY_POSITION);
        for (size_t e = 0; e < 5; e++) {
            double due = s.share[e] * (double)tokens;
            wanted += s.wanted[e];
            if (top_k == 1) CU_ASSERT(fabs((double)s.wanted[e] - due) < 1);
            CU_ASSERT(weight[e] > 0 || s.wanted[e] == 0);
        }
        CU_ASSERT(wanted == tokens * top_k && s.count.choices == wanted);
        CU_ASSERT_DOUBLE_EQUAL(s.dropped, (double)s.count.dropped / (double)wanted, 1e-12);
        double refused = 0;
        for (size_t i = 0; i < wanted; i++)
            if (s.capacity.slot[i] == CAPACITY_DROPPED)
                refused += (double)matrix_row(s.p, i / top_k)[s.routes.expert[i]] / (double)s.count.dropped;
        CU_ASSERT_DOUBLE_EQUAL(s.refused, refused, 1e-6);
        CU_ASSERT_EQUAL(skew_moved(&s, CAPACITY_POSITION), 0);
        size_t said = skew_moved(&s, CAPACITY_TOKENS), moved = 0, *before = malloc(wanted * sizeof *before);
        CU_ASSERT_PTR_NOT_NULL_FATAL(before);
        memcpy(before, s.capacity.slot, wanted * sizeof *before);
        skew_fill(&s, GATE_RENORM, 1, CAPACITY_TOKENS);
        for (size_t i = 0; i < wanted; i++)
            moved += (before[i] == CAPACITY_DROPPED) != (s.capacity.slot[i] == CAPACITY_DROPPED);
        CU_ASSERT(said == moved && (top_k == 2 || moved == 0));
        free(before), skew_free(&s);
    }
}

/* Largest remainder: 10 tokens for 1 : 1 : 1 make 4, 3, 3; C = 3 drops one. */
static void largest_remainder(void)
{
    CU_ASSERT_EQUAL(check_value(5, "--tokens 10 --experts 3 --batch exact --capacity-factor 0.9",
                          "capacity.dropped"), 1);
    CU_ASSERT_EQUAL(check_value(5, "--tokens 3 --experts 4 --shares 5,3,2,2 --batch exact --capacity-factor 1.3",
                          "capacity.dropped"), 0);
    CU_ASSERT_EQUAL(check_value(5, "--tokens 7 --experts 2 --shares 0,3 --batch exact", "capacity.dropped"), 3);
}

/* Over many batches, drawn first choices follow the shares. */
static void drawn_follow_shares(void)
{
    double dropped = check_value(5, "--tokens 100000 --experts 4 --shares 9,2,2,2", "capacity.dropped_share");
    CU_ASSERT_DOUBLE_EQUAL(dropped, 0.35, 0.01);
    /* K = 2: first 0.6 / 0.4, then in proportion from those left:
     * expert 0 is chosen by 0.6 + 3 * 0.1333 * 0.6 / 0.8667 = 0.8769 of tokens */
    dropped = check_value(5, "--tokens 100000 --experts 4 --shares 9,2,2,2 --top-k 2", "capacity.dropped_share");
    CU_ASSERT_DOUBLE_EQUAL(dropped, (0.87692 - 0.5) / 2, 0.01);
}

static void rejected(void)
{
    check_refuses(5, (const struct check_refusal[]){
        {"--capacity-factor -1", "from 0.01 to 100"},
        {"--capacity-factor 1.23456789", "six decimals"},
        {"--top-k 9", "number of experts, 8"},
        {"--shares 1,2,3", "each of the 8 experts"},
        {"--batch exact --top-k 2", "must be drawn"},
        {"--experts 2 --shares 1,0 --top-k 2", "at least 2 weights"},
        {"--drop chance", "position or tokens or probability or gate"},
        {NULL, NULL}});
}

static struct batch breach;
static void wrong_gates(void) { capacity_gates(&breach.capacity, &breach.routes, 0, breach.p); }
static void wrong_back(void)
{
    capacity_gates_backward(&breach.capacity, &breach.routes, 0, breach.p, breach.routes.gate);
}
static void wrong_dkept(void)
{
    capacity_gates_backward(&breach.capacity, &breach.routes, 0, breach.routes.gate, breach.p);
}
static void wrong_p(void)
{
    capacity_fill(&breach.capacity, &breach.routes, 1, CAPACITY_PROBABILITY, breach.routes.gate);
}
static void wrong_factor(void) { capacity_slots(NAN, 1, 1, 1); }
static void no_experts(void) { capacity_slots(1, 1, 1, 0); }
static void no_decimal(void) { capacity_slots(2.0 / 3, 3, 1, 1); }
static void more_than_32_bits(void) { capacity_slots(1000, 4294968, 1, 1); }
static void factor_too_large(void) { capacity_slots(1000.1, 1, 1, 1); }
static void too_many(void) { capacity_slots(1, 1000000001, 1, 1); }
static void too_many_experts(void) { capacity_slots(1, 1, 1, 1000000001); }
static void far_too_many(void) { capacity_slots(1, SIZE_MAX / 2 + 1, 2, 1); }
static void gates_of_other_routes(void)
{
    struct capacity c = capacity_new(2, 3, 1);
    struct routes r = routes_new(4, 3, 2);
    capacity_gates(&c, &r, 1, matrix_new(4, 2));
}
static void small_slots(void)
{
    struct capacity c = capacity_new(4, 4, 2);
    capacity_fill(&c, &breach.routes, 1, CAPACITY_POSITION, breach.p);
}

static void contracts(void)
{
    struct random r = check_random();
    breach = (struct batch){check_matrix(&r, 5, 4, 1), matrix_new(5, 4), routes_new(5, 4, 2),
                            capacity_new(5, 4, 2), {0}, 0};
    check_aborts(wrong_gates, "capacity.c kept [T, K]");
    check_aborts(wrong_back, "capacity.c dgate [T, K]");
    check_aborts(wrong_dkept, "capacity.c dkept [T, K]");
    check_aborts(wrong_p, "capacity.c p [T, E]");
    check_aborts(wrong_factor, "capacity.c factor 1000");
    check_aborts(no_experts, "capacity.c experts from 1 1, 0");
    check_aborts(no_decimal, "capacity.c six decimals 0.666666");
    check_aborts(more_than_32_bits, "capacity.c below 2^32 4294968000");
    check_aborts(factor_too_large, "capacity.c factor 1000.1");
    check_aborts(too_many, "capacity.c choices 1000000001");
    check_aborts(too_many_experts, "capacity.c experts 1e9 1000000001");
    check_aborts(far_too_many, "capacity.c choices");
    check_aborts(gates_of_other_routes, "capacity.c slots [K T, E]");
    check_aborts(small_slots, "capacity.c slots [K T, E]");
    done(&breach);
}

/* Sharing out, by its definition: the kept gates are weighed up to the sum of
 * all. In double, whatever the gates are in. */
struct shared { const struct batch *b; const double *gate; struct matrix weight; };
static double shared_out(void *context)
{
    const struct shared *s = context;
    size_t top_k = s->b->routes.top_k;
    double loss = 0;
    for (size_t t = 0; t < s->b->routes.tokens; t++) {
        double all = 0, left = 0, sum = 0;
        for (size_t k = 0; k < top_k; k++) {
            double g = s->gate[t * top_k + k];
            int kept = s->b->capacity.slot[t * top_k + k] != CAPACITY_DROPPED;
            all += g, left += kept ? g : 0;
            sum += kept ? (double)matrix_row(s->weight, t)[k] * g : 0;
        }
        loss += left > 0 ? sum * all / left : 0;
    }
    return loss;
}

static void slope_of_sharing_out(void)
{
    enum { MOST = 40 * 9 };
    struct random r = check_random();
    for (int round = 0; round < 60; round++) {
        struct batch b = drawn(&r, (enum routes_gate)(round % 3));
        size_t tokens = b.routes.tokens, top_k = b.routes.top_k;
        struct matrix dkept = check_matrix(&r, tokens, top_k, 1), dgate = matrix_new(tokens, top_k);
        double gate[MOST], slope[MOST];
        struct shared s = {&b, gate, dkept};
        capacity_gates_backward(&b.capacity, &b.routes, 1, dgate, dkept);
        for (size_t i = 0; i < tokens * top_k; i++)
            gate[i] = (double)b.routes.gate.at[i], slope[i] = (double)dgate.at[i];
        CU_ASSERT(check_gradient(tokens * top_k, gate, slope, shared_out, &s) < 2e-6);
        matrix_free(&dkept), matrix_free(&dgate), done(&b);
    }
}

#ifdef REAL_DOUBLE

struct gates { struct batch *b; struct matrix kept, weight; int share_out; };

static double weighed(void *context)
{
    struct gates *g = context;
    double sum = 0;
    capacity_gates(&g->b->capacity, &g->b->routes, g->share_out, g->kept);
    for (size_t i = 0; i < g->kept.rows * g->kept.cols; i++)
        sum += g->weight.at[i] * g->kept.at[i] * (1 + g->kept.at[i]);
    return sum;
}

static void gradients(void)
{
    struct random r = check_random();
    for (int round = 0; round < 60; round++) {
        struct batch b = drawn(&r, (enum routes_gate)(round % 3));
        size_t tokens = b.routes.tokens, top_k = b.routes.top_k;
        struct gates g = {&b, matrix_new(tokens, top_k), check_matrix(&r, tokens, top_k, 1), round & 1};
        struct matrix dkept = matrix_new(tokens, top_k), dgate = matrix_new(tokens, top_k);
        weighed(&g);
        for (size_t i = 0; i < tokens * top_k; i++)
            dkept.at[i] = g.weight.at[i] * (1 + 2 * g.kept.at[i]);
        capacity_gates_backward(&b.capacity, &b.routes, g.share_out, dgate, dkept);
        CU_ASSERT(check_gradient(tokens * top_k, b.routes.gate.at, dgate.at, weighed, &g) < 1e-6);
        matrix_free(&g.kept), matrix_free(&g.weight), matrix_free(&dkept), matrix_free(&dgate);
        done(&b);
    }
}

#endif

/* Every placement there is: the largest sum. */
static double tried(struct matrix scores, size_t t, size_t *taken, size_t slots)
{
    if (t == scores.rows) return 0;
    double most = tried(scores, t + 1, taken, slots);
    for (size_t e = 0; e < scores.cols; e++) {
        if (taken[e] == slots) continue;
        taken[e]++;
        most = fmax(most, (double)matrix_row(scores, t)[e] + tried(scores, t + 1, taken, slots));
        taken[e]--;
    }
    return most;
}

static double placed(const size_t *expert, struct matrix scores, size_t slots)
{
    size_t taken[5] = {0};
    double sum = 0;
    for (size_t t = 0; t < scores.rows; t++) {
        CU_ASSERT_FATAL(expert[t] <= scores.cols);
        taken[expert[t]]++;
        if (expert[t] < scores.cols) sum += (double)matrix_row(scores, t)[expert[t]];
    }
    for (size_t e = 0; e < scores.cols; e++) CU_ASSERT(taken[e] <= slots);
    return sum;
}

static void best_assignment(void)
{
    struct random r = check_random();
    for (int round = 0; round < 2000; round++) {
        size_t expert[7], taken[4] = {0}, slots = random_below(&r, 4);
        struct matrix scores = check_matrix(&r, random_below(&r, 7), 1 + random_below(&r, 4), 4);
        int ties = random_below(&r, 2) == 0, positive = random_below(&r, 2) == 0;
        for (size_t i = 0; i < scores.rows * scores.cols; i++) {
            if (ties) scores.at[i] = (real)floor((double)scores.at[i] / 2);
            if (positive) scores.at[i] = (real)fabs((double)scores.at[i]);
        }
        double sum = assign_best(expert, scores, slots);
        CU_ASSERT_DOUBLE_EQUAL(sum, placed(expert, scores, slots), 1e-6);
        CU_ASSERT_DOUBLE_EQUAL(sum, tried(scores, 0, taken, slots), 1e-6);
        matrix_free(&scores);
    }
}

/* No order of the line drops fewer, nor scores more than the best. */
static void contests(void)
{
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct contest c = contest_new(check_seed() + seed);
        const struct contest_placed *best = &c.by[CONTEST_BEST];
        for (int way = 0; way < CONTEST_WAYS; way++) {
            struct contest_placed again = c.by[way];
            contest_count(&c, &again);
            CU_ASSERT(again.dropped == c.by[way].dropped && again.score == c.by[way].score);
            CU_ASSERT(best->score >= again.score - 1e-9);
        }
        CU_ASSERT_EQUAL(best->dropped, 0); /* as many slots as tokens */
        for (size_t t = 0; t < CONTEST_TOKENS; t++) {
            double most = 0; /* a router places only with the first choice */
            for (size_t e = 0; e < CONTEST_EXPERTS; e++) most = fmax(most, c.score[t][e]);
            for (int way = 0; way < CONTEST_BEST; way++)
                if (c.by[way].expert[t] < CONTEST_EXPERTS) CU_ASSERT_EQUAL(c.score[t][c.by[way].expert[t]], most);
        }
        CU_ASSERT_EQUAL(c.by[CONTEST_POSITION].dropped, c.by[CONTEST_SCORE].dropped);
        CU_ASSERT(c.by[CONTEST_SCORE].score >= c.by[CONTEST_POSITION].score - 1e-9);
    }
}

/* Who places as the best assignment does, scores what it scores. */
static void figure_contest(void)
{
    extern const struct figure_live live5[];
    check_figure(live5, "router", 14, 300);
    for (uint64_t times = 0; times < 30; times++) {
        struct contest c = contest_new(1 + times);
        char line[200];
        int length = snprintf(line, sizeof line, "router %d", (int)times);
        for (size_t t = 0; t < CONTEST_TOKENS; t++)
            length += snprintf(line + length, 10, " %zu", c.by[CONTEST_BEST].expert[t]);
        char *lines = figure_lines(live5, "%s 1", line), *words = figure_words(lines);
        double you = strtod(strstr(words, "score ") + 6, NULL), best = strtod(strstr(words, "assignment: ") + 12, NULL);
        CU_ASSERT(strstr(words, "You placed 12 of 12") && you == best);
        size_t boxes = 0, full = 0, dropped = 0;
        for (const char *box; (box = figure_line_of(lines, "box", boxes)); boxes++)
            full += figure_field(box, 5) == FIGURE_FULL;
        for (int way = 0; way < CONTEST_WAYS; way++) dropped += c.by[way].dropped;
        CU_ASSERT(boxes - full == 48 && full + dropped == 48);
        free(lines), free(words);
    }
    char *lines = figure_lines(live5, "router 0 0 0 0 0 1"), *words = figure_words(lines);
    CU_ASSERT(strstr(words, "You placed 4 of 12") != NULL); /* a fourth token finds no slot */
    const char *fifth = figure_line_of(lines, "choice", 4);
    CU_ASSERT_EQUAL((size_t)figure_field(fifth, 2), 1); /* nor could it have been put there */
    free(lines), free(words);
}

/* At every step what is drawn, what is said and what the loads are agree; whatever the order, as many are dropped. */
static void figure_walk(void)
{
    extern const struct figure_live live5[];
    struct random r = check_random();
    check_figure(live5, "walk", 4, 300);
    for (int round = 0; round < 100; round++) {
        double factor = (double)(1 + random_below(&r, 8)) / 4, hot = (double)(25 + 5 * random_below(&r, 10));
        size_t slots = capacity_slots(factor, 12, 2, 4), finally[ORDERS], partly = random_below(&r, 25);
        for (size_t order = 0; order < ORDERS; order++)
            for (size_t steps = partly; ; steps = 24) {
                char *lines = figure_lines(live5, "walk %g %g %zu %zu", factor, hot, order, steps);
                char *words = figure_words(lines), counted[80];
                size_t kept[4] = {0}, refused[4] = {0}, empty[4] = {0}, waiting = 0, dropped = 0, left = 0;
                const char *box;
                for (size_t i = 0; (box = figure_line_of(lines, "box", i)); i++) {
                    size_t e = (size_t)figure_field(box, 4) - 1;
                    int tone = (int)figure_field(box, 5);
                    if (figure_field(box, 1) < 7) waiting += tone == FIGURE_FULL;
                    else (tone == FIGURE_FULL ? kept : tone == FIGURE_EMPTY ? empty : refused)[e]++;
                }
                for (size_t e = 0; e < 4; e++) {
                    CU_ASSERT_EQUAL(kept[e] + empty[e], slots);
                    CU_ASSERT(!refused[e] || !empty[e]); /* by loads: n - C or C - n */
                    dropped += refused[e], left += empty[e];
                }
                CU_ASSERT_EQUAL(waiting, 24 - steps);
                CU_ASSERT_EQUAL(4 * slots - left + dropped, steps);
                snprintf(counted, sizeof counted, "Of %zu choices %zu dropped; of %zu slots %zu empty.", steps, dropped, 4 * slots, left);
                CU_ASSERT(strstr(words, counted) != NULL);
                free(lines), free(words);
                finally[order] = dropped;
                if (steps == 24) break;
            }
        for (size_t order = 1; order < ORDERS; order++) CU_ASSERT_EQUAL(finally[order], finally[0]);
    }
}

SUITE(5) {
    check_case("the program keeps its promises", program);
    check_case("the lessons are sound", lessons);
    check_case("the best assignment is the best of all there are", best_assignment); /* assign_best */
    check_case("the best assignment drops nobody, and no router scores more", contests);
    check_case("the figure of the walk counts drops and waste as they are", figure_walk);
    check_case("the figure of the contest says what its placements score", figure_contest);
    check_case("slots are rounded up, exactly", slots);
    check_case("drops and waste, counted two ways", sums);
    check_case("every slot holds one choice", every_slot_once);
    check_case("the first in line are kept, in all four orders", right_ones_kept);
    check_case("equal probabilities: position decides", ties_by_position);
    check_case("first choices first, NaN last", first_choices_first);
    check_case("whatever number it is, it goes before NaN", nan_goes_last);
    check_case("kept gates of zero", gates_of_zero);
    check_case("a gate that is NaN stays visible", gates_of_nan);
    check_case("token by token, the first token gets all it wants", token_by_token);
    check_case("by probability and by gate, others are kept", probable_or_weighty);
    check_case("padding takes no slot, and is not dropped", padding_takes_nothing);
    check_case("the order changes who is dropped, not how many", orders_drop_as_many);
    check_case("gates after a drop", gates_after_a_drop);
    check_case("the slope of sharing out is that of its definition", slope_of_sharing_out);
    check_case("slots for all drop none, no slots all", enough_slots);
    check_case("even routes: uniform = 1, no drop, no waste", even_routes);
    check_case("the expectation at known points", expectation);
    check_case("the expectation of real batches", expectation_drawn);
    check_case("13.05 %, 35 and 35, 28.75 and 43", published_numbers);
    check_case("slots as others count them", slots_of_others);
    check_case("skewed batches: loads, shares, moved choices", skewed_batches);
    check_case("exact batches go by largest remainder", largest_remainder);
    check_case("drawn batches follow their shares", drawn_follow_shares);
    check_case("batches that cannot be are refused", rejected);
    check_case("broken contracts abort", contracts);
#ifdef REAL_DOUBLE
    check_case("gradients of the gates, by differences", gradients);
#endif
}
