#ifndef MOE_H
#define MOE_H
/* The Mixture-of-Experts layer. T tokens, D model width, H hidden
 * width, E experts, K experts a token, N shared experts, R rows. */
#include "cost.h"
#include "router.h"
#include "rows.h"

struct moe { /* a layer's weights, or their gradient */
    struct moe_options options;
    struct router router; /* [D, E] */
    struct ffn *expert;   /* E experts, then N shared ones */
};
struct moe moe_new(struct moe_options options, struct random *random);
void moe_free(struct moe *moe);
void moe_weights(struct weights *list, const char *name,
                 struct moe *value, struct moe *slope);

struct moe_work { /* of passes over T tokens; made once */
    const unsigned char *valid; /* [T] 0: padding. NULL: none is */
    struct matrix z, p, kept;   /* [T, E] [T, E] [T, K] */
    struct routes routes;
    struct capacity capacity;
    struct rows rows;
    struct matrix in, out;      /* [(K + N) T, D], R used */
    struct ffn_trace trace;     /* [(K + N) T, H], R used */
    double *f, *mean, aux, z_loss; /* [E] [E]; before alpha, zeta */
    struct matrix dz, dkept, dgate, din, dout; /* the slopes */
    struct moe_scratch *scratch;
};
struct moe_work moe_work_new(const struct moe_options *o,
                             size_t tokens);
void moe_work_free(struct moe_work *w);

/* y = x + MoE(x): route, dispatch, experts, combine, which adds to any
 * residual [T, D], also to y itself, or if that is {0} to nothing. */
void moe_forward(const struct moe *m, struct matrix y, struct matrix x,
                 struct moe_work *w);
void moe_route(const struct moe *m, struct matrix x,
               struct moe_work *w);
void moe_dispatch(struct moe_work *w);
void moe_experts(const struct moe *m, struct matrix x,
                 struct moe_work *w);
void moe_combine(struct matrix y, struct matrix residual,
                 const struct moe_work *w);
real moe_gate(const struct moe_work *w, size_t t, size_t j);

/* Gradients of (a loss whose slope in y is dy) + alpha * aux + zeta *
 * z_loss: writes grad and dx, not dy's matrix. After moe_forward. */
void moe_backward(const struct moe *m, struct moe *grad,
                  struct matrix dx, struct matrix dy, struct matrix x,
                  struct moe_work *w);
void moe_combine_backward(struct matrix dy, struct moe_work *w);
void moe_experts_backward(const struct moe *m, struct moe *grad,
                          struct moe_work *w);
void moe_dispatch_backward(struct matrix dx, struct moe_work *w);
void moe_route_backward(const struct moe *m, struct moe *grad,
                        struct matrix dx, struct matrix x, /* adds */
                        struct moe_work *w);
#endif
