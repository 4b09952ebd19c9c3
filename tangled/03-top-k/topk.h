#ifndef TOPK_H
#define TOPK_H
/* Run the chosen experts and combine what they say. T tokens, D model
 * width, H hidden width, E experts, K experts chosen per token. */
#include "ffn.h"
#include "routes.h"

/* keep room for one expert's rows */
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

/* run the chosen experts */
/* y [T, D] = sum over each token's choices of gate * expert(x [T, D]);
 * E experts. The naive one runs every expert on every token. */
void topk_forward(struct matrix y, struct matrix x,
                  const struct routes *routes,
                  const struct ffn *experts, struct topk_work *work);
void topk_forward_naive(struct matrix y, struct matrix x,
                        const struct routes *routes,
                        const struct ffn *experts,
                        struct topk_work *work);

/* Row of token s of sequence b, and back; S tokens a sequence. */
size_t topk_row(size_t b, size_t s, size_t length);
void topk_sequence(size_t row, size_t length, size_t *b, size_t *s);

#endif
