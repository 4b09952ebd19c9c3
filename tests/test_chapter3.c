/* Chapter 3: top-k routing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "drawn.h"
#include "figures.h"
#include "lessons.h"
#include "router.h"
#include "scores.h"
#include "softmax.h"
#include "topk.h"

extern const struct lesson_table lessons3;

enum { GATES = 5 };
static const enum routes_gate gates[GATES] = {GATE_SOFTMAX, GATE_RENORM, GATE_SIGMOID, GATE_ROOT, GATE_OWN};

static void program(void) { check_program(3, ""); }
static void lessons(void) { check_lessons(&lessons3, 200, ""); }

/* Five rows, all different, one at least with a tie, and the tie rule's experts. */
static void five_different_rows(void)
{
    enum { T = DRAWN_TOKENS, E = DRAWN_EXPERTS };
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct drawn_ties d = drawn_ties(seed);
        int ties = 0;
        for (size_t t = 0; t < T; t++) {
            const real *row = d.z + t * E;
            size_t first = E, last = E;
            real most = row[0];
            for (size_t e = 1; e < E; e++) most = row[e] > most ? row[e] : most;
            for (size_t e = 0; e < E; e++)
                if (row[e] == most) last = e, first = first == E ? e : first;
            CU_ASSERT(d.first[t] == first && d.last[t] == last);
            ties += first != last;
            for (size_t s = 0; s < t; s++) CU_ASSERT(memcmp(row, d.z + s * E, E * sizeof *row));
        }
        CU_ASSERT(ties > 0);
    }
}

/* The claim of lesson 3.3 is true of some tokens and false of others, and no
 * problem leaves in doubt which. Nobody's number is another's, and a wrong
 * convention makes another output. */
static void both_sides_of_a_half(void)
{
    int most = 0;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct drawn_token d = drawn_token(seed, GATE_RENORM), soft = drawn_token(seed, GATE_SOFTMAX);
        size_t sum = 0;
        most += d.kept < 0.5;
        CU_ASSERT(fabs(d.kept - 0.5) > 0.04);
        struct lesson_problem problem = lesson_make(&lessons3.rows[2], seed);
        CU_ASSERT_DOUBLE_EQUAL(problem.right.value[0], 1 - d.kept, 1e-12);
        lesson_free(&problem);
        for (size_t e = 0; e < DRAWN_SIX; e++) {
            sum += d.n[e];
            for (size_t f = 0; f < e; f++) CU_ASSERT(d.out[e] != d.out[f]);
        }
        size_t a = d.n[d.expert[0]], b = d.n[d.expert[1]];
        CU_ASSERT(sum == d.sum && a > b);
        CU_ASSERT_DOUBLE_EQUAL(d.kept, (double)(a + b) / (double)sum, 1e-6);
        CU_ASSERT_DOUBLE_EQUAL(d.y, ((double)a * d.out[d.expert[0]] + (double)b * d.out[d.expert[1]])
                                    / (double)(a + b), 1e-4);
        CU_ASSERT_DOUBLE_EQUAL(soft.y, d.y * d.kept, 1e-4);
    }
    CU_ASSERT(most > 100 && most < 200);
}

/* Twice the experts: the same rows, more idle experts, less kept. */
static void twice_the_experts(void)
{
    double rows = check_value(3, "--experts 4", "topk.expert_rows");
    CU_ASSERT(rows > 0 && rows == check_value(3, "--experts 8", "topk.expert_rows"));
    CU_ASSERT_EQUAL(check_value(3, "--experts 8 --top-k 3", "topk.idle_experts"), 5);
    CU_ASSERT(check_value(3, "--experts 8", "topk.kept_mass")
              < check_value(3, "--experts 4", "topk.kept_mass") - 0.05);
    CU_ASSERT_DOUBLE_EQUAL(check_value(3, "--top-k 4", "topk.kept_mass"), 1, 1e-5);
}

static void too_many_experts(void)
{
    check_refuses(3, (const struct check_refusal[]){
        {"--experts 4 --top-k 5", "number of experts, 4, got 5"}, {NULL, NULL}});
}

/* With the softmax of the logits that the first gate is read from. */
static void weigh(struct routes *routes, enum routes_gate gate, struct matrix z)
{
    struct matrix p = matrix_new(z.rows, z.cols);
    softmax_rows(p, NULL, z);
    routes_weigh(routes, gate, z, p);
    matrix_free(&p);
}

static void weigh_back(const struct routes *routes, enum routes_gate gate, struct matrix dz,
                       struct matrix a, struct matrix z)
{
    struct matrix p = matrix_new(z.rows, z.cols);
    softmax_rows(p, NULL, z);
    routes_weigh_backward(routes, gate, dz, a, z, p);
    matrix_free(&p);
}

/* ---- Selection ---- */

/* Sort all experts: larger logit first, then lower number. */
static const real *sorting;
static int larger_first(const void *left, const void *right)
{
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    if (sorting[a] != sorting[b]) return sorting[a] < sorting[b] ? 1 : -1;
    return a < b ? -1 : 1;
}

static void selection(void)
{
    struct random r = check_random();
    for (int round = 0; round < 200; round++) {
        size_t experts = 1 + random_below(&r, 20), top_k = 1 + random_below(&r, experts);
        size_t order[20];
        struct matrix z = matrix_new(3, experts);
        struct routes routes = routes_new(3, experts, top_k);
        for (size_t i = 0; i < 3 * experts; i++) /* whole numbers: many ties */
            z.at[i] = (real)random_below(&r, round % 2 ? 4 : 1000) - 2;
        routes_select(&routes, z);
        for (size_t t = 0; t < 3; t++) {
            for (size_t e = 0; e < experts; e++) order[e] = e;
            sorting = matrix_row(z, t);
            qsort(order, experts, sizeof *order, larger_first);
            for (size_t k = 0; k < top_k; k++)
                CU_ASSERT_EQUAL(routes_expert(&routes, t, k), order[k]);
        }
        matrix_free(&z), routes_free(&routes);
    }
}

static void ties_everywhere(void)
{
    struct matrix z = matrix_new(4, 6);
    struct routes routes = routes_new(4, 6, 3);
    routes_select(&routes, z);
    for (size_t t = 0; t < 4; t++)
        for (size_t k = 0; k < 3; k++) CU_ASSERT_EQUAL(routes_expert(&routes, t, k), k);
    matrix_free(&z), routes_free(&routes);
}

