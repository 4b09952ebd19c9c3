#include <stdlib.h>
#include "assign.h"
#include "stop.h"

struct chain { double gain; size_t mover; };

static double score(struct matrix scores, size_t t, size_t e)
{
    return e < scores.cols ? (double)matrix_row(scores, t)[e] : 0;
}

static void find_chains(struct chain *end, const size_t *expert,
                        struct matrix scores, size_t t)
{
    size_t nowhere = scores.cols;
    for (size_t e = 0; e <= nowhere; e++)
        end[e] = (struct chain){score(scores, t, e), t};
    for (size_t moves = 0; moves < nowhere; moves++)
        for (size_t u = 0; u < t; u++)
            for (size_t e = 0; e <= nowhere; e++) {
                double gain = end[expert[u]].gain + score(scores, u, e)
                            - score(scores, u, expert[u]);
                if (gain > end[e].gain + 1e-9) /* not by rounding */
                    end[e] = (struct chain){gain, u};
            }
}

double assign_best(size_t *expert, struct matrix scores, size_t slots)
{
    size_t nowhere = scores.cols;
    size_t *taken = room(nowhere + 1, sizeof *taken);
    struct chain *end = room(nowhere + 1, sizeof *end);
    double sum = 0;
    for (size_t t = 0; t < scores.rows; t++) {
        size_t at = nowhere, mover;
        find_chains(end, expert, scores, t);
        for (size_t e = nowhere; e-- > 0; ) /* a slot before none */
            if (taken[e] < slots && end[e].gain >= end[at].gain) at = e;
        sum += end[at].gain, taken[at]++;
        do {
            size_t from = expert[mover = end[at].mover];
            expert[mover] = at, at = from;
        } while (mover != t);
    }
    free(taken), free(end);
    return sum;
}

