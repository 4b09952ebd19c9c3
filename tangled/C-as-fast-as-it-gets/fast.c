#include <math.h>
#include <stdint.h>
#include <string.h>
#include "fast.h"
#include "stop.h"

#ifdef MATRIX_ONEDNN
#ifdef REAL_DOUBLE
#error "dnnl_sgemm multiplies floats: build without REAL_DOUBLE"
#endif
#include <oneapi/dnnl/dnnl.h>

static int library(char ta, char tb, struct matrix out,
                   struct matrix a, struct matrix b)
{
    size_t m = out.rows, n = out.cols, k = ta == 'T' ? a.rows : a.cols;
    size_t rows = ta == 'T' ? k : m, width = ta == 'T' ? m : k;
    size_t pieces = ta == 'T' ? (m + 31) / 32 : 2 * ((m + 767) / 768);
    size_t right = ta == 'T' ? 1 : a.cols; /* from row to row of out */
    if (rows < 8 || width < 48 || n < 48) return 0;
    if (ta != 'T' && m <= 384) pieces = 1;
    MATRIX_PARALLEL(static)
    for (size_t i = 0; i < pieces; i++) {
        size_t first = m * i / pieces, end = m * (i + 1) / pieces;
        if (dnnl_sgemm(ta, tb, (dnnl_dim_t)(end - first), (dnnl_dim_t)n,
                (dnnl_dim_t)k, 1, a.at + first * right,
                (dnnl_dim_t)a.cols, b.at, (dnnl_dim_t)b.cols, 0,
                matrix_row(out, first), (dnnl_dim_t)n) != dnnl_success)
            stop("oneDNN could not multiply [%zu, %zu] (try "
                 "WITHOUT=onednn)", m, n);
    }
    return 1;
}
#else
#define library(ta, tb, out, a, b) 0
#endif

#ifdef __GNUC__
typedef real four __attribute__((vector_size(4 * sizeof(real))));

/* Columns c to c + 3 of out = a b, where a may be transposed: its next
 * row is `down` numbers on, its next column `right`. */
static void four_columns(struct matrix out, const real *a, size_t down,
                         size_t right, struct matrix b, size_t c)
{
    for (size_t done = 0; done < out.rows; done += 8) {
        size_t i = done + 8 > out.rows ? out.rows - 8 : done;
        four sum[8] = {{0}};
        for (size_t k = 0; k < b.rows; k++) {
            four factor;
            memcpy(&factor, matrix_row(b, k) + c, sizeof factor);
            for (size_t r = 0; r < 8; r++) {
                real s = a[(i + r) * down + k * right];
                sum[r] += (four){s, s, s, s} * factor;
            }
        }
        for (size_t r = 0; r < 8; r++)
            memcpy(matrix_row(out, i + r) + c, &sum[r], sizeof(four));
    }
}

static void one_column(struct matrix out, const real *a, size_t down,
                       size_t right, struct matrix b)
{
    for (size_t done = 0; done < out.rows; done += 8) {
        size_t i = done + 8 > out.rows ? out.rows - 8 : done;
        real sum[8] = {0};
        for (size_t k = 0; k < b.rows; k++)
            for (size_t r = 0; r < 8; r++)
                sum[r] += (real)(a[(i + r) * down + k * right]
                                 * b.at[k]);
        memcpy(&out.at[i], sum, sizeof sum);
    }
}

static int narrow(struct matrix out, const real *a, size_t down,
                  size_t right, struct matrix b)
{
    int fits = out.rows >= 8
            && (b.cols == 1 || b.cols == 4 || b.cols == 8);
    if (fits && b.cols == 1) one_column(out, a, down, right, b);
    for (size_t c = 0; fits && c + 4 <= b.cols; c += 4)
        four_columns(out, a, down, right, b, c);
    return fits;
}
#else
#define narrow(out, a, down, right, b) 0
#endif

int fast_product(struct matrix out, struct matrix a, struct matrix b)
{
    return library('N', 'N', out, a, b)
        || narrow(out, a.at, a.cols, 1, b);
}

