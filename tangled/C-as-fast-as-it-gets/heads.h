#ifndef HEADS_H
#define HEADS_H
/* What the heads of attention do between its products: qkv and dqkv
 * [T, 3 D], mixed and dmixed [T, D], share [A T, S], as attention.h
 * has them. 1 if it did the work: for floats, in the fast build, where
 * S and D / A are multiples of 16. */
#include "matrix.h"

/* share and mixed from qkv. */
int heads_forward(struct matrix share, struct matrix mixed,
                  struct matrix qkv);

/* dqkv from dmixed. */
int heads_backward(struct matrix dqkv, struct matrix dmixed,
                   struct matrix share, struct matrix qkv);

#endif
