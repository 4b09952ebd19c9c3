#ifndef TOPK_H
#define TOPK_H
/* Top-k routing: select experts, weigh them, run the chosen, combine.
 * T tokens, D model width, E experts, K experts chosen per token. */
#include "ffn.h"

/* How K of E logits become gates. */
enum topk_gate {
    TOPK_SOFTMAX, /* softmax over E, keep K (Switch, OLMoE) */
    TOPK_RENORM,  /* keep K, softmax over them (Mixtral) */
    TOPK_SIGMOID, /* keep K sigmoids, over their sum (DeepSeek-V3) */
};

/* The routing table: expert and gate of each choice, best first. */
struct routes {
    size_t tokens, experts, top_k;
    size_t *expert;     /* [T, K] */
    struct matrix gate; /* [T, K] */
};

struct routes routes_new(size_t tokens, size_t experts, size_t top_k);
void routes_free(struct routes *routes);
size_t routes_expert(const struct routes *routes, size_t token,
                     size_t choice);

/* select and weigh */
/* Write the K largest of each row of logits [T, E], best first; ties
 * go to the lower expert. NaN ranks below every number. */
void topk_select(struct routes *routes, struct matrix logits);

/* Write the gates of the selected experts. A row with a NaN or +inf,
 * or with only -inf, gets NaN gates. Returns the exponentials taken. */
size_t topk_weigh(struct routes *routes, enum topk_gate gate,
                  struct matrix logits);

/* dlogits [T, E] from dgate [T, K], the selection held fixed. */
void topk_weigh_backward(const struct routes *routes,
                         enum topk_gate gate, struct matrix dlogits,
                         struct matrix dgate, struct matrix logits);

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
