#ifndef ROUTES_H
#define ROUTES_H
/* The routing table: which experts a token goes to, with what gates.
 * T tokens, E experts, K experts chosen per token. */
#include <stdint.h>
#include "matrix.h"

/* How K of E logits become gates. */
enum routes_gate {
    GATE_SOFTMAX, /* softmax over E, keep K (Switch, OLMoE) */
    GATE_RENORM,  /* keep K, softmax over them (Mixtral) */
    GATE_SIGMOID, /* keep K sigmoids, over their sum (DeepSeek-V3) */
    GATE_ROOT,    /* the same of sqrt(softplus) (DeepSeek-V4) */
    GATE_OWN,     /* keep K sigmoids as they are (Llama 4) */
};

/* The routing table: expert and gate of each choice, best first. A
 * token that is padding goes nowhere: ROUTES_NONE, with gates of 0. */
#define ROUTES_NONE SIZE_MAX
struct routes {
    size_t tokens, experts, top_k;
    size_t valid;       /* tokens that are no padding; T at first */
    size_t *expert;     /* [T, K] */
    struct matrix gate; /* [T, K] */
};

struct routes routes_new(size_t tokens, size_t experts, size_t top_k);
void routes_free(struct routes *routes);
size_t routes_expert(const struct routes *r, size_t t, size_t k);
/* Write the K largest of each row of logits [T, E], best first; ties
 * go to the lower expert. NaN ranks below every number. */
void routes_select(struct routes *routes, struct matrix logits);

/* Write the gates of the selected experts, from logits and, under
 * GATE_SOFTMAX, from p, their softmax; both [T, E]. A row with a NaN
 * or +inf, or with only -inf, gets NaN gates. */
void routes_weigh(struct routes *routes, enum routes_gate gate,
                  struct matrix logits, struct matrix p);

/* Take out the tokens t with valid[t] = 0, which are padding: no
 * expert, gates of 0, and where given p [T, E] and log_z [T] of 0, so
 * that they add to no sum and get no slope. NULL: all are valid. Once,
 * after the selection. */
void routes_mask(struct routes *routes, const unsigned char *valid,
                 struct matrix *p, double *log_z);

/* All in one: p = softmax of the logits, then select and weigh. */
void routes_fill(struct routes *routes, enum routes_gate gate,
                 struct matrix p, struct matrix logits);

/* The chosen share of p [T, E]: mean over the valid tokens, or 0. */
double routes_kept(const struct routes *routes, struct matrix p);

/* dlogits [T, E] from dgate [T, K], the selection held fixed. */
void routes_weigh_backward(const struct routes *routes,
                           enum routes_gate gate, struct matrix dlogits,
                           struct matrix dgate, struct matrix logits,
                           struct matrix p);

#endif
