#ifndef SOFTMAX_H
#define SOFTMAX_H
/* Rows of scores and the probabilities that they stand for. */
#include "matrix.h"

/* p [T, E] from z [T, E]; may be the same matrix. log_z [T] gets
 * log(sum(exp(z))) of each row, unless NULL. -inf gets probability 0.
 * NaN, +inf or nothing but -inf in a row makes all of its
 * probabilities and its log Z NaN. */
void softmax_rows(struct matrix p, double *log_z, struct matrix z);

/* dz [T, E] from dp [T, E], the slopes of p; may be the same. */
void softmax_backward(struct matrix dz, struct matrix p,
                      struct matrix dp);

/* Mean over the rows of -sum(p log p), in nats: log E if even. */
double softmax_entropy(struct matrix p);

#endif
