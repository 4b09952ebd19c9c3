/* Appendix C: the fast forms say what the plain ones say. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "adamw.h"
#include "attention.h"
#include "check.h"
#include "loss.h"
#include "norm.h"

enum { TOKENS = 128, WINDOW = 32, WIDTH = 64, HEADS = 4, SIZE = WIDTH / HEADS };

/* A head's shares and what it fetched, and their way back, by definition and in double. */
static void head_by_definition(const struct attention_work *w, size_t window, size_t head, double share[WINDOW][WINDOW],
                               double mixed[WINDOW][SIZE], double dq[WINDOW][SIZE], double dk[WINDOW][SIZE],
                               double dv[WINDOW][SIZE])
{
    memset(share, 0, sizeof(double[WINDOW][WINDOW])), memset(mixed, 0, sizeof(double[WINDOW][SIZE]));
    memset(dq, 0, sizeof(double[WINDOW][SIZE])), memset(dk, 0, sizeof(double[WINDOW][SIZE]));
    memset(dv, 0, sizeof(double[WINDOW][SIZE]));
#define PART(which, i, d) ((double)matrix_row(w->qkv, window * WINDOW + (i))[(which) * WIDTH + head * SIZE + (d)])
#define SLOPE(i, d) ((double)matrix_row(w->dmixed, window * WINDOW + (i))[head * SIZE + (d)])
    for (size_t i = 0; i < WINDOW; i++) {
        double all = 0, average = 0, da[WINDOW];
        for (size_t j = 0; j <= i; j++) {
            double dot = 0;
            for (size_t d = 0; d < SIZE; d++) dot += PART(0, i, d) * PART(1, j, d);
            all += share[i][j] = exp(dot / sqrt(SIZE));
        }
        for (size_t j = 0; j <= i; j++) {
            share[i][j] /= all, da[j] = 0;
            for (size_t d = 0; d < SIZE; d++) {
                mixed[i][d] += share[i][j] * PART(2, j, d);
                da[j] += SLOPE(i, d) * PART(2, j, d);
                dv[j][d] += share[i][j] * SLOPE(i, d);
            }
            average += share[i][j] * da[j];
        }
        for (size_t j = 0; j <= i; j++)
            for (size_t d = 0; d < SIZE; d++) {
                double s = share[i][j] * (da[j] - average) / sqrt(SIZE);
                dq[i][d] += s * PART(1, j, d), dk[j][d] += s * PART(0, i, d);
            }
    }
}

static void heads(void)
{
    static double share[WINDOW][WINDOW], mixed[WINDOW][SIZE], dq[WINDOW][SIZE], dk[WINDOW][SIZE], dv[WINDOW][SIZE];
    struct random r = check_random();
    struct attention a = attention_new(WIDTH, HEADS, 1, &r), grad = attention_new(WIDTH, HEADS, 1, &r);
    struct attention_work w = attention_work_new(TOKENS, WINDOW, WIDTH, HEADS);
    struct matrix x = check_matrix(&r, TOKENS, WIDTH, 2), y = matrix_new(TOKENS, WIDTH),
        dy = check_matrix(&r, TOKENS, WIDTH, 1), dx = matrix_new(TOKENS, WIDTH);
    attention_forward(&a, y, x, &w);
    attention_backward(&a, &grad, dx, dy, x, &w);
    for (size_t at = 0; at < TOKENS / WINDOW * HEADS; at++) {
        size_t window = at / HEADS, head = at % HEADS;
        double gap = 0;
        head_by_definition(&w, window, head, share, mixed, dq, dk, dv);
        for (size_t i = 0; i < WINDOW; i++) {
            const real *row = matrix_row(w.share, at * WINDOW + i), *slope = matrix_row(w.dqkv, window * WINDOW + i);
            for (size_t j = 0; j < WINDOW; j++) {
                gap = fmax(gap, fabs((double)row[j] - share[i][j]));
                CU_ASSERT(j <= i || row[j] == 0);
            }
            for (size_t d = 0; d < SIZE; d++) {
                size_t c = head * SIZE + d;
                gap = fmax(gap, fabs((double)matrix_row(w.mixed, window * WINDOW + i)[c] - mixed[i][d]));
                gap = fmax(gap, fabs((double)slope[c] - dq[i][d]));
                gap = fmax(gap, fabs((double)slope[WIDTH + c] - dk[i][d]));
                gap = fmax(gap, fabs((double)slope[2 * WIDTH + c] - dv[i][d]));
            }
        }
        CU_ASSERT(gap < 3e-5);
        if (!(gap < 3e-5)) printf("\n    head %zu of window %zu: %g", head, window, gap);
    }
    x.at[5 * WIDTH + 3] = (real)NAN; /* seen from its place on, and not in the windows beside */
    attention_forward(&a, y, x, &w);
    for (size_t t = 5; t < TOKENS; t++) CU_ASSERT(isnan((double)matrix_row(y, t)[0]) == (t < WINDOW));
    attention_free(&a), attention_free(&grad), attention_work_free(&w);
    matrix_free(&x), matrix_free(&y), matrix_free(&dx), matrix_free(&dy);
}