static void not_numbers(void)
{
    real inf = (real)INFINITY, nan = (real)NAN;
    real rows[][4] = {{nan, 1, nan, 2}, {nan, nan, nan, nan}, {-inf, nan, 0, -inf},
                      {inf, 0, inf, 1}, {-inf, -inf, -inf, -inf}};
    size_t want[][3] = {{3, 1, 0}, {0, 1, 2}, {2, 0, 3}, {0, 2, 3}, {0, 1, 2}};
    struct matrix z = {5, 4, rows[0]};
    struct routes routes = routes_new(5, 4, 3);
    routes_select(&routes, z);
    for (size_t t = 0; t < 5; t++)
        for (size_t k = 0; k < 3; k++)
            CU_ASSERT_EQUAL(routes_expert(&routes, t, k), want[t][k]);
    for (size_t g = 0; g < GATES; g++) {
        weigh(&routes, gates[g], z);
        for (size_t i = 0; i < 15; i++) CU_ASSERT(isnan((double)routes.gate.at[i]));
    }
    routes_free(&routes);
}

/* A NaN that was not chosen spoils its row's gates, and the +inf that was chosen,
 * too; a row beside it keeps what it had. */
static void nan_row(void)
{
    real bad[] = {(real)NAN, (real)INFINITY};
    real row[] = {3, 1, 2, 0}, plain[GATES][2];
    struct routes routes = routes_new(2, 4, 2);
    for (size_t g = 0; g < GATES; g++) {
        struct matrix z = {1, 4, row};
        struct routes one = routes_new(1, 4, 2);
        routes_select(&one, z), weigh(&one, gates[g], z);
        memcpy(plain[g], one.gate.at, sizeof plain[g]);
        routes_free(&one);
    }
    for (size_t b = 0; b < 2; b++)
        for (size_t g = 0; g < GATES; g++) {
            real rows[] = {4, bad[b], 2, 1, 3, 1, 2, 0};
            struct matrix z = {2, 4, rows};
            routes_select(&routes, z);
            CU_ASSERT_EQUAL(routes_expert(&routes, 0, 0), b); /* NaN is last, inf is first */
            weigh(&routes, gates[g], z);
            CU_ASSERT(isnan((double)routes.gate.at[0]) && isnan((double)routes.gate.at[1]));
            CU_ASSERT(!memcmp(routes.gate.at + 2, plain[g], sizeof plain[g]));
        }
    routes_free(&routes);
}

/* -inf forbids an expert: gate 0, the others as if it were not there. */
static void forbidden(void)
{
    real row[] = {1, (real)-INFINITY, 3, (real)-INFINITY}, two[] = {1, 3};
    struct routes routes = routes_new(1, 4, 3), rest = routes_new(1, 2, 2);
    struct matrix z = {1, 4, row}, y = {1, 2, two};
    routes_select(&routes, z), routes_select(&rest, y);
    for (size_t g = 0; g < GATES; g++) {
        weigh(&routes, gates[g], z), weigh(&rest, gates[g], y);
        CU_ASSERT_EQUAL(routes.gate.at[0], rest.gate.at[0]);
        CU_ASSERT_EQUAL(routes.gate.at[1], rest.gate.at[1]);
        CU_ASSERT_EQUAL(routes.gate.at[2], 0);
    }
    routes_free(&routes), routes_free(&rest);
}

static void impossible_k(void) { routes_new(3, 4, 5); }
static void no_k(void) { routes_new(3, 4, 0); }
static void wrong_logits(void)
{
    struct routes routes = routes_new(3, 4, 1);
    routes_select(&routes, matrix_new(3, 5));
}
static void weigh_wrong(void)
{
    struct routes routes = routes_new(3, 4, 2);
    weigh(&routes, GATE_RENORM, matrix_new(2, 4));
}
static void weigh_wrong_p(void)
{
    struct routes routes = routes_new(3, 4, 2);
    routes_weigh(&routes, GATE_SOFTMAX, matrix_new(3, 4), matrix_new(3, 2));
}
static void backward_wrong_p(void)
{
    struct routes routes = routes_new(3, 4, 2);
    routes_weigh_backward(&routes, GATE_SOFTMAX, matrix_new(3, 4), matrix_new(3, 2),
                          matrix_new(3, 4), matrix_new(1, 4));
}
/* A layer for 3 tokens of width 2, given something else. */
static struct topk small_layer(void)
{
    struct random r = random_seeded(1);
    return topk_new((struct topk_sizes){3, 2, 3, 4, 2}, GATE_RENORM, 1, &r);
}
static void slopes_wrong(size_t dy, size_t x)
{
    struct topk layer = small_layer();
    struct router grad = {matrix_new(2, 4)};
    topk_backward(&layer, &grad, matrix_new(3, dy), matrix_new(x, 2));
}
static void slopes_dy(void) { slopes_wrong(5, 3); }
static void slopes_x(void) { slopes_wrong(2, 6); }
static void backward_wrong(size_t dlogits, size_t dgate, size_t logits)
{
    struct routes routes = routes_new(3, 4, 2);
    weigh_back(&routes, GATE_RENORM, matrix_new(3, dlogits), matrix_new(3, dgate),
                        matrix_new(3, logits));
}
static void backward_dlogits(void) { backward_wrong(5, 2, 4); }
static void backward_dgate(void) { backward_wrong(4, 3, 4); }
static void backward_logits(void) { backward_wrong(4, 2, 6); }
static void forward_wrong(size_t y, size_t x)
{
    struct topk layer = small_layer();
    topk_forward(&layer, matrix_new(y, 2), matrix_new(x, 2));
}
static void forward_y(void) { forward_wrong(4, 3); }
static void forward_x(void) { forward_wrong(2, 2); }
static void broken_contracts(void)
{
    check_aborts(weigh_wrong, "routes.c [3, 4] [2, 4]");
    check_aborts(backward_dlogits, "routes.c [3, 4] [3, 5]");
    check_aborts(backward_dgate, "routes.c [3, 2] [3, 3]");
    check_aborts(backward_logits, "routes.c [3, 4] [3, 6]");
    check_aborts(weigh_wrong_p, "routes.c p [3, 4] [3, 2]");
    check_aborts(backward_wrong_p, "routes.c p [3, 4] [1, 4]");
    check_aborts(slopes_dy, "topk.c dy [3, 2] [3, 5]");
    check_aborts(slopes_x, "topk.c x [3, 2] [6, 2]");
    check_aborts(forward_y, "topk.c [3, 2] [4, 2]");
    check_aborts(forward_x, "topk.c [3, 2] [2, 2]");
    check_aborts(impossible_k, "routes.c 5 4");
    check_aborts(no_k, "routes.c 0 4");
    check_aborts(wrong_logits, "routes.c [3, 4] [3, 5]");
}

