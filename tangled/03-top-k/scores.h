#ifndef SCORES_H
#define SCORES_H
/* What a router selects on: scores of the logits, a bias, groups.
 * T tokens, E experts, K experts chosen per token. */
#include "routes.h"

/* log s of a gate's score s of one logit (GATE_SOFTMAX, GATE_RENORM:
 * up to log Z), and the slope of log s in the logit. */
double scores_log(enum routes_gate gate, double z);
double scores_log_slope(enum routes_gate gate, double z);

/* A router's rule. What is not named is 0, and changes nothing. */
struct scores_rule {
    enum routes_gate gate;
    const real *bias;    /* [E], added to the scores that select */
    size_t groups, open; /* of equal groups, those that may be chosen */
    size_t best;         /* a group scores the sum of so many experts */
    int zeros;           /* closed experts score 0, not -inf */
    double scale;        /* times every gate; 0: 1 */
};

/* Write the K experts with the largest score + bias in open groups;
 * s [T, E] gets what was compared. Ties go to the lower expert, or
 * group. A logit of -inf forbids the expert, whatever its bias. */
void scores_select(struct routes *routes,
                   const struct scores_rule *rule, struct matrix s,
                   struct matrix logits);

/* Write K different experts that a token's number alone decides. */
void scores_hash(struct routes *routes, const size_t *number);

/* The gates, from the scores without bias, times the scale; p [T, E]
 * is the softmax of the logits. And dlogits [T, E] from dgate [T, K],
 * the selection held fixed. */
void scores_weigh(struct routes *routes, const struct scores_rule *rule,
                  struct matrix logits, struct matrix p);
void scores_backward(struct routes *routes,
                     const struct scores_rule *rule,
                     struct matrix dlogits, struct matrix dgate,
                     struct matrix logits, struct matrix p);

#endif
