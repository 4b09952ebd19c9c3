#include <math.h>
#include <stdlib.h>
#include "stop.h"
#include "touch.h"

double touch_expected(double experts, double top_k, double batch)
{
    return experts * (1 - pow(1 - top_k / experts, batch));
}

double touch_counted(const struct routes *r, size_t batch, size_t apart)
{
    size_t *seen = room(r->experts, sizeof *seen), touched = 0;
    for (size_t first = 0; first < r->tokens; first++)
        for (size_t i = 0; i < batch * r->top_k; i++) {
            size_t t = (first + i / r->top_k * apart) % r->tokens;
            size_t e = routes_expert(r, t, i % r->top_k);
            touched += seen[e] != first + 1;
            seen[e] = first + 1;
        }
    free(seen);
    return (double)touched / (double)r->tokens;
}

double touch_repeats(const struct routes *r)
{
    size_t same = 0;
    for (size_t t = 1; t < r->tokens; t++)
        same += routes_expert(r, t, 0) == routes_expert(r, t - 1, 0);
    return (double)same / (double)(r->tokens - 1);
}
