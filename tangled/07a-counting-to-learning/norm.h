#ifndef NORM_H
#define NORM_H
/* Numbers scaled to size one: over rows or over columns. */
#include "weights.h"

enum norm_kind { NORM_NONE, NORM_RMS, NORM_LAYER, NORM_BATCH };

/* y [T, D] from x [T, D] and gain [1, D]; scale gets one over each
 * row's size [T], or column's [D] for NORM_BATCH, and mean the mean (0
 * for RMS): backward reads both. */
void norm_forward(enum norm_kind kind, struct matrix y, struct matrix x,
                  struct matrix gain, double *scale, double *mean);

/* dx [T, D] and dgain [1, D] from dy [T, D]; dx may be dy. */
void norm_backward(enum norm_kind kind, struct matrix dx,
                   struct matrix dgain, struct matrix dy,
                   struct matrix x, struct matrix gain,
                   const double *scale, const double *mean);

/* A tenth of a batch's statistics [D] into running [2, D], means and
 * variances; and forward with those in place of the batch's. */
void norm_remember(struct matrix running, const double *scale,
                   const double *mean);
void norm_recalled(struct matrix y, struct matrix x, struct matrix gain,
                   struct matrix running, double *scale, double *mean);

#endif
