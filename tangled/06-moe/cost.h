#ifndef COST_H
#define COST_H
/* What a Mixture-of-Experts layer is made of, and what that costs. */
#include "capacity.h"
#include "ffn.h"

struct moe_options {
    size_t width, hidden, experts, top_k, shared; /* D H E K N */
    enum routes_gate gate;
    enum ffn_activation activation;
    double factor;      /* of capacity; 0: drop nothing */
    enum capacity_order order;
    int share_out;      /* the gates of dropped choices */
    double alpha, zeta; /* of auxiliary loss and z-loss */
    int own_scores;     /* P: of the gate's scores, not the softmax */
};

/* Operations of the experts' products, forward, for so many rows; and
 * weights, the router's too: all, or those that one token uses. */
uint64_t moe_flops(const struct moe_options *options, size_t rows);
uint64_t moe_parameters(const struct moe_options *options);
uint64_t moe_active_parameters(const struct moe_options *options);

#endif
