#include <stdlib.h>
#include "batch.h"
#include "loss.h"
#include "stop.h"

static size_t answer_of(const struct batch *b, size_t t)
{
    return t / b->length * (b->length + 1) + t % b->length + 1;
}

void batch_draw(struct batch *b, enum corpus_part part,
                struct random *random)
{
    corpus_windows(b->corpus, part, b->windows, b->length + 1, b->text,
                   b->domain, random);
    for (size_t t = 0; t < b->windows * b->length; t++) {
        size_t at = answer_of(b, t);
        b->symbol[t] = b->text[at - 1], b->target[t] = b->text[at];
    }
}

struct batch_bits batch_bits(struct batch *b, enum corpus_part part,
    size_t batches, void (*guess)(void *model, struct batch *batch),
    void *model)
{
    struct random random = random_seeded(part + 1000);
    struct batch_bits bits = {{0}, 0};
    double count[TEXT_DOMAINS] = {0}, all = 0;
    for (size_t i = 0; i < batches; i++) {
        batch_draw(b, part, &random);
        guess(model, b);
        for (size_t t = 0; t < b->windows * b->length; t++) {
            size_t domain = b->domain[answer_of(b, t)];
            double own = loss_bits(b->each[t]);
            bits.domain[domain] += own, count[domain]++;
            bits.all += own, all++;
        }
    }
    for (size_t d = 0; d < TEXT_DOMAINS; d++)
        bits.domain[d] /= count[d];
    bits.all /= all;
    return bits;
}

struct batch batch_new(const struct corpus *corpus, size_t windows,
                       size_t length)
{
    size_t tokens = windows * length, text = windows * (length + 1);
    return (struct batch){corpus, windows, length,
        room(tokens, sizeof(size_t)), room(tokens, sizeof(size_t)),
        room(tokens, sizeof(double)), room(text, 1),
        room(text, sizeof(size_t))};
}

void batch_free(struct batch *b)
{
    free(b->symbol), free(b->target), free(b->each);
    free(b->domain), free(b->text);
}
