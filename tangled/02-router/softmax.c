#include <math.h>
#include "softmax.h"

static double softmax_row(real *p, const real *z, size_t n)
{
    double most = (double)z[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        if ((double)z[i] > most) most = (double)z[i];
    for (size_t i = 0; i < n; i++)
        if (isnan((double)z[i])) most = NAN;
    if (!isfinite(most)) {
        for (size_t i = 0; i < n; i++) p[i] = (real)NAN;
        return NAN;
    }
    for (size_t i = 0; i < n; i++) sum += exp((double)z[i] - most);
    for (size_t i = 0; i < n; i++)
        p[i] = (real)(exp((double)z[i] - most) / sum);
    return most + log(sum);
}

void softmax_rows(struct matrix p, double *log_z, struct matrix z)
{
    matrix_expect(p, z.rows, z.cols, "p [T, E]");
    if (!z.cols) return;
    for (size_t t = 0; t < z.rows; t++) {
        double row = softmax_row(matrix_row(p, t), matrix_row(z, t),
                                 z.cols);
        if (log_z) log_z[t] = row;
    }
}

double softmax_entropy(struct matrix p)
{
    double sum = 0;
    for (size_t i = 0; i < p.rows * p.cols; i++) {
        double one = (double)p.at[i];
        if (one > 0 || isnan(one)) sum -= one * log(one);
    }
    return p.rows ? sum / (double)p.rows : 0;
}

void softmax_backward(struct matrix dz, struct matrix p,
                      struct matrix dp)
{
    matrix_expect(dz, p.rows, p.cols, "dz [T, E]");
    matrix_expect(dp, p.rows, p.cols, "dp [T, E]");
    for (size_t t = 0; t < p.rows; t++) {
        const real *a = matrix_row(dp, t);
        double average = row_dot(matrix_row(p, t), a, p.cols);
        for (size_t i = 0; i < p.cols; i++)
            matrix_row(dz, t)[i] = (real)((double)matrix_row(p, t)[i]
                                          * ((double)a[i] - average));
    }
}
