#include <math.h>
#include <stdlib.h>
#include "equations.h"
#include "stop.h"

static double column(const real *x, struct matrix m, size_t j)
{
    double sum = 0;
    for (size_t i = 0; i < m.rows; i++)
        sum += (double)x[i] * (double)matrix_row(m, i)[j];
    return sum;
}

static double block(const struct ffn *f, const real *x, const real *dy)
{
    double sum = 0, root = sqrt(2 / acos(-1));
    for (size_t j = 0; j < f->w1.cols; j++) {
        double z = column(x, f->w1, j) + (double)f->b1.at[j];
        double up = 0, bent = fmax(z, 0), cube = z * z * z;
        if (f->activation == FFN_GELU)
            bent = z / 2 * (1 + tanh(root * (z + 0.044715 * cube)));
        for (size_t d = 0; d < f->w2.cols; d++)
            up += (double)dy[d] * (double)matrix_row(f->w2, j)[d];
        sum += bent * up;
    }
    for (size_t d = 0; d < f->w2.cols; d++)
        sum += (double)dy[d] * (double)f->b2.at[d];
    return sum;
}

static double score(const struct moe_options *o, double z)
{
    return o->gate == GATE_SIGMOID ? 1 / (1 + exp(-z)) : exp(z);
}

/* g [K] of a token's choices, after drops, from z [E]. */
static void gates(double *g, const struct moe_options *o,
                  const double *z, const size_t *chosen,
                  const size_t *slot)
{
    int every = o->gate == GATE_SOFTMAX;
    double sum = 0, all = 0, kept = 0;
    for (size_t j = 0; j < (every ? o->experts : o->top_k); j++)
        sum += score(o, z[every ? j : chosen[j]]);
    for (size_t j = 0; j < o->top_k; j++) {
        g[j] = score(o, z[chosen[j]]) / sum, all += g[j];
        if (slot[j] == CAPACITY_DROPPED) g[j] = 0;
        kept += g[j];
    }
    for (size_t j = 0; o->share_out && kept > 0 && j < o->top_k; j++)
        g[j] *= all / kept;
}

static double token_loss(const struct moe *m, const real *x,
                         const real *dy, const struct moe_work *w,
                         size_t t, double *z, double *g, double *mean)
{
    const struct moe_options *o = &m->options;
    const size_t *chosen = w->routes.expert + t * o->top_k;
    double sum = 0, e = 0, own = 0, tokens = (double)w->routes.valid;
    for (size_t d = 0; d < o->width; d++)
        sum += (double)dy[d] * (double)x[d];
    if (chosen[0] == ROUTES_NONE) return sum; /* padding */
    for (size_t i = 0; i < o->experts; i++) {
        e += exp(z[i] = column(x, m->router.w, i));
        own += score(o, z[i]);
    }
    for (size_t i = 0; i < o->experts; i++)
        mean[i] += (o->own_scores ? score(o, z[i]) / own
                    : exp(z[i]) / e) / tokens;
    gates(g, o, z, chosen, w->capacity.slot + t * o->top_k);
    for (size_t j = 0; j < o->top_k; j++)
        if (g[j] > 0) sum += g[j] * block(&m->expert[chosen[j]], x, dy);
    for (size_t n = 0; n < o->shared; n++)
        sum += block(&m->expert[o->experts + n], x, dy);
    return sum + o->zeta * log(e) * log(e) / tokens;
}

double equations_loss(const struct moe *m, struct matrix x,
                      struct matrix dy, const struct moe_work *w)
{
    const struct moe_options *o = &m->options;
    double *z = room(o->experts, sizeof *z), sum = 0, aux = 0;
    double *mean = room(o->experts, sizeof *mean);
    double *g = room(o->top_k, sizeof *g);
    for (size_t t = 0; t < x.rows; t++)
        sum += token_loss(m, matrix_row(x, t), matrix_row(dy, t), w, t,
                          z, g, mean);
    for (size_t i = 0; i < o->experts; i++) aux += w->f[i] * mean[i];
    free(z), free(mean), free(g);
    return sum + o->alpha * (double)o->experts * aux;
}

double equations_gap(const struct moe *m, struct matrix y,
                     struct matrix x, struct matrix dy,
                     const struct moe_work *w)
{
    const struct moe_options *o = &m->options;
    double sum = o->alpha * w->aux + o->zeta * w->z_loss;
    double size = fabs(sum);
    for (size_t i = 0; i < y.rows * y.cols; i++) {
        double term = (double)dy.at[i] * (double)y.at[i];
        sum += term, size += fabs(term);
    }
    return fabs(equations_loss(m, x, dy, w) - sum) / size;
}

struct check { const struct moe *m; struct matrix x, dy;
               const struct moe_work *w; };

static double slope_at(const struct check *c, real *at)
{
    real was = *at;
    double loss[2], far[2];
    for (int side = 0; side < 2; side++) {
        *at = (real)((double)was + (side ? 1e-4 : -1e-4));
        far[side] = (double)*at;
        loss[side] = equations_loss(c->m, c->x, c->dy, c->w);
    }
    *at = was;
    return (loss[1] - loss[0]) / (far[1] - far[0]);
}

static double tensor_error(const struct check *c,
                           const struct weight *weight)
{
    double apart = 0, ours = 0, theirs = 0;
    size_t cells = weight->value.rows * weight->value.cols;
    for (size_t i = 0; i < cells; i += cells / 8 + 1) {
        double g = (double)weight->slope.at[i];
        double n = slope_at(c, &weight->value.at[i]);
        apart += (g - n) * (g - n), ours += g * g, theirs += n * n;
    }
    double norm = sqrt(fmax(ours, theirs));
    double whole = sqrt(matrix_squares(c->dy));
    return sqrt(apart) / (norm > 1e-4 * whole ? norm : whole);
}

double equations_error(struct moe *m, struct moe *grad,
                       struct matrix dx, struct matrix dy,
                       struct matrix x, const struct moe_work *w)
{
    struct check c = {m, x, dy, w};
    struct weights list = {0};
    double most = 0;
    weights_add(&list, "x", x, dx);
    moe_weights(&list, "moe", m, grad);
    double flops = (double)moe_flops(&m->options, w->rows.count);
    size_t step = 1 + 2 * (size_t)((double)list.count * flops / 1e7);
    for (size_t i = 0; i < list.count; i += i < 2 ? 1 : step) {
        double error = tensor_error(&c, &list.at[i]);
        if (error > most || isnan(error)) most = error; /* stays */
    }
    weights_free(&list);
    return most;
}