/* ---- Gates ---- */

static double score_of(enum routes_gate gate, double z)
{
    return gate == GATE_ROOT ? sqrt(log(1 + exp(z))) : 1 / (1 + exp(-z));
}

static void gates_by_definition(void)
{
    struct random r = check_random();
    for (int round = 0; round < 100; round++) {
        size_t experts = 1 + random_below(&r, 12), top_k = 1 + random_below(&r, experts);
        struct matrix z = check_matrix(&r, 5, experts, 4), p = matrix_new(5, experts);
        struct routes routes = routes_new(5, experts, top_k);
        softmax_rows(p, NULL, z);
        routes_select(&routes, z);
        for (size_t g = 0; g < GATES; g++) {
            weigh(&routes, gates[g], z);
            for (size_t t = 0; t < 5; t++) {
                double sum = 0, want;
                for (size_t k = 0; k < top_k; k++) {
                    size_t e = routes_expert(&routes, t, k);
                    double zi = (double)matrix_row(z, t)[e];
                    sum += g == 0 ? 0 : g == 1 ? (double)matrix_row(p, t)[e] : score_of(gates[g], zi);
                }
                for (size_t k = 0; k < top_k; k++) {
                    size_t e = routes_expert(&routes, t, k);
                    double zi = (double)matrix_row(z, t)[e], pi = (double)matrix_row(p, t)[e];
                    want = g == 0 ? pi : g == 1 ? pi / sum
                         : score_of(gates[g], zi) / (gates[g] == GATE_OWN ? 1 : sum);
                    CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(routes.gate, t)[k], want, 1e-6);
                }
            }
        }
        matrix_free(&z), matrix_free(&p), routes_free(&routes);
    }
}

/* Sigmoids that all round to zero: the quotient is 0/0, the gates are not. */
static void deep_sigmoids(void)
{
    real row[] = {-2000, -2001, -3000};
    struct routes routes = routes_new(1, 3, 2);
    struct matrix z = {1, 3, row};
    routes_select(&routes, z);
    weigh(&routes, GATE_SIGMOID, z);
    CU_ASSERT_DOUBLE_EQUAL((double)routes.gate.at[0], 1 / (1 + exp(-1)), 1e-6);
    CU_ASSERT_DOUBLE_EQUAL((double)routes.gate.at[1], 1 / (1 + exp(1)), 1e-6);
    weigh(&routes, GATE_ROOT, z); /* sqrt(exp z) */
    CU_ASSERT_DOUBLE_EQUAL((double)routes.gate.at[0], 1 / (1 + exp(-0.5)), 1e-6);
    CU_ASSERT_EQUAL(scores_log(GATE_ROOT, 1e4), log(1e4) / 2);
    for (double at = -60; at < 60; at += 0.37) /* one curve, where the formula changes too */
        CU_ASSERT_DOUBLE_EQUAL((scores_log(GATE_ROOT, at + 1e-4) - scores_log(GATE_ROOT, at - 1e-4)) / 2e-4,
                               scores_log_slope(GATE_ROOT, at), 1e-6);
    routes_free(&routes);
}

/* ---- Rules: bias, groups, scale, fixed tables ---- */

static void fill(struct routes *routes, const struct scores_rule *rule, struct matrix z)
{
    struct matrix s = matrix_new(z.rows, z.cols), p = matrix_new(z.rows, z.cols);
    softmax_rows(p, NULL, z);
    scores_select(routes, rule, s, z), scores_weigh(routes, rule, z, p);
    matrix_free(&s), matrix_free(&p);
}

/* A rule that names nothing but its gate is chapter 3's. */
static void plain_rule(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 30, 8, 3), p = matrix_new(30, 8);
    struct routes a = routes_new(30, 8, 3), b = routes_new(30, 8, 3);
    for (size_t g = 0; g < GATES; g++) {
        struct scores_rule rule = {.gate = gates[g]};
        fill(&a, &rule, z), routes_fill(&b, gates[g], p, z);
        CU_ASSERT(!memcmp(a.expert, b.expert, 90 * sizeof *a.expert) && check_gap(a.gate, b.gate) == 0);
    }
    matrix_free(&z), matrix_free(&p), routes_free(&a), routes_free(&b);
}

/* The bias decides who is chosen and never what they weigh: of the experts that
 * both choose, the shares are the same; -inf forbids whatever the bias. */
static void bias_selects(void)
{
    real row[] = {2, 1, 0, (real)-INFINITY}, bias[] = {0, -1, 1, 9};
    struct matrix z = {1, 4, row};
    struct routes routes = routes_new(1, 4, 2);
    for (size_t g = 0; g < GATES; g++) {
        double s[4] = {0}, sum = 0;
        struct scores_rule rule = {.gate = gates[g], .bias = bias, .scale = 2.5};
        fill(&routes, &rule, z);
        size_t first = routes_expert(&routes, 0, 0), second = routes_expert(&routes, 0, 1);
        CU_ASSERT(first == 2 && second == 0);
        for (size_t e = 0; e < 3; e++) s[e] = g < 2 ? exp((double)row[e]) : score_of(gates[g], (double)row[e]);
        sum = g == 0 ? s[0] + s[1] + s[2] : gates[g] == GATE_OWN ? 1 : s[0] + s[2];
        CU_ASSERT_DOUBLE_EQUAL((double)routes.gate.at[0], 2.5 * s[2] / sum, 1e-6);
        CU_ASSERT_DOUBLE_EQUAL((double)routes.gate.at[1], 2.5 * s[0] / sum, 1e-6);
    }
    routes_free(&routes);
}

/* Against a search over all sets of groups: the open ones are the best, and the
 * chosen the best of those; with 0 for closed ones, a closed expert can win. */
