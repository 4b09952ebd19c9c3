#ifndef CHECKPOINT_H
#define CHECKPOINT_H
/* Save a run in a file, whole or not at all, and go on from it. */
#include "adamw.h"
#include "random.h"

/* All that a run needs to go on as if it had never stopped. */
struct checkpoint {
    struct weights *list;  /* values are saved, slopes are not */
    struct adamw *adamw;
    struct random *random;
    uint64_t step;
};

enum { CHECKPOINT_WHY = 200 };

/* Write path, by way of path.new. 1, or 0 with the reason in why. */
int checkpoint_save(const struct checkpoint *run, const char *path,
                    char why[CHECKPOINT_WHY]);

/* Read into what was made for the same model. 1; or 0, with why, and
 * nothing is changed. A file that is not there gives an empty why. */
int checkpoint_load(struct checkpoint *run, const char *path,
                    char why[CHECKPOINT_WHY]);

#endif
