#ifndef CAPACITY_H
#define CAPACITY_H
/* Which choices find a slot, which are dropped, what that wastes.
 * T tokens, E experts, K choices a token, C slots an expert. */
#include "routes.h"

/* C = ceil(factor * K * T / E), exact for a factor with up to six
 * decimals, as capacity factors are written. T without padding. */
size_t capacity_slots(double factor, size_t tokens, size_t top_k,
                      size_t experts);
int capacity_exact(double factor); /* at most six decimals */

enum capacity_order { CAPACITY_POSITION,    /* who is served first: */
                      CAPACITY_TOKENS,      /* see "Who is refused" */
                      CAPACITY_PROBABILITY, CAPACITY_GATE };

#define CAPACITY_DROPPED SIZE_MAX
struct capacity {
    size_t choices, experts, slots; /* K T, E, C */
    size_t *slot;  /* [T, K] 0..C-1 or CAPACITY_DROPPED */
    size_t *taken; /* [E] slots in use */
    struct capacity_place { double before; size_t position, choice; }
        *line;     /* choices, t * K + k, in the order served */
};
struct capacity capacity_new(size_t tokens, size_t experts,
                             size_t top_k);
void capacity_free(struct capacity *capacity);

/* Give the choices of the routes the slots of their experts. Among
 * equals position decides, NaN goes last. The router's probabilities
 * [T, E] are read by that order alone. Padding takes no slot. */
void capacity_fill(struct capacity *capacity,
                   const struct routes *routes, size_t slots,
                   enum capacity_order order,
                   struct matrix probabilities);

struct capacity_count {
    size_t choices, dropped; /* of K T, without padding */
    size_t slots, wasted;    /* of E C */
    size_t lost, partly;     /* tokens without a slot; with some */
};
struct capacity_count capacity_measure(const struct capacity *capacity,
                                       const struct routes *routes);

/* kept [T, K] = the routes' gates, 0 where dropped. If share_out, the
 * choices that a token keeps share what the dropped ones had, in
 * proportion. Backward: dgate from dkept, both [T, K]. */
void capacity_gates(const struct capacity *capacity,
                    const struct routes *routes, int share_out,
                    struct matrix kept);
void capacity_gates_backward(const struct capacity *capacity,
                             const struct routes *routes, int share_out,
                             struct matrix dgate, struct matrix dkept);

/* Expected share of T tokens dropped, K = 1, when each goes to expert
 * e with chance share[e], on its own; the shares sum to 1. */
double capacity_expected(const double *share, size_t experts,
                         size_t tokens, size_t slots);

#endif
