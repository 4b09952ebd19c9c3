#ifndef ROUTER_H
#define ROUTER_H
/* The router: logits z = x W. T tokens, D model width, E experts. */
#include "random.h"
#include "weights.h"

struct router { struct matrix w; }; /* [D, E], no bias */

/* Weights of mean 0 and variance scale / D (Switch Transformers,
 * arXiv:2101.03961, section 2.4): with rows of root mean square 1,
 * logits begin with variance scale. */
struct router router_new(size_t width, size_t experts, double scale,
                         struct random *random);
void router_free(struct router *router);
size_t router_parameters(const struct router *router);
void router_weights(struct weights *list, const char *name,
                    struct router *value, struct router *slope);

/* logits [T, E] from x [T, D]. */
void router_forward(const struct router *router, struct matrix logits,
                    struct matrix x);

/* The gradients of W and of x from dlogits [T, E]; dx may be NULL. */
void router_backward(const struct router *router, struct router *grad,
                     struct matrix *dx, struct matrix dlogits,
                     struct matrix x);

#endif
