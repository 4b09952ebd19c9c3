#include "softmax.h"
#include "tiles.h"

enum { TILE = 384, TOKENS = 128 };

static size_t parts_of(size_t count, size_t fifth)
{
    size_t least = (count + TILE - 1) / TILE;
    size_t parts = (count + fifth / 4) / fifth;
    return parts < least ? least : parts;
}

static void put_tile(struct rows *s, struct rows_run tile)
{
    size_t i = s->runs++;
    for (; i && s->run[i - 1].count < tile.count; i--)
        s->run[i] = s->run[i - 1];
    s->run[i] = tile;
}

void tiles_cut(struct rows *s)
{
    s->runs = 0;
    for (size_t e = 0; e < s->experts; e++) {
        size_t count = s->start[e + 1] - s->start[e];
        size_t parts = parts_of(count, s->count / 5 + 1);
        for (size_t i = 0; i < parts; i++) {
            size_t first = count * i / parts;
            size_t end = count * (i + 1) / parts;
            put_tile(s, (struct rows_run){e, s->start[e] + first,
                                          end - first});
        }
    }
}

static struct routes part_of(const struct routes *routes, size_t first,
                             size_t tokens)
{
    struct routes part = *routes;
    part.tokens = part.valid = tokens;
    part.expert += first * part.top_k;
    part.gate = matrix_rows(part.gate, first, tokens);
    return part;
}

void tiles_route(const struct router *router, enum routes_gate gate,
                 struct matrix x, struct matrix z, struct matrix p,
                 double *log_z, struct routes *routes)
{
    MATRIX_PARALLEL(static)
    for (size_t i = 0; i < (x.rows + TOKENS - 1) / TOKENS; i++) {
        size_t first = i * TOKENS, n = x.rows - first;
        if (n > TOKENS) n = TOKENS;
        struct matrix logits = matrix_rows(z, first, n);
        struct matrix chances = matrix_rows(p, first, n);
        struct routes part = part_of(routes, first, n);
        router_forward(router, logits, matrix_rows(x, first, n));
        softmax_rows(chances, log_z + first, logits);
        routes_select(&part, logits);
        routes_weigh(&part, gate, logits, chances);
    }
}
