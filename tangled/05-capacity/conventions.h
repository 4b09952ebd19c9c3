#ifndef CONVENTIONS_H
#define CONVENTIONS_H
/* An expert's slots as other programs count them; a factor of at most
 * 1000, as in capacity_slots. The last name is NULL. */
#include <stddef.h>

struct convention {
    const char *name;
    size_t (*slots)(double factor, size_t tokens, size_t top_k,
                    size_t experts);
};
extern const struct convention conventions[];

#endif
