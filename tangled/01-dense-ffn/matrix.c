#include <stdlib.h>
#include <string.h>
#include "matrix.h"
#include "stop.h"

/* make a matrix */
/* find memory for numbers */
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
    stop("no memory for a matrix [%zu, %zu]; make it smaller", rows,
         cols);
}

/* free a matrix */
void matrix_free(struct matrix *matrix)
{
    free(matrix->at);
    *matrix = (struct matrix){0, 0, NULL};
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

/* refuse a product that does not fit */
static void expect_product(int fits, const char *product,
                           struct matrix out, struct matrix a,
                           struct matrix b, const char *hint)
{
    if (fits) return;
    stop("%s: out [%zu, %zu], a [%zu, %zu], b [%zu, %zu] do not fit: "
         "%s", product, out.rows, out.cols, a.rows, a.cols, b.rows,
         b.cols, hint);
}

/* multiply with plain loops */
/* multiply by a narrow matrix */
#ifdef __GNUC__
/* multiply by four columns */
typedef real four __attribute__((vector_size(4 * sizeof(real))));

/* Columns c to c + 3 of out = a b, where a may be transposed: its next
 * row is `down` numbers on, its next column `right`. */
static void four_columns(struct matrix out, const real *a, size_t down,
                         size_t right, struct matrix b, size_t c)
{
    for (size_t done = 0; done < out.rows; done += 8) {
        size_t i = done + 8 > out.rows ? out.rows - 8 : done;
        four sum[8] = {{0}};
        /* add up eight rows of four */
        for (size_t k = 0; k < b.rows; k++) {
            four factor;
            memcpy(&factor, matrix_row(b, k) + c, sizeof factor);
            for (size_t r = 0; r < 8; r++)
                sum[r] += a[(i + r) * down + k * right] * factor;
        }
        for (size_t r = 0; r < 8; r++)
            memcpy(matrix_row(out, i + r) + c, &sum[r], sizeof(four));
    }
}

static int narrow(struct matrix out, const real *a, size_t down,
                  size_t right, struct matrix b)
{
    int fits = out.rows >= 8 && (b.cols == 4 || b.cols == 8);
    for (size_t c = 0; fits && c < b.cols; c += 4)
        four_columns(out, a, down, right, b, c);
    return fits;
}
#else
#define narrow(out, a, down, right, b) 0
#endif

static void product(struct matrix out, struct matrix a, struct matrix b)
{
    if (narrow(out, a.at, a.cols, 1, b)) return;
    memset(out.at, 0, out.rows * out.cols * sizeof *out.at);
    for (size_t i = 0; i < a.rows; i++)
        for (size_t k = 0; k < a.cols; k++) {
            real s = a.at[i * a.cols + k];
            for (size_t j = 0; j < b.cols; j++)
                out.at[i * out.cols + j] += s * b.at[k * b.cols + j];
        }
}

/* multiply with a side transposed */
/* multiply with the left side transposed */
static void product_tn(struct matrix out, struct matrix a,
                       struct matrix b)
{
    if (narrow(out, a.at, 1, a.cols, b)) return;
    memset(out.at, 0, out.rows * out.cols * sizeof *out.at);
    for (size_t k = 0; k < a.rows; k++)
        for (size_t i = 0; i < a.cols; i++) {
            real s = a.at[k * a.cols + i];
            for (size_t j = 0; j < b.cols; j++)
                out.at[i * out.cols + j] += s * b.at[k * b.cols + j];
        }
}

/* multiply with the right side transposed */
static real dot(const real *a, const real *b, size_t n)
{
    real sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t lane = 0; lane < 8; lane++)
            sum[lane] += a[i + lane] * b[i + lane];
    for (; i < n; i++) sum[i % 8] += a[i] * b[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3]))
         + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/* fill the product with dot products */
static inline void dots(struct matrix out, struct matrix a,
                        struct matrix b, size_t n)
{
    for (size_t i = 0; i < a.rows; i++)
        for (size_t j = 0; j < b.rows; j++)
            matrix_row(out, i)[j] = dot(a.at + i * n, b.at + j * n, n);
}

static void product_nt(struct matrix out, struct matrix a,
                       struct matrix b)
{
    if (a.cols == 4) dots(out, a, b, 4); /* unrolled for narrow ones */
    else if (a.cols == 8) dots(out, a, b, 8);
    else dots(out, a, b, a.cols);
}

/* multiply, fast or plain, and add */
/* hand large products to a library */
#ifdef MATRIX_ONEDNN
#ifdef REAL_DOUBLE
#error "dnnl_sgemm multiplies floats: build without REAL_DOUBLE"
#endif
#include <oneapi/dnnl/dnnl.h>

/* call the library */
static int handed_over(char ta, char tb, struct matrix out,
                       struct matrix a, struct matrix b)
{
    size_t m = out.rows, n = out.cols, k = ta == 'T' ? a.rows : a.cols;
    size_t rows = ta == 'T' ? k : m, width = ta == 'T' ? m : k;
    if (rows < 8 || width < 48 || n < 48) return 0;
    return dnnl_sgemm(ta, tb, (dnnl_dim_t)m, (dnnl_dim_t)n,
                      (dnnl_dim_t)k, 1, a.at, (dnnl_dim_t)a.cols,
                      b.at, (dnnl_dim_t)b.cols, 0, out.at,
                      (dnnl_dim_t)out.cols) == dnnl_success;
}
#else
static int handed_over(char ta, char tb, struct matrix out,
                       struct matrix a, struct matrix b)
{
    (void)ta, (void)tb, (void)out, (void)a, (void)b;
    return 0;
}
#endif

/* check shapes, then multiply */
void matmul(struct matrix out, struct matrix a, struct matrix b)
{
    expect_product(a.cols == b.rows && out.rows == a.rows
        && out.cols == b.cols, "matmul (out = a b)", out, a, b,
        "a's columns must be b's rows; matmul_tn transposes a, "
        "matmul_nt transposes b");
    if (!handed_over('N', 'N', out, a, b)) product(out, a, b);
}

/* check shapes, then multiply transposed */
void matmul_tn(struct matrix out, struct matrix a, struct matrix b)
{
    expect_product(a.rows == b.rows && out.rows == a.cols
        && out.cols == b.cols, "matmul_tn (out = a' b)", out, a, b,
        "a and b must have the same rows");
    if (!handed_over('T', 'N', out, a, b)) product_tn(out, a, b);
}

void matmul_nt(struct matrix out, struct matrix a, struct matrix b)
{
    expect_product(a.cols == b.cols && out.rows == a.rows
        && out.cols == b.rows, "matmul_nt (out = a b')", out, a, b,
        "a and b must have the same columns");
    if (!handed_over('N', 'T', out, a, b)) product_nt(out, a, b);
}

/* add a multiple of a matrix */
void matrix_add(struct matrix out, struct matrix a, real scale,
                struct matrix b)
{
    matrix_expect(a, out.rows, out.cols, "a");
    matrix_expect(b, out.rows, out.cols, "b");
    for (size_t i = 0; i < out.rows * out.cols; i++)
        out.at[i] = a.at[i] + scale * b.at[i];
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

/* multiply two rows */
double row_dot(const real *a, const real *b, size_t n)
{
    double sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t lane = 0; lane < 8; lane++)
            sum[lane] += (double)a[i + lane] * (double)b[i + lane];
    for (; i < n; i++) sum[i % 8] += (double)a[i] * (double)b[i];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3]))
         + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}