static void groups_by_search(void)
{
    enum { E = 12, GROUPS = 4, SIZE = E / GROUPS };
    struct random r = check_random();
    for (int round = 0; round < 300; round++) {
        struct matrix z = check_matrix(&r, 1, E, 3), s = matrix_new(1, E);
        real bias[E];
        size_t open = 1 + random_below(&r, GROUPS), best = 1 + random_below(&r, SIZE);
        size_t top_k = 1 + random_below(&r, open * SIZE), leak = 0;
        struct scores_rule rule = {.gate = GATE_SIGMOID, .bias = bias, .groups = GROUPS, .open = open,
                                   .best = best, .zeros = round % 2};
        struct routes routes = routes_new(1, E, top_k);
        double key[E], value[GROUPS] = {0};
        int is_open[GROUPS];
        for (size_t e = 0; e < E; e++) {
            bias[e] = (real)random_symmetric(&r, 1);
            key[e] = 1 / (1 + exp(-(double)z.at[e])) + (double)bias[e];
        }
        for (size_t g = 0; g < GROUPS; g++) {
            for (size_t e = 0; e < SIZE; e++) {
                size_t above = 0;
                for (size_t f = 0; f < SIZE; f++) above += key[g * SIZE + f] > key[g * SIZE + e];
                value[g] += above < best ? key[g * SIZE + e] : 0;
            }
        }
        for (size_t g = 0; g < GROUPS; g++) {
            size_t above = 0;
            for (size_t h = 0; h < GROUPS; h++) above += value[h] > value[g];
            is_open[g] = above < open;
        }
        scores_select(&routes, &rule, s, z);
        for (size_t k = 0; k < top_k; k++) {
            size_t chosen = routes_expert(&routes, 0, k), above = 0;
            double mine = is_open[chosen / SIZE] ? key[chosen] : rule.zeros ? 0 : -INFINITY;
            for (size_t e = 0; e < E; e++) {
                double its = is_open[e / SIZE] ? key[e] : rule.zeros ? 0 : -INFINITY;
                above += its > mine;
            }
            CU_ASSERT(above <= k);
            leak += !is_open[chosen / SIZE];
        }
        CU_ASSERT(rule.zeros || !leak);
        matrix_free(&z), matrix_free(&s), routes_free(&routes);
    }
}

static void bad_groups(size_t groups, size_t open, size_t best)
{
    struct routes routes = routes_new(1, 12, 4);
    struct scores_rule rule = {.groups = groups, .open = open, .best = best};
    scores_select(&routes, &rule, matrix_new(1, 12), matrix_new(1, 12));
}
static void uneven_groups(void) { bad_groups(5, 2, 1); }
static void too_few_open(void) { bad_groups(4, 1, 1); }
static void best_of_more(void) { bad_groups(4, 2, 4); }
static void groups_refused(void)
{
    check_aborts(uneven_groups, "scores.c 2 5 groups");
    check_aborts(too_few_open, "scores.c 1 4 groups");
    check_aborts(best_of_more, "scores.c 2 4 groups");
}

/* K different experts, by the number alone, and all of them get some. */
static void hash_is_fixed(void)
{
    enum { T = 60, E = 8, K = 3 };
    struct routes routes = routes_new(T, E, K);
    size_t number[T], count[E] = {0};
    for (size_t t = 0; t < T; t++) number[t] = t % 30;
    scores_hash(&routes, number);
    for (size_t t = 0; t < T; t++)
        for (size_t k = 0; k < K; k++) {
            size_t e = routes_expert(&routes, t, k);
            CU_ASSERT(e < E && e == routes_expert(&routes, t % 30, k));
            for (size_t j = 0; j < k; j++) CU_ASSERT(e != routes_expert(&routes, t, j));
            count[e]++;
        }
    for (size_t e = 0; e < E; e++) CU_ASSERT(count[e] > 0);
    routes_free(&routes);
}

static void all_kept(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 10, 5, 2);
    struct routes a = routes_new(10, 5, 5), b = routes_new(10, 5, 5);
    routes_select(&a, z), routes_select(&b, z);
    weigh(&a, GATE_SOFTMAX, z), weigh(&b, GATE_RENORM, z);
    for (size_t i = 0; i < 50; i++)
        CU_ASSERT_DOUBLE_EQUAL((double)a.gate.at[i], (double)b.gate.at[i], 1e-7);
    matrix_free(&z), routes_free(&a), routes_free(&b);
}

/* ---- The layer ---- */

struct layer { struct matrix x, y, naive; struct topk topk; };

enum { WIDTH = 5, HIDDEN = 7 };

/* A layer of odd experts, and tokens that are routed by random logits. */
static struct layer layer_new(struct random *r, size_t tokens, size_t experts, size_t top_k,
                              enum routes_gate gate)
{
    struct layer l = {check_matrix(r, tokens, WIDTH, 1), matrix_new(tokens, WIDTH),
        matrix_new(tokens, WIDTH),
        topk_new((struct topk_sizes){tokens, WIDTH, HIDDEN, experts, top_k}, gate, 2, r)};
    struct matrix z = check_matrix(r, tokens, experts, 2);
    for (size_t e = 0; e < experts; e++) {
        if (e % 2) l.topk.experts[e].activation = FFN_GELU;
        for (size_t d = 0; d < WIDTH; d++)
            l.topk.experts[e].b2.at[d] = (real)random_symmetric(r, 1);
    }
    row_copy(l.topk.z.at, z.at, tokens * experts);
    routes_fill(&l.topk.routes, gate, l.topk.p, l.topk.z);
    matrix_free(&z);
    return l;
}

static void layer_free(struct layer *l)
{
    matrix_free(&l->x), matrix_free(&l->y), matrix_free(&l->naive);
    topk_free(&l->topk);
}

static void naive_and_gathered(void)
{
    struct random r = check_random();
    for (int round = 0; round < 100; round++) {
        size_t tokens = round % 10 == 0 ? 0 : round % 10 == 1 ? 1 : random_below(&r, 30);
        size_t experts = round % 7 ? 1 + random_below(&r, 8) : 1;
        size_t top_k = round % 5 ? 1 + random_below(&r, experts) : experts;
        struct layer l = layer_new(&r, tokens, experts, top_k, gates[round % GATES]);
        topk_forward(&l.topk, l.y, l.x);
        CU_ASSERT_EQUAL(l.topk.expert_rows, top_k * tokens); /* exactly K T */
        l.topk.expert_rows = 0;
        topk_forward_naive(&l.topk, l.naive, l.x);
        CU_ASSERT_EQUAL(l.topk.expert_rows, experts * tokens);
        for (size_t i = 0; i < tokens * WIDTH; i++)
            CU_ASSERT_DOUBLE_EQUAL((double)l.y.at[i], (double)l.naive.at[i], 1e-5);
        layer_free(&l);
    }
}

