#ifndef NORM_H
#define NORM_H
/* Rows scaled to size one: RMS and layer normalization. */
#include "weights.h"

enum norm_kind { NORM_RMS, NORM_LAYER };

/* y [T, D] from x [T, D] and gain [1, D]; scale [T] gets one over each
 * row's size, mean [T] its mean (0 for RMS): backward reads both. */
void norm_forward(enum norm_kind kind, struct matrix y, struct matrix x,
                  struct matrix gain, double *scale, double *mean);

/* dx [T, D] and dgain [1, D] from dy [T, D]; dx may be dy. */
void norm_backward(enum norm_kind kind, struct matrix dx,
                   struct matrix dgain, struct matrix dy,
                   struct matrix x, struct matrix gain,
                   const double *scale, const double *mean);

#endif
