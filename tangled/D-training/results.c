#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "results.h"
#include "stop.h"

void results_add(struct results *r, const char *model, uint64_t seed,
                 uint64_t step, const char *name, double value)
{
    if (r->count == r->most) {
        r->most = 2 * r->most + 64;
        r->at = realloc(r->at, r->most * sizeof *r->at);
        if (!r->at) stop("no memory for %zu results", r->most);
    }
    struct result *new = &r->at[r->count++];
    *new = (struct result){.seed = seed, .step = step, .value = value};
    snprintf(new->model, sizeof new->model, "%s", model);
    snprintf(new->name, sizeof new->name, "%s", name);
}

void results_write(FILE *out, const struct results *r)
{
    for (size_t i = 0; i < r->count; i++)
        fprintf(out, "%s\t%" PRIu64 "\t%" PRIu64 "\t%s\t%.17g\n",
                r->at[i].model, r->at[i].seed, r->at[i].step,
                r->at[i].name, r->at[i].value);
}

size_t results_read(struct results *r, FILE *in)
{
    char line[300], rest;
    for (size_t number = 1; fgets(line, sizeof line, in); number++) {
        struct result row;
        if (*line == '#' || *line == '\n') continue;
        if (sscanf(line, "%47[^\t]\t%" SCNu64 "\t%" SCNu64
                   "\t%47[^\t]\t%lf %c", row.model, &row.seed,
                   &row.step, row.name, &row.value, &rest) != 5
            || !strchr(line, '\n')) return number;
        results_add(r, row.model, row.seed, row.step, row.name,
                    row.value);
    }
    return 0;
}

struct results_summary results_over(const struct results *r,
    const char *model, const char *name, uint64_t step)
{
    struct results_summary all = {0, 0, 0};
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < r->count; i++) {
            const struct result *row = &r->at[i];
            if (row->step != step || strcmp(row->model, model)
                || strcmp(row->name, name)) continue;
            if (pass) all.deviation += pow(row->value - all.mean, 2);
            else all.seeds++, all.mean += row->value;
        }
        if (!pass) all.mean /= (double)all.seeds;
    }
    all.deviation = all.seeds > 1
        ? sqrt(all.deviation / (double)(all.seeds - 1)) : NAN;
    return all;
}

void results_free(struct results *results)
{
    free(results->at);
    *results = (struct results){0};
}
