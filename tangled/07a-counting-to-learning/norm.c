#include <math.h>
#include "norm.h"
#include "sweeps.h"

static const double tiny = 1e-5;

static void rows_forward(enum norm_kind kind, struct matrix y,
                         struct matrix x, struct matrix gain,
                         double *scale, double *mean)
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

static void columns_scaled(struct matrix y, struct matrix x,
                           struct matrix gain, const double *scale,
                           const double *mean)
{
    for (size_t t = 0; t < x.rows; t++)
        for (size_t d = 0; d < x.cols; d++)
            matrix_row(y, t)[d] = (real)(
                ((double)matrix_row(x, t)[d] - mean[d]) * scale[d]
                * (double)gain.at[d]);
}

static void columns_forward(struct matrix y, struct matrix x,
                            struct matrix gain,
                            double *scale, double *mean)
{
    MATRIX_PARALLEL(static)
    for (size_t d = 0; d < x.cols; d++) {
        const real *column = x.at + d;
        double sum = 0, squares = 0;
        for (size_t t = 0; t < x.rows; t++)
            sum += (double)column[t * x.cols];
        mean[d] = sum / (double)x.rows;
        for (size_t t = 0; t < x.rows; t++)
            squares += ((double)column[t * x.cols] - mean[d])
                     * ((double)column[t * x.cols] - mean[d]);
        scale[d] = 1 / sqrt(squares / (double)x.rows + tiny);
    }
    columns_scaled(y, x, gain, scale, mean);
}

void norm_remember(struct matrix running, const double *scale,
                   const double *mean)
{
    real *means = matrix_row(running, 0);
    real *variances = matrix_row(running, 1);
    for (size_t d = 0; d < running.cols; d++) {
        double v = 1 / (scale[d] * scale[d]) - tiny;
        means[d] += (real)(0.1 * (mean[d] - (double)means[d]));
        variances[d] += (real)(0.1 * (v - (double)variances[d]));
    }
}

void norm_recalled(struct matrix y, struct matrix x, struct matrix gain,
                   struct matrix running, double *scale, double *mean)
{
    for (size_t d = 0; d < x.cols; d++) {
        mean[d] = (double)matrix_row(running, 0)[d];
        scale[d] = 1 / sqrt((double)matrix_row(running, 1)[d] + tiny);
    }
    columns_scaled(y, x, gain, scale, mean);
}

void norm_forward(enum norm_kind kind, struct matrix y, struct matrix x,
                  struct matrix gain, double *scale, double *mean)
{
    if (kind == NORM_BATCH) columns_forward(y, x, gain, scale, mean);
    else rows_forward(kind, y, x, gain, scale, mean);
}

static void rows_backward(enum norm_kind kind, struct matrix dx,
                          struct matrix dy, struct matrix x,
                          struct matrix gain,
                          const double *scale, const double *mean)
{
    double n = (double)x.cols;
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

static void columns_backward(struct matrix dx, struct matrix dy,
                             struct matrix x, struct matrix gain,
                             const double *scale, const double *mean)
{
    double n = (double)x.rows;
    MATRIX_PARALLEL(static)
    for (size_t d = 0; d < x.cols; d++) {
        double g = (double)gain.at[d], along = 0, level = 0;
        for (size_t t = 0; t < x.rows; t++) {
            double s = (double)matrix_row(dy, t)[d] * g;
            along += s * ((double)matrix_row(x, t)[d] - mean[d])
                   * scale[d];
            level += s;
        }
        for (size_t t = 0; t < x.rows; t++) {
            double u = ((double)matrix_row(x, t)[d] - mean[d])
                     * scale[d];
            double s = (double)matrix_row(dy, t)[d] * g;
            matrix_row(dx, t)[d] = (real)(scale[d]
                * (s - level / n - u * along / n));
        }
    }
}

void norm_backward(enum norm_kind kind, struct matrix dx,
                   struct matrix dgain, struct matrix dy,
                   struct matrix x, struct matrix gain,
                   const double *scale, const double *mean)
{
    if (kind == NORM_RMS && sweep_norm_back(dx, dgain, dy, x, gain,
                                            scale)) return;
    matrix_clear(dgain);
    for (size_t t = 0; t < x.rows; t++)
        for (size_t d = 0; d < x.cols; d++) {
            size_t i = kind == NORM_BATCH ? d : t;
            dgain.at[d] += (real)((double)matrix_row(dy, t)[d]
                * ((double)matrix_row(x, t)[d] - mean[i]) * scale[i]);
        }
    if (kind == NORM_BATCH)
        columns_backward(dx, dy, x, gain, scale, mean);
    else rows_backward(kind, dx, dy, x, gain, scale, mean);
}