int fast_product_tn(struct matrix out, struct matrix a, struct matrix b)
{
    return library('T', 'N', out, a, b)
        || narrow(out, a.at, 1, a.cols, b);
}

static real dot(const real *a, const real *b, size_t n)
{
    real sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (size_t lane = 0; lane < 8; lane++)
            sum[lane] += (real)(a[i + lane] * b[i + lane]);
    for (; i < n; i++) sum[i % 8] += (real)(a[i] * b[i]);
    for (i = 0; i < 8; i += 2) sum[i] += sum[i + 1];
    sum[0] += sum[2], sum[4] += sum[6];
    return sum[0] + sum[4];
}

static inline void dots(struct matrix out, struct matrix a,
                        struct matrix b, size_t n)
{
    for (size_t i = 0; i < a.rows; i++)
        for (size_t j = 0; j < b.rows; j++)
            matrix_row(out, i)[j] = dot(a.at + i * n, b.at + j * n, n);
}

int fast_product_nt(struct matrix out, struct matrix a, struct matrix b)
{
    if (library('N', 'T', out, a, b)) return 1;
    if (a.cols == 4) dots(out, a, b, 4); /* unrolled for routers */
    else if (a.cols == 8) dots(out, a, b, 8);
    else dots(out, a, b, a.cols);
    return 1;
}

double fast_dot(const real *a, const real *b, size_t n)
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

int fast_add(struct matrix out, struct matrix a, real s,
             struct matrix b)
{
    size_t n = out.cols;
    if (out.rows < 64 || out.rows * n < 32768) return 0;
    MATRIX_PARALLEL(static)
    for (size_t r = 0; r < out.rows; r++) {
        const real *x = matrix_row(a, r), *y = matrix_row(b, r);
        real *to = matrix_row(out, r);
        for (size_t i = 0; i < n; i++) to[i] = x[i] + (real)(s * y[i]);
    }
    return 1;
}

#ifndef REAL_DOUBLE
/* Off by 2e-7 of it at most, for t from -126 to 127; infinite from 128
 * on, so that the gate of a number far below zero is zero. */
static inline float power_of_two(float t)
{
    t = t > 128 ? 128 : t < -126 ? -126 : t;
    float shifted = t + 12582912; /* 1.5 * 2^23: no places are left */
    float f = t - (shifted - 12582912);
    float p = fmaf(1.32647180e-3f, f, 9.67151858e-3f);
    p = fmaf(p, f, 5.55073395e-2f), p = fmaf(p, f, 0.240222424f);
    p = fmaf(p, f, 0.693147004f), p = fmaf(p, f, 1);
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127) << 23; /* 2 ^ the whole number, as a float */
    memcpy(&shifted, &bits, sizeof bits);
    return p * shifted;
}

/* sigma(2 u): what GELU multiplies z with. Off by 2e-7. */
static inline float gate(float z)
{
    float square = z * z, t = 0.10294323958002350f * square;
    t += 2.3022081981443250f, t *= z;
    float p = 1 + power_of_two(-t);
    return 1 / p;
}

int fast_gelu(real *restrict hidden, const real *restrict pre, size_t n)
{
    for (size_t j = 0; j < n; j++) hidden[j] = pre[j] * gate(pre[j]);
    return 1;
}

int fast_gelu_slope(real *restrict dpre, const real *restrict pre,
                    size_t n)
{
    for (size_t j = 0; j < n; j++) {
        float z = pre[j], s = gate(z), u = 0.134145f * z, part;
        u *= z, u = u > 1e30f ? 1e30f : u;
        u += 1, u *= 1.5957691216057308f;
        part = z * s, part *= (float)(1 - s), part *= u;
        dpre[j] *= (float)(s + part);
    }
    return 1;
}
#else
int fast_gelu(real *restrict hidden, const real *restrict pre, size_t n)
{
    return (void)hidden, (void)pre, (void)n, 0;
}

int fast_gelu_slope(real *restrict dpre, const real *restrict pre,
                    size_t n)
{
    return (void)dpre, (void)pre, (void)n, 0;
}
#endif
