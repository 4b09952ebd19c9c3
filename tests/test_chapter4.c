/* Chapter 4: the auxiliary loss, and other ways to balance. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "balance.h"
#include "cases.h"
#include "check.h"
#include "collapse.h"
#include "figures.h"
#include "lesson.h"
#include "lessons.h"
#include "quantile.h"
#include "router.h"
#include "softmax.h"

extern const struct lesson_table lessons4;

enum { MOST = 256 };
static const size_t sizes[] = {2, 3, 4, 8, 60, 64, 256};
static const size_t choices[] = {1, 2, 8};

static void program(void) { check_program(4, "--steps 100 --seeds 1"); }
static void lessons(void) { check_lessons(&lessons4, 200, "4.4"); }

/* The loss of real routes: softmax, selection and all. */
static double routed_loss(struct matrix z, size_t top_k)
{
    double f[MOST], mean[MOST];
    struct matrix p = matrix_new(z.rows, z.cols);
    struct routes r = routes_new(z.rows, z.cols, top_k);
    softmax_rows(p, NULL, z);
    routes_select(&r, z);
    balance_load(f, &r), balance_mean(mean, p, r.valid);
    matrix_free(&p), routes_free(&r);
    return balance_loss(f, mean, z.cols);
}

static void even(double *share, size_t n)
{
    for (size_t i = 0; i < n; i++) share[i] = 1 / (double)n;
}

static void drawn(double *share, size_t n, struct random *r)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += share[i] = random_uniform(r) + 0.01;
    for (size_t i = 0; i < n; i++) share[i] /= sum;
}

/* Three ways, since uniform P alone gives 1 for any f. */
static void uniform_is_one(void)
{
    struct random r = check_random();
    double f[MOST], p[MOST];
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < 3; j++) {
            size_t experts = sizes[i], top_k = choices[j];
            if (top_k > experts) continue;
            struct matrix z = matrix_new(64 * experts, experts);
            CU_ASSERT_DOUBLE_EQUAL(routed_loss(z, top_k), 1, 1e-6);
            matrix_free(&z);
            even(f, experts), drawn(p, experts, &r);
            CU_ASSERT_DOUBLE_EQUAL(balance_loss(f, p, experts), 1, 1e-6);
            even(p, experts);
            CU_ASSERT_DOUBLE_EQUAL(balance_loss(f, p, experts), 1, 1e-6);
        }
}

/* Real routes that are even: token t prefers experts t, t + 1, ... */
static void even_routes(void)
{
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < 3; j++) {
            size_t experts = sizes[i], top_k = choices[j];
            if (top_k > experts) continue;
            double f[MOST];
            struct matrix z = matrix_new(2 * experts, experts);
            struct routes r = routes_new(2 * experts, experts, top_k);
            for (size_t t = 0; t < z.rows; t++)
                for (size_t k = 0; k < top_k; k++)
                    matrix_row(z, t)[(t + k) % experts] = (real)(2 + k);
            routes_select(&r, z);
            balance_load(f, &r);
            for (size_t e = 0; e < experts; e++)
                CU_ASSERT_EQUAL(f[e], 1 / (double)experts); /* one division: exact */
            CU_ASSERT_DOUBLE_EQUAL(routed_loss(z, top_k), 1, 1e-6);
            matrix_free(&z), routes_free(&r);
        }
}

static void skew_and_collapse(void)
{
    double skew[] = {9 / 15.0, 2 / 15.0, 2 / 15.0, 2 / 15.0};
    CU_ASSERT_DOUBLE_EQUAL(balance_loss(skew, skew, 4), 1.65333333333, 1e-10);
    for (size_t i = 0; i < 7; i++)
        for (size_t j = 0; j < 3; j++) {
            size_t experts = sizes[i], top_k = choices[j];
            if (top_k > experts) continue;
            struct matrix z = matrix_new(48, experts);
            for (size_t n = 0; n < 48 * experts; n++)
                if (n % experts >= top_k) z.at[n] = (real)-INFINITY;
            CU_ASSERT_DOUBLE_EQUAL(routed_loss(z, top_k),
                                   (double)experts / (double)top_k, 1e-4);
            matrix_free(&z);
        }
}

static void below_one(void)
{
    for (size_t i = 0; i < 7; i++) {
        size_t experts = sizes[i];
        struct matrix z = matrix_new(2 * experts, experts);
        for (size_t t = 1; t < experts; t++)
            for (size_t e = 0; e < experts; e++)
                if (e != t) matrix_row(z, t)[e] = (real)-INFINITY;
        double e = (double)experts;
        CU_ASSERT_DOUBLE_EQUAL(routed_loss(z, 1), 1 - (e - 1) / (4 * e), 1e-6);
        matrix_free(&z);
    }
}

/* Half of the experts idle, each token torn between its own and all of
 * those: E / ((E - z) (z + 1)) with z = E / 2 idle, far below the family. */
static void far_below_one(void)
{
    for (size_t busy = 1; busy <= 32; busy *= 2) {
        struct matrix z = matrix_new(busy, 2 * busy);
        for (size_t t = 0; t < busy; t++)
            for (size_t e = 0; e < busy; e++)
                if (e != t) matrix_row(z, t)[e] = (real)-INFINITY;
        CU_ASSERT_DOUBLE_EQUAL(routed_loss(z, 1), 2 / ((double)busy + 1), 1e-6);
        matrix_free(&z);
    }
}

static double sum_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

