#ifndef SETTLE_H
#define SETTLE_H
/* Biases settle on scores s [T, E] that stand still. */
#include "matrix.h"

/* MaxVio of the K best of s + bias [E]. */
double settle_violation(struct matrix s, const double *bias,
                        size_t top_k);

/* So many steps by a sign and a rate, or so many updates by quantiles;
 * bias is moved on. */
void settle_sign(double *bias, struct matrix s, size_t top_k,
                 double rate, size_t steps);
void settle_quantile(double *bias, struct matrix s, size_t top_k,
                     size_t updates);
#endif
