#ifndef HEALTH_H
#define HEALTH_H
/* How a stack is doing, after a pass forward and backward. */
#include "mlp.h"

/* A unit passes a slope on to its input times its activation's. It is
 * saturated for a token where that is below 0.06, and dead where it is
 * for all tokens of the batch. */
struct health {
    double size;            /* root mean square of the hidden units */
    double saturated, dead; /* shares, of cells and of units */
    double slope;           /* root mean square of dpre */
};
struct health health_of(const struct mlp *mlp,
                        const struct mlp_work *work, size_t block);

/* What a step of plain descent is, beside what it changes: the rate
 * times the norm of the slopes, over the norm of the values. */
double health_ratio(const struct weight *weight, double rate);

#endif
