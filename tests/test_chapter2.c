/* Chapter 2: the router. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "hand.h"
#include "lessons.h"
#include "router.h"
#include "softmax.h"

extern const struct lesson_table lessons2;

#ifdef REAL_DOUBLE
#define EPSILON DBL_EPSILON
#else
#define EPSILON FLT_EPSILON
#endif

static void program(void) { check_program(2, ""); }
static void lessons(void) { check_lessons(&lessons2, 200, ""); }

/* ---- The softmax ---- */

static double row_sum(struct matrix p, size_t t)
{
    double sum = 0;
    for (size_t i = 0; i < p.cols; i++) sum += (double)matrix_row(p, t)[i];
    return sum;
}

static void rows_sum_to_one(void)
{
    static const size_t sizes[] = {1, 2, 3, 4, 8, 60, 64, 256};
    static const double spreads[] = {0, 1e-3, 1, 30, 1e4};
    struct random r = check_random();
    for (size_t s = 0; s < 8; s++)
        for (size_t a = 0; a < 5; a++) {
            size_t experts = sizes[s];
            struct matrix z = check_matrix(&r, 20, experts, spreads[a]);
            struct matrix p = matrix_new(20, experts);
            softmax_rows(p, NULL, z);
            for (size_t t = 0; t < 20; t++) {
                CU_ASSERT(fabs(row_sum(p, t) - 1) <= ((double)experts + 1) * EPSILON / 2);
                for (size_t i = 0; i < experts; i++)
                    CU_ASSERT(matrix_row(p, t)[i] >= 0 && matrix_row(p, t)[i] <= 1);
            }
            matrix_free(&z), matrix_free(&p);
        }
}

/* The definition, in long double, on logits that it can take. */
static void by_definition(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 50, 7, 8), p = matrix_new(50, 7);
    double log_z[50];
    softmax_rows(p, log_z, z);
    for (size_t t = 0; t < 50; t++) {
        long double sum = 0;
        for (size_t i = 0; i < 7; i++) sum += expl((long double)matrix_row(z, t)[i]);
        CU_ASSERT_DOUBLE_EQUAL(log_z[t], (double)logl(sum), 1e-12);
        for (size_t i = 0; i < 7; i++)
            CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(p, t)[i],
                (double)(expl((long double)matrix_row(z, t)[i]) / sum), EPSILON);
    }
    matrix_free(&z), matrix_free(&p);
}

static void order_and_shift(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 40, 6, 3), p = matrix_new(40, 6), q = matrix_new(40, 6);
    softmax_rows(p, NULL, z);
    for (size_t t = 0; t < 40; t++)
        for (size_t i = 0; i < 6; i++)
            for (size_t j = 0; j < 6; j++)
                if (matrix_row(z, t)[i] > matrix_row(z, t)[j])
                    CU_ASSERT(matrix_row(p, t)[i] >= matrix_row(p, t)[j]);
    for (size_t i = 0; i < 240; i++) z.at[i] += 10;
    softmax_rows(q, NULL, z);
    for (size_t i = 0; i < 240; i++)
        CU_ASSERT(fabs((double)(p.at[i] - q.at[i])) < 1e-5);
    memcpy(p.at, z.at, 240 * sizeof(real));
    softmax_rows(p, NULL, p); /* in place */
    CU_ASSERT(!memcmp(p.at, q.at, 240 * sizeof(real)));
    matrix_free(&z), matrix_free(&p), matrix_free(&q);
}

static void softmax_row(real *p, double *log_z, real a, real b, real c)
{
    real z[3] = {a, b, c};
    softmax_rows((struct matrix){1, 3, p}, log_z, (struct matrix){1, 3, z});
}

static void extremes(void)
{
    real p[3], inf = (real)INFINITY, nan = (real)NAN;
    double log_z;
    softmax_row(p, &log_z, 0, 0, 0);
    CU_ASSERT(p[0] == p[1] && p[1] == p[2]);
    CU_ASSERT_DOUBLE_EQUAL(log_z, log(3), 1e-12);
    softmax_row(p, &log_z, (real)1e30, (real)1e30, (real)-1e30);
    CU_ASSERT(p[0] == (real)0.5 && p[1] == (real)0.5 && p[2] == 0);
    CU_ASSERT(log_z == (double)(real)1e30);
    softmax_row(p, &log_z, -inf, 3, -inf);
    CU_ASSERT(p[0] == 0 && p[1] == 1 && p[2] == 0 && log_z == 3);
    real bad[][3] = {{0, nan, 0}, {nan, 0, 0}, {0, 0, nan}, {inf, 0, 0}, {inf, inf, 0},
                     {-inf, -inf, -inf}, {nan, inf, -inf}, {nan, nan, nan}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        softmax_row(p, &log_z, bad[i][0], bad[i][1], bad[i][2]);
        CU_ASSERT(isnan((double)p[0]) && isnan((double)p[1]) && isnan((double)p[2]));
        CU_ASSERT(isnan(log_z));
    }
}

