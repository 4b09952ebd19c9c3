#ifndef MOE_H
#define MOE_H
/* The Mixture-of-Experts layer, forward and backward. T tokens,
 * D model width, H hidden width, E experts, K experts a token,
 * N shared experts, R rows that experts compute. */
#include "capacity.h"
#include "ffn.h"
#include "router.h"

/* describe a layer */
struct moe_options {
    size_t width, hidden, experts, top_k, shared; /* D H E K N */
    enum routes_gate gate;
    enum ffn_activation activation;
    double factor;             /* of capacity; 0: drop nothing */
    enum capacity_order order; /* by softmax, whatever the gate */
    int share_out;             /* the gates of dropped choices */
    double alpha, zeta;        /* of auxiliary loss and z-loss */
};

/* hold a layer's weights */
/* A gradient is a struct moe, too, of the same options; backward
 * overwrites the numbers it is made with. */
struct moe {
    struct moe_options options;
    struct router router; /* [D, E] */
    struct ffn *expert;   /* E experts, then N shared ones */
};

struct moe moe_new(struct moe_options options, struct random *random);
void moe_free(struct moe *moe);

/* keep what a pass leaves */
/* keep the order of the rows */
/* Visit v is t * (K + N) + j. place is CAPACITY_DROPPED if it was. */
struct moe_rows {
    size_t hosts, visits, rows; /* E + N, K + N, R; 0: not sorted */
    size_t *start, *place;      /* [E + N + 1] [T, K + N] */
    size_t *visit, tiles;       /* [R] and of the next */
    struct moe_tile { size_t expert, first, rows; } *tile;
};
struct moe_work { /* of passes over T tokens; made once */
    struct matrix z, p, kept; /* [T, E] [T, E] [T, K] */
    struct routes routes;
    struct capacity capacity;
    double *log_z, *f, *mean; /* [T] [E] [E], one allocation */
    double aux, z_loss;       /* not yet times alpha and zeta */
    struct moe_rows sorted;
    struct matrix in, out, din, dout; /* [(K + N) T, D], R used */
    struct ffn_trace trace;           /* [(K + N) T, H], R used */
    struct matrix dz, dkept, dgate;     /* [T, E] [T, K] [T, K] */
    struct matrix through;              /* [T, D] dx by the router */
};
/* make and free the room of a pass */
struct moe_work moe_work_new(const struct moe_options *options,
                             size_t tokens);
void moe_work_free(struct moe_work *work);

/* run the whole layer */
/* y [T, D] from x [T, D], residual included; leaves in the work what
 * backward needs, and both losses. */
void moe_forward(const struct moe *moe, struct matrix y,
                 struct matrix x, struct moe_work *work);

/* Gradients of (a loss whose slope in y is dy) + alpha * aux + zeta *
 * z_loss: writes all of grad, and dx [T, D]. Call after moe_forward
 * with the same x and work. x is not y, dx is not dy. */
void moe_backward(const struct moe *moe, struct moe *grad,
                  struct matrix dx, struct matrix dy, struct matrix x,
                  struct moe_work *work);

/* run the layer step by step */
/* moe_forward is these four, in this order. */
void moe_route(const struct moe *moe, struct matrix x,
               struct moe_work *work);
void moe_dispatch(const struct moe *moe, struct moe_work *work);
void moe_experts(const struct moe *moe, struct matrix x,
                 struct moe_work *work);
void moe_combine(const struct moe *moe, struct matrix y,
                 struct matrix x, const struct moe_work *work);

/* run the layer naively */
/* The same results, each visit run by itself. Backward needs what
 * moe_route left, by either forward; these two allocate. */
void moe_forward_naive(const struct moe *moe, struct matrix y,
                       struct matrix x, struct moe_work *work);
void moe_backward_naive(const struct moe *moe, struct moe *grad,
                        struct matrix dx, struct matrix dy,
                        struct matrix x, struct moe_work *work);

/* count what a layer costs */
/* Operations of the experts' products, forward, for so many rows; and
 * weights, the router's too: all, or those that one token uses. */
uint64_t moe_flops(const struct moe_options *options, size_t rows);
uint64_t moe_parameters(const struct moe_options *options);
uint64_t moe_active_parameters(const struct moe_options *options);

#endif
