#include <math.h>
#include <stdlib.h>
#include "adamw.h"
#include "stop.h"
#include "sweeps.h"

static void move(const struct adamw *a, struct weight w, uint64_t first,
                 double rate)
{
    struct matrix x = w.value, g = w.slope;
    double *m = a->mean + first, *v = a->square + first;
    double steps = (double)a->steps;
    struct sweep_step s = {a->beta1, a->beta2, a->epsilon,
        x.rows > 1 ? 1 - rate * a->decay : 1, rate,
        1 - pow(a->beta1, steps), 1 - pow(a->beta2, steps)};
    if (sweep_adamw(&s, x.at, g.at, m, v, x.rows * x.cols)) return;
    for (size_t j = 0; j < x.rows * x.cols; j++) {
        double slope = (double)g.at[j];
        m[j] = a->beta1 * m[j] + (1 - a->beta1) * slope;
        v[j] = a->beta2 * v[j] + (1 - a->beta2) * slope * slope;
        double way = m[j] / s.mean_share
                   / (sqrt(v[j] / s.square_share) + a->epsilon);
        x.at[j] = (real)(s.keep * (double)x.at[j] - rate * way);
    }
}

void adamw_step(struct adamw *a, struct weights *list, double rate)
{
    if (weights_count(list) != a->count)
        stop("the optimizer was made for %llu numbers, the list has "
             "%llu", (unsigned long long)a->count,
             (unsigned long long)weights_count(list));
    a->steps++;
    MATRIX_PARALLEL(dynamic)
    for (size_t i = 0; i < list->count; i++) {
        struct weights before = {list->at, i, i};
        move(a, list->at[i], weights_count(&before), rate);
    }
}

double adamw_clip(struct weights *list, double most)
{
    double norm;
    if (!sweep_size(list, &norm)) norm = weights_norm(list);
    MATRIX_PARALLEL(dynamic)
    for (size_t i = 0; i < (norm > most ? list->count : 0); i++) {
        struct matrix g = list->at[i].slope;
        for (size_t j = 0; j < g.rows * g.cols; j++)
            g.at[j] = (real)((double)g.at[j] * most / norm);
    }
    return norm;
}

double adamw_rate(double peak, uint64_t step, uint64_t warm,
                  uint64_t steps)
{
    if (step < warm) return peak * (double)(step + 1) / (double)warm;
    if (step >= steps || steps <= warm) return 0.1 * peak;
    double way = (double)(step - warm) / (double)(steps - warm);
    return peak * (0.55 + 0.45 * cos(acos(-1) * way));
}

struct adamw adamw_new(const struct weights *list)
{
    size_t count = (size_t)weights_count(list);
    return (struct adamw){0.9, 0.99, 1e-8, 0.1, 0, count,
                          room(count, sizeof(double)),
                          room(count, sizeof(double))};
}

void adamw_free(struct adamw *adamw)
{
    free(adamw->mean), free(adamw->square);
}
