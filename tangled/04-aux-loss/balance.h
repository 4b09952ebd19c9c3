#ifndef BALANCE_H
#define BALANCE_H
/* How evenly tokens are spread, and what pushes them to be. T tokens,
 * of which `valid` are no padding; E experts; K chosen per token.
 * Arrays have E numbers. What routes_mask took out, experts and rows
 * of 0, adds to nothing; with no valid token every share is 0. */
#include "routes.h"

/* Add each expert's choices to count: whole numbers. */
void balance_count(double *count, const struct routes *routes);

/* The three fractions, and f, the load: choices over K T. */
void balance_first(double *share, const struct routes *routes);
void balance_gate(double *share, const struct routes *routes);
void balance_chosen(double *share, const struct routes *routes);
void balance_load(double *f, const struct routes *routes);

/* P: the mean of p [T, E], the softmax, or of s [T, E], the gate's own
 * scores over all experts, normalized (sigmoids: DeepSeek-V3). */
void balance_mean(double *p, struct matrix probabilities, size_t valid);
void balance_scores(struct matrix s, enum routes_gate gate,
                    struct matrix logits);

/* E sum(f P), 1 if f or P is even (Switch, arXiv:2101.03961, eq. 4,
 * f over K T); mean(log Z ^ 2) (ST-MoE, arXiv:2202.08906, eq. 5). */
double balance_loss(const double *f, const double *p, size_t experts);
double balance_z_loss(const double *log_z, size_t tokens, size_t valid);

/* Add scale * the gradient to dlogits [T, E], f held constant. */
void balance_loss_backward(struct matrix dlogits,
                           struct matrix probabilities, size_t valid,
                           const double *f, double scale);
void balance_scores_backward(struct matrix dlogits,
                             enum routes_gate gate, struct matrix s,
                             struct matrix logits, size_t valid,
                             const double *f, double scale);
void balance_z_loss_backward(struct matrix dlogits,
                             struct matrix probabilities, size_t valid,
                             const double *log_z, double scale);
void balance_entropy_backward(struct matrix dlogits, /* of -H(P) */
                              struct matrix probabilities, size_t valid,
                              const double *p, double scale);

/* How even shares are that sum to 1; NaN if one is. H is in nats. */
double balance_entropy(const double *share, size_t experts);
double balance_effective(const double *share, size_t experts);
double balance_simpson(const double *share, size_t experts);
double balance_cv2(const double *share, size_t experts);
double balance_max_violation(const double *share, size_t experts);

/* See "A load with a slope"; logits and noisy [T, E]. */
void balance_smooth_load(double *load, struct matrix logits,
                         struct matrix noisy, double deviation,
                         size_t top_k);

/* bias += rate where the count is below the mean, -= rate if above. */
void balance_bias_update(double *bias, const double *count,
                         size_t experts, double rate);
#endif
