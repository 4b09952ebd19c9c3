#include <math.h>
#include <stdlib.h>
#include "adamw.h"
#include "stop.h"

void adamw_step(struct adamw *a, struct weights *list, double rate)
{
    if (weights_count(list) != a->count)
        stop("the optimizer was made for %llu numbers, the list has "
             "%llu", (unsigned long long)a->count,
             (unsigned long long)weights_count(list));
    double *m = a->mean, *v = a->square;
    double steps = (double)++a->steps;
    double mean_share = 1 - pow(a->beta1, steps);
    double square_share = 1 - pow(a->beta2, steps);
    for (size_t i = 0; i < list->count; i++) {
        struct matrix x = list->at[i].value, g = list->at[i].slope;
        double keep = x.rows > 1 ? 1 - rate * a->decay : 1;
        for (size_t j = 0; j < x.rows * x.cols; j++, m++, v++) {
            double slope = (double)g.at[j];
            *m = a->beta1 * *m + (1 - a->beta1) * slope;
            *v = a->beta2 * *v + (1 - a->beta2) * slope * slope;
            double way = *m / mean_share
                       / (sqrt(*v / square_share) + a->epsilon);
            x.at[j] = (real)(keep * (double)x.at[j] - rate * way);
        }
    }
}

double adamw_clip(struct weights *list, double most)
{
    double norm = weights_norm(list);
    if (!(norm > most)) return norm;
    for (size_t i = 0; i < list->count; i++) {
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
