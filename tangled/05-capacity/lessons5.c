#include <math.h>
#include <stdlib.h>
#include "capacity.h"
#include "lesson.h"
#include "random.h"

/* teach lesson 5.1, slots */
struct layer { size_t tokens, experts; double factor; };

/* draw a layer whose capacity must be rounded */
static struct layer draw_layer(uint64_t seed)
{
    static const double factors[] = {1, 1.1, 1.25, 1.5};
    struct random r = random_seeded(seed);
    for (;;) {
        struct layer l;
        l.tokens = 20 + random_below(&r, 81);
        l.experts = random_below(&r, 2) ? 8 : 4;
        l.factor = factors[random_below(&r, 4)];
        if (llround(l.factor * 100) * (long long)(2 * l.tokens)
            % (long long)(100 * l.experts)) return l;
    }
}

/* solve lesson 5.1 */
static struct lesson_answer slots_of(uint64_t seed, size_t top_k,
                                     size_t less)
{
    struct layer l = draw_layer(seed);
    return lesson_value((double)(capacity_slots(l.factor, l.tokens,
                                                top_k, l.experts)
                                 - less));
}

static struct lesson_answer solve_slots(uint64_t seed)
{
    return slots_of(seed, 2, 0);
}

/* mistake lesson 5.1 */
static struct lesson_answer without_k(uint64_t seed)
{
    return slots_of(seed, 1, 0);
}

static struct lesson_answer rounded_down(uint64_t seed)
{
    return slots_of(seed, 2, 1);
}

/* show lesson 5.1 */
static void pose_slots(uint64_t seed, FILE *out)
{
    struct layer l = draw_layer(seed);
    fprintf(out, "T = %zu   E = %zu   K = 2   capacity factor %g\n",
            l.tokens, l.experts, l.factor);
}

/* show the way of lesson 5.1 */
static void trace_slots(uint64_t seed, FILE *out)
{
    struct layer l = draw_layer(seed);
    fprintf(out, "mean load    K T / E = 2 x %zu / %zu = %g\n",
            l.tokens, l.experts,
            2 * (double)l.tokens / (double)l.experts);
    fprintf(out, "times factor %g, rounded up: C = %.0f\n", l.factor,
            solve_slots(seed).value[0]);
}

/* teach lesson 5.2, refusals */
enum { EXPERTS = 4 };
struct loads { size_t count[EXPERTS], tokens, slots; double factor; };

/* draw loads */
static struct loads draw_loads_once(struct random *r)
{
    static const double factors[] = {1, 1.25, 1.5};
    struct loads l = {{0}, 8 + random_below(r, 9), 0, 1};
    l.factor = factors[random_below(r, 3)];
    l.slots = capacity_slots(l.factor, l.tokens, 2, EXPERTS);
    for (size_t i = 0; i < 2 * l.tokens; i++) {
        size_t e = random_below(r, 7);
        l.count[e < EXPERTS ? e : 0]++;
    }
    return l;
}

/* draw loads that overflow */
static size_t refused(const struct loads *l, size_t slots)
{
    size_t sum = 0;
    for (size_t e = 0; e < EXPERTS; e++)
        if (l->count[e] > slots) sum += l->count[e] - slots;
    return sum;
}

/* draw until some choice is refused */
static struct loads draw_loads(uint64_t seed)
{
    struct random r = random_seeded(seed);
    for (;;) {
        struct loads l = draw_loads_once(&r);
        size_t most = 0;
        for (size_t e = 0; e < EXPERTS; e++)
            if (l.count[e] > most) most = l.count[e];
        if (refused(&l, l.slots) && most <= l.tokens) return l;
    }
}

/* solve lesson 5.2 */
static struct lesson_answer solve_refused(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    return lesson_value((double)refused(&l, l.slots));
}

static struct lesson_answer half_the_slots(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    size_t slots = capacity_slots(l.factor, l.tokens, 1, EXPERTS);
    return lesson_value((double)refused(&l, slots));
}

/* lend the free slots */
static struct lesson_answer pooled(uint64_t seed)
{
    struct loads l = draw_loads(seed);
    double over = 2 * (double)l.tokens - EXPERTS * (double)l.slots;
    return lesson_value(fmax(0, over));
}

/* show lesson 5.2 */
static void pose_refused(uint64_t seed, FILE *out)
{
    struct loads l = draw_loads(seed);
    fprintf(out, "T = %zu   E = %d   K = 2   capacity factor %g\n",
            l.tokens, EXPERTS, l.factor);
    fprintf(out, "expert      0    1    2    3\nchosen by");
    for (size_t e = 0; e < EXPERTS; e++)
        fprintf(out, " %4zu", l.count[e]);
    fprintf(out, "\n");
}

