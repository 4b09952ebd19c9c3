#include <math.h>
#include "naive.h"

void moe_forward_naive(const struct moe *m, struct matrix y,
                       struct matrix x, struct moe_work *w)
{
    struct ffn_trace trace = ffn_trace_new(1, m->options.hidden);
    struct matrix out = matrix_new(1, x.cols);
    moe_route(m, x, w);
    matrix_expect(y, x.rows, x.cols, "y [T, D]");
    for (size_t t = 0; t < x.rows; t++) {
        row_copy(matrix_row(y, t), matrix_row(x, t), x.cols);
        for (size_t j = 0; j < w->rows.each; j++) {
            size_t e = rows_expert(&w->routes, &w->capacity, t, j);
            if (e == CAPACITY_DROPPED) continue;
            ffn_forward(&m->expert[e], out, matrix_rows(x, t, 1),
                        &trace);
            row_add(matrix_row(y, t), moe_gate(w, t, j), out.at,
                    x.cols);
        }
    }
    ffn_trace_free(&trace), matrix_free(&out);
}

void moe_backward_naive(const struct moe *m, struct moe *grad,
                        struct matrix dx, struct matrix dy,
                        struct matrix x, struct moe_work *w)
{
    const struct moe_options *o = &m->options;
    struct random unused = random_seeded(0);
    struct ffn one = ffn_new(o->width, o->hidden, o->activation,
                             &unused);
    struct ffn_trace trace = ffn_trace_new(1, o->hidden);
    struct matrix out = matrix_new(3, x.cols), dout, din;
    struct weights all = {0};
    matrix_expect(dy, x.rows, x.cols, "dy [T, D]");
    dout = matrix_rows(out, 1, 1), din = matrix_rows(out, 2, 1);
    out.rows = 1;
    moe_weights(&all, "", grad, grad), weights_clear(&all);
    for (size_t t = 0; t < x.rows; t++) {
        matrix_clear(matrix_rows(dx, t, 1));
        for (size_t j = 0; j < w->rows.each; j++) {
            /* walk choice j of token t forward and back */
            size_t e = rows_expert(&w->routes, &w->capacity, t, j);
            struct matrix row = matrix_rows(x, t, 1);
            const real *from = matrix_row(dy, t);
            if (j < o->top_k) matrix_row(w->dkept, t)[j] = 0;
            if (e == CAPACITY_DROPPED) continue;
            ffn_forward(&m->expert[e], out, row, &trace);
            if (j < o->top_k)
                matrix_row(w->dkept, t)[j] = (real)row_dot(from, out.at,
                                                           x.cols);
            for (size_t d = 0; d < x.cols; d++)
                dout.at[d] = moe_gate(w, t, j) * from[d];
            ffn_backward(&m->expert[e], &one, din, dout, row, &trace);
            struct weights sum = {0};
            ffn_weights(&sum, "", &grad->expert[e], &one);
            weights_step(&sum, -1), weights_free(&sum);
            row_add(matrix_row(dx, t), 1, din.at, x.cols);
        }
    }
    moe_route_backward(m, grad, dx, x, w);
    matrix_add(dx, dx, 1, dy);
    weights_free(&all), ffn_free(&one);
    ffn_trace_free(&trace), matrix_free(&out);
}

double naive_gap(const struct weights *list)
{
    double most = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct matrix a = list->at[i].value, b = list->at[i].slope;
        for (size_t j = 0; j < a.rows * a.cols; j++) {
            double gap = fabs((double)a.at[j] - (double)b.at[j]);
            if (gap > most || isnan(gap)) most = gap; /* NaN stays */
        }
    }
    return most;
}