/* By definition, for sizes that the fast build takes itself and for those that it leaves. */
static void losses(void)
{
    static const size_t sizes[][2] = {{200, 51}, {64, 32}, {64, 128}, {63, 51}, {70, 129}, {130, 48}};
    struct random r = check_random();
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t rows = sizes[s][0], cols = sizes[s][1], target[200];
        struct matrix z = check_matrix(&r, rows, cols, 8), d = matrix_new(rows, cols);
        double sum = 0, each[200];
        z.at[7] = -INFINITY;
        for (size_t t = 0; t < rows; t++) target[t] = t ? random_below(&r, cols) : 0;
        double loss = loss_forward(d, z, target, each);
        for (size_t t = 0; t < rows; t++) {
            double all = 0;
            for (size_t v = 0; v < cols; v++) all += exp((double)matrix_row(z, t)[v]);
            double own = log(all) - (double)matrix_row(z, t)[target[t]];
            sum += own;
            CU_ASSERT_DOUBLE_EQUAL(each[t], own, 1e-5);
            for (size_t v = 0; v < cols; v++)
                CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(d, t)[v] * (double)rows,
                                       exp((double)matrix_row(z, t)[v]) / all - (v == target[t]), 2e-6);
        }
        CU_ASSERT_DOUBLE_EQUAL(loss, sum / (double)rows, 1e-5);
        CU_ASSERT(loss_forward(d, z, target, NULL) == loss);
        z.at[3] = (real)NAN;
        CU_ASSERT(isnan(loss_forward(d, z, target, NULL)));
        matrix_free(&z), matrix_free(&d);
    }
}

