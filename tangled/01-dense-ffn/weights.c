#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "stop.h"
#include "weights.h"

uint64_t weights_count(const struct weights *list)
{
    uint64_t count = 0;
    for (size_t i = 0; i < list->count; i++)
        count += (uint64_t)list->at[i].value.rows
               * list->at[i].value.cols;
    return count;
}

void weights_clear(struct weights *list)
{
    for (size_t i = 0; i < list->count; i++)
        matrix_clear(list->at[i].slope);
}

void weights_step(struct weights *list, double rate)
{
    for (size_t i = 0; i < list->count; i++)
        matrix_add(list->at[i].value, list->at[i].value, -(real)rate,
                   list->at[i].slope);
}

double weights_norm(const struct weights *list)
{
    double sum = 0;
    for (size_t i = 0; i < list->count; i++)
        sum += matrix_squares(list->at[i].slope);
    return sqrt(sum);
}

static double slope_of(real *at, double (*loss)(void *), void *context)
{
    real kept = *at;
    double step = 1e-5 * fmax(1, fabs((double)kept)), far[2];
    double value[2];
    for (int side = 0; side < 2; side++) {
        *at = (real)((double)kept + (side ? step : -step));
        far[side] = (double)*at;
        value[side] = loss(context);
    }
    *at = kept;
    return (value[1] - value[0]) / (far[1] - far[0]);
}

double weights_error(const struct weights *list,
                     double (*loss)(void *context), void *context)
{
    double worst = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct matrix m = list->at[i].value, g = list->at[i].slope;
        double apart = 0, ours = 0, theirs = 0;
        for (size_t j = 0; j < m.rows * m.cols; j++) {
            double n = slope_of(&m.at[j], loss, context);
            apart += pow((double)g.at[j] - n, 2);
            ours += pow((double)g.at[j], 2), theirs += n * n;
        }
        double error = sqrt(apart / fmax(fmax(ours, theirs), 1e-300));
        if (error > worst || isnan(error)) worst = error;
    }
    return worst;
}

void weights_add(struct weights *list, const char *name,
                 struct matrix value, struct matrix slope)
{
    matrix_expect(slope, value.rows, value.cols, name);
    if (list->count == list->most) {
        list->most = 2 * list->most + 8;
        struct weight *more = room(list->most, sizeof *more);
        for (size_t i = 0; i < list->count; i++) more[i] = list->at[i];
        free(list->at);
        list->at = more;
    }
    struct weight *new = &list->at[list->count++];
    snprintf(new->name, sizeof new->name, "%s", name);
    new->value = value, new->slope = slope;
}

void weights_add_part(struct weights *list, const char *model,
                      const char *part, struct matrix value,
                      struct matrix slope)
{
    char name[WEIGHTS_NAME];
    snprintf(name, sizeof name, "%s.%s", model, part);
    weights_add(list, name, value, slope);
}

void weights_free(struct weights *list)
{
    free(list->at);
    *list = (struct weights){0};
}
