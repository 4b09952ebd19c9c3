#ifndef EQUATIONS_H
#define EQUATIONS_H
/* The layer's loss straight from the book's equations, in double. The
 * loss is <dy, y> + alpha * aux + zeta * z_loss. */
#include "moe.h"

double equations_loss(const struct moe *m, struct matrix x,
                      struct matrix dy, const struct moe_work *w);

/* How far the layer's own loss is from that, as a share of its terms'
 * sizes; and its gradients from differences, in the worst tensor. */
double equations_gap(const struct moe *m, struct matrix y,
                     struct matrix x, struct matrix dy,
                     const struct moe_work *w);
double equations_error(struct moe *m, struct moe *grad,
                       struct matrix dx, struct matrix dy,
                       struct matrix x, const struct moe_work *w);
#endif
