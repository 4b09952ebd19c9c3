#include <math.h>
#include "lesson.h"
#include "skew.h"

enum { EXPERTS = 4, FINE = 8 };

static void go_wrong(struct lesson_problem *l, size_t i, double wrong)
{
    if (fabs(l->right.value[0] - wrong) > 0.02)
        l->wrong[i] = lesson_value(wrong);
}

static void expect_drops(uint64_t seed, struct lesson_problem *l)
{
    static const size_t some[] = {16, 8, 32}, mean[] = {4, 16, 8, 2};
    struct random r = random_seeded(seed);
    size_t experts = some[random_below(&r, 3)];
    size_t slots = mean[random_below(&r, 4)], tokens = experts * slots;
    double share[32];
    for (size_t e = 0; e < experts; e++) share[e] = 1.0 / experts;
    double dropped = capacity_expected(share, experts, tokens, slots);
    fprintf(l->given, "%zu tokens   %zu experts   1 expert a token   "
            "%zu slots an expert\n", tokens, experts, slots);
    l->right = lesson_value(dropped);
    l->wrong[0] = lesson_value(0);
    fprintf(l->way, "on the average %.4f of the tokens, one in %.1f\n"
            "see a batch: build/chapter5 --tokens %zu --experts %zu\n",
            dropped, 1 / dropped, tokens, experts);
}

static void raise_factor(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    size_t experts = 64 << random_below(&r, 3), slots[2];
    size_t mean = 1 + random_below(&r, 2);
    size_t tokens = mean * experts / FINE;
    double cf = 1 + random_below(&r, 4) / 4.0;
    fprintf(l->given, "T = %zu   E = %zu   K = %d   capacity factor "
            "%g, then %g\n", tokens, experts, FINE, cf, cf + 0.25);
    fprintf(l->way, "mean load K T / E = %zu\n", mean);
    for (size_t i = 0; i < 2; i++, cf += 0.25) {
        slots[i] = capacity_slots(cf, tokens, FINE, experts);
        fprintf(l->way, "%g x %zu = %g, rounded up: C = %zu\n", cf,
                mean, cf * mean, slots[i]);
    }
    l->right = lesson_value(slots[1] - slots[0]);
    l->wrong[0] = lesson_value(mean / 4.0);
}

static struct capacity_count fill(struct skew *skew, double factor)
{
    skew_fill(skew, GATE_SOFTMAX, factor, CAPACITY_POSITION);
    return skew->count;
}

static int alike(const size_t *wanted)
{
    for (size_t e = 1; e < EXPERTS; e++)
        for (size_t i = 0; i < e; i++)
            if (wanted[i] == wanted[e]) return 1;
    return 0;
}

static void count_refused(uint64_t seed, struct lesson_problem *l)
{
    static const double weight[EXPERTS] = {4, 1, 1, 1};
    struct random r = random_seeded(seed);
    struct skew s = {0};
    size_t tokens;
    double cf;
    do {
        skew_free(&s);
        tokens = 8 + random_below(&r, 9);
        cf = 1 + random_below(&r, 3) / 4.0;
        s = skew_new(tokens, EXPERTS, 2);
        skew_draw(&s, weight, 0, &r);
    } while (fill(&s, cf).dropped < 2 || alike(s.wanted));
    const size_t *n = s.wanted, c = s.capacity.slots;
    fprintf(l->given, "T = %zu   E = %d   K = 2   capacity factor %g\n"
            "expert       0    1    2    3\n"
            "chosen by %4zu %4zu %4zu %4zu\n", tokens, EXPERTS, cf,
            n[0], n[1], n[2], n[3]);
    fprintf(l->way, "C = ceil(%g x 2 x %zu / %d) = %zu\n", cf, tokens,
            EXPERTS, c);
    for (size_t e = 0; e < EXPERTS; e++)
        fprintf(l->way, "expert %zu  chosen by %2zu  refuses %zu\n", e,
                n[e], n[e] > c ? n[e] - c : 0);
    l->right = lesson_value(s.count.dropped);
    l->wrong[0] = lesson_value(fill(&s, cf / 2).dropped);
    go_wrong(l, 1, fmax(0, 2.0 * tokens - (double)EXPERTS * c));
    skew_free(&s);
}

