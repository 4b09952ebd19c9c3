#ifndef TOUCH_H
#define TOUCH_H
/* Different experts that a batch of B tokens touches. */
#include "routes.h"

/* Expected, if each token takes K of E at random, on its own. */
double touch_expected(double experts, double top_k, double batch);

/* Counted: the mean over all tokens of the routes as a batch's first,
 * the others `apart` places further each, around the end. */
double touch_counted(const struct routes *routes, size_t batch,
                     size_t apart);

/* Share of tokens whose first choice is that of the token before. */
double touch_repeats(const struct routes *routes);
#endif