static void no_tokens_one_expert(void)
{
    struct matrix none = matrix_new(0, 5), one = matrix_new(3, 1);
    softmax_rows(none, NULL, none);
    CU_ASSERT_EQUAL(softmax_entropy(none), 0);
    one.at[0] = -700, one.at[1] = 0, one.at[2] = 88;
    softmax_rows(one, NULL, one);
    for (size_t t = 0; t < 3; t++) CU_ASSERT_EQUAL(one.at[t], 1);
    CU_ASSERT_EQUAL(softmax_entropy(one), 0);
    matrix_free(&none), matrix_free(&one);
}

/* ---- The router ---- */

static void size_and_spread(void)
{
    struct random r = check_random();
    struct router router = router_new(64, 200, 4, &r);
    double square = 0;
    for (size_t i = 0; i < 64 * 200; i++)
        square += (double)router.w.at[i] * (double)router.w.at[i];
    CU_ASSERT_EQUAL(router_parameters(&router), 64 * 200);
    CU_ASSERT(fabs(square / (64 * 200) / (4.0 / 64) - 1) < 0.05); /* variance 4 / D */
    router_free(&router);
}

static void by_pencil(void)
{
    static const real z[] = {3, 0, 1, 2, 2, 0, 1, 0, 0, 2, 0, 1, 0, 1, 2, 0};
    struct router router = {hand_w()};
    struct matrix logits = matrix_new(HAND_TOKENS, HAND_EXPERTS);
    router_forward(&router, logits, hand_x());
    for (size_t i = 0; i < 16; i++) CU_ASSERT_EQUAL(logits.at[i], z[i]);
    matrix_free(&logits);
}

/* Tokens in another order: the same rows, in that order. */
static void permuted_tokens(void)
{
    struct random r = check_random();
    struct router router = router_new(5, 4, 1, &r);
    struct matrix x = check_matrix(&r, 30, 5, 1), shuffled = matrix_new(30, 5);
    struct matrix z = matrix_new(30, 4), other = matrix_new(30, 4);
    for (size_t t = 0; t < 30; t++)
        memcpy(matrix_row(shuffled, t * 7 % 30), matrix_row(x, t), 5 * sizeof(real));
    router_forward(&router, z, x);
    router_forward(&router, other, shuffled);
    for (size_t t = 0; t < 30; t++)
        CU_ASSERT(!memcmp(matrix_row(other, t * 7 % 30), matrix_row(z, t), 4 * sizeof(real)));
    matrix_free(&x), matrix_free(&shuffled), matrix_free(&z), matrix_free(&other);
    router_free(&router);
}

static void wrong_width(void)
{
    struct random r = random_seeded(1);
    struct router router = router_new(4, 8, 1, &r);
    router_forward(&router, matrix_new(3, 8), matrix_new(3, 5));
}
static void wrong_output(void)
{
    softmax_rows(matrix_new(3, 8), NULL, matrix_new(3, 7));
}
static void wrong_rows(void) { softmax_rows(matrix_new(2, 7), NULL, matrix_new(3, 7)); }
static void wrong_logits(void)
{
    struct random r = random_seeded(1);
    struct router router = router_new(4, 8, 1, &r);
    router_forward(&router, matrix_new(3, 7), matrix_new(3, 4));
}
static void wrong_dlogits(void)
{
    softmax_backward(matrix_new(3, 6), matrix_new(3, 7), matrix_new(3, 7));
}
static void wrong_dprobabilities(void)
{
    softmax_backward(matrix_new(3, 7), matrix_new(3, 7), matrix_new(2, 7));
}
static void broken_shapes(void)
{
    check_aborts(wrong_rows, "softmax.c [3, 7] [2, 7]");
    check_aborts(wrong_logits, "router.c [3, 8] [3, 7]");
    check_aborts(wrong_dlogits, "softmax.c [3, 7] [3, 6]");
    check_aborts(wrong_dprobabilities, "softmax.c [3, 7] [2, 7]");
    check_aborts(wrong_width, "router.c [3, 4] [3, 5]");
    check_aborts(wrong_output, "softmax.c [3, 7] [3, 8]");
}

/* ---- Entropy, and the card's demand ---- */

