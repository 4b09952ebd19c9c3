/* Chapter 1, and the common ground under all chapters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "charlm.h"
#include "check.h"
#include "fast.h"
#include "lessons.h"
#include "look.h"
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

enum { FORMS = 3 };
typedef void product_of(struct matrix, struct matrix, struct matrix);
static product_of *const asked[FORMS] = {matmul, matmul_tn, matmul_nt};
static product_of *const plain[FORMS] = {matmul_plain, matmul_plain_tn, matmul_plain_nt};

/* Rounding: each of k products and sums is off by half an epsilon of what is summed. */
static double rounding(size_t k)
{
    return (double)(k + 1) * (sizeof(real) == sizeof(float) ? 1.2e-7 : 2.3e-16) * (double)k;
}

static int same_digits(struct matrix a, struct matrix b)
{
    return !memcmp(a.at, b.at, a.rows * a.cols * sizeof(real));
}

/* One shape, three forms: the plain loops give the definition, and what is asked
 * for gives the plain loops: their digits where the order of the sums is one. */
static void check_product(struct random *r, size_t m, size_t k, size_t n)
{
    struct matrix a = check_matrix(r, m, k, 1), b = check_matrix(r, k, n, 1);
    struct matrix at = transposed(a), bt = transposed(b), want = matrix_new(m, n);
    struct matrix left[FORMS] = {a, at, a}, right[FORMS] = {b, b, bt};
    naive_product(want, a, b);
    for (int form = 0; form < FORMS; form++) {
        struct matrix ours = check_matrix(r, m, n, 9), theirs = check_matrix(r, m, n, 9);
        asked[form](ours, left[form], right[form]);
        plain[form](theirs, left[form], right[form]);
        CU_ASSERT(check_gap(want, theirs) <= rounding(k));
        CU_ASSERT(check_gap(theirs, ours) <= rounding(k));
        int library = n >= 48; /* may go to oneDNN, which has an order of its own */
        if (form < 2 && !library) CU_ASSERT(same_digits(theirs, ours));
        matrix_free(&ours), matrix_free(&theirs);
    }
    matrix_free(&a), matrix_free(&b), matrix_free(&at), matrix_free(&bt), matrix_free(&want);
}

static void products(void)
{
    struct random r = check_random();
    for (size_t m = 0; m < 20; m++)
        for (size_t k = 0; k < 10; k++)
            for (size_t n = 0; n < 10; n++) check_product(&r, m, k, n);
    for (int round = 0; round < 20; round++)
        check_product(&r, random_below(&r, 90), random_below(&r, 90), random_below(&r, 90));
    check_product(&r, 70, 64, 50);
}

/* The fast forms are there where they should be: in products of routers' widths,
 * and never in fewer than eight rows. */
static void fast_applies(void)
{
    struct random r = check_random();
    for (size_t n = 1; n < 12; n++)
        for (size_t m = 6; m < 10; m++) {
            struct matrix a = check_matrix(&r, m, 5, 1), b = check_matrix(&r, 5, n, 1);
            struct matrix at = transposed(a), bt = transposed(b), out = matrix_new(m, n);
#ifdef __GNUC__
            int narrow = m >= 8 && (n == 1 || n == 4 || n == 8);
#else
            int narrow = 0;
#endif
            CU_ASSERT_EQUAL(fast_product(out, a, b), narrow);
            CU_ASSERT_EQUAL(fast_product_tn(out, at, b), narrow);
            CU_ASSERT_EQUAL(fast_product_nt(out, a, bt), 1);
            matrix_free(&a), matrix_free(&b), matrix_free(&at), matrix_free(&bt), matrix_free(&out);
        }
}

/* Eight sums at once, and what is left over: the sum is exact for whole numbers. */
static void dot_products(void)
{
    struct random r = check_random();
    for (size_t n = 0; n < 40; n++) {
        real a[40], b[40];
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            a[i] = (real)random_below(&r, 200), b[i] = (real)random_below(&r, 200);
            sum += (double)a[i] * (double)b[i];
        }
        CU_ASSERT_EQUAL(row_dot(a, b, n), sum);
    }
}

static double gelu(double z)
{
    return 0.5 * z * (1 + tanh(sqrt(2 / acos(-1)) * (z + 0.044715 * z * z * z)));
}

/* From its definition: the tail of the difference quotient is below 1e-9. */
static double gelu_slope(double z)
{
    return (gelu(z + 1e-5) - gelu(z - 1e-5)) / 2e-5;
}

