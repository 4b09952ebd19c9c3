#ifndef BIGRAM_H
#define BIGRAM_H
/* What follows a character: counted, and learned. V symbols. A table
 * of logits [V, V] has a row for each character before. */
#include <stdint.h>
#include "matrix.h"

/* Add pairs to count [V, V]: row symbol[i], column target[i]. */
void bigram_count(uint64_t *count, size_t symbols,
                  const size_t *symbol, const size_t *target,
                  size_t pairs);

/* The table of log(count + smooth). The other: what follows anything,
 * in every row. */
void bigram_from_counts(struct matrix logits, const uint64_t *count,
                        double smooth);
void bigram_unigram(struct matrix logits, const uint64_t *count,
                    double smooth);

/* Mean nats of the counted pairs under a table, and its slopes. */
double bigram_loss(struct matrix dlogits, struct matrix logits,
                   const uint64_t *count);

/* rows [T, V]: the table's row of each symbol [T]. */
void bigram_rows(struct matrix rows, struct matrix logits,
                 const size_t *symbol);

#endif
