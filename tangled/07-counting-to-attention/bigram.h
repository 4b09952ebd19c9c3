#ifndef BIGRAM_H
#define BIGRAM_H
/* What follows a character: counted, and learned. V symbols. */
#include <stdint.h>
#include "weights.h"

/* count [V, V]: row is the character before, column what followed.
 * symbol [windows, length]; pairs do not cross windows. */
void bigram_count(uint64_t *count, size_t symbols, const size_t *symbol,
                  size_t windows, size_t length);

/* logits [V, V] whose softmax is (count + smooth) / (all + smooth V). */
void bigram_from_counts(struct matrix logits, const uint64_t *count,
                        double smooth);

/* Mean nats a character of logits [V, V] on windows, and the slopes in
 * dlogits [V, V], unless its `at` is NULL. */
double bigram_loss(struct matrix logits, struct matrix dlogits,
                   const size_t *symbol, size_t windows, size_t length);

#endif
