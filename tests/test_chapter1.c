/* Chapter 1, and the common ground under all chapters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "charlm.h"
#include "check.h"
#include "lessons.h"
#include "text.h"

extern const struct lesson_table lessons1;

static void program(void) { check_program(1, "--steps 50"); }
static void lessons(void) { check_lessons(&lessons1, 200, "1.2 1.3"); }

/* ---- Random numbers and text ---- */

/* The published first outputs of SplitMix64 from seed 1234567. */
static void splitmix(void)
{
    struct random r = random_seeded(1234567);
    CU_ASSERT(random_bits(&r) == UINT64_C(6457827717110365317));
    CU_ASSERT(random_bits(&r) == UINT64_C(3203168211198807973));
    CU_ASSERT(random_bits(&r) == UINT64_C(9817491932198370423));
}

static void random_ranges(void)
{
    struct random r = check_random();
    size_t counts[7] = {0};
    double sum = 0;
    for (int i = 0; i < 70000; i++) {
        double u = random_uniform(&r), s = random_symmetric(&r, 3);
        size_t n = random_below(&r, 7);
        CU_ASSERT_FATAL(u >= 0 && u < 1 && s >= -3 && s < 3 && n < 7);
        counts[n]++;
        sum += u;
    }
    CU_ASSERT(fabs(sum / 70000 - 0.5) < 0.01);
    for (size_t n = 0; n < 7; n++)
        CU_ASSERT(fabs((double)counts[n] / 10000 - 1) < 0.06);
}

static void alphabet(void)
{
    for (size_t s = 0; s < text_symbols(); s++)
        CU_ASSERT_EQUAL(text_symbol(text_char(s)), s);
    CU_ASSERT_EQUAL(text_char(0), '\n');
}

static void bad_character(void) { text_symbol('#'); }
static void bad_symbol(void) { text_char(1000); }
static void text_contracts(void)
{
    check_aborts(bad_character, "35 alphabet");
    check_aborts(bad_symbol, "1000 allowed");
}

static void lines(void)
{
    struct random r = check_random();
    char line[TEXT_LINE];
    for (int i = 0; i < 3000; i++) {
        unsigned a, b, c;
        char sign, newline;
        text_line(line, (enum text_domain)(i % TEXT_DOMAINS), &r);
        CU_ASSERT_FATAL(strlen(line) > 1 && strlen(line) < TEXT_LINE - 1);
        CU_ASSERT(strchr(line, '\n') == line + strlen(line) - 1);
        for (const char *p = line; *p; p++) text_symbol(*p);
        if (i % TEXT_DOMAINS == TEXT_NAMES)
            CU_ASSERT(strspn(line, "abcdefghijklmnopqrstuvwxyz") + 1 == strlen(line));
        if (i % TEXT_DOMAINS == TEXT_ARITHMETIC) {
            CU_ASSERT_FATAL(sscanf(line, "%u%c%u=%u%c", &a, &sign, &b, &c, &newline) == 5);
            CU_ASSERT(c == (sign == '+' ? a + b : sign == '-' ? a - b : a * b));
        }
        if (i % TEXT_DOMAINS == TEXT_CODE)
            CU_ASSERT(line[strlen(line) - 2] == ';');
    }
}

static void filled_text(void)
{
    char a[500], b[500];
    struct random r = random_seeded(check_seed()), s = r;
    text_fill(a, sizeof a, &r);
    text_fill(b, sizeof b, &s);
    CU_ASSERT(!memcmp(a, b, sizeof a));
    for (size_t i = 0; i < sizeof a; i++) text_symbol(a[i]);
    text_fill(a, 0, &r);
}

/* ---- Products ---- */

static struct matrix transposed(struct matrix m)
{
    struct matrix out = matrix_new(m.cols, m.rows);
    for (size_t i = 0; i < m.rows; i++)
        for (size_t j = 0; j < m.cols; j++)
            matrix_row(out, j)[i] = matrix_row(m, i)[j];
    return out;
}

