#include <math.h>
#include <stdlib.h>
#include "owner.h"
#include "stop.h"
#include "traffic.h"

void traffic_count(struct traffic *traffic, const struct routes *routes,
                   const struct capacity *capacity)
{
    size_t m = traffic->ranks, k = routes->top_k;
    for (size_t i = 0; i < m * m; i++) traffic->rows[i] = 0;
    for (size_t i = 0; i < routes->tokens * k; i++) {
        size_t e = routes_expert(routes, i / k, i % k);
        if (e == ROUTES_NONE || (capacity
            && capacity->slot[i] == CAPACITY_DROPPED)) continue;
        size_t from = owner_of(routes->tokens, m, i / k);
        traffic->rows[from * m + owner_of(routes->experts, m, e)]++;
    }
}

size_t traffic_sent(const struct traffic *t, size_t rank)
{
    size_t sum = 0;
    for (size_t to = 0; to < t->ranks; to++)
        if (to != rank) sum += t->rows[rank * t->ranks + to];
    return sum;
}

size_t traffic_held(const struct traffic *t, size_t rank)
{
    size_t sum = 0;
    for (size_t from = 0; from < t->ranks; from++)
        sum += t->rows[from * t->ranks + rank];
    return sum;
}

size_t traffic_received(const struct traffic *t, size_t rank)
{
    return traffic_held(t, rank) - t->rows[rank * t->ranks + rank];
}

size_t traffic_busiest(const struct traffic *t)
{
    size_t best = 0;
    for (size_t rank = 1; rank < t->ranks; rank++)
        if (traffic_held(t, rank) > traffic_held(t, best)) best = rank;
    return best;
}

size_t traffic_crossing(const struct traffic *t)
{
    size_t sum = 0;
    for (size_t rank = 0; rank < t->ranks; rank++)
        sum += traffic_sent(t, rank);
    return sum;
}

size_t traffic_padded(size_t ranks, size_t experts, size_t slots)
{
    return (ranks - 1) * owner_most(experts, ranks) * slots;
}

double traffic_expected(size_t experts, size_t top_k, size_t nodes)
{
    double sum = 0;
    for (size_t node = 0; node < nodes; node++) {
        size_t others = experts - owner_count(experts, nodes, node);
        double missed = 1; /* the chance that no choice is on it */
        for (size_t k = 0; k < top_k; k++)
            missed *= k < others
                ? (double)(others - k) / (double)(experts - k) : 0;
        sum += 1 - missed;
    }
    return sum;
}

void traffic_nodes(size_t *count, const struct routes *r, size_t nodes)
{
    unsigned char *seen = room(nodes, 1);
    for (size_t n = 0; n <= nodes; n++) count[n] = 0;
    for (size_t t = 0; t < r->tokens; t++) {
        size_t touched = 0;
        for (size_t n = 0; n < nodes; n++) seen[n] = 0;
        for (size_t k = 0; k < r->top_k; k++) {
            size_t e = routes_expert(r, t, k);
            if (e == ROUTES_NONE) continue;
            size_t node = owner_of(r->experts, nodes, e);
            touched += !seen[node], seen[node] = 1;
        }
        count[touched]++;
    }
    free(seen);
}

double traffic_mean(const size_t *count, size_t nodes)
{
    double sum = 0, tokens = 0;
    for (size_t n = 0; n <= nodes; n++) {
        sum += (double)(n * count[n]);
        tokens += (double)count[n];
    }
    return tokens > 0 ? sum / tokens : 0;
}

static double node_score(const real *z, size_t count, size_t best)
{
    double sum = 0, below = INFINITY;
    size_t from = count; /* of equal ones, the next */
    for (size_t b = 0; b < best && b < count; b++) {
        size_t top = count;
        for (size_t e = 0; e < count; e++) {
            double v = (double)z[e];
            int later = v < below || (v == below && e > from);
            if (later && (top == count || v > (double)z[top])) top = e;
        }
        if (top == count) break;
        below = (double)z[top], from = top;
        sum += 1 / (1 + exp(-below));
    }
    return sum;
}

void traffic_limit(struct matrix z, size_t nodes, size_t keep,
                   size_t best)
{
    double *score = room(nodes, sizeof *score);
    for (size_t t = 0; t < z.rows; t++) {
        real *row = matrix_row(z, t);
        for (size_t n = 0; n < nodes; n++)
            score[n] = node_score(row + owner_first(z.cols, nodes, n),
                                  owner_count(z.cols, nodes, n), best);
        for (size_t n = 0; n < nodes; n++) {
            size_t before = 0;
            for (size_t i = 0; i < nodes; i++)
                before += score[i] > score[n]
                    || (score[i] == score[n] && i < n);
            size_t first = owner_first(z.cols, nodes, n);
            size_t end = owner_first(z.cols, nodes, n + 1);
            for (size_t e = first; before >= keep && e < end; e++)
                row[e] = (real)-INFINITY;
        }
    }
    free(score);
}

struct traffic traffic_new(size_t ranks)
{
    return (struct traffic){ranks, room(ranks * ranks, sizeof(size_t))};
}

void traffic_free(struct traffic *traffic) { free(traffic->rows); }
