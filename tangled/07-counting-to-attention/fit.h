#ifndef FIT_H
#define FIT_H
/* A transformer, a corpus, and batches of it. */
#include "corpus.h"
#include "gpt.h"
#include "train.h"

struct fit {
    struct gpt gpt, grad;
    struct weights list;
    struct gpt_work *work;
    const struct corpus *corpus;
    size_t windows, *text, *symbol, *target; /* B; [B, S + 1], [T] */
    unsigned char *domain;                   /* [B, S + 1] */
    double *each;                            /* [T] nats */
};
struct fit fit_new(struct gpt_options options, size_t windows,
                   const struct corpus *corpus, uint64_t seed);
void fit_free(struct fit *fit);

/* For struct train: a batch's loss; fills fit->list's slopes. */
double fit_gradient(void *fit, struct random *random);

/* Bits a character on so many batches of a part: of each domain, and
 * of all characters. The same text for every model. */
struct fit_bits { double domain[TEXT_DOMAINS], all; };
struct fit_bits fit_bits(struct fit *fit, enum corpus_part part,
                         size_t batches);

/* Floating-point operations of one token, forward and backward. */
uint64_t fit_flops(const struct gpt_options *options);

#endif