static void entropy(void)
{
    real even[] = {0.25, 0.25, 0.25, 0.25, 1, 0, 0, 0}, bad[] = {(real)NAN, 1};
    CU_ASSERT_DOUBLE_EQUAL(softmax_entropy((struct matrix){1, 4, even}), log(4), 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(softmax_entropy((struct matrix){2, 4, even}), log(4) / 2, 1e-12);
    CU_ASSERT(isnan(softmax_entropy((struct matrix){1, 2, bad})));
}

/* Zero logits give uniform probabilities: P_i = 1/E, so E * sum(f P) is 1 for
 * any shares f that sum to 1. */
static void uniform_is_one(void)
{
    static const size_t sizes[] = {1, 2, 3, 4, 8, 60, 64, 256};
    struct random r = check_random();
    for (size_t s = 0; s < 8; s++) {
        size_t experts = sizes[s], tokens = 64 * experts;
        struct router router = {matrix_new(6, experts)};
        struct matrix x = check_matrix(&r, tokens, 6, 1), p = matrix_new(tokens, experts);
        double loss = 0, all = 0, *share = calloc(experts, sizeof *share);
        CU_ASSERT_FATAL(share != NULL);
        for (size_t i = 0; i < experts; i++) all += share[i] = random_uniform(&r) + 0.1;
        router_forward(&router, p, x);
        softmax_rows(p, NULL, p);
        for (size_t i = 0; i < experts; i++) {
            double mean = 0;
            for (size_t t = 0; t < tokens; t++) mean += (double)matrix_row(p, t)[i];
            CU_ASSERT_DOUBLE_EQUAL(mean / (double)tokens, 1 / (double)experts, 1e-7);
            loss += (double)experts * share[i] / all * mean / (double)tokens;
        }
        CU_ASSERT_DOUBLE_EQUAL(loss, 1, 1e-6);
        free(share);
        matrix_free(&x), matrix_free(&p), router_free(&router);
    }
}

/* ---- Gradients ---- */

static void slopes_sum_to_zero(void)
{
    struct random r = check_random();
    struct matrix p = check_matrix(&r, 30, 9, 3), a = check_matrix(&r, 30, 9, 1);
    struct matrix dz = matrix_new(30, 9);
    softmax_rows(p, NULL, p);
    softmax_backward(dz, p, a);
    for (size_t t = 0; t < 30; t++)
        CU_ASSERT(fabs(row_sum(dz, t)) < 1e-6);
    matrix_free(&p), matrix_free(&a), matrix_free(&dz);
}

#ifdef REAL_DOUBLE

struct whole { struct router router, grad; struct matrix x, z, p, a, dz, dx; };

static double whole_loss(void *context)
{
    struct whole *w = context;
    double sum = 0;
    router_forward(&w->router, w->z, w->x);
    softmax_rows(w->p, NULL, w->z);
    for (size_t i = 0; i < w->p.rows * w->p.cols; i++) sum += w->p.at[i] * w->a.at[i];
    return sum;
}

static void gradients(void)
{
    struct random r = check_random();
    for (int round = 0; round < 10; round++) {
        size_t tokens = 1 + random_below(&r, 5), width = 1 + random_below(&r, 5);
        size_t experts = 2 + random_below(&r, 5);
        struct whole w = {router_new(width, experts, 1, &r), router_new(width, experts, 1, &r),
            check_matrix(&r, tokens, width, 2), matrix_new(tokens, experts),
            matrix_new(tokens, experts), check_matrix(&r, tokens, experts, 1),
            matrix_new(tokens, experts), matrix_new(tokens, width)};
        whole_loss(&w);
        softmax_backward(w.dz, w.p, w.a);
        router_backward(&w.router, &w.grad, &w.dx, w.dz, w.x);
        CU_ASSERT(check_gradient(width * experts, w.router.w.at, w.grad.w.at, whole_loss, &w) < 1e-6);
        CU_ASSERT(check_gradient(tokens * width, w.x.at, w.dx.at, whole_loss, &w) < 1e-6);
        router_free(&w.router), router_free(&w.grad);
        matrix_free(&w.x), matrix_free(&w.z), matrix_free(&w.p), matrix_free(&w.a);
        matrix_free(&w.dz), matrix_free(&w.dx);
    }
}

#endif

SUITE(2) {
    check_case("the program keeps its promises", program);
    check_case("the lessons are sound", lessons);
    check_case("rows sum to 1 within (E + 1) epsilon / 2", rows_sum_to_one);
    check_case("the softmax agrees with its definition; log Z too", by_definition);
    check_case("the order stays; a shift changes nothing", order_and_shift);
    check_case("equal, huge, forbidden and NaN logits", extremes);
    check_case("no token, one expert", no_tokens_one_expert);
    check_case("parameters, and the variance of the weights", size_and_spread);
    check_case("the hand-sized logits, by pencil", by_pencil);
    check_case("permuted tokens give permuted rows", permuted_tokens);
    check_case("shapes that do not fit abort and say so", broken_shapes);
    check_case("entropy", entropy);
    check_case("uniform P: uniform = 1", uniform_is_one);
    check_case("the slopes of a row sum to zero", slopes_sum_to_zero);
#ifdef REAL_DOUBLE
    check_case("gradients of the router, by differences", gradients);
#endif
}
