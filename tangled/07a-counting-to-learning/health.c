#include <math.h>
#include "health.h"

static double passed_on(enum ffn_activation kind, real pre, real hidden)
{
    double h = (double)hidden;
    if (kind == FFN_TANH) return 1 - h * h;
    if (kind == FFN_RELU) return h > 0;
    return fabs((double)ffn_gelu_slope(pre));
}

static double root_mean(struct matrix m)
{
    return sqrt(matrix_squares(m) / (double)(m.rows * m.cols));
}

struct health health_of(const struct mlp *m, const struct mlp_work *w,
                        size_t block)
{
    const struct ffn_trace *t = &w->block[block].trace;
    size_t rows = t->hidden.rows, units = t->hidden.cols;
    struct health h = {root_mean(t->hidden), 0, 0,
                       root_mean(t->dpre)};
    for (size_t j = 0; j < units; j++) {
        size_t shut = 0;
        for (size_t i = j; i < rows * units; i += units)
            shut += passed_on(m->options.activation, t->pre.at[i],
                              t->hidden.at[i]) < 0.06;
        h.saturated += (double)shut / (double)(rows * units);
        h.dead += (double)(shut == rows) / (double)units;
    }
    return h;
}

double health_ratio(const struct weight *w, double rate)
{
    return rate * sqrt(matrix_squares(w->slope)
                       / matrix_squares(w->value));
}