/* The definition, summed in double. */
static void naive_product(struct matrix out, struct matrix a, struct matrix b)
{
    for (size_t i = 0; i < a.rows; i++)
        for (size_t j = 0; j < b.cols; j++) {
            double sum = 0;
            for (size_t k = 0; k < a.cols; k++)
                sum += (double)matrix_row(a, i)[k] * (double)matrix_row(b, k)[j];
            matrix_row(out, i)[j] = (real)sum;
        }
}

static void products(void)
{
    struct random r = check_random();
    for (int round = 0; round < 60; round++) {
        size_t m = random_below(&r, 20), k = random_below(&r, 40), n = random_below(&r, 20);
        struct matrix a = check_matrix(&r, m, k, 1), b = check_matrix(&r, k, n, 1);
        struct matrix at = transposed(a), bt = transposed(b);
        struct matrix want = matrix_new(m, n), out = matrix_new(m, n);
        naive_product(want, a, b);
        matmul(out, a, b);
        CU_ASSERT(check_gap(want, out) < 2e-6);
        matmul_tn(out, at, b);
        CU_ASSERT(check_gap(want, out) < 2e-6);
        matmul_nt(out, a, bt);
        CU_ASSERT(check_gap(want, out) < 2e-6);
        matrix_free(&a), matrix_free(&b), matrix_free(&at), matrix_free(&bt);
        matrix_free(&want), matrix_free(&out);
    }
}

static double gelu(double z)
{
    return 0.5 * z * (1 + tanh(sqrt(2 / acos(-1)) * (z + 0.044715 * z * z * z)));
}

/* A column has the same digits whatever stands beside it: the products of
 * routers' widths, 4 and 8, are added up in the order of all others. */
static void narrow_products(void)
{
    struct random r = check_random();
    for (int round = 0; round < 200; round++) {
        size_t m = random_below(&r, 30), k = random_below(&r, 30), n = round % 2 ? 4 : 8;
        struct matrix a = check_matrix(&r, m, k, 1), b = check_matrix(&r, k, n, 1);
        struct matrix wide = matrix_new(k, n + 1), at = transposed(a);
        struct matrix out = matrix_new(m, n), more = matrix_new(m, n + 1), out_t = matrix_new(m, n);
        for (size_t i = 0; i < k * n; i++) matrix_row(wide, i / n)[i % n] = b.at[i];
        matmul(out, a, b), matmul(more, a, wide), matmul_tn(out_t, at, b);
        for (size_t i = 0; i < m * n; i++)
            CU_ASSERT(out.at[i] == matrix_row(more, i / n)[i % n] && out.at[i] == out_t.at[i]);
        matrix_free(&a), matrix_free(&b), matrix_free(&wide), matrix_free(&at);
        matrix_free(&out), matrix_free(&more), matrix_free(&out_t);
        /* Inner width 4 or 8, and the same with a column of zeros. */
        struct matrix x = check_matrix(&r, m, n, 1), y = check_matrix(&r, k, n, 1);
        struct matrix x0 = matrix_new(m, n + 1), y0 = matrix_new(k, n + 1);
        for (size_t i = 0; i < m * n; i++) matrix_row(x0, i / n)[i % n] = x.at[i];
        for (size_t i = 0; i < k * n; i++) matrix_row(y0, i / n)[i % n] = y.at[i];
        struct matrix dots = matrix_new(m, k), dots0 = matrix_new(m, k);
        matmul_nt(dots, x, y), matmul_nt(dots0, x0, y0);
        for (size_t i = 0; i < m * k; i++) CU_ASSERT(dots.at[i] == dots0.at[i]);
        matrix_free(&x), matrix_free(&y), matrix_free(&x0), matrix_free(&y0);
        matrix_free(&dots), matrix_free(&dots0);
    }
}

