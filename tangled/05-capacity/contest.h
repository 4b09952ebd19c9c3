#ifndef CONTEST_H
#define CONTEST_H
/* Twelve tokens want slots, and three ways to give them. */
#include "skew.h"

enum { CONTEST_TOKENS = 12, CONTEST_EXPERTS = 4, CONTEST_SLOTS = 3 };
enum contest_way { CONTEST_POSITION, CONTEST_SCORE, CONTEST_BEST,
                   CONTEST_WAYS };
struct contest_placed {
    size_t expert[CONTEST_TOKENS]; /* CONTEST_EXPERTS: dropped */
    size_t dropped;
    double score;                  /* of those that are not */
};
struct contest {
    double score[CONTEST_TOKENS][CONTEST_EXPERTS]; /* hundredths */
    struct contest_placed by[CONTEST_WAYS];
};
struct contest contest_new(uint64_t seed);
/* Drop what is over an expert's slots, then count. */
void contest_count(const struct contest *contest,
                   struct contest_placed *placed);
#endif
