#ifndef PRACTICE_H
#define PRACTICE_H
/* The conventions in use, each with a model that has it, run on the
 * same logits. T tokens, E = 16 experts, K choices. */
#include "scores.h"

enum { PRACTICE_EXPERTS = 16, PRACTICE_TOP_K = 4, PRACTICE_ROWS = 13,
       PRACTICE_GROUPS = 4, PRACTICE_OPEN = 2, PRACTICE_IDLE = 5 };
struct practice {
    const char *name, *model;
    struct scores_rule rule; /* its bias is practice_fill's */
    size_t top_k;
    int biased, hash, gate_in;
    double lower;            /* taken off every bias */
    size_t identities;       /* of the E, the last */
};
extern const struct practice practice_rows[PRACTICE_ROWS];

/* Routes of logits [T, 16] by one of them. Biased rules add what
 * balances these scores, by quantiles; a hash reads number [T]. */
void practice_fill(const struct practice *row, struct routes *routes,
                   struct matrix logits, const size_t *number);

/* What they come to: mean sum of a token's gates, share of tokens with
 * other experts than the K best logits, effective experts of the load,
 * and experts that run, per token. */
struct practice_sums { double gates, moved, effective, run; };
struct practice_sums practice_measure(const struct practice *row,
                                      const struct routes *routes,
                                      struct matrix logits);
#endif
