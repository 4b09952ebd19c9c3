#include <stdlib.h>
#include <string.h>
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
                             size_t batches, batch_guess *guess,
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

double batch_exact(struct batch *b, enum corpus_part part,
                   batch_guess *guess, void *model)
{
    const struct corpus_lines *l
        = &b->corpus->lines[part][TEXT_ARITHMETIC];
    enum { MOST = 256 };
    size_t most = b->windows < MOST ? b->windows : MOST;
    size_t right = 0, all = 0, used = 0, length = b->length;
    const char *line[MOST];
    for (size_t i = 0; i <= l->count; i++) {
        if (i < l->count && strchr(l->at[i], '+'))
            line[used++] = l->at[i];
        if (!used || (used < most && i < l->count)) continue;
        for (size_t w = 0; w < used; w++)
            for (size_t s = 0, end = strlen(line[w]); s < length; s++) {
                size_t t = w * length + s;
                b->symbol[t] = s < end ? text_symbol(line[w][s]) : 0;
                b->target[t] = s + 1 < end
                    ? text_symbol(line[w][s + 1]) : 0;
            }
        guess(model, b);
        for (size_t w = 0; w < used; w++) {
            size_t s = (size_t)(strchr(line[w], '=') - line[w]), ok = 1;
            for (; line[w][s + 1]; s++) ok &= b->right[w * length + s];
            right += ok, all++;
        }
        used = 0;
    }
    return (double)right / (double)all;
}

struct batch batch_new(const struct corpus *corpus, size_t windows,
                       size_t length)
{
    size_t tokens = windows * length, text = windows * (length + 1);
    return (struct batch){corpus, windows, length,
        room(tokens, sizeof(size_t)), room(tokens, sizeof(size_t)),
        room(tokens, sizeof(double)), room(tokens, 1), room(text, 1),
        room(text, sizeof(size_t))};
}

void batch_free(struct batch *b)
{
    free(b->symbol), free(b->target), free(b->each);
    free(b->right), free(b->domain), free(b->text);
}
