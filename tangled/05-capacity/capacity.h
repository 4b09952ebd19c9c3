#ifndef CAPACITY_H
#define CAPACITY_H
/* Which choices find a slot, which are dropped, what that wastes.
 * T tokens, E experts, K choices a token, C slots an expert. */
#include <stdint.h>
#include "routes.h"

/* C = ceil(factor * K * T / E), exact for a factor with up to six
 * decimals, as capacity factors are written. */
size_t capacity_slots(double factor, size_t tokens, size_t top_k,
                      size_t experts);
int capacity_exact(double factor); /* at most six decimals */

/* tell where each choice went */
/* Who is served first: tokens as they come, first choices before
 * second ones (Mesh TensorFlow); or the largest probabilities. */
enum capacity_order { CAPACITY_POSITION, CAPACITY_PROBABILITY };

/* hold the slots */
#define CAPACITY_DROPPED SIZE_MAX
struct capacity {
    size_t choices, experts, slots; /* K T, E, C */
    size_t *slot;  /* [T, K]: 0..C-1 or CAPACITY_DROPPED */
    size_t *taken; /* [E] slots in use */
    struct capacity_place {
        double before;           /* smaller is served first */
        size_t position, choice; /* among equals; t * K + k */
    } *line;                     /* [T * K], in the order served */
};

/* make and fill the slots */
struct capacity capacity_new(size_t tokens, size_t experts,
                             size_t top_k);
void capacity_free(struct capacity *capacity);

/* Give the choices of the routes the slots of their experts, in that
 * order. probabilities [T, E] are the router's; order by position
 * does not read them. Equal probabilities: position decides. */
void capacity_fill(struct capacity *capacity,
                   const struct routes *routes, size_t slots,
                   enum capacity_order order,
                   struct matrix probabilities);

/* take the gates of the kept choices */
/* kept [T, K] = the routes' gates, 0 where dropped. If share_out, the
 * choices that a token keeps share what the dropped ones had, in
 * proportion. Backward: dgate from dkept, both [T, K]. */
void capacity_gates(const struct capacity *capacity,
                    const struct routes *routes, int share_out,
                    struct matrix kept);
void capacity_gates_backward(const struct capacity *capacity,
                             const struct routes *routes, int share_out,
                             struct matrix dgate, struct matrix dkept);

/* count drops and waste */
struct capacity_count {
    size_t choices, dropped; /* of K * T */
    size_t slots, wasted;    /* of E * C */
    size_t lost, partly;     /* tokens without a slot; with some */
};
struct capacity_count capacity_measure(const struct capacity *capacity,
                                       const struct routes *routes);

/* Expected share of T tokens dropped, K = 1, when each goes to expert
 * e with chance share[e], independently; the shares sum to 1. */
double capacity_expected(const double *share, size_t experts,
                         size_t tokens, size_t slots);

#endif
