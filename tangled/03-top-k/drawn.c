#include <math.h>
#include "drawn.h"
#include "random.h"

struct drawn_ties drawn_ties(uint64_t seed)
{
    struct random random = random_seeded(seed);
    struct drawn_ties d = {.first = {0}};
    struct routes r = routes_new(DRAWN_TOKENS, DRAWN_EXPERTS, 1);
    for (int ties = 0; !ties; ) {
        size_t start = random_below(&random, 7);
        for (size_t i = 0; i < DRAWN_TOKENS * DRAWN_EXPERTS; i++)
            d.z[i] = (real)(i % DRAWN_EXPERTS ? random_below(&random, 7)
                : (start + i / DRAWN_EXPERTS * 3) % 7) - 3;
        routes_select(&r, (struct matrix){DRAWN_TOKENS, DRAWN_EXPERTS,
                                          d.z});
        for (size_t t = 0; t < DRAWN_TOKENS; t++) {
            const real *row = d.z + t * DRAWN_EXPERTS;
            d.first[t] = d.last[t] = r.expert[t];
            for (size_t e = r.expert[t]; e < DRAWN_EXPERTS; e++)
                if (row[e] == row[r.expert[t]]) d.last[t] = e;
            ties |= d.first[t] != d.last[t];
        }
    }
    routes_free(&r);
    return d;
}

struct drawn_token drawn_token(uint64_t seed, enum routes_gate gate)
{
    struct random r = random_seeded(seed);
    struct drawn_token d = {.sum = 0};
    real z[DRAWN_SIX], p[DRAWN_SIX];
    struct matrix logits = {1, DRAWN_SIX, z}, soft = {1, DRAWN_SIX, p};
    struct routes routes = routes_new(1, DRAWN_SIX, 2);
    size_t sure = random_below(&r, 2), least = 3 + random_below(&r, 4);
    size_t step = 2 + random_below(&r, 4);
    size_t other = 1 + random_below(&r, 6);
    for (size_t i = 0; i < DRAWN_SIX; i++) {
        size_t e = (i + 1) * step % 7 - 1;
        d.n[e] = !sure ? least + i
               : i < 4 ? 1 + i / 3 : least * (i - 3);
        d.sum += d.n[e];
        d.out[e] = 8.0 * (double)((i + 1) * other % 7);
        z[e] = (real)log((double)d.n[e]);
    }
    routes_fill(&routes, gate, soft, logits);
    d.kept = routes_kept(&routes, soft);
    for (size_t k = 0; k < 2; k++) {
        d.expert[k] = routes.expert[k];
        d.gate[k] = (double)routes.gate.at[k];
        d.y += d.gate[k] * d.out[d.expert[k]];
    }
    routes_free(&routes);
    return d;
}