/* GELU's own power of two, against the C library in double. */
static void gelu_everywhere(void)
{
    struct random r = random_seeded(1);
    struct ffn f = ffn_new(1, 1, FFN_GELU, &r);
    f.w1.at[0] = f.w2.at[0] = 1;
    struct matrix x = matrix_new(1, 1), y = matrix_new(1, 1);
    struct ffn_trace trace = ffn_trace_new(1, 1);
    for (int i = -4000; i <= 4000; i++) {
        x.at[0] = (real)i / 64;
        ffn_forward(&f, y, x, &trace);
        CU_ASSERT(fabs((double)y.at[0] - gelu((double)x.at[0])) <= 3e-7 * fmax(1, fabs((double)x.at[0])));
    }
    CU_ASSERT_EQUAL(y.at[0], x.at[0]);
    x.at[0] = (real)-3e38, ffn_forward(&f, y, x, &trace);
    CU_ASSERT_EQUAL(y.at[0], 0);
    struct matrix dx = matrix_new(1, 1), one = matrix_new(1, 1);
    x.at[0] = (real)-1e12, one.at[0] = 1, ffn_forward(&f, y, x, &trace);
    ffn_backward_rows(&f, dx, one, &trace);
    CU_ASSERT_EQUAL(dx.at[0], 0);
    x.at[0] = (real)NAN, ffn_forward(&f, y, x, &trace);
    CU_ASSERT(isnan((double)y.at[0]));
    matrix_free(&dx), matrix_free(&one);
    x.at[0] = 1e30f, ffn_forward(&f, y, x, &trace);
    CU_ASSERT_EQUAL(y.at[0], x.at[0]);
    ffn_free(&f), ffn_trace_free(&trace), matrix_free(&x), matrix_free(&y);
}

/* Every dimension of every product, one wrong at a time. */
static void misfit_nn(void) { matmul(matrix_new(2, 7), matrix_new(2, 3), matrix_new(4, 7)); }
static void misfit_tn(void) { matmul_tn(matrix_new(3, 7), matrix_new(2, 3), matrix_new(4, 7)); }
static void misfit_nt(void) { matmul_nt(matrix_new(2, 4), matrix_new(2, 3), matrix_new(4, 7)); }
static void rows_nn(void) { matmul(matrix_new(9, 7), matrix_new(2, 3), matrix_new(3, 7)); }
static void rows_tn(void) { matmul_tn(matrix_new(9, 7), matrix_new(2, 3), matrix_new(2, 7)); }
static void rows_nt(void) { matmul_nt(matrix_new(9, 4), matrix_new(2, 3), matrix_new(4, 3)); }
static void cols_nn(void) { matmul(matrix_new(2, 9), matrix_new(2, 3), matrix_new(3, 7)); }
static void cols_tn(void) { matmul_tn(matrix_new(3, 9), matrix_new(2, 3), matrix_new(2, 7)); }
static void cols_nt(void) { matmul_nt(matrix_new(2, 9), matrix_new(2, 3), matrix_new(4, 3)); }
static void too_large(void) { matrix_new((size_t)1 << (sizeof(size_t) * 4), (size_t)1 << (sizeof(size_t) * 4)); }
static void misfit_rows(void)
{
    matrix_add(matrix_new(2, 3), matrix_new(2, 3), 1, matrix_new(4, 3));
}
static void misfit_first(void)
{
    matrix_add(matrix_new(2, 3), matrix_new(2, 4), 1, matrix_new(2, 3));
}
static void misfit_vectors(void)
{
    struct random r = random_seeded(1);
    struct charlm model = charlm_new(4, 8, FFN_RELU, &r);
    charlm_embed(&model, matrix_new(3, 5), "abc");
}
static void misfit_x(void)
{
    struct random r = random_seeded(1);
    struct ffn ffn = ffn_new(4, 8, FFN_RELU, &r);
    struct ffn_trace trace = ffn_trace_new(5, 8);
    ffn_forward(&ffn, matrix_new(5, 4), matrix_new(5, 3), &trace);
}
static void misfit_sum(void)
{
    matrix_add(matrix_new(2, 3), matrix_new(2, 3), 1, matrix_new(3, 2));
}

