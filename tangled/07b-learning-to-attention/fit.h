#ifndef FIT_H
#define FIT_H
/* A transformer that is being trained on batches of a corpus. */
#include "batch.h"
#include "gpt.h"
#include "train.h"

struct fit {
    struct gpt gpt, grad;
    struct weights list;
    struct gpt_work *work; /* of B S tokens */
    struct batch batch;
};
struct fit fit_new(struct gpt_options options, size_t windows,
                   const struct corpus *corpus, uint64_t seed);
void fit_free(struct fit *fit);

/* For struct train: a batch's loss; fills fit->list's slopes. */
double fit_gradient(void *fit, struct random *random);

/* For batch_bits: fills batch->each and batch->right. */
void fit_guess(void *fit, struct batch *batch);

#endif