/* show the way of lesson 5.2 */
static void trace_refused(uint64_t seed, FILE *out)
{
    struct loads l = draw_loads(seed);
    fprintf(out, "C = ceil(%g x 2 x %zu / %d) = %zu\n", l.factor,
            l.tokens, EXPERTS, l.slots);
    for (size_t e = 0; e < EXPERTS; e++)
        fprintf(out, "expert %zu  chosen by %2zu  refuses %zu\n", e,
                l.count[e],
                l.count[e] > l.slots ? l.count[e] - l.slots : 0);
}

/* teach lesson 5.3, the residual */
struct token {
    double x, out[2];
    real gate[2];
    int free[2], share_out;
};

/* draw a token that loses something */
static struct token draw_token(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct token k;
    size_t lost = random_below(&r, 3); /* the first, second, or both */
    k.free[0] = lost == 1, k.free[1] = lost == 0;
    k.share_out = (int)random_below(&r, 2);
    k.gate[0] = (real)(5.5 + (double)random_below(&r, 4)) / 10;
    k.gate[1] = 1 - k.gate[0];
    k.x = (double)random_below(&r, 17) / 4 - 2;
    k.out[0] = 1 + (double)random_below(&r, 9) / 2;
    k.out[1] = -1 - (double)random_below(&r, 9) / 2;
    return k;
}

/* let the code weigh its choices */
static double leaves(const struct token *k, int share_out)
{
    size_t expert[] = {0, 1}, slot[2];
    real gate[2], kept[2];
    struct routes r = {1, 2, 2, 1, expert, {1, 2, gate}};
    struct capacity c = {.choices = 2, .experts = 2, .slots = 1,
                         .slot = slot};
    for (size_t i = 0; i < 2; i++) {
        gate[i] = k->gate[i];
        slot[i] = k->free[i] ? 0 : CAPACITY_DROPPED;
    }
    capacity_gates(&c, &r, share_out, (struct matrix){1, 2, kept});
    return k->x + (double)kept[0] * k->out[0]
                + (double)kept[1] * k->out[1];
}

/* solve lesson 5.3 */
static struct lesson_answer solve_leaves(uint64_t seed)
{
    struct token k = draw_token(seed);
    return lesson_value(leaves(&k, k.share_out));
}

/* lose nothing */
static struct lesson_answer nothing_lost(uint64_t seed)
{
    struct token k = draw_token(seed);
    double right = leaves(&k, k.share_out);
    k.free[0] = k.free[1] = 1;
    double whole = leaves(&k, 0);
    if (fabs(whole - right) < 0.02) return lesson_none();
    return lesson_value(whole);
}

/* forget the residual, or the rule */
static struct lesson_answer no_residual(uint64_t seed)
{
    struct token k = draw_token(seed);
    if (k.x == 0) return lesson_none();
    k.x = 0;
    return lesson_value(leaves(&k, k.share_out));
}

static struct lesson_answer other_rule(uint64_t seed)
{
    struct token k = draw_token(seed);
    if (!k.free[0] && !k.free[1]) return lesson_none();
    return lesson_value(leaves(&k, !k.share_out));
}

/* show lesson 5.3 */
static void pose_leaves(uint64_t seed, FILE *out)
{
    struct token k = draw_token(seed);
    fprintf(out, "one coordinate: x = %.2f\n", k.x);
    for (size_t i = 0; i < 2; i++)
        fprintf(out, "expert %zu  gate %.2f  output %5.2f  %s\n", i,
                (double)k.gate[i], k.out[i],
                k.free[i] ? "has a free slot" : "is full");
    fprintf(out, "gates after a drop: %s\n",
            k.share_out ? "shared out" : "as they are");
}

/* show the way of lesson 5.3 */
static void trace_leaves(uint64_t seed, FILE *out)
{
    struct token k = draw_token(seed);
    double h = solve_leaves(seed).value[0];
    if (!k.free[0] && !k.free[1])
        fprintf(out, "both are full: h = x = %.2f\n", h);
    else {
        size_t i = k.free[0] ? 0 : 1;
        double g = k.share_out ? 1 : (double)k.gate[i];
        fprintf(out, "expert %zu runs, with gate %.2f\n"
                "h = %.2f + %.2f x %.2f = %.4f\n", i, g, k.x, g,
                k.out[i], h);
    }
}