static void broken_shapes(void)
{
    check_aborts(misfit_nn, "matrix.c [2, 3] [4, 7] rows");
    check_aborts(misfit_tn, "matmul_tn [2, 3] [4, 7]");
    check_aborts(misfit_nt, "matmul_nt [2, 3] [4, 7]");
    check_aborts(rows_nn, "[9, 7] [2, 3] [3, 7]");
    check_aborts(rows_tn, "[9, 7] [2, 3] [2, 7]");
    check_aborts(rows_nt, "[9, 4] [2, 3] [4, 3]");
    check_aborts(cols_nn, "[2, 9] [2, 3] [3, 7]");
    check_aborts(cols_tn, "[3, 9] [2, 3] [2, 7]");
    check_aborts(cols_nt, "[2, 9] [2, 3] [4, 3]");
    check_aborts(too_large, "matrix.c memory");
    check_aborts(misfit_rows, "[2, 3] [4, 3]");
    check_aborts(misfit_first, "[2, 3] [2, 4]");
    check_aborts(misfit_vectors, "charlm.c [3, 4] [3, 5]");
    check_aborts(misfit_x, "[5, 3] [4, 8]");
    check_aborts(misfit_sum, "matrix.c: [2, 3] [3, 2]");
}

/* ---- The block ---- */

struct block { struct ffn ffn, grad; struct matrix x, y, dx, weight; struct ffn_trace trace; };

static struct block block_new(struct random *r, size_t tokens, size_t width,
                              size_t hidden, enum ffn_activation activation)
{
    struct block b = {ffn_new(width, hidden, activation, r),
        ffn_new(width, hidden, activation, r), check_matrix(r, tokens, width, 1),
        matrix_new(tokens, width), matrix_new(tokens, width),
        check_matrix(r, tokens, width, 1), ffn_trace_new(tokens, hidden)};
    for (size_t j = 0; j < hidden; j++) b.ffn.b1.at[j] = (real)random_symmetric(r, 0.3);
    for (size_t d = 0; d < width; d++) b.ffn.b2.at[d] = (real)random_symmetric(r, 0.3);
    return b;
}

static void block_free(struct block *b)
{
    ffn_free(&b->ffn), ffn_free(&b->grad), ffn_trace_free(&b->trace);
    matrix_free(&b->x), matrix_free(&b->y), matrix_free(&b->dx), matrix_free(&b->weight);
}

/* The formula, one number at a time. */
static void forward_by_formula(void)
{
    struct random r = check_random();
    for (int round = 0; round < 20; round++) {
        enum ffn_activation activation = round % 2 ? FFN_GELU : FFN_RELU;
        struct block b = block_new(&r, random_below(&r, 6), 1 + random_below(&r, 9),
                                   1 + random_below(&r, 17), activation);
        ffn_forward(&b.ffn, b.y, b.x, &b.trace);
        for (size_t t = 0; t < b.x.rows; t++)
            for (size_t d = 0; d < b.x.cols; d++) {
                double y = (double)b.ffn.b2.at[d];
                for (size_t j = 0; j < b.ffn.w1.cols; j++) {
                    double z = (double)b.ffn.b1.at[j];
                    for (size_t i = 0; i < b.x.cols; i++)
                        z += (double)matrix_row(b.x, t)[i] * (double)matrix_row(b.ffn.w1, i)[j];
                    double h = activation == FFN_GELU ? gelu(z) : fmax(z, 0);
                    y += h * (double)matrix_row(b.ffn.w2, j)[d];
                }
                CU_ASSERT(fabs(y - (double)matrix_row(b.y, t)[d]) < 2e-5);
            }
        block_free(&b);
    }
}

/* ReLU's corner belongs to the side that is shut: at exactly 0 its slope is 0. */
static void slope_at_zero(void)
{
    struct random r = check_random();
    struct block b = block_new(&r, 3, 4, 8, FFN_RELU);
    for (size_t i = 0; i < 12; i++) b.x.at[i] = 0;
    for (size_t j = 0; j < 8; j++) b.ffn.b1.at[j] = 0;
    ffn_forward(&b.ffn, b.y, b.x, &b.trace);
    ffn_backward(&b.ffn, &b.grad, b.dx, b.weight, b.x, &b.trace);
    for (size_t i = 0; i < 12; i++) CU_ASSERT_EQUAL(b.dx.at[i], 0);
    for (size_t j = 0; j < 8; j++) CU_ASSERT_EQUAL(b.grad.b1.at[j], 0);
    b.ffn.b1.at[5] = (real)1e-30; /* and a hair above it is not */
    ffn_forward(&b.ffn, b.y, b.x, &b.trace);
    ffn_backward(&b.ffn, &b.grad, b.dx, b.weight, b.x, &b.trace);
    for (size_t j = 0; j < 8; j++) CU_ASSERT_EQUAL(b.grad.b1.at[j] != 0, j == 5);
    block_free(&b);
}

