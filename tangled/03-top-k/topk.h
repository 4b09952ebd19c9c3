#ifndef TOPK_H
#define TOPK_H
/* Run the chosen experts and combine what they say. T tokens, D model
 * width, H hidden width, E experts, K experts chosen per token. */
#include "ffn.h"
#include "routes.h"

/* Room for one expert's rows; made once. expert_rows counts the rows
 * that experts have computed since it was last set to 0. */
struct topk_work {
    size_t *token, *choice, expert_rows; /* [T] each; a count */
    struct matrix in, out;               /* [T, D] */
    struct ffn_trace trace;              /* [T, H] */
};
struct topk_work topk_work_new(size_t tokens, size_t width,
                               size_t hidden);
void topk_work_free(struct topk_work *work);

/* Experts of one size, freshly drawn. */
struct ffn *topk_experts_new(size_t experts, size_t width,
                             size_t hidden, struct random *random);
void topk_experts_free(struct ffn *experts, size_t count);

/* y [T, D] = sum over each token's choices of gate * expert(x [T, D]);
 * E experts. The naive one runs every expert on every token. */
void topk_forward(struct matrix y, struct matrix x,
                  const struct routes *routes,
                  const struct ffn *experts, struct topk_work *work);
void topk_forward_naive(struct matrix y, struct matrix x,
                        const struct routes *routes,
                        const struct ffn *experts,
                        struct topk_work *work);

/* dgate [T, K] from dy [T, D]: the slope of the loss in each gate. */
void topk_gate_slopes(struct matrix dgate, struct matrix dy,
                      struct matrix x, const struct routes *routes,
                      const struct ffn *experts,
                      struct topk_work *work);

#endif
