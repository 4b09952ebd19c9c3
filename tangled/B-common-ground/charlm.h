#ifndef CHARLM_H
#define CHARLM_H
/* A language model of characters around one FFN: its embeddings are
 * the trained vectors that the book's routers read. V symbols. */
#include "ffn.h"
#include "text.h"

enum { CHARLM_CONTEXT = 4, CHARLM_BATCH = 32, CHARLM_STEPS = 3000,
       CHARLM_WIDTH = 32, CHARLM_HIDDEN = 128 };
#define CHARLM_RATE 0.5

struct mlp;
struct mlp_work;
struct charlm {
    struct mlp *mlp;       /* all of it; the others are its parts */
    struct matrix embed;   /* [CHARLM_CONTEXT * V, D] */
    struct ffn ffn;
    struct matrix unembed; /* [D, V] */
};

/* Room for one pass over T tokens. */
struct charlm_work {
    struct mlp_work *mlp;
    struct matrix x;        /* [T, D] */
    struct ffn_trace trace;
    size_t *symbol;         /* [T + 1] */
};

/* name what makes and frees it */
struct charlm charlm_new(size_t width, size_t hidden,
                         enum ffn_activation activation,
                         struct random *random);
void charlm_free(struct charlm *model);
void charlm_weights(struct weights *list, struct charlm *value,
                    struct charlm *slope);
struct charlm_work charlm_work_new(const struct charlm *model,
                                   size_t tokens);
void charlm_work_free(struct charlm_work *work);

/* x [T, D]: the vectors of text[0..T). Before text[0] come newlines. */
void charlm_embed(const struct charlm *model, struct matrix x,
                  const char *text);

/* The same, each row scaled to root mean square 1. */
void charlm_vectors(const struct charlm *model, struct matrix x,
                    const char *text);

/* Mean loss of guessing text[t + 1] from text[..t], t in 0..T-1, and
 * its gradient. Reads T + 1 characters. */
double charlm_gradient(const struct charlm *model, struct charlm *grad,
                       struct charlm_work *work, const char *text);

/* Plain stochastic gradient descent on fresh sample text. Returns the
 * loss of the last step: not finite if it diverged. */
double charlm_train(struct charlm *model, size_t steps, double rate,
                    struct random *random);

/* Share of text[1..T] that the best score guesses right, with only
 * the `keep` strongest hidden units of each token. Those, and only
 * those, are in work->trace.hidden afterwards. */
double charlm_accuracy(const struct charlm *model,
                       struct charlm_work *work, const char *text,
                       size_t keep);

/* The model that the later chapters look into: the book's sizes,
 * trained from the seed; the book's seed was trained when the
 * program was built, others take about a second. */
struct charlm charlm_trained(uint64_t seed);

/* Sample text that training from this seed did not draw. */
void charlm_text(char *text, size_t length, uint64_t seed);

#endif
