#ifndef LOOK_H
#define LOOK_H
/* What the hidden units of a model's block hold, on some text. */
#include "charlm.h"

struct look {
    double zero, wasted;   /* shares: of values; of FLOPs, on zeros */
    double dead;           /* of units, which answer no token */
    double top, overlap;   /* of the strongest quarter of the units */
    double right, quarter; /* guessed, by all units and by those */
};

/* Reads as many tokens as work has room for, and a character more.
 * Leaves only the strongest quarter in work->trace.hidden. */
struct look look_into(const struct charlm *model,
                      struct charlm_work *work, const char *text);

/* The same, on so many tokens that no training from the seed saw. */
enum { LOOK_TOKENS = 256 };
struct look look_at(const struct charlm *model, uint64_t seed);

#endif
