#include <math.h>
#include "scores.h"
#include "random.h"
#include "softmax.h"
#include "stop.h"

enum { SCORES_MOST = 64 };

static double softplus(double z) /* log(1 + exp(z)) */
{
    return fmax(z, 0) + log1p(exp(-fabs(z)));
}

double scores_log(enum routes_gate gate, double z)
{
    if (gate == GATE_SIGMOID || gate == GATE_OWN) return -softplus(-z);
    if (gate == GATE_ROOT) /* softplus(z) nears exp(z) far below 0 */
        return z < -40 ? z / 2 : log(softplus(z)) / 2;
    return z; /* the softmax's, up to log Z, which cancels */
}

double scores_log_slope(enum routes_gate gate, double z)
{
    if (gate == GATE_SIGMOID || gate == GATE_OWN)
        return 1 / (1 + exp(z)); /* 1 - sigma */
    if (gate == GATE_ROOT)
        return z < -40 ? 0.5 : 1 / (1 + exp(-z)) / softplus(z) / 2;
    return 1;
}

static void compare_scores(struct matrix s, enum routes_gate gate,
                           const real *bias, struct matrix logits)
{
    int soft = gate == GATE_SOFTMAX || gate == GATE_RENORM;
    if (soft) softmax_rows(s, NULL, logits);
    for (size_t i = 0; i < s.rows * s.cols; i++) {
        double z = (double)logits.at[i], add = 0;
        if (bias) add = (double)bias[i % s.cols];
        s.at[i] = (real)((soft ? (double)s.at[i]
                          : exp(scores_log(gate, z))) + add);
        if (z == -INFINITY) s.at[i] = (real)-INFINITY;
    }
}

static double worth(real *s, size_t size, size_t best)
{
    size_t at[SCORES_MOST];
    struct routes most = {1, size, best, 1, at, {0}};
    double sum = 0;
    routes_select(&most, (struct matrix){1, size, s});
    for (size_t i = 0; i < best; i++) sum += (double)s[at[i]];
    return sum;
}

static void close_groups(real *s, size_t experts,
                         const struct scores_rule *rule)
{
    size_t size = experts / rule->groups, at[SCORES_MOST];
    real value[SCORES_MOST];
    struct routes open = {1, rule->groups, rule->open, 1, at, {0}};
    for (size_t g = 0; g < rule->groups; g++)
        value[g] = (real)worth(s + g * size, size, rule->best);
    routes_select(&open, (struct matrix){1, rule->groups, value});
    for (size_t e = 0; e < experts; e++) {
        int is_open = 0;
        for (size_t i = 0; i < rule->open; i++)
            is_open |= at[i] == e / size;
        if (!is_open) s[e] = (real)(rule->zeros ? 0 : -INFINITY);
    }
}

void scores_select(struct routes *routes,
                   const struct scores_rule *rule, struct matrix s,
                   struct matrix logits)
{
    /* refuse groups that do not fit */
    size_t e = routes->experts, g = rule->groups;
    if (g > 1 && (g > SCORES_MOST || e % g || rule->open < 1
                  || rule->open > g || rule->best < 1
                  || rule->best > e / g || rule->best > SCORES_MOST
                  || rule->open * (e / g) < routes->top_k))
        stop("%zu of %zu groups, by %zu experts, K = %zu of E = %zu: "
             "groups must be equal, at most %d, hold what is summed, and "
             "the open ones K", rule->open, g, rule->best, routes->top_k,
             e, SCORES_MOST);
    matrix_expect(logits, routes->tokens, routes->experts,
                  "logits [T, E]");
    matrix_expect(s, logits.rows, logits.cols, "s [T, E]");
    if (!rule->bias && rule->groups < 2)
        row_copy(s.at, logits.at, s.rows * s.cols);
    else
        compare_scores(s, rule->gate, rule->bias, logits);
    for (size_t t = 0; rule->groups > 1 && t < s.rows; t++)
        close_groups(matrix_row(s, t), s.cols, rule);
    routes_select(routes, s);
}

void scores_hash(struct routes *routes, const size_t *number)
{
    size_t each = routes->top_k;
    routes->valid = routes->tokens;
    for (size_t t = 0; t < routes->tokens; t++) {
        struct random r = random_seeded(number[t]);
        size_t *expert = routes->expert + t * each;
        for (size_t k = 0, i; k < each; k += i == k) {
            expert[k] = random_below(&r, routes->experts);
            for (i = 0; expert[i] != expert[k]; i++) {}
        }
    }
}

static void times(struct matrix m, double scale)
{
    for (size_t i = 0; scale != 0 && i < m.rows * m.cols; i++)
        m.at[i] = (real)((double)m.at[i] * scale);
}

void scores_weigh(struct routes *routes, const struct scores_rule *rule,
                  struct matrix logits, struct matrix p)
{
    routes_weigh(routes, rule->gate, logits, p);
    times(routes->gate, rule->scale);
}

void scores_backward(struct routes *routes,
                     const struct scores_rule *rule,
                     struct matrix dlogits, struct matrix dgate,
                     struct matrix logits, struct matrix p)
{
    routes_weigh(routes, rule->gate, logits, p); /* without scale */
    routes_weigh_backward(routes, rule->gate, dlogits, dgate, logits,
                          p);
    times(dlogits, rule->scale), times(routes->gate, rule->scale);
}
