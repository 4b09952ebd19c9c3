#ifndef QUANTILE_H
#define QUANTILE_H
/* Biases that would have balanced a batch. T tokens, E experts. */
#include "matrix.h"

/* bias [E] from the scores s [T, E], to which no bias was added, and
 * the bias with which K < E were chosen. Against the thresholds of the
 * old bias, each expert is above those of T K / E tokens, rounded down,
 * up to ties (Kimi K3, arXiv:2607.24653, section 2.3.3). */
void quantile_update(double *bias, struct matrix s, size_t top_k);

#endif