struct token { double x, out[2]; real gate[2], kept[2];
               int is_free[2], shared; };

static double leaves(struct token *k)
{
    size_t expert[] = {0, 1}, slot[] = {0, 0};
    struct routes r = {1, 2, 2, 1, expert, {1, 2, k->gate}};
    struct capacity c = {2, 2, 1, slot, NULL, NULL};
    for (size_t i = 0; i < 2; i++)
        if (!k->is_free[i]) slot[i] = CAPACITY_DROPPED;
    capacity_gates(&c, &r, k->shared, (struct matrix){1, 2, k->kept});
    return k->x + k->kept[0] * k->out[0] + k->kept[1] * k->out[1];
}

static void leave_layer(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    size_t lost = random_below(&r, 3); /* the first, second, or both */
    struct token k = {.is_free = {lost == 1, lost == 0}};
    k.shared = random_below(&r, 2);
    k.gate[0] = (5.5 + random_below(&r, 4)) / 10;
    k.gate[1] = 1 - k.gate[0];
    k.x = (1 + random_below(&r, 8)) / (random_below(&r, 2) ? 4. : -4.);
    k.out[0] = 1 + random_below(&r, 9) / 2.0;
    k.out[1] = -1 - (random_below(&r, 9) / 2.0);
    struct token full = k, bare = k, other = k;
    double h = leaves(&k);
    fprintf(l->given, "one coordinate: x = %.2f\n", k.x);
    for (size_t i = 0; i < 2; i++)
        fprintf(l->given, "expert %zu  gate %.2f  output %5.2f  %s\n",
                i, k.gate[i], k.out[i],
                k.is_free[i] ? "has a free slot" : "is full");
    fprintf(l->given, "gates after a drop: %s\n", k.shared
            ? "shared out, the survivor gets both" : "as they are");
    fprintf(l->way, "gates left: %.2f and %.2f\nh = %.2f + %.2f x %.2f "
            "+ %.2f x %.2f = %.4f\n", k.kept[0], k.kept[1], k.x,
            k.kept[0], k.out[0], k.kept[1], k.out[1], h);
    full.is_free[0] = full.is_free[1] = 1;
    bare.x = 0, other.shared = !k.shared;
    l->right = lesson_value(h);
    go_wrong(l, 0, leaves(&full));
    go_wrong(l, 1, leaves(&bare));
    go_wrong(l, 2, leaves(&other));
}

static void add_slots(uint64_t seed, struct lesson_problem *l)
{
    static const double cf[] = {1, 1.25};
    struct random r = random_seeded(seed);
    struct skew s = {0};
    struct capacity_count at[2];
    size_t tokens, added, saved;
    double weight[EXPERTS], empty;
    do {
        skew_free(&s), tokens = 0;
        for (size_t e = 0; e < EXPERTS; e++) {
            weight[e] = 1 + random_below(&r, 9);
            tokens += 16 * weight[e];
        }
        s = skew_new(tokens, EXPERTS, 1);
        skew_draw(&s, weight, 1, &r);
        for (size_t i = 0; i < 2; i++) at[i] = fill(&s, cf[i]);
        added = at[1].slots - at[0].slots;
        saved = at[0].dropped - at[1].dropped;
        empty = 1 - saved / (double)added;
    } while (!at[1].dropped || fabs(empty - s.wasted) <= 0.02);
    const size_t *n = s.wanted;
    fprintf(l->given, "T = %zu   E = %d   K = 1\nloads of exactly %zu, "
            "%zu, %zu and %zu tokens\n", tokens, EXPERTS, n[0], n[1],
            n[2], n[3]);
    for (size_t i = 0; i < 2; i++)
        fprintf(l->way, "cf %-4g  C = %-3zu dropped %zu of %zu   "
                "wasted %.4f of %zu slots\n", cf[i],
                at[i].slots / EXPERTS, at[i].dropped, tokens,
                at[i].wasted / (double)at[i].slots, at[i].slots);
    fprintf(l->way, "added %zu slots, saved %zu tokens: %.4f stay "
            "empty\nverify: build/chapter5 --tokens %zu --experts %d "
            "--batch exact \\\n    --shares %zu,%zu,%zu,%zu "
            "--capacity-factor 1.25\n", added, saved, empty, tokens,
            EXPERTS, n[0], n[1], n[2], n[3]);
    l->right = lesson_value(empty);
    l->wrong[0] = lesson_value(0);
    l->wrong[1] = lesson_value(s.wasted);
    skew_free(&s);
}