/* A block of one unit that hands on what it gets: y is the activation of x, dx its slope. */
static void activation_at(enum ffn_activation activation, double at, double *value, double *slope)
{
    struct random r = random_seeded(1);
    struct ffn f = ffn_new(1, 1, activation, &r);
    struct matrix x = matrix_new(1, 1), y = matrix_new(1, 1), dx = matrix_new(1, 1), dy = matrix_new(1, 1);
    struct ffn_trace trace = ffn_trace_new(1, 1);
    f.w1.at[0] = f.w2.at[0] = dy.at[0] = 1, x.at[0] = (real)at;
    ffn_forward(&f, y, x, &trace);
    ffn_backward_rows(&f, dx, dy, &trace);
    *value = (double)y.at[0], *slope = (double)dx.at[0];
    matrix_free(&x), matrix_free(&y), matrix_free(&dx), matrix_free(&dy);
    ffn_free(&f), ffn_trace_free(&trace);
}

static void gelu_everywhere(void)
{
    double y, slope, exact = sizeof(real) == sizeof(double) ? 1e-14 : 3e-7;
    for (int i = -4000; i <= 4000; i++) {
        double x = i / 64.0;
        activation_at(FFN_GELU, x, &y, &slope);
        CU_ASSERT(fabs(y - (double)ffn_gelu((real)x)) <= exact * fmax(1, fabs(x)));
        CU_ASSERT(fabs(slope - (double)ffn_gelu_slope((real)x)) <= 2e-6);
        CU_ASSERT(fabs(y - gelu(x)) <= exact * fmax(1, fabs(x)));
        CU_ASSERT(fabs(slope - gelu_slope(x)) <= 2e-6);
    }
    const double far[] = {101, 1e12, 1e30, 3e38};
    for (size_t i = 0; i < 4; i++) {
        activation_at(FFN_GELU, far[i], &y, &slope);
        CU_ASSERT(y == (double)(real)far[i] && slope == 1);
        activation_at(FFN_GELU, -far[i], &y, &slope);
        CU_ASSERT(y == 0 && slope == 0);
        CU_ASSERT(ffn_gelu((real)far[i]) == (real)far[i] && ffn_gelu_slope((real)far[i]) == 1);
        CU_ASSERT(ffn_gelu((real)-far[i]) == 0 && ffn_gelu_slope((real)-far[i]) == 0);
    }
    CU_ASSERT(isnan((double)ffn_gelu((real)NAN)) && isnan((double)ffn_gelu_slope((real)NAN)));
}

/* Rows of every length from 0 up have the digits that each number has alone. */
static void gelu_rows(void)
{
    struct random r = check_random();
    for (size_t n = 0; n < 40; n++) {
        real z[41] = {0}, h[41] = {0}, d[41] = {0}, one = 0, slope = 1;
        for (size_t i = 0; i < n; i++) z[i] = (real)random_symmetric(&r, 4), d[i] = 1;
        h[n] = d[n] = 7;
        int done = fast_gelu(h, z, n) + fast_gelu_slope(d, z, n);
        CU_ASSERT_EQUAL(done, sizeof(real) == sizeof(float) ? 2 : 0);
        CU_ASSERT(h[n] == 7 && d[n] == 7);
        for (size_t i = 0; done && i < n; i++) {
            slope = 1;
            fast_gelu(&one, &z[i], 1), fast_gelu_slope(&slope, &z[i], 1);
            CU_ASSERT(h[i] == one && d[i] == slope);
        }
    }
}

