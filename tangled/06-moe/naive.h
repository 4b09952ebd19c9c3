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

/* The largest |value - slope| in a list; NaN if there is one. */
double naive_gap(const struct weights *list);

#endif