/* One token at a time, straight from the sum in the text. */
static void by_formula(void)
{
    struct random r = check_random();
    struct layer l = layer_new(&r, 20, 6, 3, GATE_RENORM);
    struct ffn_trace trace = ffn_trace_new(1, HIDDEN);
    struct matrix one = matrix_new(1, WIDTH);
    topk_forward(&l.topk, l.y, l.x);
    for (size_t t = 0; t < 20; t++) {
        double want[WIDTH] = {0};
        for (size_t k = 0; k < 3; k++) {
            struct matrix row = {1, WIDTH, matrix_row(l.x, t)};
            ffn_forward(&l.topk.experts[routes_expert(&l.topk.routes, t, k)], one, row, &trace);
            for (size_t d = 0; d < WIDTH; d++)
                want[d] += (double)matrix_row(l.topk.routes.gate, t)[k] * (double)one.at[d];
        }
        for (size_t d = 0; d < WIDTH; d++)
            CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(l.y, t)[d], want[d], 1e-5);
    }
    matrix_free(&one), ffn_trace_free(&trace), layer_free(&l);
}

/* E(g x), not g E(x): token by token; and the last experts give back what went in. */
static void gates_on_inputs(void)
{
    struct random r = check_random();
    for (int round = 0; round < 20; round++) {
        struct layer l = layer_new(&r, 9, 6, 2, GATE_OWN);
        struct ffn_trace trace = ffn_trace_new(1, HIDDEN);
        struct matrix in = matrix_new(1, WIDTH), one = matrix_new(1, WIDTH);
        size_t runs = 0;
        l.topk.gate_in = round % 2, l.topk.identities = round % 3;
        topk_forward(&l.topk, l.y, l.x), topk_forward_naive(&l.topk, l.naive, l.x);
        CU_ASSERT(check_gap(l.y, l.naive) < 1e-6);
        for (size_t t = 0; t < 9; t++) {
            double want[WIDTH] = {0};
            for (size_t k = 0; k < 2; k++) {
                size_t e = routes_expert(&l.topk.routes, t, k);
                real g = matrix_row(l.topk.routes.gate, t)[k];
                for (size_t d = 0; d < WIDTH; d++)
                    in.at[d] = matrix_row(l.x, t)[d] * (round % 2 ? g : 1);
                if (e >= 6 - l.topk.identities) row_copy(one.at, in.at, WIDTH);
                else ffn_forward(&l.topk.experts[e], one, in, &trace), runs++;
                for (size_t d = 0; d < WIDTH; d++) want[d] += (double)(one.at[d] * (round % 2 ? 1 : g));
            }
            for (size_t d = 0; d < WIDTH; d++)
                CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(l.y, t)[d], want[d], 1e-5);
        }
        l.topk.expert_rows = 0, topk_forward(&l.topk, l.y, l.x);
        CU_ASSERT_EQUAL(l.topk.expert_rows, runs); /* an identity is no work */
        matrix_free(&in), matrix_free(&one), ffn_trace_free(&trace), layer_free(&l);
    }
}

/* A mixture with one expert is the dense block, whatever the gate: alone it is 1. */
static void one_expert_is_dense(void)
{
    struct random r = check_random();
    struct layer l = layer_new(&r, 12, 1, 1, GATE_SIGMOID);
    struct ffn_trace trace = ffn_trace_new(12, HIDDEN);
    ffn_forward(&l.topk.experts[0], l.naive, l.x, &trace);
    for (size_t g = 0; gates[g] != GATE_OWN; g++) {
        weigh(&l.topk.routes, gates[g], l.topk.z);
        topk_forward(&l.topk, l.y, l.x);
        CU_ASSERT(!memcmp(l.y.at, l.naive.at, 12 * WIDTH * sizeof(real)));
    }
    ffn_trace_free(&trace), layer_free(&l);
}

static void permuted_tokens(void)
{
    struct random r = check_random();
    struct layer l = layer_new(&r, 24, 6, 2, GATE_RENORM);
    struct matrix moved = matrix_new(24, WIDTH), out = matrix_new(24, WIDTH);
    size_t expert[48];
    topk_route(&l.topk, l.x), topk_forward(&l.topk, l.y, l.x);
    memcpy(expert, l.topk.routes.expert, sizeof expert);
    for (size_t t = 0; t < 24; t++)
        memcpy(matrix_row(moved, t * 5 % 24), matrix_row(l.x, t), WIDTH * sizeof(real));
    topk_route(&l.topk, moved), topk_forward(&l.topk, out, moved);
    for (size_t t = 0; t < 24; t++) {
        for (size_t k = 0; k < 2; k++)
            CU_ASSERT_EQUAL(routes_expert(&l.topk.routes, t * 5 % 24, k), expert[2 * t + k]);
        CU_ASSERT(!memcmp(matrix_row(out, t * 5 % 24), matrix_row(l.y, t), WIDTH * sizeof(real)));
    }
    matrix_free(&moved), matrix_free(&out), layer_free(&l);
}

/* A NaN logit spoils its own token's output, and no other; a NaN in a token, too. */
static void nan_is_seen(void)
{
    struct random r = check_random();
    struct layer l = layer_new(&r, 6, 4, 2, GATE_RENORM);
    for (size_t g = 0; g < 2 * GATES; g++) {
        l.topk.gate = gates[g % GATES];
        if (g == GATES) matrix_row(l.x, 3)[1] = (real)NAN;
        topk_route(&l.topk, l.x);
        if (g < GATES) {
            matrix_row(l.topk.z, 3)[1] = (real)NAN;
            routes_fill(&l.topk.routes, gates[g], l.topk.p, l.topk.z);
        }
        topk_forward(&l.topk, l.y, l.x);
        for (size_t i = 0; i < 6 * WIDTH; i++)
            CU_ASSERT_EQUAL(!!isnan((double)l.y.at[i]), i / WIDTH == 3);
    }
    layer_free(&l);
}

/* ---- Padding ---- */

