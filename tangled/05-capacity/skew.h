#ifndef SKEW_H
#define SKEW_H
/* A batch whose experts are wanted in given shares, and its slots. */
#include "capacity.h"
#include "random.h"

struct skew {
    double *share;      /* [E], sums to 1 */
    size_t *wanted;     /* [E] choices of each expert */
    struct matrix z, p; /* [T, E] logits, and their softmax */
    struct routes routes;
    struct capacity capacity;
    struct capacity_count count;
    double dropped, wasted; /* shares of the choices, of the slots */
    double refused;     /* mean probability of the dropped choices */
};
struct skew skew_new(size_t tokens, size_t experts, size_t top_k);
void skew_free(struct skew *skew);

/* Draw logits. The shares are weight [E] over its sum: a token's first
 * choice is drawn with these chances, the next in proportion from
 * those left. If exact, first choices are counts, T times the share;
 * the largest remainders get one more. */
void skew_draw(struct skew *skew, const double *weight, int exact,
               struct random *random);

/* Logits of a text that it writes, [T] characters, by the features and
 * the router of the example by hand: E = HAND_EXPERTS. */
void skew_text(struct skew *skew, char *text, struct random *random);

/* Route the logits, give the slots of the factor, and count. */
void skew_fill(struct skew *skew, enum routes_gate gate, double factor,
               enum capacity_order order);

/* How many choices would fare differently by another order. */
size_t skew_moved(const struct skew *skew, enum capacity_order order);

#endif
