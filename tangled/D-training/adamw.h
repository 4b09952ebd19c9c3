#ifndef ADAMW_H
#define ADAMW_H
/* AdamW over a list of weights (arXiv:1711.05101, algorithm 2). */
#include "weights.h"

struct adamw {
    double beta1, beta2, epsilon, decay;
    uint64_t steps, count;  /* taken; numbers of the list */
    double *mean, *square;  /* of the slopes, in the list's order */
};

/* beta 0.9 and 0.99, epsilon 1e-8, decay 0.1. */
struct adamw adamw_new(const struct weights *list);
void adamw_free(struct adamw *adamw);

/* One step against the slopes. Matrices decay by rate * decay of
 * themselves; what has one row, a bias or a gain, does not. */
void adamw_step(struct adamw *adamw, struct weights *list, double rate);

/* Scale all slopes so that their norm is at most `most`; returns the
 * norm as it was. */
double adamw_clip(struct weights *list, double most);

/* The rate of a step: up to peak in a straight line over `warm` steps,
 * then down to a tenth of it along a cosine that ends at `steps`. */
double adamw_rate(double peak, uint64_t step, uint64_t warm,
                  uint64_t steps);

#endif
