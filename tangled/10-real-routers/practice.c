#include <stdlib.h>
#include "balance.h"
#include "practice.h"
#include "quantile.h"
#include "softmax.h"

enum { UPDATES = 20 }; /* the load is even by then */

#define GROUPED(n) .groups = PRACTICE_GROUPS, .open = PRACTICE_OPEN, \
                   .best = n
#define FOUR .top_k = PRACTICE_TOP_K
const struct practice practice_rows[PRACTICE_ROWS] = {
    {"softmax, keep K", "OLMoE", {.gate = GATE_SOFTMAX}, FOUR},
    {"softmax, keep, divide", "Qwen3", {.gate = GATE_RENORM}, FOUR},
    {"keep K, softmax", "Mixtral", {.gate = GATE_RENORM}, FOUR},
    {"softmax, keep one", "Switch", {.gate = GATE_SOFTMAX},
     .top_k = 1},
    {"sigmoid on input", "Llama 4", {.gate = GATE_OWN}, .top_k = 1,
     .gate_in = 1},
    {"sigmoid, bias, scale", "GLM-4.5",
     {.gate = GATE_SIGMOID, .scale = 2.5}, FOUR, .biased = 1},
    {"root, bias, scale", "DeepSeek-V4",
     {.gate = GATE_ROOT, .scale = 1.5}, FOUR, .biased = 1},
    {"groups by maximum", "DeepSeek-V2",
     {.gate = GATE_SOFTMAX, GROUPED(1), .scale = 16}, FOUR},
    {"groups by sum of two", "DeepSeek-V3",
     {.gate = GATE_SIGMOID, GROUPED(2), .scale = 2.5}, FOUR,
     .biased = 1},
    {"the same, closed at 0", "V3 in mlx-lm",
     {.gate = GATE_SIGMOID, GROUPED(2), .scale = 2.5, .zeros = 1},
     FOUR, .biased = 1},
    {"... biases 1 lower", "V3 in mlx-lm",
     {.gate = GATE_SIGMOID, GROUPED(2), .scale = 2.5, .zeros = 1},
     FOUR, .biased = 1, .lower = 1},
    {"hash of the token", "V4 layer 1-3",
     {.gate = GATE_ROOT, .scale = 1.5}, FOUR, .hash = 1},
    {"identity experts", "LongCat", {.gate = GATE_SOFTMAX, .scale = 6},
     FOUR, .biased = 1, .identities = PRACTICE_IDLE},
};

static void balance_by_quantiles(real *bias, const struct practice *row,
                                 struct routes *routes,
                                 struct matrix s, struct matrix logits)
{
    struct scores_rule plain = {.gate = row->rule.gate, .bias = bias};
    double settled[PRACTICE_EXPERTS] = {0};
    scores_select(routes, &plain, s, logits); /* scores, + 0 */
    for (int i = 0; i < UPDATES; i++)
        quantile_update(settled, s, row->top_k);
    for (size_t e = 0; e < PRACTICE_EXPERTS; e++)
        bias[e] = (real)(settled[e] - row->lower);
}

void practice_fill(const struct practice *row, struct routes *routes,
                   struct matrix logits, const size_t *number)
{
    struct matrix s = matrix_new(logits.rows, logits.cols);
    struct scores_rule rule = row->rule;
    real bias[PRACTICE_EXPERTS] = {0};
    if (row->biased)
        balance_by_quantiles(bias, row, routes, s, logits);
    if (row->biased) rule.bias = bias;
    if (row->hash) scores_hash(routes, number);
    else scores_select(routes, &rule, s, logits);
    softmax_rows(s, NULL, logits);
    scores_weigh(routes, &rule, logits, s);
    matrix_free(&s);
}

static int has_moved(const struct routes *r, const real *z, size_t t)
{
    for (size_t k = 0; k < r->top_k; k++) {
        size_t e = routes_expert(r, t, k), above = 0;
        for (size_t i = 0; i < r->experts; i++) above += z[i] > z[e];
        if (above >= r->top_k) return 1;
    }
    return 0;
}

struct practice_sums practice_measure(const struct practice *row,
                                      const struct routes *r,
                                      struct matrix logits)
{
    struct practice_sums sums = {0};
    double f[PRACTICE_EXPERTS], each = 1 / (double)r->tokens;
    balance_load(f, r);
    sums.effective = balance_effective(f, r->experts);
    for (size_t t = 0; t < r->tokens; t++) {
        sums.moved += each * has_moved(r, matrix_row(logits, t), t);
        for (size_t k = 0; k < r->top_k; k++) {
            size_t e = routes_expert(r, t, k);
            sums.gates += each * (double)matrix_row(r->gate, t)[k];
            if (e + row->identities < r->experts) sums.run += each;
        }
    }
    return sums;
}