/* Parameters counted from the shapes; FLOPs by doing them one at a time. */
static void costs(void)
{
    struct random r = check_random();
    for (int round = 0; round < 30; round++) {
        size_t width = 1 + random_below(&r, 50), hidden = 1 + random_below(&r, 90), flops = 0;
        struct ffn f = ffn_new(width, hidden, FFN_RELU, &r);
        struct matrix all[] = {f.w1, f.b1, f.w2, f.b2};
        size_t parameters = 0;
        for (size_t i = 0; i < 4; i++) parameters += all[i].rows * all[i].cols;
        for (size_t j = 0; j < f.w1.cols; j++)
            for (size_t i = 0; i < f.w1.rows; i++) flops += 2;
        for (size_t d = 0; d < f.w2.cols; d++)
            for (size_t j = 0; j < f.w2.rows; j++) flops += 2;
        CU_ASSERT_EQUAL(ffn_parameters(width, hidden), parameters);
        CU_ASSERT_EQUAL(ffn_flops_per_token(width, hidden), flops);
        ffn_free(&f);
    }
}

static void shares(void)
{
    struct random r = check_random();
    struct block b = block_new(&r, 12, 5, 16, FFN_RELU);
    ffn_forward(&b.ffn, b.y, b.x, &b.trace);
    struct matrix h = b.trace.hidden;
    size_t zeros = 0;
    for (size_t i = 0; i < h.rows * h.cols; i++) zeros += h.at[i] == 0;
    CU_ASSERT_DOUBLE_EQUAL(ffn_zero_share(h), (double)zeros / (12 * 16), 1e-12);
    CU_ASSERT(zeros > 0);
    CU_ASSERT_DOUBLE_EQUAL(ffn_top_share(&b.ffn, h, 16), 1, 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(ffn_top_share(&b.ffn, h, 0), 0, 1e-12);
    double quarter = ffn_top_share(&b.ffn, h, 4);
    CU_ASSERT(quarter > 0.25 && quarter <= 1);
    CU_ASSERT_EQUAL(ffn_zero_share((struct matrix){0, 16, h.at}), 0);
    block_free(&b);
    b = block_new(&r, 12, 5, 16, FFN_GELU);
    ffn_forward(&b.ffn, b.y, b.x, &b.trace);
    CU_ASSERT_EQUAL(ffn_zero_share(b.trace.hidden), 0);
    block_free(&b);
}

/* One unit far stronger than the rest carries everything. */
static void one_strong_unit(void)
{
    struct random r = check_random();
    struct block b = block_new(&r, 1, 3, 8, FFN_RELU);
    struct matrix h = b.trace.hidden;
    for (size_t j = 0; j < 8; j++) {
        h.at[j] = 1;
        for (size_t d = 0; d < 3; d++)
            matrix_row(b.ffn.w2, j)[d] = j == 5 ? 10 : j == 2 && d == 0 ? (real)0.5 : 0;
    }
    /* y = (10.5, 10, 10); without unit 2: (10, 10, 10). */
    CU_ASSERT_DOUBLE_EQUAL(ffn_top_share(&b.ffn, h, 1), 1 - 0.25 / 310.25, 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(ffn_top_share(&b.ffn, h, 2), 1, 1e-9);
    block_free(&b);
}

/* A dense FFN is a mixture with one expert: it gets every token, so its share
 * of tokens f and its probability P are 1, and E * sum(f P) is 1. */
static void uniform_is_one(void)
{
    struct random r = check_random();
    struct block b = block_new(&r, 9, 4, 8, FFN_RELU);
    enum { E = 1 };
    double count[E] = {0}, probability[E] = {0}, loss = 0;
    struct matrix one = matrix_new(1, 4);
    struct ffn_trace trace = ffn_trace_new(1, 8);
    ffn_forward(&b.ffn, b.y, b.x, &b.trace);
    for (size_t t = 0; t < 9; t++) {
        size_t expert = 0;
        real gate = 1;
        count[expert] += 1;
        probability[expert] += (double)gate;
        struct matrix row = {1, 4, matrix_row(b.x, t)};
        ffn_forward(&b.ffn, one, row, &trace);
        for (size_t d = 0; d < 4; d++)
            CU_ASSERT_EQUAL(gate * one.at[d], matrix_row(b.y, t)[d]);
    }
    for (size_t e = 0; e < E; e++) loss += E * (count[e] / 9) * (probability[e] / 9);
    CU_ASSERT_DOUBLE_EQUAL(loss, 1, 1e-6);
    matrix_free(&one), ffn_trace_free(&trace), block_free(&b);
}

/* ---- Training ---- */

static void training(void)
{
    char text[201];
    struct random r = random_seeded(check_seed()), s = r;
    struct charlm a = charlm_new(8, 16, FFN_RELU, &r), b = charlm_new(8, 16, FFN_RELU, &s);
    struct charlm_work work = charlm_work_new(&a, 200);
    charlm_text(text, sizeof text, check_seed());
    double before = charlm_gradient(&a, &b, &work, text);
    charlm_free(&b);
    s = random_seeded(check_seed());
    b = charlm_new(8, 16, FFN_RELU, &s);
    CU_ASSERT(isfinite(charlm_train(&a, 400, 0.3, &r)));
    charlm_train(&b, 400, 0.3, &s);
    CU_ASSERT(!memcmp(a.embed.at, b.embed.at, a.embed.rows * a.embed.cols * sizeof(real)));
    CU_ASSERT(!memcmp(a.ffn.w1.at, b.ffn.w1.at, 8 * 16 * sizeof(real)));
    double after = charlm_gradient(&a, &b, &work, text);
    CU_ASSERT(after < before);
    CU_ASSERT(charlm_accuracy(&a, &work, text, 16) > 0.15);
    charlm_work_free(&work), charlm_free(&a), charlm_free(&b);
}

static void vectors(void)
{
    char text[51];
    struct random r = check_random();
    struct charlm model = charlm_new(6, 8, FFN_RELU, &r);
    struct matrix x = matrix_new(50, 6), y = matrix_new(50, 6);
    charlm_text(text, sizeof text, 3);
    charlm_embed(&model, x, text);
    charlm_vectors(&model, y, text);
    for (size_t t = 0; t < 50; t++) {
        double square = 0, ratio = (double)matrix_row(x, t)[0] / (double)matrix_row(y, t)[0];
        for (size_t d = 0; d < 6; d++) {
            square += (double)matrix_row(y, t)[d] * (double)matrix_row(y, t)[d] / 6;
            CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(y, t)[d] * ratio,
                                   (double)matrix_row(x, t)[d], 1e-5);
        }
        CU_ASSERT_DOUBLE_EQUAL(square, 1, 1e-5);
    }
    matrix_free(&x), matrix_free(&y), charlm_free(&model);
}

/* ---- Gradients ---- */
#ifdef REAL_DOUBLE

static double weighted_sum(struct matrix y, struct matrix weight)
{
    double sum = 0;
    for (size_t i = 0; i < y.rows * y.cols; i++) sum += y.at[i] * weight.at[i];
    return sum;
}

static double block_loss(void *context)
{
    struct block *b = context;
    ffn_forward(&b->ffn, b->y, b->x, &b->trace);
    return weighted_sum(b->y, b->weight);
}

static double clearance(const struct block *b)
{
    double least = INFINITY;
    for (size_t i = 0; i < b->trace.pre.rows * b->trace.pre.cols; i++)
        least = fmin(least, fabs(b->trace.pre.at[i]));
    return least;
}

static void block_gradients(void)
{
    struct random r = check_random();
    for (int round = 0, tries = 0; round < 12; tries++) {
        CU_ASSERT_FATAL(tries < 1000);
        enum ffn_activation activation = round % 2 ? FFN_GELU : FFN_RELU;
        struct block b = block_new(&r, 1 + random_below(&r, 4), 3, 6, activation);
        block_loss(&b);
        if (activation == FFN_GELU || clearance(&b) > 1e-3) { /* no kink nearby */
            ffn_backward(&b.ffn, &b.grad, b.dx, b.weight, b.x, &b.trace);
            struct { struct matrix at, gradient; } all[] = {
                {b.ffn.w1, b.grad.w1}, {b.ffn.b1, b.grad.b1}, {b.ffn.w2, b.grad.w2},
                {b.ffn.b2, b.grad.b2}, {b.x, b.dx}};
            for (size_t i = 0; i < 5; i++)
                CU_ASSERT(check_gradient(all[i].at.rows * all[i].at.cols, all[i].at.at,
                                         all[i].gradient.at, block_loss, &b) < 1e-6);
            round++;
        }
        block_free(&b);
    }
}

struct model { struct charlm model, grad, spare; struct charlm_work work; char text[20]; };

static double model_loss(void *context)
{
    struct model *m = context;
    return charlm_gradient(&m->model, &m->spare, &m->work, m->text);
}

static void model_gradients(void)
{
    struct random r = check_random();
    struct model m = {charlm_new(3, 5, FFN_GELU, &r), charlm_new(3, 5, FFN_GELU, &r),
                      charlm_new(3, 5, FFN_GELU, &r), {{0, 0, NULL}, {0, 0, NULL},
                      {0, 0, NULL}, {0, 0, NULL}, {0, 0, NULL}, {{0, 0, NULL},
                      {0, 0, NULL}, {0, 0, NULL}}}, ""};
    for (size_t i = 0; i < m.model.unembed.rows * m.model.unembed.cols; i++)
        m.model.unembed.at[i] = random_symmetric(&r, 0.5);
    m.work = charlm_work_new(&m.model, sizeof m.text - 1);
    charlm_text(m.text, sizeof m.text, check_seed());
    charlm_gradient(&m.model, &m.grad, &m.work, m.text);
    struct { struct matrix at, gradient; } all[] = {
        {m.model.embed, m.grad.embed}, {m.model.unembed, m.grad.unembed},
        {m.model.ffn.w1, m.grad.ffn.w1}, {m.model.ffn.b2, m.grad.ffn.b2}};
    for (size_t i = 0; i < 4; i++)
        CU_ASSERT(check_gradient(all[i].at.rows * all[i].at.cols, all[i].at.at,
                                 all[i].gradient.at, model_loss, &m) < 1e-6);
    charlm_free(&m.model), charlm_free(&m.grad), charlm_free(&m.spare);
    charlm_work_free(&m.work);
}

#endif

SUITE(1) {
    check_case("the program keeps its promises", program);
    check_case("the lessons are sound", lessons);
    check_case("the generator is SplitMix64", splitmix);
    check_case("random numbers stay in their ranges", random_ranges);
    check_case("symbols and characters are each other's inverse", alphabet);
    check_case("characters outside the alphabet abort", text_contracts);
    check_case("lines are what their domain says; sums are right", lines);
    check_case("text repeats from its seed", filled_text);
    check_case("the three products agree with the definition", products);
    check_case("a column's digits do not depend on its neighbors", narrow_products);
    check_case("GELU agrees with its formula, far out, too", gelu_everywhere);
    check_case("shapes that do not fit abort and say so", broken_shapes);
    check_case("the block agrees with its formula", forward_by_formula);
    check_case("ReLU's slope at exactly 0 is 0", slope_at_zero);
    check_case("parameters and FLOPs, counted two ways", costs);
    check_case("zero share and top share", shares);
    check_case("the share is of the squared norm", one_strong_unit);
    check_case("one expert: uniform = 1", uniform_is_one);
    check_case("training repeats, and lowers the loss", training);
    check_case("vectors have root mean square 1", vectors);
#ifdef REAL_DOUBLE
    check_case("gradients of the block, by differences", block_gradients);
    check_case("gradients of the model, by differences", model_gradients);
#endif
}
