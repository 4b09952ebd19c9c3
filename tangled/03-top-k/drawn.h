#ifndef DRAWN_H
#define DRAWN_H
/* Tokens to route by hand, drawn from a seed. */
#include "routes.h"

/* Five tokens, four experts, K = 1. No two rows are alike, and in one
 * or more the largest logit is there twice: `first` and `last` are
 * each token's first and last expert that has it. */
enum { DRAWN_TOKENS = 5, DRAWN_EXPERTS = 4 };
struct drawn_ties {
    real z[DRAWN_TOKENS * DRAWN_EXPERTS];
    size_t first[DRAWN_TOKENS], last[DRAWN_TOKENS];
};
struct drawn_ties drawn_ties(uint64_t seed);

/* One token, six experts, K = 2, routed: logits ln n, what each expert
 * says, and their mix y. The router is sure of two experts or of none,
 * so that the kept mass is clearly above or below a half. */
enum { DRAWN_SIX = 6 };
struct drawn_token {
    size_t n[DRAWN_SIX], sum, expert[2];
    double out[DRAWN_SIX], gate[2], kept, y;
};
struct drawn_token drawn_token(uint64_t seed, enum routes_gate gate);

#endif