/* Real tokens, with `left` tokens of padding before them and `right` behind. */
static void padded(struct random *r, size_t left, size_t real_tokens, size_t right)
{
    size_t all = left + real_tokens + right, experts = 5, top_k = 2;
    unsigned char *valid = calloc(all + 1, 1);
    double *log_z = calloc(all + 1, sizeof *log_z);
    CU_ASSERT_FATAL(valid != NULL && log_z != NULL);
    memset(valid + left, 1, real_tokens);
    struct matrix z = check_matrix(r, all, experts, 2), p = matrix_new(all, experts);
    struct matrix dz = matrix_new(all, experts), dgate = check_matrix(r, all, top_k, 1);
    struct matrix only = matrix_rows(z, left, real_tokens), only_p = matrix_new(real_tokens, experts);
    struct matrix only_dz = matrix_new(real_tokens, experts);
    struct routes with = routes_new(all, experts, top_k), without = routes_new(real_tokens, experts, top_k);
    for (size_t g = 0; g < GATES; g++) {
        for (size_t t = 0; t < all; t++)
            if (!valid[t]) matrix_row(z, t)[t % experts] = g ? 100 : (real)NAN;
        softmax_rows(p, log_z, z);
        routes_select(&with, z), routes_weigh(&with, gates[g], z, p);
        CU_ASSERT_EQUAL(with.valid, all);
        routes_mask(&with, valid, &p, log_z);
        routes_fill(&without, gates[g], only_p, only);
        CU_ASSERT_EQUAL(with.valid, real_tokens);
        CU_ASSERT_EQUAL(without.valid, real_tokens);
        /* The same mean as without padding, and no NaN from it. */
        CU_ASSERT_EQUAL(routes_kept(&with, p), routes_kept(&without, only_p));
        routes_weigh_backward(&with, gates[g], dz, dgate, z, p);
        routes_weigh_backward(&without, gates[g], only_dz, matrix_rows(dgate, left, real_tokens),
                              only, only_p);
        for (size_t t = 0; t < all; t++) {
            for (size_t k = 0; k < top_k; k++) {
                if (valid[t]) {
                    CU_ASSERT_EQUAL(routes_expert(&with, t, k), routes_expert(&without, t - left, k));
                    CU_ASSERT_EQUAL(matrix_row(with.gate, t)[k], matrix_row(without.gate, t - left)[k]);
                } else {
                    CU_ASSERT_EQUAL(routes_expert(&with, t, k), ROUTES_NONE);
                    CU_ASSERT_EQUAL(matrix_row(with.gate, t)[k], 0);
                }
            }
            for (size_t e = 0; e < experts; e++) {
                CU_ASSERT_EQUAL(matrix_row(dz, t)[e], valid[t] ? matrix_row(only_dz, t - left)[e] : 0);
                CU_ASSERT(valid[t] || matrix_row(p, t)[e] == 0);
            }
            CU_ASSERT(valid[t] ? log_z[t] != 0 : log_z[t] == 0);
        }
        /* Weighed again, padding stays out. */
        routes_weigh(&with, gates[g], z, p);
        for (size_t t = 0; t < all; t++)
            CU_ASSERT(valid[t] || matrix_row(with.gate, t)[0] == 0);
    }
    matrix_free(&z), matrix_free(&p), matrix_free(&dz), matrix_free(&dgate);
    matrix_free(&only_p), matrix_free(&only_dz), routes_free(&with), routes_free(&without);
    free(valid), free(log_z);
}

static void padding(void)
{
    struct random r = check_random();
    for (int round = 0; round < 10; round++) {
        padded(&r, 0, 8, 3);
        padded(&r, 3, 8, 0);
        padded(&r, 2, 5, 4);
        padded(&r, 0, 6, 0);
        padded(&r, 4, 0, 0);
    }
}

/* NULL: all are valid, also after another mask; and selecting starts anew. */
static void unmasked(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 6, 4, 2);
    struct routes routes = routes_new(6, 4, 2);
    unsigned char valid[6] = {1, 0, 1, 0, 0, 1};
    routes_select(&routes, z), weigh(&routes, GATE_RENORM, z);
    routes_mask(&routes, valid, NULL, NULL);
    CU_ASSERT_EQUAL(routes.valid, 3);
    routes_select(&routes, z), weigh(&routes, GATE_RENORM, z);
    CU_ASSERT_EQUAL(routes.valid, 6);
    routes_mask(&routes, NULL, NULL, NULL);
    CU_ASSERT_EQUAL(routes.valid, 6);
    for (size_t t = 0; t < 6; t++) CU_ASSERT(routes_expert(&routes, t, 0) < 4);
    matrix_free(&z), routes_free(&routes);
}

/* No expert computes a padding token: its output is 0, the others' are theirs. */
static void padding_in_the_layer(void)
{
    struct random r = check_random();
    struct layer l = layer_new(&r, 8, 4, 2, GATE_RENORM);
    unsigned char valid[8] = {1, 1, 0, 1, 0, 0, 1, 1};
    struct matrix all = matrix_new(8, WIDTH), dy = check_matrix(&r, 8, WIDTH, 1);
    struct router grad = {matrix_new(WIDTH, 4)};
    topk_forward(&l.topk, all, l.x);
    topk_backward(&l.topk, &grad, dy, l.x); /* what it leaves is not read again */
    routes_mask(&l.topk.routes, valid, NULL, NULL);
    l.topk.expert_rows = 0;
    topk_forward(&l.topk, l.y, l.x);
    CU_ASSERT_EQUAL(l.topk.expert_rows, 2 * 5);
    topk_forward_naive(&l.topk, l.naive, l.x);
    topk_backward(&l.topk, &grad, dy, l.x);
    for (size_t t = 0; t < 8; t++) {
        for (size_t d = 0; d < WIDTH; d++) {
            CU_ASSERT_EQUAL(matrix_row(l.y, t)[d], valid[t] ? matrix_row(all, t)[d] : 0);
            CU_ASSERT(valid[t] || matrix_row(l.naive, t)[d] == 0);
        }
        CU_ASSERT((matrix_row(l.topk.dgate, t)[0] != 0) == valid[t]);
        for (size_t e = 0; e < 4; e++) CU_ASSERT(valid[t] || matrix_row(l.topk.dz, t)[e] == 0);
    }
    matrix_free(&all), matrix_free(&dy), router_free(&grad), layer_free(&l);
}

/* ---- What is kept ---- */

static void kept_mass(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 40, 6, 2), p = matrix_new(40, 6);
    double before = 0;
    for (size_t k = 1; k <= 6; k++) {
        struct routes routes = routes_new(40, 6, k);
        double sum = 0, kept;
        routes_fill(&routes, GATE_SOFTMAX, p, z); /* gates are what is kept */
        for (size_t i = 0; i < 40 * k; i++) sum += (double)routes.gate.at[i];
        kept = routes_kept(&routes, p);
        CU_ASSERT_DOUBLE_EQUAL(kept, sum / 40, 1e-12);
        CU_ASSERT(kept > before && kept > (double)k / 6 - 1e-6);
        before = kept;
        routes_free(&routes);
    }
    CU_ASSERT_DOUBLE_EQUAL(before, 1, 1e-6);
    struct routes none = routes_new(0, 6, 2), routes = routes_new(40, 6, 2);
    CU_ASSERT_EQUAL(routes_kept(&none, matrix_rows(p, 0, 0)), 0);
    matrix_row(z, 7)[2] = (real)NAN;
    routes_fill(&routes, GATE_RENORM, p, z);
    CU_ASSERT(isnan(routes_kept(&routes, p)));
    matrix_free(&z), matrix_free(&p), routes_free(&none), routes_free(&routes);
}

