#include <math.h>
#include "assign.h"
#include "contest.h"

enum { T = CONTEST_TOKENS, E = CONTEST_EXPERTS, C = CONTEST_SLOTS };

void contest_count(const struct contest *contest,
                   struct contest_placed *placed)
{
    size_t taken[E + 1] = {0};
    placed->dropped = 0, placed->score = 0;
    for (size_t t = 0; t < T; t++) {
        size_t *e = &placed->expert[t];
        if (taken[*e]++ >= C) *e = E;
        placed->dropped += *e == E;
        if (*e < E) placed->score += contest->score[t][*e];
    }
}

static void fill(struct contest_placed *placed, struct skew *s,
                 enum capacity_order order)
{
    capacity_fill(&s->capacity, &s->routes, C, order, s->p);
    for (size_t t = 0; t < T; t++)
        placed->expert[t] = s->capacity.slot[t] == CAPACITY_DROPPED
            ? (size_t)E : s->routes.expert[t];
}

struct contest contest_new(uint64_t seed)
{
    static const double weight[E] = {5, 2, 2, 1};
    struct random r = random_seeded(seed);
    struct skew s = skew_new(T, E, 1);
    struct contest c;
    skew_draw(&s, weight, 0, &r);
    skew_fill(&s, GATE_SOFTMAX, 1, CAPACITY_POSITION);
    for (size_t i = 0; i < T * E; i++) {
        double hundredths = round(100 * (double)s.p.at[i]);
        c.score[i / E][i % E] = hundredths / 100;
        s.p.at[i] = (real)hundredths; /* whole: no sum rounds */
    }
    fill(&c.by[CONTEST_POSITION], &s, CAPACITY_POSITION);
    fill(&c.by[CONTEST_SCORE], &s, CAPACITY_PROBABILITY);
    assign_best(c.by[CONTEST_BEST].expert, s.p, C);
    for (int way = 0; way < CONTEST_WAYS; way++)
        contest_count(&c, &c.by[way]);
    skew_free(&s);
    return c;
}