static const struct lesson rows[] = {
    {"5.1", "A perfectly balanced router still drops tokens", "1.1.4",
     6, "Each token, on its own, draws one of the experts, all with "
     "the same chance, and an expert has slots for its fair share. On "
     "the average, what share of the tokens finds no slot, from 0 to "
     "1? A guess within 0.04 counts.", NULL, LESSON_NUMBER, 0.04, {0},
     {"Throw six dice: how often does each number come up just once?",
      "About half of the experts are above their share. By how much?",
      "A count of mean n goes over by 0.4 sqrt(n), on the average."},
     expect_drops,
     {"Only if every expert got exactly its share, every time."}},
    {"5.2", "A capacity factor is a whole number of slots in disguise",
     "1.1.4", 6, "How many slots does each expert gain when the factor "
     "is raised?", NULL, LESSON_NUMBER, 0, {0},
     {"How many choices does an expert get in the mean?",
      "Slots are whole. How many are there before, how many after?",
      "Factor times K T / E, rounded up, for both factors."},
     raise_factor,
     {"There is no part of a slot: C is rounded up both times."}},
    {"5.3", "Capacity factor decides how many tokens each expert can "
     "refuse", "1.1.4", 7, "How many choices of this batch are "
     "dropped?", NULL, LESSON_NUMBER, 0, {0},
     {"First find C: every token makes K choices.",
      "Only an expert that is over C refuses.",
      "Free slots of other experts do not help."},
     count_refused,
     {"K is missing from the capacity.",
      "That lends the free slots of some experts to the others."}},
    {"5.4", "Dropped tokens skip the MoE layer entirely: only the "
     "residual survives", "1.2.5", 7, "The token chose both experts. "
     "What leaves the layer in this coordinate, the residual added?",
     NULL, LESSON_NUMBER, 0.01, {0},
     {"A full expert adds nothing.", "x is always added.",
      "Shared out: the survivor gets the sum of both gates."},
     leave_layer,
     {"That is what leaves if nothing is dropped.",
      "The residual is missing: x is always added.",
      "Look again at the gates after a drop."}},
    {"5.5", "Predict cf = 1.0 vs cf = 1.25 on an imbalanced batch, "
     "then ablate to verify", "1.4.1", 12,
     "At the factors 1.0 and 1.25, think first of the tokens dropped "
     "and of the share of the slots wasted. Then answer: of the slots "
     "that 1.25 adds, what share stays empty, from 0 to 1?", NULL,
     LESSON_NUMBER, 0.01, {0},
     {"Find C at both factors. Who is over it?",
      "Every expert gets the new slots. Who can use them?",
      "Tokens saved, over slots added, are the part that is used."},
     add_slots,
     {"Only a full expert can use a new slot.",
      "That is the waste among all slots at 1.25."}},
};

const struct lesson_table lessons5 = {rows, sizeof rows / sizeof *rows};
