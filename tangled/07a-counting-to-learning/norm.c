#include <math.h>
#include "norm.h"
#include "sweeps.h"

static const double tiny = 1e-5;

void norm_forward(enum norm_kind kind, struct matrix y, struct matrix x,
                  struct matrix gain, double *scale, double *mean)
{
    if (kind == NORM_RMS && sweep_norm(y, x, gain, tiny, scale)) return;
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < x.rows; t++) {
        const real *row = matrix_row(x, t);
        double sum = 0, squares = 0;
        for (size_t d = 0; kind == NORM_LAYER && d < x.cols; d++)
            sum += (double)row[d];
        mean[t] = sum / (double)x.cols;
        for (size_t d = 0; d < x.cols; d++)
            squares += ((double)row[d] - mean[t])
                     * ((double)row[d] - mean[t]);
        scale[t] = 1 / sqrt(squares / (double)x.cols + tiny);
        for (size_t d = 0; d < x.cols; d++)
            matrix_row(y, t)[d] = (real)(((double)row[d] - mean[t])
                * scale[t] * (double)gain.at[d]);
    }
}

void norm_backward(enum norm_kind kind, struct matrix dx,
                   struct matrix dgain, struct matrix dy,
                   struct matrix x, struct matrix gain,
                   const double *scale, const double *mean)
{
    double n = (double)x.cols;
    if (kind == NORM_RMS && sweep_norm_back(dx, dgain, dy, x, gain,
                                            scale)) return;
    matrix_clear(dgain);
    for (size_t t = 0; t < x.rows; t++)
        for (size_t d = 0; d < x.cols; d++)
            dgain.at[d] += (real)((double)matrix_row(dy, t)[d]
                * ((double)matrix_row(x, t)[d] - mean[t]) * scale[t]);
    MATRIX_PARALLEL(static)
    for (size_t t = 0; t < x.rows; t++) {
        const real *row = matrix_row(x, t), *slope = matrix_row(dy, t);
        double along = 0, level = 0;
        for (size_t d = 0; d < x.cols; d++) {
            double s = (double)slope[d] * (double)gain.at[d];
            along += s * ((double)row[d] - mean[t]) * scale[t];
            level += s;
        }
        if (kind == NORM_RMS) level = 0;
        for (size_t d = 0; d < x.cols; d++) {
            double u = ((double)row[d] - mean[t]) * scale[t];
            double s = (double)slope[d] * (double)gain.at[d];
            matrix_row(dx, t)[d] = (real)(scale[t]
                * (s - level / n - u * along / n));
        }
    }
}
