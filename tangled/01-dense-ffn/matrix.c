#include <stdlib.h>
#include <string.h>
#include "fast.h"
#include "matrix.h"
#include "stop.h"

void matmul_plain(struct matrix out, struct matrix a, struct matrix b)
{
    matrix_clear(out);
    for (size_t i = 0; i < a.rows; i++)
        for (size_t k = 0; k < a.cols; k++)
            row_add(matrix_row(out, i), matrix_row(a, i)[k],
                    matrix_row(b, k), b.cols);
}

void matmul_plain_tn(struct matrix out, struct matrix a,
                     struct matrix b)
{
    matrix_clear(out);
    for (size_t k = 0; k < a.rows; k++)
        for (size_t i = 0; i < a.cols; i++)
            row_add(matrix_row(out, i), matrix_row(a, k)[i],
                    matrix_row(b, k), b.cols);
}

void matmul_plain_nt(struct matrix out, struct matrix a,
                     struct matrix b)
{
    for (size_t i = 0; i < a.rows; i++)
        for (size_t j = 0; j < b.rows; j++) {
            real sum = 0;
            const real *x = matrix_row(a, i), *y = matrix_row(b, j);
            for (size_t k = 0; k < a.cols; k++)
                sum += (real)(x[k] * y[k]);
            matrix_row(out, i)[j] = sum;
        }
}

/* refuse a shape that does not fit */
void matrix_expect_at(const char *file, int line, struct matrix matrix,
                      size_t rows, size_t cols, const char *name)
{
    if (matrix.rows == rows && matrix.cols == cols) return;
    stop_at(file, line, "%s must be [%zu, %zu] here, got [%zu, %zu]; "
            "check which dimension was swapped or left out", name, rows,
            cols, matrix.rows, matrix.cols);
}

static void expect_product(int fits, const char *product,
                           struct matrix out, struct matrix a,
                           struct matrix b, const char *hint)
{
    if (fits) return;
    stop("%s: out [%zu, %zu], a [%zu, %zu], b [%zu, %zu] do not fit: "
         "%s", product, out.rows, out.cols, a.rows, a.cols, b.rows,
         b.cols, hint);
}

void matmul(struct matrix out, struct matrix a, struct matrix b)
{
    expect_product(a.cols == b.rows && out.rows == a.rows
        && out.cols == b.cols, "matmul (out = a b)", out, a, b,
        "a's columns must be b's rows; matmul_tn transposes a, "
        "matmul_nt transposes b");
    if (!fast_product(out, a, b)) matmul_plain(out, a, b);
}

void matmul_tn(struct matrix out, struct matrix a, struct matrix b)
{
    expect_product(a.rows == b.rows && out.rows == a.cols
        && out.cols == b.cols, "matmul_tn (out = a' b)", out, a, b,
        "a and b must have the same rows");
    if (!fast_product_tn(out, a, b)) matmul_plain_tn(out, a, b);
}

void matmul_nt(struct matrix out, struct matrix a, struct matrix b)
{
    expect_product(a.cols == b.cols && out.rows == a.rows
        && out.cols == b.rows, "matmul_nt (out = a b')", out, a, b,
        "a and b must have the same columns");
    if (!fast_product_nt(out, a, b)) matmul_plain_nt(out, a, b);
}

void matrix_add(struct matrix out, struct matrix a, real s,
                struct matrix b)
{
    matrix_expect(a, out.rows, out.cols, "a");
    matrix_expect(b, out.rows, out.cols, "b");
    if (fast_add(out, a, s, b)) return;
    for (size_t i = 0; i < out.rows * out.cols; i++)
        out.at[i] = a.at[i] + (real)(s * b.at[i]);
}

void matrix_clear(struct matrix matrix)
{
    for (size_t i = 0; i < matrix.rows * matrix.cols; i++)
        matrix.at[i] = 0;
}

double matrix_squares(struct matrix matrix)
{
    double sum = 0;
    for (size_t i = 0; i < matrix.rows * matrix.cols; i++)
        sum += (double)matrix.at[i] * (double)matrix.at[i];
    return sum;
}

double row_dot(const real *a, const real *b, size_t n)
{
    return fast_dot(a, b, n);
}

static real *zeros(size_t count)
{
#ifdef __SANITIZE_ADDRESS__
    return calloc(count + 1, sizeof(real));
#else
    size_t bytes = count * sizeof(real) / 64 * 64 + 64;
    real *at = aligned_alloc(64, bytes);
    return at ? memset(at, 0, bytes) : NULL;
#endif
}

struct matrix matrix_new(size_t rows, size_t cols)
{
    size_t most = ((size_t)-1 - 64) / sizeof(real);
    struct matrix m = {rows, cols, NULL};
    if (!cols || rows <= most / cols) m.at = zeros(rows * cols);
    if (m.at) return m;
    give_up("no memory for a matrix [%zu, %zu]; make it smaller",
            rows, cols);
}

void matrix_free(struct matrix *matrix)
{
    free(matrix->at);
    *matrix = (struct matrix){0, 0, NULL};
}
