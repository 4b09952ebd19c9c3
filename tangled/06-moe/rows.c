#include <stdlib.h>
#include "rows.h"
#include "stop.h"

size_t rows_expert(const struct routes *routes,
                   const struct capacity *capacity, size_t t, size_t j)
{
    size_t k = routes->top_k;
    if (routes_expert(routes, t, 0) == ROUTES_NONE)
        return CAPACITY_DROPPED;
    if (j >= k) return routes->experts + j - k;
    return capacity->slot[t * k + j] == CAPACITY_DROPPED
        ? CAPACITY_DROPPED : routes_expert(routes, t, j);
}

static void count_rows(struct rows *s, const struct routes *routes,
                       const struct capacity *capacity)
{
    for (size_t e = 0; e <= s->experts; e++) s->start[e] = 0;
    for (size_t v = 0; v < routes->tokens * s->each; v++) {
        size_t e = rows_expert(routes, capacity, v / s->each,
                               v % s->each);
        if (e != CAPACITY_DROPPED) s->start[e + 1]++;
    }
    for (size_t e = 0; e < s->experts; e++)
        s->start[e + 1] += s->start[e];
    s->count = s->start[s->experts];
}

static void place_choices(struct rows *s, const struct routes *routes,
                          const struct capacity *capacity)
{
    for (size_t v = 0; v < routes->tokens * s->each; v++) {
        size_t e = rows_expert(routes, capacity, v / s->each,
                               v % s->each);
        s->place[v] = e == CAPACITY_DROPPED ? e : s->start[e]++;
        if (e != CAPACITY_DROPPED) s->choice[s->place[v]] = v;
    }
    for (size_t e = s->experts; e > 0; e--)
        s->start[e] = s->start[e - 1];
    s->start[0] = 0;
}

void rows_sort(struct rows *s, const struct routes *routes,
               const struct capacity *capacity)
{
    if (routes->experts - routes->top_k != s->experts - s->each
        || capacity->choices != routes->tokens * routes->top_k)
        stop("rows for E + N = %zu, K + N = %zu cannot sort E = %zu, "
             "K = %zu", s->experts, s->each, routes->experts,
             routes->top_k);
    count_rows(s, routes, capacity);
    place_choices(s, routes, capacity);
    s->runs = 0;
    for (size_t e = 0; e < s->experts; e++) {
        size_t n = s->start[e + 1] - s->start[e];
        if (n) s->run[s->runs++] = (struct rows_run){e, s->start[e], n};
    }
}

struct rows rows_new(size_t tokens, size_t experts, size_t top_k,
                     size_t shared)
{
    size_t each = top_k + shared, most = tokens * each;
    return (struct rows){.experts = experts + shared, .each = each,
        .start = room(experts + shared + 1, sizeof(size_t)),
        .place = room(most, sizeof(size_t)),
        .choice = room(most, sizeof(size_t)),
        .run = room(most, sizeof(struct rows_run))};
}

void rows_free(struct rows *s)
{
    free(s->start), free(s->place), free(s->choice), free(s->run);
}