/* ---- The card's demand ---- */

/* The fractions that the loss is made of sum to 1: f over the experts, and
 * the gates of each token where they are normalized. With zero logits and the
 * tie rule, f is as uneven as it can be and E * sum(f P) is 1 all the same. */
static void uniform_is_one(void)
{
    static const size_t sizes[] = {2, 3, 4, 8, 60, 64, 256};
    struct random r = check_random();
    for (size_t i = 0; i < 14; i++) {
        size_t experts = sizes[i / 2], tokens = 50, top_k = 1 + random_below(&r, experts);
        int zero = i % 2;
        struct matrix z = check_matrix(&r, tokens, experts, zero ? 0 : 2), p = matrix_new(tokens, experts);
        struct routes routes = routes_new(tokens, experts, top_k);
        double *f = calloc(experts, sizeof *f), sum = 0, loss = 0;
        CU_ASSERT_FATAL(f != NULL);
        softmax_rows(p, NULL, z);
        routes_select(&routes, z), weigh(&routes, GATE_RENORM, z);
        for (size_t t = 0; t < tokens; t++) {
            double gate = 0;
            for (size_t k = 0; k < top_k; k++) {
                f[routes_expert(&routes, t, k)] += 1 / (double)(top_k * tokens);
                gate += (double)matrix_row(routes.gate, t)[k];
            }
            CU_ASSERT_DOUBLE_EQUAL(gate, 1, 1e-5);
        }
        for (size_t e = 0; e < experts; e++) {
            double mean = 0;
            for (size_t t = 0; t < tokens; t++) mean += (double)matrix_row(p, t)[e] / (double)tokens;
            sum += f[e];
            loss += (double)experts * f[e] * mean;
        }
        CU_ASSERT_DOUBLE_EQUAL(sum, 1, 1e-9);
        if (zero) CU_ASSERT_DOUBLE_EQUAL(loss, 1, 1e-6);
        free(f);
        matrix_free(&z), matrix_free(&p), routes_free(&routes);
    }
}

/* ---- Gradients ---- */

/* One renormalized expert: the router hears nothing. */
static void top_one_hears_nothing(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 15, 6, 2), a = check_matrix(&r, 15, 1, 3);
    struct matrix dz = matrix_new(15, 6);
    struct routes routes = routes_new(15, 6, 1);
    routes_select(&routes, z);
    for (size_t g = 0; g < GATES; g++) {
        double sum = 0;
        weigh(&routes, gates[g], z);
        weigh_back(&routes, gates[g], dz, a, z);
        for (size_t i = 0; i < 90; i++) sum += fabs((double)dz.at[i]);
        CU_ASSERT((sum == 0) == (gates[g] != GATE_SOFTMAX && gates[g] != GATE_OWN));
    }
    matrix_free(&z), matrix_free(&a), matrix_free(&dz), routes_free(&routes);
}

#ifdef REAL_DOUBLE

struct weighing { struct routes routes; enum routes_gate gate; struct matrix z, a, dz; };

/* The selection is held fixed: only the gates move. */
static double gate_loss(void *context)
{
    struct weighing *w = context;
    double sum = 0;
    weigh(&w->routes, w->gate, w->z);
    for (size_t i = 0; i < w->a.rows * w->a.cols; i++) sum += w->routes.gate.at[i] * w->a.at[i];
    return sum;
}

/* The distance from the K-th logit to the next, least over the rows. */
static double margin(const struct weighing *w)
{
    double least = INFINITY;
    for (size_t t = 0; t < w->z.rows; t++)
        for (size_t e = 0; e < w->z.cols; e++) {
            int chosen = 0;
            double last = 0;
            for (size_t k = 0; k < w->routes.top_k; k++) {
                chosen |= routes_expert(&w->routes, t, k) == e;
                last = matrix_row(w->z, t)[routes_expert(&w->routes, t, k)];
            }
            if (!chosen) least = fmin(least, last - matrix_row(w->z, t)[e]);
        }
    return least;
}

static void gradients(void)
{
    struct random r = check_random();
    for (int round = 0, tries = 0; round < 60; tries++) {
        CU_ASSERT_FATAL(tries < 5000);
        size_t experts = 2 + random_below(&r, 6), top_k = 1 + random_below(&r, experts);
        size_t tokens = 1 + random_below(&r, 4);
        struct weighing w = {routes_new(tokens, experts, top_k), gates[round % GATES],
            check_matrix(&r, tokens, experts, 3), check_matrix(&r, tokens, top_k, 1),
            matrix_new(tokens, experts)};
        routes_select(&w.routes, w.z);
        if (margin(&w) > 1e-3) { /* no choice flips within a step */
            gate_loss(&w);
            weigh_back(&w.routes, w.gate, w.dz, w.a, w.z);
            int zero = top_k == 1 && w.gate != GATE_SOFTMAX && w.gate != GATE_OWN;
            double error = check_gradient(tokens * experts, w.z.at, w.dz.at, gate_loss, &w);
            CU_ASSERT(zero || error < 1e-6);
            round++;
        }
        matrix_free(&w.z), matrix_free(&w.a), matrix_free(&w.dz), routes_free(&w.routes);
    }
}

/* Scaled gates: scores_weigh's slope is scores_backward's. */
struct ruled { struct routes routes; struct scores_rule rule; struct matrix z, p, a; };

static double ruled_loss(void *context)
{
    struct ruled *w = context;
    softmax_rows(w->p, NULL, w->z);
    scores_weigh(&w->routes, &w->rule, w->z, w->p);
    return row_dot(w->routes.gate.at, w->a.at, w->a.rows * w->a.cols);
}

static void scaled_gradients(void)
{
    enum { T = 3, E = 7, K = 3 };
    struct random r = check_random();
    real bias[E];
    for (size_t e = 0; e < E; e++) bias[e] = random_symmetric(&r, 1);
    for (size_t g = 0; g < GATES; g++) {
        struct ruled w = {routes_new(T, E, K), {.gate = gates[g], .bias = bias, .scale = 2.5},
            check_matrix(&r, T, E, 3), matrix_new(T, E), check_matrix(&r, T, K, 1)};
        struct matrix dz = matrix_new(T, E), s = matrix_new(T, E);
        scores_select(&w.routes, &w.rule, s, w.z);
        ruled_loss(&w);
        double before = w.routes.gate.at[0];
        scores_backward(&w.routes, &w.rule, dz, w.a, w.z, w.p);
        CU_ASSERT(w.routes.gate.at[0] == before);
        CU_ASSERT(check_gradient(T * E, w.z.at, dz.at, ruled_loss, &w) < 1e-6);
        matrix_free(&w.z), matrix_free(&w.p), matrix_free(&w.a), matrix_free(&dz), matrix_free(&s);
        routes_free(&w.routes);
    }
}

