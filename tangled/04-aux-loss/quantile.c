#include <math.h>
#include <stdlib.h>
#include "quantile.h"
#include "routes.h"
#include "stop.h"

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double quantile(double *gap, size_t count, size_t below)
{
    qsort(gap, count, sizeof *gap, compare);
    if (below == 0) return gap[0] - 1;
    return (gap[below - 1] + gap[below]) / 2;
}

void quantile_update(double *bias, struct matrix s, size_t top_k)
{
    size_t tokens = s.rows, experts = s.cols;
    if (top_k < 1 || top_k >= experts)
        stop("K = %zu of E = %zu: K must be below E", top_k, experts);
    struct matrix biased = matrix_new(tokens, experts);
    struct routes next = routes_new(tokens, experts, top_k + 1);
    double *gap = room(tokens + 1, sizeof *gap), mean = 0;
    for (size_t i = 0; i < tokens * experts; i++)
        biased.at[i] = (real)((double)s.at[i] + bias[i % experts]);
    routes_select(&next, biased);
    for (size_t e = 0; tokens && e < experts; e++) {
        for (size_t t = 0; t < tokens; t++) {
            size_t last = routes_expert(&next, t, top_k);
            gap[t] = (double)matrix_row(biased, t)[last]
                   - (double)matrix_row(s, t)[e];
        }
        bias[e] = quantile(gap, tokens, tokens * top_k / experts);
        mean += bias[e] / (double)experts;
    }
    for (size_t e = 0; e < experts; e++) bias[e] -= mean;
    matrix_free(&biased), routes_free(&next), free(gap);
}

