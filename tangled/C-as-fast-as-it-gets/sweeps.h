#ifndef SWEEPS_H
#define SWEEPS_H
/* Fast forms of what goes over all numbers of a batch or of a model.
 * Each gives 1 if it did the work: for floats, in the fast build, from
 * some size on. Results do not depend on the number of threads. */
#include "weights.h"

/* norm_forward and norm_backward by root mean square. */
int sweep_norm(struct matrix y, struct matrix x, struct matrix gain,
               double tiny, double *scale);
int sweep_norm_back(struct matrix dx, struct matrix dgain,
                    struct matrix dy, struct matrix x,
                    struct matrix gain, const double *scale);

/* loss_forward; the mean in *loss. */
int sweep_loss(struct matrix dlogits, struct matrix logits,
               const size_t *target, double *each, double *loss);

/* weights_norm, in *norm. */
int sweep_size(const struct weights *list, double *norm);

/* AdamW's step for n numbers of one matrix. */
struct sweep_step { double beta1, beta2, epsilon, keep, rate,
                           mean_share, square_share; };
int sweep_adamw(const struct sweep_step *step, real *restrict x,
                const real *restrict g, double *restrict m,
                double *restrict v, size_t n);

#endif