/* teach lesson 5.4, a balanced router */
struct even { size_t tokens, experts; double share, about; };

/* draw a balanced router */
static struct even draw_even_once(struct random *r)
{
    double share[16];
    struct even v = {.experts = 4};
    for (size_t twice = random_below(r, 3); twice; twice--)
        v.experts *= 2;
    v.tokens = v.experts * (4 + random_below(r, 29));
    /* expect its drops, exactly and about */
    double n = (double)v.experts, pi = acos(-1);
    for (size_t e = 0; e < v.experts; e++) share[e] = 1 / n;
    v.share = capacity_expected(share, v.experts, v.tokens,
                                v.tokens / v.experts);
    v.about = sqrt((n - 1) / (2 * pi * (double)v.tokens));
    return v;
}

/* draw until the approximation will do */
static struct even draw_even(uint64_t seed)
{
    struct random r = random_seeded(seed);
    for (;;) {
        struct even v = draw_even_once(&r);
        if (fabs(v.share - v.about) < 0.005) return v;
    }
}

/* solve lesson 5.4 */
static struct lesson_answer solve_even(uint64_t seed)
{
    return lesson_value(draw_even(seed).share);
}

static struct lesson_answer nothing_dropped(uint64_t seed)
{
    (void)seed;
    return lesson_value(0);
}

/* show lesson 5.4 */
static void pose_even(uint64_t seed, FILE *out)
{
    struct even v = draw_even(seed);
    fprintf(out, "T = %zu   E = %zu   K = 1   capacity factor 1\n",
            v.tokens, v.experts);
}

static void trace_even(uint64_t seed, FILE *out)
{
    struct even v = draw_even(seed);
    fprintf(out, "sqrt(%zu / (2 pi x %zu)) = %.4f\n", v.experts - 1,
            v.tokens, v.about);
    fprintf(out, "exactly, from the binomial: %.4f\n", v.share);
}

/* teach lesson 5.5, two factors */
struct skew { size_t weight[EXPERTS], tokens; };

/* measure a skewed batch */
static size_t skew_slots(const struct skew *s, double factor)
{
    return capacity_slots(factor, s->tokens, 1, EXPERTS);
}

/* count what a skewed batch drops */
static size_t skew_dropped(const struct skew *s, double factor)
{
    size_t sum = 0, slots = skew_slots(s, factor), weights = 0;
    for (size_t e = 0; e < EXPERTS; e++) weights += s->weight[e];
    for (size_t e = 0; e < EXPERTS; e++) {
        size_t n = s->weight[e] * s->tokens / weights;
        if (n > slots) sum += n - slots;
    }
    return sum;
}

/* measure waste in percent */
static double skew_empty(const struct skew *s)
{
    size_t saved = skew_dropped(s, 1) - skew_dropped(s, 1.25);
    size_t added = EXPERTS * (skew_slots(s, 1.25) - skew_slots(s, 1));
    return 100 - 100 * (double)saved / (double)added;
}

static double skew_wasted(const struct skew *s, double factor)
{
    size_t kept = s->tokens - skew_dropped(s, factor);
    return 100 - 100 * (double)kept
                 / (double)(EXPERTS * skew_slots(s, factor));
}

/* draw a skewed batch */
static struct skew draw_skew(uint64_t seed)
{
    struct random r = random_seeded(seed);
    for (;;) {
        struct skew s = {{0}, 0};
        for (size_t e = 0; e < EXPERTS; e++) {
            s.weight[e] = 1 + random_below(&r, 9);
            s.tokens += 16 * s.weight[e];
        }
        double gap = skew_empty(&s) - skew_wasted(&s, 1.25);
        if (skew_dropped(&s, 1.25) && fabs(gap) > 2) return s;
    }
}

/* solve lesson 5.5 */
static struct lesson_answer solve_empty(uint64_t seed)
{
    struct skew s = draw_skew(seed);
    return lesson_value(skew_empty(&s));
}

static struct lesson_answer all_used(uint64_t seed)
{
    (void)seed;
    return lesson_value(0);
}

/* take all waste for new */
static struct lesson_answer all_waste(uint64_t seed)
{
    struct skew s = draw_skew(seed);
    return lesson_value(skew_wasted(&s, 1.25));
}

/* show lesson 5.5 */
static void pose_empty(uint64_t seed, FILE *out)
{
    struct skew s = draw_skew(seed);
    fprintf(out, "T = %zu   E = %d   K = 1\nexact loads  %zu : %zu : "
            "%zu : %zu\n", s.tokens, EXPERTS, s.weight[0], s.weight[1],
            s.weight[2], s.weight[3]);
}

