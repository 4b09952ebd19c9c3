#include "fit.h"
#include "loss.h"

double fit_gradient(void *fit, struct random *random)
{
    struct fit *f = fit;
    struct batch *b = &f->batch;
    batch_draw(b, CORPUS_TRAIN, random);
    double loss = gpt_forward(&f->gpt, f->work, b->symbol, b->target,
                              NULL);
    gpt_backward(&f->gpt, &f->grad, f->work, b->symbol);
    return loss;
}

void fit_guess(void *fit, struct batch *b)
{
    struct fit *f = fit;
    gpt_forward(&f->gpt, f->work, b->symbol, b->target, b->each);
    loss_right(gpt_logits(f->work), b->target, b->right);
}

struct fit fit_new(struct gpt_options o, size_t windows,
                   const struct corpus *corpus, uint64_t seed)
{
    struct random random = random_seeded(seed), other = random;
    struct fit f = {gpt_new(o, &random), gpt_new(o, &other), {0},
                    gpt_work_new(&o, windows * o.window),
                    batch_new(corpus, windows, o.window)};
    gpt_weights(&f.list, &f.gpt, &f.grad);
    return f;
}

void fit_free(struct fit *f)
{
    gpt_free(&f->gpt), gpt_free(&f->grad), weights_free(&f->list);
    gpt_work_free(f->work), batch_free(&f->batch);
}
