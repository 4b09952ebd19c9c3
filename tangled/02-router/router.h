#ifndef ROUTER_H
#define ROUTER_H
/* The router: logits z = x W, then a softmax over each token's row.
 * T tokens, D model width, E experts. */
#include "matrix.h"
#include "random.h"

struct router { struct matrix w; }; /* [D, E], no bias */

/* Weights of mean 0 and variance scale / D (Switch Transformers,
 * arXiv:2101.03961, section 2.4): with rows of root mean square 1,
 * logits begin with variance scale. */
struct router router_new(size_t width, size_t experts, double scale,
                         struct random *random);
void router_free(struct router *router);
size_t router_parameters(const struct router *router);

/* logits [T, E] from x [T, D]. */
void router_forward(const struct router *router, struct matrix logits,
                    struct matrix x);

/* probabilities [T, E] from logits [T, E]; may be the same matrix.
 * log_z [T] gets log(sum(exp(logits))) of each row, unless NULL.
 * -inf gets probability 0. NaN, +inf or nothing but -inf in a row
 * makes its probabilities and its log Z NaN. */
void router_softmax(struct matrix probabilities, double *log_z,
                    struct matrix logits);

/* send slopes back through the router */
/* dlogits [T, E] from dprobabilities [T, E], and the gradients of W
 * and x from dlogits. dx may be NULL. */
void router_softmax_backward(struct matrix dlogits,
                             struct matrix probabilities,
                             struct matrix dprobabilities);
void router_backward(const struct router *router, struct router *grad,
                     struct matrix *dx, struct matrix dlogits,
                     struct matrix x);

/* Mean over the rows of -sum(p log p), in nats: log E if even. */
double router_entropy(struct matrix probabilities);

#endif
