#ifndef ASSIGN_H
#define ASSIGN_H
/* The best assignment of tokens to the slots of experts. */
#include "matrix.h"

/* expert [T] = where each token goes, E for nowhere, such that no
 * expert has more than so many and the sum of their scores [T, E] is
 * as large as it can be. Returns the sum. Scores are finite. */
double assign_best(size_t *expert, struct matrix scores, size_t slots);
#endif
