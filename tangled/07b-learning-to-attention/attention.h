#ifndef ATTENTION_H
#define ATTENTION_H
/* Causal self-attention. T = B S tokens in windows of S, D model
 * width, A heads of D / A. */
#include "random.h"
#include "weights.h"

struct attention { size_t heads; struct matrix qkv, out; };
                   /* [D, 3 D]: q, k, v side by side; [D, D] */
struct attention_work { /* of passes over T tokens; made once */
    size_t window;           /* S */
    struct matrix qkv, dqkv; /* [T, 3 D] */
    struct matrix mixed;     /* [T, D] what the heads fetched */
    struct matrix dmixed;    /* [T, D] */
    struct matrix share;     /* [A T, S] the weights a */
};

/* out begins smaller by `shrink`: the residual stream adds up. */
struct attention attention_new(size_t width, size_t heads,
                               double shrink, struct random *random);
void attention_free(struct attention *attention);
void attention_weights(struct weights *list, const char *name,
                       struct attention *value,
                       struct attention *slope);
struct attention_work attention_work_new(size_t tokens, size_t window,
                                         size_t width, size_t heads);
void attention_work_free(struct attention_work *work);

uint64_t attention_parameters(uint64_t width);
/* Of a token's forward pass, in the mean over its S places. */
uint64_t attention_flops(uint64_t width, uint64_t window);

/* y [T, D] from x [T, D]. */
void attention_forward(const struct attention *attention,
                       struct matrix y, struct matrix x,
                       struct attention_work *work);

/* dx [T, D] and all of grad from dy [T, D], after forward with x. */
void attention_backward(const struct attention *attention,
                        struct attention *grad, struct matrix dx,
                        struct matrix dy, struct matrix x,
                        struct attention_work *work);

#endif
