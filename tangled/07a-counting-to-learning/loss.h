#ifndef LOSS_H
#define LOSS_H
/* Cross-entropy of logits against the characters that came. */
#include "matrix.h"
#include "random.h"

/* Mean of -log p(target) over T rows of logits [T, V], in nats, and
 * its slope in dlogits [T, V], which may be the same matrix. each [T]
 * gets every row's own, unless NULL. */
double loss_forward(struct matrix dlogits, struct matrix logits,
                    const size_t *target, double *each);

/* From the slopes: whether each target was its row's likeliest. */
void loss_right(struct matrix dlogits, const size_t *target,
                unsigned char *right);

/* Mean over T rows of the squared distance between scores [T, V] and
 * one at the target, zero elsewhere. The scores become its slopes. */
double loss_squares(struct matrix scores, const size_t *target);

double loss_bits(double nats);

/* Draw one of a row of logits [1, V], each with its probability, which
 * is in the row afterwards. */
size_t loss_sample(struct matrix row, struct random *random);

#endif
