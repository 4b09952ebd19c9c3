#ifndef NAIVE_H
#define NAIVE_H
/* The layer one row at a time: what moe_forward and moe_backward are
 * held to. Backward needs what moe_route left, by either forward. */
#include "moe.h"

void moe_forward_naive(const struct moe *m, struct matrix y,
                       struct matrix x, struct moe_work *w);
void moe_backward_naive(const struct moe *m, struct moe *grad,
                        struct matrix dx, struct matrix dy,
                        struct matrix x, struct moe_work *w);

/* The largest difference of y, and of all gradients, between a pass
 * of m with this work and the naive pair; NaN if there is one. */
struct naive_gap { double forward, backward; };
struct naive_gap naive_gap(const struct moe *m, struct moe *grad,
                           struct matrix y, struct matrix dx,
                           struct matrix dy, struct matrix x,
                           const struct moe_work *w);
#endif
