#include <stdlib.h>
#include "owner.h"
#include "placement.h"
#include "stop.h"

/* pack [n] and place [n]: the heaviest first, each into the lightest
 * pack that has room; of equals, the first. */
static void put_into_packs(size_t *pack, size_t *place,
                           const double *weight, size_t n, size_t packs)
{
    size_t each = n / packs, *used = room(packs, sizeof *used);
    double *sum = room(packs, sizeof *sum);
    for (size_t i = 0; i < n; i++) pack[i] = packs;
    for (size_t round = 0; round < n; round++) {
        size_t item = n, best = packs;
        for (size_t i = 0; i < n; i++)
            if (pack[i] == packs
                && (item == n || weight[i] > weight[item])) item = i;
        for (size_t p = 0; p < packs; p++)
            if (used[p] < each && (best == packs || sum[p] < sum[best]))
                best = p;
        if (each == 1) best = item; /* nothing to balance */
        pack[item] = best, place[item] = used[best]++;
        sum[best] += weight[item];
    }
    free(used), free(sum);
}

static void add_copies(size_t *expert, size_t *copies,
                       const double *load, size_t experts, size_t slots)
{
    for (size_t i = 0; i < slots; i++) {
        size_t best = i;
        if (i < experts) copies[i] = 0;
        else best = 0;
        for (size_t e = 1; i >= experts && e < experts; e++)
            if (load[e] / (double)copies[e]
                > load[best] / (double)copies[best]) best = e;
        expert[i] = best, copies[best]++;
    }
}

/* One node: its experts here [count] get its slots, ranks by ranks. */
static void fill_node(size_t *expert, const size_t *here, size_t count,
                      const double *load, size_t slots, size_t ranks)
{
    double *weight = room(count + slots, sizeof *weight);
    double *part = weight + count; /* of each copy */
    size_t *copies = room(count + 3 * slots, sizeof *copies);
    size_t *of = copies + count, *pack = of + slots;
    size_t *place = pack + slots;
    for (size_t i = 0; i < count; i++) weight[i] = load[here[i]];
    add_copies(of, copies, weight, count, slots);
    for (size_t i = 0; i < slots; i++)
        part[i] = weight[of[i]] / (double)copies[of[i]];
    put_into_packs(pack, place, part, slots, ranks);
    for (size_t i = 0; i < slots; i++)
        expert[pack[i] * (slots / ranks) + place[i]] = here[of[i]];
    free(weight), free(copies);
}

void placement_balance(size_t *expert, const double *load,
                       struct placement p)
{
    /* refuse what does not divide */
    if (!p.groups || !p.nodes || p.experts % p.groups
        || p.groups % p.nodes || p.ranks % p.nodes || !p.ranks
        || p.slots % p.ranks || p.slots < p.experts)
        stop("%zu experts in %zu groups, %zu nodes, %zu ranks, %zu slots: "
             "each must divide the next, with a slot for each expert",
             p.experts, p.groups, p.nodes, p.ranks, p.slots);
    size_t size = p.experts / p.groups, each = p.groups / p.nodes;
    size_t count = p.experts / p.nodes, slots = p.slots / p.nodes;
    double *sum = room(p.groups, sizeof *sum);
    size_t *pack = room(2 * p.groups, sizeof *pack);
    size_t *place = pack + p.groups;
    size_t *here = room(p.experts, sizeof *here); /* by node */
    for (size_t e = 0; e < p.experts; e++) sum[e / size] += load[e];
    put_into_packs(pack, place, sum, p.groups, p.nodes);
    for (size_t e = 0; e < p.experts; e++) {
        size_t g = e / size;
        here[(pack[g] * each + place[g]) * size + e % size] = e;
    }
    for (size_t n = 0; n < p.nodes; n++)
        fill_node(expert + n * slots, here + n * count, count, load,
                  slots, p.ranks / p.nodes);
    free(sum), free(pack), free(here);
}

double placement_skew(const size_t *expert, const double *load,
                      struct placement p)
{
    size_t *copies = room(p.experts, sizeof *copies);
    double most = 0, all = 0;
    for (size_t i = 0; i < p.slots; i++) copies[expert[i]]++;
    for (size_t r = 0; r < p.ranks; r++) {
        double sum = 0;
        size_t end = owner_first(p.slots, p.ranks, r + 1);
        for (size_t i = owner_first(p.slots, p.ranks, r); i < end; i++)
            sum += load[expert[i]] / (double)copies[expert[i]];
        most = sum > most ? sum : most, all += sum;
    }
    free(copies);
    return all > 0 ? most * (double)p.ranks / all : 1;
}

static void count_pairs(size_t *pairs, const struct routes *r)
{
    for (size_t t = 0; t < r->tokens; t++)
        for (size_t i = 0; i < r->top_k; i++)
            for (size_t j = 0; j < r->top_k; j++) {
                size_t a = routes_expert(r, t, i);
                size_t b = routes_expert(r, t, j);
                if (a != b && b != ROUTES_NONE)
                    pairs[a * r->experts + b]++;
            }
}

void placement_together(size_t *order, const struct routes *routes,
                        size_t ranks)
{
    size_t n = routes->experts;
    size_t *pairs = room(n * n, sizeof *pairs);
    unsigned char *used = room(n, 1);
    count_pairs(pairs, routes);
    for (size_t i = 0; i < n; i++) {
        size_t best = n, most = 0;
        size_t first = owner_first(n, ranks, owner_of(n, ranks, i));
        for (size_t e = 0; e < n; e++) {
            size_t sum = 0;
            for (size_t j = first; j < i; j++)
                sum += pairs[e * n + order[j]];
            if (used[e] || (best < n && sum <= most)) continue;
            best = e, most = sum;
        }
        order[i] = best, used[best] = 1;
    }
    free(pairs), free(used);
}

double placement_touched(const size_t *order, const struct routes *r,
                         size_t ranks)
{
    size_t touched = 0, n = r->experts;
    size_t *rank = room(n, sizeof *rank);
    size_t *last = room(ranks, sizeof *last); /* token + 1 */
    for (size_t i = 0; i < n; i++)
        rank[order[i]] = owner_of(n, ranks, i);
    for (size_t t = 0; t < r->tokens; t++)
        for (size_t k = 0; k < r->top_k; k++) {
            size_t e = routes_expert(r, t, k);
            if (e == ROUTES_NONE || last[rank[e]] == t + 1) continue;
            last[rank[e]] = t + 1, touched++;
        }
    free(rank), free(last);
    return r->tokens ? (double)touched / (double)r->tokens : 0;
}
