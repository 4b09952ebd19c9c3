#ifndef TOPK_H
#define TOPK_H
/* A layer whose experts run only if they are chosen. T tokens, D model
 * width, H hidden width, E experts, K experts chosen per token. */
#include "ffn.h"
#include "router.h"
#include "routes.h"

struct topk_sizes { size_t tokens, width, hidden, experts, top_k; };

struct topk {
    enum routes_gate gate;
    struct router router;    /* [D, E] */
    struct ffn *experts;     /* E of them */
    struct routes routes;    /* [T, K] */
    struct matrix z, p;      /* [T, E]: logits, their softmax */
    struct matrix dz, dgate; /* [T, E] [T, K]: slopes of the loss */
    size_t expert_rows;      /* computed since it was last set to 0 */
    size_t *token, *choice;  /* [T]: where one expert's rows are from */
    struct matrix in, out;   /* [T, D]: these rows, and its output */
    struct ffn_trace trace;
    int gate_in;             /* a gate is its expert's input's factor */
    size_t identities;       /* the last experts, which return x */
};

/* An untrained layer and its room; scale is that of router_new. */
struct topk topk_new(struct topk_sizes sizes, enum routes_gate gate,
                     double scale, struct random *random);
void topk_free(struct topk *layer);

/* Route x [T, D]: logits, softmax, choices and gates. */
void topk_route(struct topk *layer, struct matrix x);

/* y [T, D] = sum over each token's choices of gate * expert(x [T, D]),
 * or expert(gate * x). The naive one runs every expert on every token;
 * identities are no work. */
void topk_forward(struct topk *layer, struct matrix y, struct matrix x);
void topk_forward_naive(struct topk *layer, struct matrix y,
                        struct matrix x);

/* From dy [T, D]: the slopes of the gates and of the logits, and the
 * router's gradient. Runs the chosen experts once more. */
void topk_backward(struct topk *layer, struct router *grad,
                   struct matrix dy, struct matrix x);

#endif
