#ifndef WEIGHTS_H
#define WEIGHTS_H
/* All that a model learns, by name. The matrices are the model's and
 * its gradient's own: the list only views them. */
#include <stdint.h>
#include "matrix.h"

enum { WEIGHTS_NAME = 64 };
struct weight { char name[WEIGHTS_NAME]; struct matrix value, slope; };
struct weights { struct weight *at; size_t count, most; }; /* or {0} */

/* Add a matrix and its slope, of the same shape. A model's parts put
 * their names before: "ffn" and "w1" make "ffn.w1". */
void weights_add(struct weights *list, const char *name,
                 struct matrix value, struct matrix slope);
void weights_add_part(struct weights *list, const char *model,
                      const char *part, struct matrix value,
                      struct matrix slope);
void weights_free(struct weights *list); /* not the matrices */

uint64_t weights_count(const struct weights *list); /* numbers */
void weights_clear(struct weights *list); /* slopes = 0 */
void weights_step(struct weights *list, double rate); /* downhill */
double weights_norm(const struct weights *list); /* of all slopes */

/* The largest, over the matrices, of |slope - n| / max(|slope|, |n|),
 * where n is the loss's slope by central differences. Moves each
 * number and puts it back. */
double weights_error(const struct weights *list,
                     double (*loss)(void *context), void *context);

#endif
