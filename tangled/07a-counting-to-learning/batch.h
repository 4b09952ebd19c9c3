#ifndef BATCH_H
#define BATCH_H
/* Windows of the corpus as questions and answers, and what a model
 * pays for them. B windows of S tokens, T = B S. */
#include "corpus.h"

struct batch {
    const struct corpus *corpus;
    size_t windows, length;  /* B, S */
    size_t *symbol, *target; /* [T] read, and to be guessed */
    double *each;            /* [T] nats, of whoever guesses */
    unsigned char *right;    /* [T] was its first choice what came? */
    unsigned char *domain;   /* [B, S + 1] */
    size_t *text;            /* [B, S + 1] */
};
struct batch batch_new(const struct corpus *corpus, size_t windows,
                       size_t length);
void batch_free(struct batch *batch);
void batch_draw(struct batch *batch, enum corpus_part part,
                struct random *random);

/* guess fills batch->each and ->right from symbol and target. */
typedef void batch_guess(void *model, struct batch *batch);

/* Bits a character on so many batches of a part: of each domain, and
 * of all. The same text for every model, if B and S are the same. */
struct batch_bits { double domain[TEXT_DOMAINS], all; };
struct batch_bits batch_bits(struct batch *batch, enum corpus_part part,
                             size_t batches, batch_guess *guess,
                             void *model);

/* The share of all sums with + of a part that are answered right, to
 * the end of the line. */
double batch_exact(struct batch *batch, enum corpus_part part,
                   batch_guess *guess, void *model);

#endif
