#ifndef MLP_H
#define MLP_H
/* Characters guessed from the last M by a stack of blocks. V symbols,
 * S a window, D width, H hidden, T = windows of S. */
#include "ffn.h"
#include "norm.h"

struct mlp_options {
    size_t symbols, window, context; /* V S M */
    size_t width, hidden, blocks;    /* D H, how many */
    enum ffn_activation activation;
    enum norm_kind norm; /* of what goes into the activation */
    int residual;        /* x + FFN(x), not FFN(x) */
    int squares;         /* the loss is the squared error */
    double embed, scale, last; /* at first: embed within +-, blocks and
                                * unembed times; no draws for last 0 */
};
struct mlp_block { enum norm_kind norm; int residual; struct ffn ffn;
                   struct matrix gain, running; }; /* [1, H] [2, H] */
struct mlp { /* weights, or their gradient */
    struct mlp_options options;
    struct matrix embed;     /* [M V, D] */
    struct mlp_block *block; /* as many */
    struct matrix unembed;   /* [D, V] */
};
struct mlp mlp_new(struct mlp_options options, struct random *random);
void mlp_free(struct mlp *mlp);
void mlp_weights(struct weights *list, struct mlp *value,
                 struct mlp *slope);

struct mlp_block_work {
    struct matrix x, raw; /* [T, D], [T, H] before it is normalized */
    struct ffn_trace trace;
    double *scale, *mean; /* [T] or [H], whichever is more */
    int frozen; /* batch statistics are those of training */
};
struct mlp_work { /* the room of passes over T tokens */
    size_t blocks;
    struct mlp_block_work *block;
    struct matrix y, dx, dy, logits; /* [T, D] thrice, [T, V] */
    size_t *shown;                   /* [T] */
};
struct mlp_work *mlp_work_new(const struct mlp_options *options,
                              size_t tokens);
void mlp_work_free(struct mlp_work *work);
void mlp_freeze(struct mlp_work *work, int frozen);

uint64_t mlp_flops(const struct mlp_options *options);
uint64_t mlp_parameters(const struct mlp_options *options);

/* x [T, D] of symbol [T]; before a window stand newlines, 0. */
void mlp_embed(const struct mlp *mlp, struct matrix x,
               const size_t *symbol);
void mlp_run(const struct mlp *mlp, struct mlp_work *work,
             const size_t *symbol); /* as far as work->logits */

/* Mean loss of target [T] after symbol [T], in nats unless squares;
 * each [T] gets every token's own, unless NULL. */
double mlp_forward(const struct mlp *mlp, struct mlp_work *work,
                   const size_t *symbol, const size_t *target,
                   double *each);

/* All of grad, after mlp_forward with the same symbols. */
void mlp_backward(const struct mlp *mlp, struct mlp *grad,
                  struct mlp_work *work, const size_t *symbol);

/* Draw the symbol that follows symbol[0 .. length): one of all V, each
 * with its probability. work has room for one window. */
size_t mlp_next(const struct mlp *mlp, struct mlp_work *work,
                const size_t *symbol, size_t length,
                struct random *random);

/* After a batch: what mlp_freeze will take for batch statistics. */
void mlp_remember(struct mlp *mlp, const struct mlp_work *work);

#endif
