#include "loss.h"
#include "mlpfit.h"

double mlpfit_gradient(void *fit, struct random *random)
{
    struct mlpfit *f = fit;
    struct batch *b = &f->batch;
    batch_draw(b, CORPUS_TRAIN, random);
    double loss = mlp_forward(&f->mlp, f->work, b->symbol, b->target,
                              NULL);
    mlp_backward(&f->mlp, &f->grad, f->work, b->symbol);
    mlp_remember(&f->mlp, f->work);
    return loss;
}

void mlpfit_guess(void *fit, struct batch *b)
{
    struct mlpfit *f = fit;
    mlp_freeze(f->work, 1);
    mlp_forward(&f->mlp, f->work, b->symbol, b->target, b->each);
    mlp_freeze(f->work, 0);
    loss_right(f->work->logits, b->target, b->right);
}

struct mlpfit mlpfit_new(struct mlp_options o, size_t windows,
                         const struct corpus *corpus, uint64_t seed)
{
    struct random random = random_seeded(seed), other = random;
    struct mlpfit f = {mlp_new(o, &random), mlp_new(o, &other), {0},
                       mlp_work_new(&o, windows * o.window),
                       batch_new(corpus, windows, o.window)};
    mlp_weights(&f.list, &f.mlp, &f.grad);
    return f;
}

void mlpfit_free(struct mlpfit *f)
{
    mlp_free(&f->mlp), mlp_free(&f->grad), weights_free(&f->list);
    mlp_work_free(f->work), batch_free(&f->batch);
}
