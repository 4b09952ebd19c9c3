#include <stdlib.h>
#include "fit.h"
#include "loss.h"
#include "stop.h"

static void draw(struct fit *f, enum corpus_part part, struct random *r)
{
    size_t window = f->gpt.options.window;
    corpus_windows(f->corpus, part, f->windows, window + 1, f->text,
                   f->domain, r);
    for (size_t t = 0; t < f->windows * window; t++) {
        size_t at = t / window * (window + 1) + t % window;
        f->symbol[t] = f->text[at], f->target[t] = f->text[at + 1];
    }
}

double fit_gradient(void *fit, struct random *random)
{
    struct fit *f = fit;
    draw(f, CORPUS_TRAIN, random);
    double loss = gpt_forward(&f->gpt, f->work, f->symbol, f->target,
                              NULL);
    gpt_backward(&f->gpt, &f->grad, f->work, f->symbol);
    return loss;
}

struct fit_bits fit_bits(struct fit *f, enum corpus_part part,
                         size_t batches)
{
    struct random r = random_seeded(part + 1000);
    struct fit_bits bits = {{0}, 0};
    double count[TEXT_DOMAINS] = {0}, all = 0;
    size_t window = f->gpt.options.window;
    for (size_t i = 0; i < batches; i++) {
        draw(f, part, &r);
        gpt_forward(&f->gpt, f->work, f->symbol, f->target, f->each);
        for (size_t t = 0; t < f->windows * window; t++) {
            size_t at = t / window * (window + 1) + t % window + 1;
            bits.domain[f->domain[at]] += loss_bits(f->each[t]);
            bits.all += loss_bits(f->each[t]);
            count[f->domain[at]]++, all++;
        }
    }
    for (size_t d = 0; d < TEXT_DOMAINS; d++)
        bits.domain[d] /= count[d] > 0 ? count[d] : 1;
    bits.all /= all > 0 ? all : 1;
    return bits;
}

uint64_t fit_flops(const struct gpt_options *o)
{
    uint64_t d = o->layer.width, block = 8 * d * d + 4 * o->window * d
        + (o->layer.top_k + o->layer.shared)
          * ffn_flops_per_token(d, o->layer.hidden)
        + 2 * d * o->layer.experts;
    return 3 * (o->blocks * block + 2 * d * o->symbols);
}

struct fit fit_new(struct gpt_options o, size_t windows,
                   const struct corpus *corpus, uint64_t seed)
{
    struct random random = random_seeded(seed), other = random;
    size_t tokens = windows * o.window, text = windows * (o.window + 1);
    struct fit f = {gpt_new(o, &random), gpt_new(o, &other), {0},
        gpt_work_new(&o, tokens), corpus, windows,
        room(text, sizeof(size_t)), room(tokens, sizeof(size_t)),
        room(tokens, sizeof(size_t)), room(text, 1),
        room(tokens, sizeof(double))};
    gpt_weights(&f.list, &f.gpt, &f.grad);
    return f;
}

void fit_free(struct fit *f)
{
    gpt_free(&f->gpt), gpt_free(&f->grad), weights_free(&f->list);
    gpt_work_free(f->work);
    free(f->text), free(f->symbol), free(f->target);
    free(f->domain), free(f->each);
}
