#ifndef TRAIN_H
#define TRAIN_H
/* The training loop: one line of progress, and a run that goes on
 * where it was killed. */
#include "checkpoint.h"

struct train {
    const char *name;       /* in the line of progress */
    struct weights *list;
    /* Fill the slopes from a batch; the loss, in nats a token. */
    double (*gradient)(void *context, struct random *random);
    /* After every step, if not NULL: step counts from 1. */
    void (*hear)(void *context, uint64_t step, double loss);
    void *context;
    uint64_t steps, warm;
    double rate, clip;      /* peak rate; most norm */
    size_t tokens;          /* of a batch, for tokens per second */
    const char *path;       /* of a checkpoint, or NULL */
    uint64_t seed;
};

/* Run it to the end. The loss of the last step; NaN, with a message, if
 * it diverged. A checkpoint that is there is gone on from; one that
 * does not fit is told and left alone, and the run begins anew. */
double train_run(const struct train *train);

#endif