static void fractions(void)
{
    struct random r = check_random();
    for (int round = 0; round < 60; round++) {
        size_t experts = 1 + random_below(&r, 9), top_k = 1 + random_below(&r, experts);
        size_t tokens = 1 + random_below(&r, 30);
        double first[9], gate[9], chosen[9], f[9], p[9];
        struct matrix z = check_matrix(&r, tokens, experts, 3), soft = matrix_new(tokens, experts);
        struct routes routes = routes_new(tokens, experts, top_k);
        softmax_rows(soft, NULL, z);
        routes_select(&routes, z), routes_weigh(&routes, GATE_SOFTMAX, z, soft);
        balance_first(first, &routes), balance_gate(gate, &routes);
        balance_chosen(chosen, &routes), balance_load(f, &routes), balance_mean(p, soft, routes.valid);
        CU_ASSERT_DOUBLE_EQUAL(sum_of(first, experts), 1, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(sum_of(gate, experts), 1, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(sum_of(chosen, experts), (double)top_k, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(sum_of(f, experts), 1, 1e-9);
        CU_ASSERT_DOUBLE_EQUAL(sum_of(p, experts), 1, 1e-6);
        for (size_t e = 0; e < experts; e++) {
            CU_ASSERT_DOUBLE_EQUAL(f[e] * (double)top_k, chosen[e], 1e-12);
            CU_ASSERT(first[e] <= chosen[e] + 1e-12);
            if (top_k == 1) CU_ASSERT_DOUBLE_EQUAL(first[e], chosen[e], 1e-12);
        }
        matrix_free(&z), matrix_free(&soft), routes_free(&routes);
    }
}

/* Gates count by their size, not by their number, and need not sum to 1. */
static void gate_weight(void)
{
    static const size_t expert[] = {0, 1, 0, 2};
    static const double gate[] = {0.6, 0.2, 0.1, 0.1};
    struct routes routes = routes_new(2, 4, 2);
    double share[4];
    for (size_t i = 0; i < 4; i++) routes.expert[i] = expert[i], routes.gate.at[i] = (real)gate[i];
    balance_gate(share, &routes);
    CU_ASSERT_DOUBLE_EQUAL(share[0], 0.7, 1e-7);
    CU_ASSERT_DOUBLE_EQUAL(share[1], 0.2, 1e-7);
    CU_ASSERT_DOUBLE_EQUAL(share[2], 0.1, 1e-7);
    CU_ASSERT_EQUAL(share[3], 0);
    routes_free(&routes);
}

static void measures(void)
{
    double one[] = {0, 1, 0, 0}, skew[] = {0.6, 0.4 / 3, 0.4 / 3, 0.4 / 3}, flat[64];
    even(flat, 64);
    CU_ASSERT_DOUBLE_EQUAL(balance_effective(flat, 64), 64, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(balance_simpson(flat, 64), 64, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(balance_cv2(flat, 64), 0, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(balance_max_violation(flat, 64), 0, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(balance_effective(one, 4), 1, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(balance_simpson(one, 4), 1, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(balance_cv2(one, 4), 3, 1e-12); /* E - 1 */
    CU_ASSERT_DOUBLE_EQUAL(balance_max_violation(one, 4), 3, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(balance_effective(skew, 4), 3.04, 0.005);
    CU_ASSERT_DOUBLE_EQUAL(balance_simpson(skew, 4), 2.42, 0.005);
    CU_ASSERT_DOUBLE_EQUAL(balance_max_violation(skew, 4), 1.4, 1e-12);
}

/* A broken router does not look balanced: no measure passes over what is no number. */
static void measures_of_nan(void)
{
    for (size_t e = 0; e < 4; e++) {
        double share[] = {0.25, 0.25, 0.25, 0.25};
        share[e] = NAN;
        CU_ASSERT(isnan(balance_entropy(share, 4)) && isnan(balance_effective(share, 4)));
        CU_ASSERT(isnan(balance_simpson(share, 4)) && isnan(balance_cv2(share, 4)));
        CU_ASSERT(isnan(balance_max_violation(share, 4)));
        CU_ASSERT(isnan(balance_loss(share, (double[]){1, 0, 0, 0}, 4)));
    }
}

/* A token's NaN is in its own slopes, and through P in everybody's of the entropy. */
static void slopes_of_nan(void)
{
    enum { T = 4, E = 3, BROKEN = 2 };
    struct random r = check_random();
    struct matrix z = check_matrix(&r, T, E, 2), p = matrix_new(T, E), s = matrix_new(T, E);
    double f[] = {0.5, 0.3, 0.2}, mean[E], log_z[T];
    matrix_row(z, BROKEN)[1] = (real)NAN;
    softmax_rows(p, log_z, z), balance_mean(mean, p, T);
    balance_scores(s, GATE_SIGMOID, z);
    CU_ASSERT(isnan(balance_loss(f, mean, E)) && isnan(balance_z_loss(log_z, T, T)));
    for (int which = 0; which < 4; which++) {
        struct matrix dz = matrix_new(T, E);
        if (which == 0) balance_loss_backward(dz, p, T, f, 1);
        if (which == 1) balance_z_loss_backward(dz, p, T, log_z, 1);
        if (which == 2) balance_scores_backward(dz, GATE_SIGMOID, s, z, T, f, 1);
        if (which == 3) balance_entropy_backward(dz, p, T, mean, 1);
        for (size_t i = 0; i < T * E; i++)
            CU_ASSERT_EQUAL(isnan((double)dz.at[i]) != 0, which == 3 || i / E == BROKEN);
        matrix_free(&dz);
    }
    matrix_free(&z), matrix_free(&p), matrix_free(&s);
}

/* Draw expert i's noise again, many times, and count how often it is chosen. */
static void smooth_load(void)
{
    enum { T = 3, E = 5, DRAWS = 20000 };
    struct random r = check_random();
    struct matrix z = matrix_new(T, E), noisy = matrix_new(T, E);
    double load[E];
    for (size_t i = 0; i < T * E; i++) { /* halves and whole numbers: many tie */
        z.at[i] = (real)random_below(&r, 5) / 2;
        noisy.at[i] = z.at[i] + (real)random_below(&r, 3) / 2;
    }
    for (size_t K = 1; K <= E; K++) {
    balance_smooth_load(load, z, noisy, 0.7, K);
        for (size_t e = 0; e < E; e++) {
            double chosen = 0;
            for (size_t t = 0; t < T; t++)
                for (int draw = 0; draw < DRAWS; draw++) {
                    double mine = (double)matrix_row(z, t)[e] + 0.7 * random_normal(&r);
                    size_t ahead = 0;
                    for (size_t other = 0; other < E; other++)
                        ahead += other != e && (double)matrix_row(noisy, t)[other] > mine;
                    chosen += ahead < K;
                }
            CU_ASSERT_DOUBLE_EQUAL(load[e], chosen / DRAWS, 0.03);
        }
    }
    matrix_free(&z), matrix_free(&noisy);
}

/* Known values, and that K experts are chosen: of equal logits, on average over the
 * noise, without noise (where the load is the count), and if all are. */
/* NaN is chosen last, like in routes_select; a forbidden expert has no chance. */
static void smooth_load_of_odd_logits(void)
{
    real odd[4] = {1, (real)NAN, 0, (real)NAN}, forbidden[3] = {1, (real)-INFINITY, (real)-INFINITY};
    struct matrix z = {1, 4, odd}, f = {1, 3, forbidden};
    double load[4];
    balance_smooth_load(load, z, z, 0, 1);
    CU_ASSERT(load[0] == 1 && load[1] == 0 && load[2] == 0 && load[3] == 0);
    balance_smooth_load(load, z, z, 0, 3);
    CU_ASSERT(load[0] == 1 && load[1] == 1 && load[2] == 1 && load[3] == 0);
    balance_smooth_load(load, f, f, 1, 2);
    CU_ASSERT(load[0] > 0 && load[1] == 0 && load[2] == 0);
}

static void smooth_load_values(void)
{
    enum { T = 6, E = 4, DRAWS = 20000 };
    struct random r = check_random();
    double load[E], sum = 0;
    struct matrix three = {1, 3, (real[]){1, 1, 0}}, same = {1, E, (real[]){2, 2, 2, 2}};
    balance_smooth_load(load, three, three, 1, 2);
    CU_ASSERT_DOUBLE_EQUAL(load[0], 0.8413447, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(load[1], 0.8413447, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(load[2], 0.1586553, 1e-6);
    balance_smooth_load(load, same, same, 1, 2);
    for (size_t e = 0; e < E; e++) CU_ASSERT_DOUBLE_EQUAL(load[e], 0.5, 1e-12);
    for (int draw = 0; draw < DRAWS; draw++) {
        struct matrix noisy = {1, 3, (real[]){(real)(1 + random_normal(&r)),
            (real)(1 + random_normal(&r)), (real)random_normal(&r)}};
        balance_smooth_load(load, three, noisy, 1, 2);
        sum += load[0] + load[1] + load[2];
    }
    CU_ASSERT_DOUBLE_EQUAL(sum / DRAWS, 2, 0.02);
    struct matrix z = matrix_new(T, E);
    for (size_t i = 0; i < T * E; i++) z.at[i] = (real)random_below(&r, 3);
    for (size_t top_k = 1; top_k <= E; top_k++) {
        struct routes routes = routes_new(T, E, top_k);
        double count[E] = {0};
        routes_select(&routes, z), balance_count(count, &routes);
        balance_smooth_load(load, z, z, 0, top_k);
        for (size_t e = 0; e < E; e++) CU_ASSERT_EQUAL(load[e], count[e]);
        balance_smooth_load(load, z, z, 0.3, top_k);
        for (size_t e = 0; top_k == E && e < E; e++) CU_ASSERT_EQUAL(load[e], T);
        routes_free(&routes);
    }
    matrix_free(&z);
}

static void normal_numbers(void)
{
    struct random r = check_random();
    double sum = 0, square = 0, within = 0;
    for (int i = 0; i < 100000; i++) {
        double x = random_normal(&r);
        CU_ASSERT_FATAL(isfinite(x));
        sum += x, square += x * x, within += fabs(x) < 1;
    }
    CU_ASSERT(fabs(sum / 1e5) < 0.015 && fabs(square / 1e5 - 1) < 0.02);
    CU_ASSERT(fabs(within / 1e5 - 0.6827) < 0.008);
}

static void bias_rule(void)
{
    double bias[] = {0, 1, -1, 0}, count[] = {4, 1, 1, 2};
    balance_bias_update(bias, count, 4, 0.01);
    CU_ASSERT_DOUBLE_EQUAL(bias[0], -0.01, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(bias[1], 1.01, 1e-15);
    CU_ASSERT_DOUBLE_EQUAL(bias[2], -0.99, 1e-15);
    CU_ASSERT_EQUAL(bias[3], 0);
    double stay[] = {3, -2, 0, 1}, none[4] = {0}; /* no token has come, none is missing */
    balance_bias_update(stay, none, 4, 0.01);
    CU_ASSERT(stay[0] == 3 && stay[1] == -2 && stay[2] == 0 && stay[3] == 1);
}

/* 2 to 69 experts, 1 to 65 choices each: 4,420 loads without a rest. Then one choice
 * goes to another expert, and just those two biases move. */
static void bias_rests(void)
{
    double bias[69], count[69];
    size_t moved = 0, loads = 0;
    for (size_t experts = 2; experts < 70; experts++)
        for (size_t each = 1; each <= 65; each++, loads++) {
            for (size_t e = 0; e < experts; e++) bias[e] = 0, count[e] = (double)each;
            balance_bias_update(bias, count, experts, 1);
            for (size_t e = 0; e < experts; e++) moved += bias[e] != 0;
            count[0] += 1, count[1] -= 1;
            balance_bias_update(bias, count, experts, 1);
            CU_ASSERT(bias[0] == -1 && bias[1] == 1);
            for (size_t e = 2; e < experts; e++) moved += bias[e] != 0;
        }
    CU_ASSERT(loads == 4420 && moved == 0);
}

/* Padding is out of f, the three fractions, P and both losses, and gets no slope: what is
 * left is as if only the real tokens had come. */
static void padding(void)
{
    enum { T = 12, E = 5, K = 2, REAL = 7 };
    struct random r = check_random();
    unsigned char valid[T] = {1, 1, 0, 1, 0, 1, 1, 0, 0, 1, 1, 0};
    struct matrix z = check_matrix(&r, T, E, 2), real_z = matrix_new(REAL, E);
    for (size_t t = 0, i = 0; t < T; t++)
        if (valid[t]) row_copy(matrix_row(real_z, i++), matrix_row(z, t), E);
        else row_copy(matrix_row(z, t), (real[]){5, 0, 0, 0, 0}, E);
    double share[2][4][E], mean[2][E], log_z[2][T], count[2][E] = {{0}, {0}};
    struct matrix from[2] = {z, real_z}, p[2], s[2], dz[2];
    for (size_t i = 0; i < 2; i++) {
        size_t tokens = from[i].rows;
        struct routes routes = routes_new(tokens, E, K);
        p[i] = matrix_new(tokens, E), s[i] = matrix_new(tokens, E), dz[i] = matrix_new(tokens, E);
        softmax_rows(p[i], log_z[i], from[i]), balance_scores(s[i], GATE_SIGMOID, from[i]);
        routes_select(&routes, from[i]), routes_weigh(&routes, GATE_SOFTMAX, from[i], p[i]);
        if (i == 0) routes_mask(&routes, valid, &s[i], NULL), routes_mask(&routes, valid, &p[i], log_z[i]);
        balance_first(share[i][0], &routes), balance_gate(share[i][1], &routes);
        balance_chosen(share[i][2], &routes), balance_load(share[i][3], &routes);
        balance_count(count[i], &routes), balance_mean(mean[i], p[i], routes.valid);
        balance_loss_backward(dz[i], p[i], routes.valid, share[i][3], 1);
        balance_scores_backward(dz[i], GATE_SIGMOID, s[i], from[i], routes.valid, share[i][3], 1);
        balance_z_loss_backward(dz[i], p[i], routes.valid, log_z[i], 1);
        balance_entropy_backward(dz[i], p[i], routes.valid, mean[i], 1);
        routes_free(&routes);
    }
    CU_ASSERT_DOUBLE_EQUAL(balance_z_loss(log_z[0], T, REAL), balance_z_loss(log_z[1], REAL, REAL), 1e-9);
    for (size_t e = 0; e < E; e++) {
        for (size_t n = 0; n < 4; n++) CU_ASSERT_DOUBLE_EQUAL(share[0][n][e], share[1][n][e], 1e-12);
        CU_ASSERT_DOUBLE_EQUAL(mean[0][e], mean[1][e], 1e-12);
        CU_ASSERT_EQUAL(count[0][e], count[1][e]);
    }
    for (size_t t = 0, i = 0; t < T; i += valid[t++])
        for (size_t e = 0; e < E; e++)
            CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(dz[0], t)[e],
                                   valid[t] ? (double)matrix_row(dz[1], i)[e] : 0, 1e-6);
    for (size_t i = 0; i < 2; i++) matrix_free(&p[i]), matrix_free(&s[i]), matrix_free(&dz[i]);
    matrix_free(&z), matrix_free(&real_z);
}

/* All tokens padding: shares, losses and slopes are 0, not 0 / 0. */
static void only_padding(void)
{
    enum { T = 3, E = 4 };
    unsigned char valid[T] = {0};
    double f[E], mean[E], log_z[T];
    struct matrix z = matrix_new(T, E), p = matrix_new(T, E), dz = matrix_new(T, E);
    struct routes routes = routes_new(T, E, 2);
    softmax_rows(p, log_z, z), routes_select(&routes, z), routes_weigh(&routes, GATE_RENORM, z, p);
    routes_mask(&routes, valid, &p, log_z);
    balance_gate(f, &routes), balance_load(f, &routes), balance_mean(mean, p, 0);
    CU_ASSERT(balance_loss(f, mean, E) == 0 && balance_z_loss(log_z, T, 0) == 0);
    balance_loss_backward(dz, p, 0, f, 1), balance_z_loss_backward(dz, p, 0, log_z, 1);
    balance_scores_backward(dz, GATE_SIGMOID, p, z, 0, f, 1), balance_entropy_backward(dz, p, 0, mean, 1);
    CU_ASSERT_EQUAL(matrix_squares(dz), 0);
    matrix_free(&z), matrix_free(&p), matrix_free(&dz), routes_free(&routes);
}

/* Of a sigmoid gate the scores are its sigmoids over their sum; of the others the softmax. */
static void own_scores(void)
{
    enum { T = 9, E = 6 };
    struct random r = check_random();
    struct matrix z = check_matrix(&r, T, E, 4), s = matrix_new(T, E), p = matrix_new(T, E);
    balance_scores(s, GATE_SIGMOID, z);
    for (size_t t = 0; t < T; t++) {
        double sum = 0;
        for (size_t e = 0; e < E; e++) sum += 1 / (1 + exp(-(double)matrix_row(z, t)[e]));
        for (size_t e = 0; e < E; e++)
            CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(s, t)[e],
                                   1 / (1 + exp(-(double)matrix_row(z, t)[e])) / sum, 1e-6);
    }
    softmax_rows(p, NULL, z);
    balance_scores(s, GATE_SOFTMAX, z);
    CU_ASSERT(check_gap(s, p) == 0);
    balance_scores(s, GATE_RENORM, z);
    CU_ASSERT(check_gap(s, p) == 0);
    /* Far below zero, where sigmoids underflow, their shares do not; what is broken stays so. */
    struct matrix far = {3, 2, (real[]){-1000, -1001, 80, (real)-INFINITY, 0, (real)INFINITY}};
    struct matrix of = matrix_new(3, 2);
    balance_scores(of, GATE_SIGMOID, far);
    CU_ASSERT_DOUBLE_EQUAL((double)of.at[0], 1 / (1 + exp(-1)), 1e-4);
    CU_ASSERT(of.at[2] == 1 && of.at[3] == 0 && isnan((double)of.at[4]) && isnan((double)of.at[5]));
    matrix_free(&z), matrix_free(&s), matrix_free(&p), matrix_free(&of);
}

/* ---- Quantile balancing ---- */

enum { Q_TOKENS = 96, Q_EXPERTS = 6, Q_K = 2 };

/* Scores of sigmoids that lean: expert e by e / 2. */
static struct matrix leaning_scores(struct random *r)
{
    struct matrix s = check_matrix(r, Q_TOKENS, Q_EXPERTS, 2);
    for (size_t i = 0; i < Q_TOKENS * Q_EXPERTS; i++)
        s.at[i] = (real)(1 / (1 + exp(-(double)s.at[i] - (double)(i % Q_EXPERTS) / 2)));
    return s;
}

static double violation(struct matrix s, const double *bias)
{
    struct matrix biased = matrix_new(s.rows, s.cols);
    struct routes routes = routes_new(s.rows, s.cols, Q_K);
    double f[Q_EXPERTS];
    for (size_t i = 0; i < s.rows * s.cols; i++) biased.at[i] = (real)((double)s.at[i] + bias[i % s.cols]);
    routes_select(&routes, biased), balance_load(f, &routes);
    matrix_free(&biased), routes_free(&routes);
    return balance_max_violation(f, Q_EXPERTS);
}

/* Against the thresholds of the old biases each expert gets T K / E tokens, up to ties. */
static void quantile_is_exact(void)
{
    struct random r = check_random();
    for (int round = 0; round < 30; round++) {
        struct matrix s = leaning_scores(&r);
        double old[Q_EXPERTS], bias[Q_EXPERTS];
        double mean = 0;
        for (size_t e = 0; e < Q_EXPERTS; e++) old[e] = bias[e] = random_symmetric(&r, round % 2);
        quantile_update(bias, s, Q_K);
        for (size_t e = 0; e < Q_EXPERTS; e++) mean += bias[e];
        CU_ASSERT_DOUBLE_EQUAL(mean, 0, 1e-5);
        /* The mean that was taken off is the same for all: find it where nobody ties. */
        for (double shift = -3, found = 0; found == 0 && shift < 3; shift += 1e-4) {
            size_t good = 0;
            for (size_t e = 0; e < Q_EXPERTS; e++) {
                size_t above = 0, equal = 0;
                for (size_t t = 0; t < Q_TOKENS; t++) {
                    double best[Q_K + 1] = {-9, -9, -9};
                    for (size_t i = 0; i < Q_EXPERTS; i++)
                        for (double v = (double)matrix_row(s, t)[i] + old[i], k = 0; k <= Q_K; k++)
                            if (v > best[(int)k]) { double w = best[(int)k]; best[(int)k] = v, v = w; }
                    double gap = bias[e] + shift - (best[Q_K] - (double)matrix_row(s, t)[e]);
                    above += gap > 2e-4, equal += fabs(gap) <= 2e-4;
                }
                good += above <= Q_TOKENS * Q_K / Q_EXPERTS && above + equal >= Q_TOKENS * Q_K / Q_EXPERTS;
            }
            found = good == Q_EXPERTS;
            if (shift + 1e-4 >= 3) CU_ASSERT(found);
        }
        matrix_free(&s);
    }
}

/* Updates upon updates even the load out; biases of a balanced batch stay. */
static void quantile_converges(void)
{
    struct random r = check_random();
    struct matrix s = leaning_scores(&r);
    double bias[Q_EXPERTS] = {0};
    double first = violation(s, bias);
    quantile_update(bias, s, Q_K);
    CU_ASSERT(violation(s, bias) < 0.6 * first);
    for (int i = 0; i < 40; i++) quantile_update(bias, s, Q_K);
    CU_ASSERT(violation(s, bias) < 0.1);
    matrix_free(&s);
}

static void all_experts(void)
{
    double bias[2] = {0};
    quantile_update(bias, matrix_new(3, 2), 2);
}

static void quantile_refuses(void) { check_aborts(all_experts, "quantile.c 2"); }

/* Two halves, each with the f of the whole, have the whole's slopes; with their own f not. */
static void halves(void)
{
    enum { T = 16, E = 4, HALF = T / 2 };
    struct random r = check_random();
    struct matrix z = check_matrix(&r, T, E, 2), p = matrix_new(T, E), part[3];
    double f[E], own[E], counts[2][E] = {{0}, {0}};
    struct routes routes = routes_new(T, E, 1);
    for (size_t t = 0; t < T; t++) matrix_row(z, t)[t < HALF ? 0 : 1] += 3;
    for (size_t i = 0; i < 3; i++) part[i] = matrix_new(T, E);
    softmax_rows(p, NULL, z), routes_select(&routes, z), balance_load(f, &routes);
    balance_loss_backward(part[0], p, T, f, 1);
    for (size_t i = 0; i < 2; i++) {
        struct routes half = routes_new(HALF, E, 1);
        routes_select(&half, matrix_rows(z, i * HALF, HALF));
        balance_load(own, &half);
        balance_count(counts[0], &half); /* adds up to the whole batch's */
        balance_loss_backward(matrix_rows(part[1], i * HALF, HALF), matrix_rows(p, i * HALF, HALF), HALF, f, 0.5);
        balance_loss_backward(matrix_rows(part[2], i * HALF, HALF), matrix_rows(p, i * HALF, HALF), HALF, own, 0.5);
        routes_free(&half);
    }
    balance_count(counts[1], &routes);
    for (size_t e = 0; e < E; e++) CU_ASSERT_EQUAL(counts[0][e], counts[1][e]);
    CU_ASSERT(check_gap(part[0], part[1]) < 1e-7);
    CU_ASSERT(check_gap(part[0], part[2]) > 0.01);
    for (size_t i = 0; i < 3; i++) matrix_free(&part[i]);
    matrix_free(&z), matrix_free(&p), routes_free(&routes);
}

/* The values of the table of forms, each for several E and K. */
static void forms(void)
{
    for (size_t experts = 4; experts <= 64; experts *= 4)
        for (size_t top_k = 1; top_k <= 4; top_k++) {
            double e = (double)experts, k = (double)top_k;
            struct cases_form form[CASES_FORMS];
            cases_forms(form, experts, top_k);
            double even[] = {1, 1, 1 / (e * e), k}, collapse[] = {e / k, e / k, 1 / (e * k), e};
            for (size_t i = 0; i < CASES_FORMS; i++) {
                CU_ASSERT_DOUBLE_EQUAL(form[i].even, even[i], 1e-6);
                CU_ASSERT_DOUBLE_EQUAL(form[i].collapse, collapse[i], 1e-5);
            }
        }
}

/* What a batch scores depends on what is counted: each pair, one way and the other. */
static void two_ways(void)
{
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    struct cases_pair pair[CASES_PAIRS];
    cases_pairs(pair, 8, &model);
    double own = exp(3) / (exp(3) + 7), rest = (1 - own) / 7; /* of a token that leans by 3 */
    CU_ASSERT(pair[0].loss[1] > 1 && pair[0].loss[1] < pair[0].loss[0]); /* sigmoids are flatter */
    CU_ASSERT(pair[1].loss[1] < pair[1].loss[0] - 0.5);                  /* padding looks like collapse */
    CU_ASSERT_DOUBLE_EQUAL(pair[2].loss[0], 8 * own, 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(pair[3].loss[0], 2 * (own + 3 * rest), 1e-5);
    CU_ASSERT_DOUBLE_EQUAL(pair[2].loss[1], 1, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(pair[3].loss[1], 1, 1e-6);
    charlm_free(&model);
}

/* Balanced runs stay even, and what the tokens share makes the others collapse. */
static void collapses(void)
{
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    struct collapse_options o = {8, 1, 300, 0, collapse_balances[0]};
    double apart = collapse_repeat(&o, &model, 1, 2, NULL).mean;
    o.common = 3;
    struct collapse_runs shared = collapse_repeat(&o, &model, 1, 2, NULL);
    CU_ASSERT(shared.mean < 3 && apart > 5);
    CU_ASSERT(shared.least <= shared.mean && shared.mean <= shared.most && shared.top > 0.5);
    double curve[300 / COLLAPSE_EVERY] = {0};
    o.balance = collapse_balances[2];
    CU_ASSERT(collapse_repeat(&o, &model, 1, 2, curve).mean > 7);
    for (size_t i = 0; i < 300 / COLLAPSE_EVERY; i++) CU_ASSERT(curve[i] >= 1 && curve[i] < 8.0001);
    o.balance = collapse_balances[4];
    CU_ASSERT(collapse_repeat(&o, &model, 1, 1, NULL).mean > 7.5);
    o.balance = collapse_balances[3];
    CU_ASSERT(collapse_repeat(&o, &model, 1, 2, NULL).mean > shared.mean);
    CU_ASSERT(isnan(collapse_repeat(&o, &model, 1, 0, NULL).mean));
    charlm_free(&model);
}

static void no_tokens(void)
{
    double f[3] = {9, 9, 9}, p[3] = {9, 9, 9};
    struct matrix none = matrix_new(0, 3);
    struct routes r = routes_new(0, 3, 2);
    balance_load(f, &r), balance_mean(p, none, r.valid);
    CU_ASSERT_EQUAL(balance_loss(f, p, 3), 0);
    CU_ASSERT_EQUAL(balance_z_loss(NULL, 0, 0), 0);
    matrix_free(&none), routes_free(&r);
}

static void bad_shares(void)
{
    static const char words[] = "weights like 9,2,2,2";
    check_refuses(4, (const struct check_refusal[]){
        {"--shares 0,0", words}, {"--shares 1,,2", words}, {"--shares ,1", words},
        {"--shares 1,", words}, {"--shares '1;2'", words}, {"--shares 1,-2", words},
        {"--shares 1,nan", words}, {"--shares a", words}, {NULL, NULL}});
}

/* One step against the gradient lowers the loss, f held fixed. */
static void push_lowers(void)
{
    struct random r = check_random();
    double f[6], mean[6];
    struct matrix z = check_matrix(&r, 20, 6, 2), p = matrix_new(20, 6), dz = matrix_new(20, 6);
    drawn(f, 6, &r);
    softmax_rows(p, NULL, z), balance_mean(mean, p, 20);
    double before = balance_loss(f, mean, 6);
    balance_loss_backward(dz, p, 20, f, 1);
    matrix_add(z, z, (real)-0.5, dz);
    softmax_rows(p, NULL, z), balance_mean(mean, p, 20);
    CU_ASSERT(balance_loss(f, mean, 6) < before);
    even(f, 6); /* an even load pushes nothing */
    for (size_t i = 0; i < 120; i++) dz.at[i] = 0;
    balance_loss_backward(dz, p, 20, f, 1);
    for (size_t i = 0; i < 120; i++) CU_ASSERT(fabs((double)dz.at[i]) < 1e-7);
    matrix_free(&z), matrix_free(&p), matrix_free(&dz);
}

/* An expert that no token may have, P = 0, is not pushed; the others are as if
 * it were not there. */
static void forbidden_stays_out(void)
{
    enum { T = 7, E = 5, OUT = 2 };
    struct random r = check_random();
    struct matrix z = check_matrix(&r, T, E, 2), p = matrix_new(T, E), dz = matrix_new(T, E);
    struct matrix rest = matrix_new(T, E - 1), q = matrix_new(T, E - 1), drest = matrix_new(T, E - 1);
    double mean[E], other[E - 1];
    for (size_t t = 0; t < T; t++) {
        matrix_row(z, t)[OUT] = (real)-INFINITY;
        for (size_t e = 0; e < E - 1; e++) matrix_row(rest, t)[e] = matrix_row(z, t)[e + (e >= OUT)];
    }
    softmax_rows(p, NULL, z), balance_mean(mean, p, T);
    softmax_rows(q, NULL, rest), balance_mean(other, q, T);
    balance_entropy_backward(dz, p, T, mean, 1), balance_entropy_backward(drest, q, T, other, 1);
    CU_ASSERT_DOUBLE_EQUAL(balance_entropy(mean, E), balance_entropy(other, E - 1), 1e-12);
    for (size_t t = 0; t < T; t++) {
        CU_ASSERT_EQUAL(matrix_row(dz, t)[OUT], 0);
        for (size_t e = 0; e < E - 1; e++)
            CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(dz, t)[e + (e >= OUT)],
                                   (double)matrix_row(drest, t)[e], 1e-7);
    }
    matrix_free(&z), matrix_free(&p), matrix_free(&dz);
    matrix_free(&rest), matrix_free(&q), matrix_free(&drest);
}

/* The z-loss by its definition, in double whatever the layer is in. */
enum { Z_TOKENS = 6, Z_EXPERTS = 5 };
static double z_loss_defined(void *context)
{
    const double *z = context;
    double loss = 0;
    for (size_t t = 0; t < Z_TOKENS; t++) {
        double sum = 0;
        for (size_t e = 0; e < Z_EXPERTS; e++) sum += exp(z[t * Z_EXPERTS + e]);
        loss += log(sum) * log(sum) / Z_TOKENS;
    }
    return 0.3 * loss;
}

static void z_loss_slope(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, Z_TOKENS, Z_EXPERTS, 2), p = matrix_new(Z_TOKENS, Z_EXPERTS);
    struct matrix dz = matrix_new(Z_TOKENS, Z_EXPERTS);
    double log_z[Z_TOKENS], x[Z_TOKENS * Z_EXPERTS], dx[Z_TOKENS * Z_EXPERTS];
    softmax_rows(p, log_z, z);
    balance_z_loss_backward(dz, p, Z_TOKENS, log_z, 0.3);
    for (size_t i = 0; i < Z_TOKENS * Z_EXPERTS; i++) x[i] = (double)z.at[i], dx[i] = (double)dz.at[i];
    CU_ASSERT_DOUBLE_EQUAL(0.3 * balance_z_loss(log_z, Z_TOKENS, Z_TOKENS), z_loss_defined(x), 1e-12);
    CU_ASSERT(check_gradient(Z_TOKENS * Z_EXPERTS, x, dx, z_loss_defined, x) < 1e-6);
    matrix_free(&z), matrix_free(&p), matrix_free(&dz);
}

#ifdef REAL_DOUBLE

struct batch { struct matrix z, p, dz; double f[9], mean[9], log_z[8]; int which; };
enum { LOSS, Z_LOSS, ENTROPY, SIGMOIDS, ROOTS, LOSSES };

static double batch_loss(void *context)
{
    struct batch *b = context;
    softmax_rows(b->p, b->log_z, b->z);
    if (b->which == SIGMOIDS) balance_scores(b->p, GATE_SIGMOID, b->z);
    if (b->which == ROOTS) balance_scores(b->p, GATE_ROOT, b->z);
    balance_mean(b->mean, b->p, b->z.rows);
    return b->which == Z_LOSS ? 0.3 * balance_z_loss(b->log_z, b->z.rows, b->z.rows)
         : b->which == ENTROPY ? -0.3 * balance_entropy(b->mean, b->z.cols)
         : 0.3 * balance_loss(b->f, b->mean, b->z.cols);
}

static void gradients(void)
{
    struct random r = check_random();
    for (int round = 0; round < 40; round++) {
        size_t tokens = 1 + random_below(&r, 8), experts = 2 + random_below(&r, 8);
        struct batch b = {check_matrix(&r, tokens, experts, 2), matrix_new(tokens, experts),
            matrix_new(tokens, experts), {0}, {0}, {0}, round % LOSSES};
        drawn(b.f, experts, &r);
        batch_loss(&b);
        if (b.which == LOSS) balance_loss_backward(b.dz, b.p, tokens, b.f, 0.3);
        if (b.which == Z_LOSS) balance_z_loss_backward(b.dz, b.p, tokens, b.log_z, 0.3);
        if (b.which == ENTROPY) balance_entropy_backward(b.dz, b.p, tokens, b.mean, 0.3);
        if (b.which == SIGMOIDS) balance_scores_backward(b.dz, GATE_SIGMOID, b.p, b.z, tokens, b.f, 0.3);
        if (b.which == ROOTS) balance_scores_backward(b.dz, GATE_ROOT, b.p, b.z, tokens, b.f, 0.3);
        CU_ASSERT(check_gradient(tokens * experts, b.z.at, b.dz.at, batch_loss, &b) < 1e-6);
        matrix_free(&b.z), matrix_free(&b.p), matrix_free(&b.dz);
    }
}

#endif

/* What the figure of the saddle says against the sum itself; and no batch is beyond its gray lines. */
static void figure_saddle(void)
{
    extern const struct figure_live live4[];
    struct random r = check_random();
    check_figure(live4, "surface", 3, 500);
    for (int round = 0; round < 500; round++) {
        size_t n = random_below(&r, 2) ? 4 : 2;
        double f = (double)random_below(&r, 33) / 32, p = (double)random_below(&r, 33) / 32, others = (double)n - 1;
        double loss = (double)n * (f * p + others * ((1 - f) / others) * ((1 - p) / others));
        char *lines = figure_lines(live4, "surface %d %g %g", n == 4, f, p), *words = figure_words(lines);
        CU_ASSERT_DOUBLE_EQUAL(strtod(strstr(words, "loss is ") + 8, NULL), loss, 6e-4);
        CU_ASSERT((strstr(words, "below even") != NULL) == (loss < 1 - 5e-4));
        CU_ASSERT((strstr(words, "No batch") != NULL) == (p < f / (double)n || p > (1 + f) / 2));
        free(lines), free(words);
    }
    for (int round = 0; round < 300; round++) {
        size_t n = random_below(&r, 2) ? 4 : 2, tokens = 1 + random_below(&r, 6);
        double f[4], mean[4], sure = 8 * random_uniform(&r);
        struct matrix z = check_matrix(&r, tokens, n, sure);
        cases_count(f, mean, z, 1, cases_book);
        CU_ASSERT(mean[0] >= f[0] / (double)n - 1e-6 && mean[0] <= (1 + f[0]) / 2 + 1e-6);
        matrix_free(&z);
    }
}

SUITE(4) {
    check_case("the program keeps its promises", program);
    check_case("the lessons are sound", lessons);
    check_case("the figure of the saddle has the loss, and no batch is beyond its lines", figure_saddle);
    check_case("uniform = 1, three ways", uniform_is_one);
    check_case("even routes score 1, by the real router", even_routes);
    check_case("skew 9:2:2:2 and full collapse", skew_and_collapse);
    check_case("the family below one", below_one);
    check_case("idle experts: far below one", far_below_one);
    check_case("the fractions sum to what they must", fractions);
    check_case("a share of gate weight weighs the gates", gate_weight);
    check_case("measures at even, skewed and collapsed", measures);
    check_case("normal numbers are normal", normal_numbers);
    check_case("no measure passes over a NaN", measures_of_nan);
    check_case("a token's NaN is in its slopes", slopes_of_nan);
    check_case("the smooth load is the chance to be chosen, with ties", smooth_load);
    check_case("the smooth load of NaN and of forbidden experts", smooth_load_of_odd_logits);
    check_case("the smooth load is K in all, and without noise the count", smooth_load_values);
    check_case("biases move by the sign, and without tokens stay", bias_rule);
    check_case("biases rest at 4,420 even loads", bias_rests);
    check_case("a quantile update is exact against the old thresholds", quantile_is_exact); /* quantile_update */
    check_case("quantile updates even the load out", quantile_converges); /* quantile_update */
    check_case("no quantile if all experts are chosen", quantile_refuses); /* quantile_update */
    check_case("padding adds nothing and is not pushed", padding);
    check_case("only padding, no loss", only_padding);
    check_case("scores are those of the gate", own_scores);
    check_case("halves with the global load have the whole's slopes", halves);
    check_case("four forms, even and collapsed, for every K", forms);
    check_case("one batch counted in two ways", two_ways);
    check_case("what tokens share makes a router collapse", collapses);
    check_case("no tokens, no loss", no_tokens);
    check_case("shares that are none are refused", bad_shares);
    check_case("a step against the gradient lowers the loss", push_lowers);
    check_case("an expert that is forbidden is not pushed", forbidden_stays_out);
    check_case("the z-loss's slope is that of its definition", z_loss_slope);
#ifdef REAL_DOUBLE
    check_case("gradients of the losses, by differences", gradients);
#endif
}
