#ifndef HOTSPOT_H
#define HOTSPOT_H
/* A routing log in which two experts are hot, for one cause of four. */
#include <stdio.h>
#include "charlm.h"

enum hotspot_cause { HOTSPOT_PADDING, HOTSPOT_LAYERS, HOTSPOT_BIASES,
                     HOTSPOT_DOMAIN, HOTSPOT_CAUSES };
enum { HOTSPOT_EXPERTS = 8, HOTSPOT_TOP_K = 2 };
struct hotspot {
    enum hotspot_cause cause;
    size_t hot[2];
    double load[HOTSPOT_EXPERTS];    /* the plot: of layer 0 */
    double bias[HOTSPOT_EXPERTS];    /* its biases */
    /* the hot two's share: without padding, by layer, of both, and of
     * layer 0 over mixed text */
    double padding, layers[2], mean, corpus;
};

/* The same log for the same seed; the model has the token's vectors. */
struct hotspot hotspot_plant(const struct charlm *model, uint64_t seed);

/* Measurements, in the order of causes: what each is called, what it
 * costs, what it prints. */
extern const char *const hotspot_names[HOTSPOT_CAUSES + 1];
extern const size_t hotspot_prices[HOTSPOT_CAUSES];
void hotspot_plot(FILE *out, const struct hotspot *log);
void hotspot_ask(FILE *out, const struct hotspot *log,
                 enum hotspot_cause measurement);
#endif
