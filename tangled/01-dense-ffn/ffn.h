#ifndef FFN_H
#define FFN_H
/* The feed-forward block y = act(x W1 + b1) W2 + b2.
 * T tokens, D model width, H hidden width. */
#include "random.h"
#include "weights.h"

enum ffn_activation { FFN_RELU, FFN_GELU, FFN_TANH };
                      /* GELU: tanh form */

struct ffn {
    enum ffn_activation activation;
    struct matrix w1, b1, w2, b2; /* [D, H] [1, H] [H, D] [1, D] */
};

/* Room for a pass: what forward leaves for backward, and scratch. */
struct ffn_trace { struct matrix pre, hidden, dpre; }; /* [T, H] */

struct ffn ffn_new(size_t width, size_t hidden,
                   enum ffn_activation activation,
                   struct random *random);
void ffn_free(struct ffn *ffn);
void ffn_weights(struct weights *list, const char *name,
                 struct ffn *value, struct ffn *slope);
struct ffn_trace ffn_trace_new(size_t tokens, size_t hidden);
void ffn_trace_free(struct ffn_trace *trace);

/* y [T, D] from x [T, D]; its steps after the first product: pre plus
 * b1 and hidden from pre, then y from hidden [T, H]. */
void ffn_forward(const struct ffn *ffn, struct matrix y,
                 struct matrix x, struct ffn_trace *trace);
void ffn_activate(const struct ffn *ffn, struct ffn_trace *trace);
void ffn_down(const struct ffn *ffn, struct matrix y,
              struct matrix hidden);

/* Gradients of a scalar loss, from dy [T, D]: writes grad's matrices
 * and dx [T, D]. Call after ffn_forward with the same x and trace. */
void ffn_backward(const struct ffn *ffn, struct ffn *grad,
                  struct matrix dx, struct matrix dy, struct matrix x,
                  struct ffn_trace *trace);
/* The same in parts: trace->dpre, and dx, of any rows; then the
 * gradients of W1, b1 and of W2, b2 over all rows. */
void ffn_backward_pre(const struct ffn *ffn, struct matrix dy,
                      struct ffn_trace *trace);
void ffn_backward_rows(const struct ffn *ffn, struct matrix dx,
                       struct matrix dy, struct ffn_trace *trace);
void ffn_backward_w1(struct ffn *grad, struct matrix x,
                     const struct ffn_trace *trace);
void ffn_backward_w2(struct ffn *grad, struct matrix dy,
                     const struct ffn_trace *trace);

real ffn_gelu(real z); /* plain; the row functions are faster */
real ffn_gelu_slope(real z);

uint64_t ffn_parameters(uint64_t width, uint64_t hidden);
uint64_t ffn_flops_per_token(uint64_t width, uint64_t hidden);

/* See "The zeros" and "The strongest quarter". NaN where one is in. */
double ffn_zero_share(struct matrix hidden);
void ffn_keep(const struct ffn *ffn, struct matrix hidden, size_t keep);
double ffn_top_share(const struct ffn *ffn, struct matrix hidden,
                     size_t keep);
#endif
