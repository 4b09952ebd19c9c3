#ifndef BALANCE_H
#define BALANCE_H
/* How evenly tokens are spread, and what pushes them to be.
 * T tokens, E experts, K experts chosen per token. Sums over tokens
 * are taken in double. Every share is an array of E numbers. */
#include "random.h"
#include "routes.h"

/* name the fractions */
/* The three routing fractions, and P. With no tokens they are 0. */
void balance_first(double *share, const struct routes *routes);
void balance_gate(double *share, const struct routes *routes);
void balance_chosen(double *share, const struct routes *routes);
void balance_mean(double *p, struct matrix probabilities);

/* f = choices / (K T): balance_chosen, divided by K. */
void balance_load(double *f, const struct routes *routes);

/* name the losses and their gradients */
/* E * sum(f P): 1 if f or P is even, E / K at full collapse
 * (Switch Transformers, arXiv:2101.03961, eq. 4, with f over K T). */
double balance_loss(const double *f, const double *p, size_t experts);

/* name the gradients */
/* mean(log Z ^ 2) (ST-MoE, arXiv:2202.08906, eq. 5). */
double balance_z_loss(const double *log_z, size_t tokens);

/* Each adds scale * its gradient to dlogits [T, E]; f is constant. */
void balance_loss_backward(struct matrix dlogits,
                           struct matrix probabilities,
                           const double *f, double scale);
void balance_z_loss_backward(struct matrix dlogits,
                             struct matrix probabilities,
                             const double *log_z, double scale);

/* Of -H(P), the entropy of the mean probabilities, negated. */
void balance_entropy_backward(struct matrix dlogits,
                              struct matrix probabilities,
                              const double *p, double scale);

/* name the measures */
double balance_entropy(const double *share, size_t experts); /* nats */
double balance_effective(const double *share, size_t experts);
double balance_simpson(const double *share, size_t experts);
double balance_cv2(const double *share, size_t experts);
double balance_max_violation(const double *share, size_t experts);

/* name what changes a load */
/* Shazeer's smooth load: load[i] is the sum over tokens of the
 * probability that expert i is among the K best when its noise is
 * drawn again; logits, noisy [T, E], normal noise of the deviation. */
void balance_smooth_load(double *load, struct matrix logits,
                         struct matrix noisy, double deviation,
                         size_t top_k);

/* bias[i] += rate if f[i] is below 1 / E, -= rate if above. */
void balance_bias_update(double *bias, const double *f, size_t experts,
                         double rate);

#endif
