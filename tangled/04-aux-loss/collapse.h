#ifndef COLLAPSE_H
#define COLLAPSE_H
/* Does a router collapse? A small mixture of E experts, K per token,
 * learns to guess the next character, and its load is watched. */
#include "charlm.h"

struct collapse_options {
    size_t experts, top_k, steps;
    double common; /* what tokens share: times their own */
    struct collapse_balance {
        const char *name;
        double alpha, entropy; /* of the losses on f P and -H(P) */
        double bias_rate;      /* of biases on the scores */
        int quantile;          /* biases by quantiles instead */
    } balance;
};
enum { COLLAPSE_BALANCES = 6 }; /* the first is none */
extern const struct collapse_balance
    collapse_balances[COLLAPSE_BALANCES];

/* Effective experts of the load in the last COLLAPSE_WINDOW steps,
 * over several seeds, and the mean share of the busiest expert. */
enum { COLLAPSE_WINDOW = 100, COLLAPSE_EVERY = 15 };
struct collapse_runs { double mean, deviation, least, most, top; };

/* Train from the seeds first, first + 1, ... on the vectors of a
 * trained model. curve, unless NULL, gets the mean effective experts
 * of every COLLAPSE_EVERY steps; it must be all 0. */
struct collapse_runs collapse_repeat(
    const struct collapse_options *options, const struct charlm *model,
    uint64_t first, size_t seeds, double *curve);
#endif