/* show the way of lesson 5.5 */
static void trace_empty(uint64_t seed, FILE *out)
{
    struct skew s = draw_skew(seed);
    for (int i = 0; i < 2; i++) {
        double cf = i ? 1.25 : 1;
        fprintf(out, "cf %-4g  C = %-3zu dropped %zu, %.2f %%  wasted "
                "%.2f %% of %zu\n", cf, skew_slots(&s, cf),
                skew_dropped(&s, cf), 100 * (double)skew_dropped(&s, cf)
                    / (double)s.tokens, skew_wasted(&s, cf),
                EXPERTS * skew_slots(&s, cf));
    }
    /* show what the added slots hold, and the command */
    fprintf(out, "added %zu slots, saved %zu tokens: %.1f %% stay empty\n",
            EXPERTS * (skew_slots(&s, 1.25) - skew_slots(&s, 1)),
            skew_dropped(&s, 1) - skew_dropped(&s, 1.25), skew_empty(&s));
    fprintf(out, "verify: build/chapter5 --tokens %zu --experts %d "
            "--batch exact \\\n    --shares %zu,%zu,%zu,%zu "
            "--capacity-factor 1.25\n", s.tokens, EXPERTS, s.weight[0],
            s.weight[1], s.weight[2], s.weight[3]);
}

/* lessons of chapter 5 */
static const struct lesson rows[] = {
    {"5.1", "A capacity factor without its formula is a number without "
     "a unit", "1.1.4", 6,
     "How many slots does an expert of this layer have, by this "
     "chapter's formula?", "slots",
     LESSON_NUMBER, 0, {0},
     {"Every token makes K choices.", "The mean load is K T / E.",
      "Multiply it by the factor, and round up."},
     pose_slots, solve_slots, trace_slots,
     {{"K is missing: that makes room for one choice a token.",
       without_k},
      {"Rounded down. A part of a slot becomes a whole one.",
       rounded_down}}},
    {"5.2", "Capacity factor decides how many tokens each expert can "
     "refuse", "1.1.4", 7,
     "How many choices of this batch are dropped?", "choices",
     LESSON_NUMBER, 0, {0},
     {"First find C.", "Only an expert that is over C refuses.",
      "Free slots of other experts do not help."},
     pose_refused, solve_refused, trace_refused,
     {{"K is missing from the capacity.", half_the_slots},
      {"That lends the free slots of some experts to the others.",
       pooled}}},
    {"5.3", "Dropped tokens skip the MoE layer entirely: only the "
     "residual survives", "1.2.5", 7, "The token chose both experts. "
     "What leaves the layer in this coordinate?", NULL,
     LESSON_NUMBER, 0.01, {0},
     {"A full expert adds nothing.", "x is always added.",
      "Shared out: the survivor gets the sum of both gates."},
     pose_leaves, solve_leaves, trace_leaves,
     {{"That is what leaves if nothing is dropped.", nothing_lost},
      {"The residual is missing: x is added whatever happens.",
       no_residual},
      {"Look again at what happens to the gates after a drop.",
       other_rule}}},
    {"5.4", "A perfectly balanced router still drops tokens", "1.1.4",
     6, "Each token goes to an expert drawn evenly. What share of the "
     "tokens is dropped, on the average? The approximation will do.",
     NULL,
     LESSON_NUMBER, 0.01, {0},
     {"Chances are even, counts are not.",
      "About half of the experts are above their share.",
      "About sqrt((E - 1) / (2 pi T))."},
     pose_even, solve_even, trace_even,
     {{"Only if every expert got exactly its share, every time.",
       nothing_dropped}}},
    {"5.5", "Predict cf = 1.0 vs cf = 1.25 on an imbalanced batch, "
     "then ablate to verify", "1.4.1", 12,
     "First predict, for both factors, how many tokens are dropped and "
     "what percentage of the slots is wasted. Then answer: of the "
     "slots that 1.25 adds, what percentage stays empty?", "percent",
     LESSON_NUMBER, 1, {0},
     {"Find C at both factors, and each expert's tokens.",
      "Every expert gets the new slots. Who can use them?",
      "Tokens saved, over slots added, are the part that is used."},
     pose_empty, solve_empty, trace_empty,
     {{"Only a full expert can use a new slot.", all_used},
      {"That is the waste among all slots at 1.25, not the new ones.",
       all_waste}}},
};

const struct lesson_table lessons5 = {rows, sizeof rows / sizeof *rows};
