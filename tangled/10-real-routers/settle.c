#include <stdlib.h>
#include "balance.h"
#include "quantile.h"
#include "settle.h"
#include "stop.h"

static void count(double *sums, struct matrix s, const double *bias,
                  size_t top_k)
{
    struct matrix biased = matrix_new(s.rows, s.cols);
    struct routes routes = routes_new(s.rows, s.cols, top_k);
    for (size_t i = 0; i < s.rows * s.cols; i++)
        biased.at[i] = (real)((double)s.at[i] + bias[i % s.cols]);
    routes_select(&routes, biased);
    for (size_t e = 0; e < s.cols; e++) sums[e] = 0;
    balance_count(sums, &routes);
    matrix_free(&biased), routes_free(&routes);
}

double settle_violation(struct matrix s, const double *bias,
                        size_t top_k)
{
    double *sums = room(s.cols, sizeof *sums);
    count(sums, s, bias, top_k);
    double worst = balance_max_violation(sums, s.cols);
    free(sums);
    return worst;
}

void settle_sign(double *bias, struct matrix s, size_t top_k,
                 double rate, size_t steps)
{
    double *sums = room(s.cols, sizeof *sums);
    for (size_t i = 0; i < steps; i++) {
        count(sums, s, bias, top_k);
        balance_bias_update(bias, sums, s.cols, rate);
    }
    free(sums);
}

void settle_quantile(double *bias, struct matrix s, size_t top_k,
                     size_t updates)
{
    for (size_t i = 0; i < updates; i++)
        quantile_update(bias, s, top_k);
}
