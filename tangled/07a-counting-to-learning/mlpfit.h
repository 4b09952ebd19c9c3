#ifndef MLPFIT_H
#define MLPFIT_H
/* An MLP that is being trained on batches of a corpus. */
#include "batch.h"
#include "mlp.h"
#include "train.h"

struct mlpfit {
    struct mlp mlp, grad;
    struct weights list;
    struct mlp_work *work; /* of B S tokens */
    struct batch batch;
};
struct mlpfit mlpfit_new(struct mlp_options options, size_t windows,
                         const struct corpus *corpus, uint64_t seed);
void mlpfit_free(struct mlpfit *fit);

/* For struct train: a batch's loss; fills fit->list's slopes. */
double mlpfit_gradient(void *fit, struct random *random);

/* For batch_bits: fills batch->each and batch->right. */
void mlpfit_guess(void *fit, struct batch *batch);

#endif
