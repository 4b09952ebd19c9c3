#ifndef GPT_H
#define GPT_H
/* A decoder of characters. V symbols, S a window, D width, A heads,
 * L blocks, T = windows of S. */
#include "attention.h"
#include "moe.h"
#include "norm.h"

struct gpt_options { size_t symbols, window, heads, blocks;
                     struct moe_options layer; }; /* V S A L */

struct gpt_block { struct matrix gain1, gain2; /* [1, D] */
                   struct attention attention; struct moe moe; };
struct gpt { /* weights, or their gradient */
    struct gpt_options options;
    struct matrix token, place, column; /* [V, D] [S, D] [S, D] */
    struct gpt_block *block;            /* L of them */
    struct matrix gain, unembed;        /* [1, D] [D, V] */
};
struct gpt gpt_new(struct gpt_options options, struct random *random);
void gpt_free(struct gpt *gpt);
void gpt_weights(struct weights *list, struct gpt *value,
                 struct gpt *slope);

struct gpt_work; /* the room of passes over so many tokens */
struct gpt_work *gpt_work_new(const struct gpt_options *options,
                              size_t tokens);
void gpt_work_free(struct gpt_work *work);
struct moe_work *gpt_moe(struct gpt_work *work, size_t block);
struct attention_work *gpt_attention(struct gpt_work *work,
                                     size_t block);
struct matrix gpt_logits(const struct gpt_work *work); /* [T, V] */

/* Of a token's forward pass; backward takes twice as many again. */
uint64_t gpt_flops(const struct gpt_options *options);
uint64_t gpt_parameters(const struct gpt_options *options);

/* Mean nats a token of target [T] after symbol [T]; each [T] gets every
 * token's own, unless NULL. The layers' losses are not in it. */
double gpt_forward(const struct gpt *gpt, struct gpt_work *work,
                   const size_t *symbol, const size_t *target,
                   double *each);

/* All of grad, of that mean and of the layers' losses, added up. After
 * gpt_forward with the same symbols. */
void gpt_backward(const struct gpt *gpt, struct gpt *grad,
                  struct gpt_work *work, const size_t *symbol);

/* Draw the symbol that follows symbol[0 .. length): one of all V, each
 * with its probability. work has room for one window. */
size_t gpt_next(const struct gpt *gpt, struct gpt_work *work,
                const size_t *symbol, size_t length,
                struct random *random);

#endif