static void norms(void)
{
    static const size_t sizes[][2] = {{100, 64}, {64, 16}, {63, 16}, {80, 24}};
    struct random r = check_random();
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t rows = sizes[s][0], cols = sizes[s][1];
        struct matrix x = check_matrix(&r, rows, cols, 3), gain = check_matrix(&r, 1, cols, 2), y = matrix_new(rows, cols),
            dy = check_matrix(&r, rows, cols, 1), dgain = matrix_new(1, cols), dx = matrix_new(rows, cols);
        double scale[100], mean[100], gap = 0, *sum = calloc(cols, sizeof *sum);
        CU_ASSERT_FATAL(sum != NULL);
        norm_forward(NORM_RMS, y, x, gain, scale, mean);
        norm_backward(NORM_RMS, dx, dgain, dy, x, gain, scale, mean);
        for (size_t t = 0; t < rows; t++) {
            double squares = 0, along = 0;
            for (size_t d = 0; d < cols; d++) squares += pow((double)matrix_row(x, t)[d], 2);
            double size = sqrt(squares / (double)cols + 1e-5);
            for (size_t d = 0; d < cols; d++) {
                double u = (double)matrix_row(x, t)[d] / size, g = (double)gain.at[d], slope = (double)matrix_row(dy, t)[d];
                gap = fmax(gap, fabs((double)matrix_row(y, t)[d] - u * g));
                along += slope * g * u, sum[d] += slope * u;
            }
            for (size_t d = 0; d < cols; d++) {
                double u = (double)matrix_row(x, t)[d] / size;
                double is = ((double)matrix_row(dy, t)[d] * (double)gain.at[d] - u * along / (double)cols) / size;
                gap = fmax(gap, fabs((double)matrix_row(dx, t)[d] - is));
            }
        }
        for (size_t d = 0; d < cols; d++) gap = fmax(gap, fabs((double)dgain.at[d] - sum[d]) / 10);
        CU_ASSERT(gap < 3e-6);
        norm_backward(NORM_RMS, dy, dgain, dy, x, gain, scale, mean); /* in place */
        CU_ASSERT(check_gap(dx, dy) == 0);
        free(sum), matrix_free(&x), matrix_free(&gain), matrix_free(&y);
        matrix_free(&dy), matrix_free(&dgain), matrix_free(&dx);
    }
}

/* A large matrix steps as its numbers would in a small one. */
static void steps(void)
{
    enum { MANY = 5000 };
    struct random r = check_random();
    struct matrix x = check_matrix(&r, 2, MANY / 2, 1), g = matrix_new(2, MANY / 2), y = matrix_new(2, 2), h = matrix_new(2, 2);
    struct weights all = {0}, some = {0};
    memcpy(y.at, x.at, 4 * sizeof *y.at);
    weights_add(&all, "x", x, g), weights_add(&some, "y", y, h);
    struct adamw a = adamw_new(&all), b = adamw_new(&some);
    for (int step = 0; step < 20; step++) {
        for (size_t i = 0; i < MANY; i++) g.at[i] = (real)(random_symmetric(&r, 1) * (i % 3 ? 1 : 1e-6));
        memcpy(h.at, g.at, 4 * sizeof *h.at);
        adamw_step(&a, &all, 0.01), adamw_step(&b, &some, 0.01);
        for (size_t i = 0; i < 4; i++) CU_ASSERT_DOUBLE_EQUAL((double)x.at[i], (double)y.at[i], 2e-6);
    }
    adamw_free(&a), adamw_free(&b), weights_free(&all), weights_free(&some);
    matrix_free(&x), matrix_free(&y), matrix_free(&g), matrix_free(&h);
}

#ifdef _OPENMP
/* Losses, weights and slopes after some steps, to the last bit, whatever the number of threads. */
static void threads(void)
{
    static const char *const models[] = {"--model dense", "--model moe", "--model moe --top-k 2"};
    for (size_t m = 0; m < sizeof models / sizeof *models; m++) {
        char *first = NULL;
        for (int count = 1; count <= 4; count *= 2) {
            char command[200];
            snprintf(command, sizeof command, "OMP_NUM_THREADS=%d OMP_WAIT_POLICY=passive " CHECK_BUILD
                     "/chapter7 --steps 3 %s --data gradient | cksum", count, models[m]);
            struct check_output got = check_run(command);
            CU_ASSERT_EQUAL(got.status, 0);
            CU_ASSERT(atof(strchr(got.out, ' ') ? strchr(got.out, ' ') : "") > 1e6);
            if (first) CU_ASSERT_STRING_EQUAL(got.out, first);
            if (!first) first = strdup(got.out);
            check_free(&got);
        }
        free(first);
    }
}
#endif

SUITE(C) {
    check_case("heads agree with their definition, forward and backward", heads);
    check_case("the loss agrees with its definition at every size", losses);
    check_case("normalization does, too", norms);
    check_case("a large matrix steps like a small one", steps);
#ifdef _OPENMP
    check_case("threads change no bit of a run", threads);
#endif
}