/* What is missing stays in sight: a NaN in a token or a weight is not silenced. */
static void missing_numbers(void)
{
    double y, slope;
    for (int activation = FFN_RELU; activation <= FFN_GELU; activation++) {
        activation_at((enum ffn_activation)activation, NAN, &y, &slope);
        CU_ASSERT(isnan(y) && isnan(slope));
    }
    struct random r = check_random();
    struct ffn f = ffn_new(3, 8, FFN_RELU, &r);
    struct matrix x = check_matrix(&r, 2, 3, 1), out = matrix_new(2, 3);
    struct ffn_trace trace = ffn_trace_new(2, 8);
    f.w1.at[5] = (real)NAN;
    ffn_forward(&f, out, x, &trace);
    for (size_t i = 0; i < 6; i++) CU_ASSERT(isnan((double)out.at[i]));
    CU_ASSERT(isnan(ffn_zero_share(trace.hidden)));
    CU_ASSERT(isnan(ffn_top_share(&f, trace.hidden, 2)));
    ffn_keep(&f, trace.hidden, 1);
    CU_ASSERT(isnan((double)trace.hidden.at[5]) && isnan((double)trace.hidden.at[13]));
    ffn_free(&f), ffn_trace_free(&trace), matrix_free(&x), matrix_free(&out);
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

static void misfit_slope(void)
{
    struct weights list = {0};
    weights_add(&list, "w9", matrix_new(2, 3), matrix_new(3, 2));
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
    check_gives_up(too_large, "matrix.c memory");
    check_aborts(misfit_rows, "[2, 3] [4, 3]");
    check_aborts(misfit_first, "[2, 3] [2, 4]");
    check_aborts(misfit_vectors, "charlm.c [3, 4] [3, 5]");
    check_aborts(misfit_x, "[5, 3] [4, 8]");
    check_aborts(misfit_sum, "matrix.c: [2, 3] [3, 2]");
    check_aborts(misfit_slope, "weights.c: w9 [2, 3] [3, 2]");
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
        struct weights list = {0};
        ffn_weights(&list, "ffn", &f, &f);
        for (size_t j = 0; j < f.w1.cols; j++)
            for (size_t i = 0; i < f.w1.rows; i++) flops += 2;
        for (size_t d = 0; d < f.w2.cols; d++)
            for (size_t j = 0; j < f.w2.rows; j++) flops += 2;
        CU_ASSERT_EQUAL(ffn_parameters(width, hidden), weights_count(&list));
        CU_ASSERT_EQUAL(ffn_flops_per_token(width, hidden), flops);
        weights_free(&list), ffn_free(&f);
    }
    /* Mixtral's block, in more than 32 bits of FLOPs for its eight experts. */
    CU_ASSERT_EQUAL(8 * ffn_flops_per_token(4096, 14336), UINT64_C(1879048192));
    CU_ASSERT_EQUAL(ffn_flops_per_token(UINT64_C(1) << 20, UINT64_C(1) << 20), UINT64_C(1) << 42);
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

/* ---- All that a model learns ---- */

static void listed(void)
{
    struct random r = check_random();
    struct weights list = {0};
    struct matrix value[30], slope[30];
    CU_ASSERT_EQUAL(weights_count(&list), 0);
    CU_ASSERT_EQUAL(weights_norm(&list), 0);
    for (size_t i = 0; i < 30; i++) {
        char name[20];
        snprintf(name, sizeof name, "w%zu", i);
        value[i] = check_matrix(&r, i, 3, 1), slope[i] = matrix_new(i, 3);
        if (i % 2) weights_add(&list, name, value[i], slope[i]);
        else weights_add_part(&list, "even", name, value[i], slope[i]);
    }
    CU_ASSERT_EQUAL(list.count, 30);
    CU_ASSERT_EQUAL(weights_count(&list), 3 * 29 * 30 / 2);
    CU_ASSERT_STRING_EQUAL(list.at[7].name, "w7");
    CU_ASSERT_STRING_EQUAL(list.at[28].name, "even.w28");
    for (size_t i = 0; i < 30; i++) /* views, not copies */
        CU_ASSERT(list.at[i].value.at == value[i].at && list.at[i].slope.at == slope[i].at);
    weights_free(&list);
    CU_ASSERT(!list.at && !list.count);
    for (size_t i = 0; i < 30; i++) matrix_free(&value[i]), matrix_free(&slope[i]);
}

static void long_name(void)
{
    char name[200];
    struct weights list = {0};
    struct matrix m = matrix_new(1, 1);
    memset(name, 'n', sizeof name - 1), name[sizeof name - 1] = '\0';
    weights_add_part(&list, name, name, m, m);
    CU_ASSERT_EQUAL(strlen(list.at[0].name), WEIGHTS_NAME - 1);
    weights_free(&list), matrix_free(&m);
}

static void stepped(void)
{
    struct weights list = {0};
    struct matrix v = matrix_new(1, 2), g = matrix_new(1, 2), w = matrix_new(1, 1), h = matrix_new(1, 1);
    v.at[0] = 1, v.at[1] = 2, w.at[0] = 3;
    g.at[0] = 3, g.at[1] = -4, h.at[0] = 12;
    weights_add(&list, "v", v, g), weights_add(&list, "w", w, h);
    CU_ASSERT_EQUAL(weights_norm(&list), 13); /* 9 + 16 + 144 = 169 */
    weights_step(&list, 0.5); /* against the slopes */
    CU_ASSERT(v.at[0] == (real)-0.5 && v.at[1] == 4 && w.at[0] == -3);
    weights_clear(&list);
    CU_ASSERT(g.at[0] == 0 && g.at[1] == 0 && h.at[0] == 0 && weights_norm(&list) == 0);
    CU_ASSERT(v.at[0] == (real)-0.5); /* only slopes are cleared */
    h.at[0] = (real)NAN;
    CU_ASSERT(isnan(weights_norm(&list)));
    weights_free(&list);
    matrix_free(&v), matrix_free(&g), matrix_free(&w), matrix_free(&h);
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
    struct weights pair = {0};
    charlm_weights(&pair, &a, &b);
    for (size_t i = 0; i < pair.count; i++)
        CU_ASSERT(same_digits(pair.at[i].value, pair.at[i].slope));
    weights_free(&pair);
    double after = charlm_gradient(&a, &b, &work, text);
    CU_ASSERT(after < before);
    CU_ASSERT(charlm_accuracy(&a, &work, text, 16) > 0.15);
    charlm_work_free(&work), charlm_free(&a), charlm_free(&b);
}

/* Only biases: every token opens the same five units of eight, and the rest is dead. */
static void looked(void)
{
    char text[13];
    struct random r = check_random();
    struct charlm model = charlm_new(4, 8, FFN_RELU, &r);
    struct charlm_work work = charlm_work_new(&model, 12);
    charlm_text(text, sizeof text, check_seed());
    matrix_clear(model.ffn.w1);
    for (size_t j = 0; j < 8; j++) model.ffn.b1.at[j] = j < 5 ? (real)(j + 1) : -1;
    struct look look = look_into(&model, &work, text);
    CU_ASSERT_EQUAL(look.zero, 3.0 / 8);
    CU_ASSERT_EQUAL(look.dead, 3.0 / 8);
    CU_ASSERT_EQUAL(look.overlap, 1);
    CU_ASSERT(look.top > 0 && look.top <= 1 && look.right >= 0 && look.right <= 1);
    for (size_t t = 0; t < 12; t++) { /* the quarter is left, the two strongest */
        size_t kept = 0;
        for (size_t j = 0; j < 8; j++) kept += matrix_row(work.trace.hidden, t)[j] != 0;
        CU_ASSERT_EQUAL(kept, 2);
    }
    charlm_work_free(&work), charlm_free(&model);
    r = random_seeded(LESSON_BOOK_SEED);
    struct charlm book[2] = {charlm_new(CHARLM_WIDTH, CHARLM_HIDDEN, FFN_RELU, &r),
                             charlm_trained(LESSON_BOOK_SEED)};
    struct look seen[2] = {look_at(&book[0], LESSON_BOOK_SEED), look_at(&book[1], LESSON_BOOK_SEED)};
    double zero = seen[1].zero;
    CU_ASSERT(seen[0].zero > 0.4 && seen[0].zero < 0.6 && zero > seen[0].zero);
    CU_ASSERT(seen[1].overlap > 0.25 && seen[1].overlap < 0.5);
    CU_ASSERT(seen[1].top > seen[0].top && seen[1].right > seen[0].right);
    CU_ASSERT_DOUBLE_EQUAL(check_value(1, "", "ffn.zero_share"), zero, 1e-6);
    CU_ASSERT_DOUBLE_EQUAL(check_value(1, "--seed 1", "ffn.quarter_overlap"), seen[1].overlap, 1e-6);
    charlm_free(&book[0]), charlm_free(&book[1]);
}

/* At default knobs the program takes the model that the build trained; asked for
 * the same knobs by name it is the same, and another step more is not. */
static void built_in(void)
{
    double book = check_value(1, "", "charlm.accuracy"), top = check_value(1, "", "ffn.top_quarter_share");
    CU_ASSERT_EQUAL(check_value(1, "--steps 3000 --rate 0.5 --width 32", "charlm.accuracy"), book);
    CU_ASSERT_EQUAL(check_value(1, "--steps 3000 --activation relu", "ffn.top_quarter_share"), top);
    if (CHECK_QUICK) return; /* those below train */
    CU_ASSERT(check_value(1, "--steps 3001", "ffn.top_quarter_share") != top);
    CU_ASSERT(check_value(1, "--activation gelu", "ffn.zero_share") < 0.01);
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

/* sum of c v^2, so that the slope is 2 c v; a spoiled slope is seen, and so is a NaN. */
static double bowl(void *context)
{
    const struct matrix *v = context;
    return v[0].at[0] * v[0].at[0] + 5 * v[0].at[1] * v[0].at[1] + 1e-3 * v[1].at[0] * v[1].at[0];
}

static void errors_are_seen(void)
{
    struct weights list = {0};
    struct matrix v[2] = {matrix_new(1, 2), matrix_new(1, 1)}, g = matrix_new(1, 2), h = matrix_new(1, 1);
    v[0].at[0] = 3, v[0].at[1] = -2, v[1].at[0] = 4;
    g.at[0] = 6, g.at[1] = -20, h.at[0] = 8e-3;
    weights_add(&list, "v", v[0], g), weights_add(&list, "w", v[1], h);
    CU_ASSERT(weights_error(&list, bowl, v) < 1e-8);
    CU_ASSERT(v[0].at[0] == 3 && v[0].at[1] == -2 && v[1].at[0] == 4); /* put back */
    h.at[0] = 4e-3; /* of the small one, half is missing: as bad as of a large one */
    CU_ASSERT_DOUBLE_EQUAL(weights_error(&list, bowl, v), 0.5, 1e-6);
    h.at[0] = 8e-3, g.at[0] = -6;
    CU_ASSERT_DOUBLE_EQUAL(weights_error(&list, bowl, v), 12 / sqrt(436), 1e-6);
    g.at[0] = NAN;
    CU_ASSERT(isnan(weights_error(&list, bowl, v)));
    weights_free(&list);
    matrix_free(&v[0]), matrix_free(&v[1]), matrix_free(&g), matrix_free(&h);
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
            struct weights list = {0};
            ffn_weights(&list, "ffn", &b.ffn, &b.grad);
            weights_add(&list, "x", b.x, b.dx);
            CU_ASSERT(weights_error(&list, block_loss, &b) < 1e-6);
            weights_free(&list);
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
                      charlm_new(3, 5, FFN_GELU, &r), {.x = {0, 0, NULL}}, ""};
    for (size_t i = 0; i < m.model.unembed.rows * m.model.unembed.cols; i++)
        m.model.unembed.at[i] = random_symmetric(&r, 0.5);
    m.work = charlm_work_new(&m.model, sizeof m.text - 1);
    charlm_text(m.text, sizeof m.text, check_seed());
    charlm_gradient(&m.model, &m.grad, &m.work, m.text);
    struct weights list = {0};
    charlm_weights(&list, &m.model, &m.grad);
    CU_ASSERT(weights_error(&list, model_loss, &m) < 1e-6);
    weights_free(&list);
    charlm_free(&m.model), charlm_free(&m.grad), charlm_free(&m.spare);
    charlm_work_free(&m.work);
}

#endif

/* The last step may be the one that blows up: it shows in the scores. */
static void divergence_is_told(void)
{
    struct check_output got = check_run(sizeof(real) == sizeof(double)
        ? CHECK_BUILD "/chapter1 --rate 10 --steps 40" : CHECK_BUILD "/chapter1 --rate 10 --steps 4");
    CU_ASSERT(got.status == 1 && strstr(got.err, "training diverged") && !*got.out);
    check_free(&got);
}

SUITE(1) {
    check_case("training that diverges is told, whenever it does", divergence_is_told);
    check_case("the program keeps its promises", program);
    check_case("the lessons are sound", lessons);
    check_case("the generator is SplitMix64", splitmix);
    check_case("random numbers stay in their ranges", random_ranges);
    check_case("symbols and characters are each other's inverse", alphabet);
    check_case("characters outside the alphabet abort", text_contracts);
    check_case("lines are what their domain says; sums are right", lines);
    check_case("text repeats from its seed", filled_text);
    check_case("plain products are the definition; fast ones are the plain ones", products);
    check_case("narrow products and dot products are fast", fast_applies);
    check_case("rows are multiplied to their ends", dot_products);
    check_case("GELU and its slope agree with their formulas, far out, too", gelu_everywhere);
    check_case("a row's activations have the digits of each alone", gelu_rows);
    check_case("a missing number stays in sight", missing_numbers);
    check_case("shapes that do not fit abort and say so", broken_shapes);
    check_case("the block agrees with its formula", forward_by_formula);
    check_case("ReLU's slope at exactly 0 is 0", slope_at_zero);
    check_case("parameters and FLOPs, counted two ways", costs);
    check_case("zero share and top share", shares);
    check_case("the share is of the squared norm", one_strong_unit);
    check_case("one expert: uniform = 1", uniform_is_one);
    check_case("a list of weights counts and names what it views", listed);
    check_case("a name that is too long is cut", long_name);
    check_case("a step goes against the slopes; the norm is of all", stepped);
    check_case("training repeats, and lowers the loss", training);
    check_case("what the hidden units hold, by hand and in the book's model", looked);
    check_case("the book's model is there at once, others are trained", built_in);
    check_case("vectors have root mean square 1", vectors);
#ifdef REAL_DOUBLE
    check_case("a wrong slope shows, in a small matrix, too", errors_are_seen);
    check_case("gradients of the block, by differences", block_gradients);
    check_case("gradients of the model, by differences", model_gradients);
#endif
}