/* From the router's matrix through logits, gates and experts to a sum of outputs;
 * the choices are held fixed. */
struct through { struct layer *layer; struct matrix dy; };

static double layer_loss(void *context)
{
    struct through *c = context;
    struct topk *t = &c->layer->topk;
    router_forward(&t->router, t->z, c->layer->x);
    weigh(&t->routes, t->gate, t->z);
    topk_forward(t, c->layer->y, c->layer->x);
    return row_dot(c->layer->y.at, c->dy.at, c->dy.rows * c->dy.cols);
}

static void layer_gradients(void)
{
    struct random r = check_random();
    for (int round = 0; round < 30; round++) {
        size_t experts = 2 + random_below(&r, 5), top_k = 1 + random_below(&r, experts);
        struct layer l = layer_new(&r, 4, experts, top_k, gates[round % GATES]);
        struct through c = {&l, check_matrix(&r, 4, WIDTH, 1)};
        l.topk.gate_in = round / GATES % 2, l.topk.identities = round % 2;
        struct router grad = {matrix_new(WIDTH, experts)};
        topk_route(&l.topk, l.x);
        topk_backward(&l.topk, &grad, c.dy, l.x);
        int zero = top_k == 1 && l.topk.gate != GATE_SOFTMAX && l.topk.gate != GATE_OWN;
        CU_ASSERT(zero ? matrix_squares(grad.w) == 0
                  : check_gradient(WIDTH * experts, l.topk.router.w.at, grad.w.at, layer_loss, &c) < 1e-6);
        router_free(&grad), matrix_free(&c.dy), layer_free(&l);
    }
}

#endif

/* The figure's gates against the formulas: each kind sums to one, but for what the first throws away. */
static void figure_token(void)
{
    extern const struct figure_live live3[];
    struct random r = check_random();
    check_figure(live3, "token", 5, 500);
    for (int round = 0; round < 300; round++) {
        double z[4], part[3] = {0}, all = 0, kept = 0;
        size_t k = 1 + random_below(&r, 4);
        for (size_t e = 0; e < 4; e++) all += exp(z[e] = (double)random_below(&r, 33) / 4 - 4);
        char *lines = figure_lines(live3, "token %g %g %g %g %zu", z[0], z[1], z[2], z[3], k);
        const char *box, *words;
        for (size_t i = 0; (box = figure_line_of(lines, "box", i)); i++) {
            double y = figure_field(box, 1), width = figure_field(box, 2);
            int kind = (int)(y - 13) / 4;
            if (y < 13) { /* the softmax */
                size_t e = (size_t)figure_field(box, 4) - 1;
                CU_ASSERT_DOUBLE_EQUAL(width / 20, exp(z[e]) / all, 1e-3);
                if (figure_field(box, 5) == FIGURE_FULL) kept += exp(z[e]) / all;
            } else if (figure_field(box, 5) == FIGURE_FULL) part[kind] += width / 35;
            else CU_ASSERT(kind == GATE_SOFTMAX && figure_field(box, 5) == FIGURE_EMPTY);
        }
        CU_ASSERT_DOUBLE_EQUAL(part[GATE_SOFTMAX], kept, 2e-3);
        CU_ASSERT_DOUBLE_EQUAL(part[GATE_RENORM], 1, 2e-3);
        CU_ASSERT_DOUBLE_EQUAL(part[GATE_SIGMOID], 1, 2e-3);
        words = strstr(lines, "The softmax keeps ");
        CU_ASSERT_FATAL(words != NULL);
        CU_ASSERT_DOUBLE_EQUAL(strtod(words + 18, NULL), kept, 6e-4);
        free(lines);
    }
}

SUITE(3) {
    check_case("the program keeps its promises", program);
    check_case("the lessons are sound", lessons);
    check_case("the figure of one token keeps, and throws away, what the formulas say", figure_token);
    check_case("lesson 3.2 draws five different rows", five_different_rows);
    check_case("lesson 3.3 discards most of some tokens, not of others", both_sides_of_a_half);
    check_case("twice the experts: the same rows, more idle, less kept", twice_the_experts);
    check_case("more choices than experts are refused", too_many_experts);
    check_case("selection agrees with a full sort, ties included", selection);
    check_case("ties everywhere: experts 0 to K - 1", ties_everywhere);
    check_case("NaN and infinite logits", not_numbers);
    check_case("a NaN or +inf spoils its row's gates, and no other's", nan_row);
    check_case("-inf forbids an expert", forbidden);
    check_case("broken contracts abort and say so", broken_contracts);
    check_case("the five gates agree with their definitions", gates_by_definition);
    check_case("a rule that names only its gate is chapter 3's", plain_rule); /* scores_select scores_weigh */
    check_case("a bias selects and does not weigh; -inf forbids", bias_selects); /* scores_rule */
    check_case("groups agree with a search", groups_by_search); /* scores_select */
    check_case("groups that do not fit are refused", groups_refused);
    check_case("a hash: K different, by the number alone", hash_is_fixed); /* scores_hash */
    check_case("scores that all round to zero", deep_sigmoids); /* scores_log scores_log_slope */
    check_case("K = E: softmax first or last, the same gates", all_kept);
    check_case("naive and gathered agree; exactly K T rows", naive_and_gathered);
    check_case("the layer agrees with its formula", by_formula);
    check_case("gates on inputs, and identities, by formula", gates_on_inputs);
    check_case("one expert is the dense block", one_expert_is_dense);
    check_case("permuted tokens give permuted routes and rows", permuted_tokens);
    check_case("a NaN reaches its own output, and no other", nan_is_seen);
    check_case("padding adds to no sum and gets no slope, left, right or all", padding);
    check_case("no mask, or selecting again: all tokens are valid", unmasked);
    check_case("no expert computes a padding token", padding_in_the_layer);
    check_case("kept mass: the softmax's gates; 1 if all are kept; NaN shows", kept_mass);
    check_case("fractions sum to 1: uniform = 1", uniform_is_one);
    check_case("one renormalized expert teaches nothing", top_one_hears_nothing);
#ifdef REAL_DOUBLE
    check_case("gradients of the gates, by differences", gradients);
    check_case("gradients of scaled gates, by differences", scaled_gradients); /* scores_backward */
    check_case("the router's gradient, from the output, by differences", layer_gradients);
#endif
}
