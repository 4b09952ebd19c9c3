#include <math.h>
#include "lesson.h"
#include "skew.h"
#include "stop.h"

enum { EXPERTS = 4, FINE = 8, TRIES = 10000 };

static struct lesson_answer unless(double right, double wrong)
{
    return fabs(right - wrong) > 0.02 ? lesson_value(wrong)
                                      : lesson_none();
}

struct even { size_t tokens, experts, slots; double dropped; };

static struct even draw_even(uint64_t seed)
{
    static const size_t some[] = {16, 8, 32}, mean[] = {4, 16, 8, 2};
    struct random r = random_seeded(seed);
    size_t experts = some[random_below(&r, 3)];
    size_t slots = mean[random_below(&r, 4)];
    double share[32];
    for (size_t e = 0; e < experts; e++) share[e] = 1.0 / experts;
    return (struct even){experts * slots, experts, slots,
        capacity_expected(share, experts, experts * slots, slots)};
}

static struct lesson_answer solve_even(uint64_t seed)
{
    return lesson_value(draw_even(seed).dropped);
}

static struct lesson_answer nothing(uint64_t seed)
{
    (void)seed;
    return lesson_value(0);
}

static void pose_even(uint64_t seed, FILE *out)
{
    struct even v = draw_even(seed);
    fprintf(out, "%zu tokens   %zu experts   1 expert a token   "
            "%zu slots an expert\n", v.tokens, v.experts, v.slots);
}

static void trace_even(uint64_t seed, FILE *out)
{
    struct even v = draw_even(seed);
    fprintf(out, "on the average %.4f of the tokens, one in %.1f\n"
            "see one batch: build/chapter5 --tokens %zu --experts %zu\n",
            v.dropped, 1 / v.dropped, v.tokens, v.experts);
}

struct fine { size_t tokens, experts, slots[2]; double factor[2], mean; };

static struct fine draw_fine(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct fine f = {.experts = 64 << random_below(&r, 3),
                     .mean = 1 + random_below(&r, 2)};
    f.factor[0] = 1 + random_below(&r, 4) / 4.0;
    f.factor[1] = f.factor[0] + 0.25;
    f.tokens = f.mean * f.experts / FINE;
    for (size_t i = 0; i < 2; i++)
        f.slots[i] = capacity_slots(f.factor[i], f.tokens, FINE,
                                    f.experts);
    return f;
}

static struct lesson_answer solve_fine(uint64_t seed)
{
    struct fine f = draw_fine(seed);
    return lesson_value(f.slots[1] - f.slots[0]);
}

static struct lesson_answer not_rounded(uint64_t seed)
{
    return lesson_value(draw_fine(seed).mean / 4);
}

static void pose_fine(uint64_t seed, FILE *out)
{
    struct fine f = draw_fine(seed);
    fprintf(out, "T = %zu   E = %zu   K = %d   capacity factor %g, "
            "then %g\n", f.tokens, f.experts, FINE, f.factor[0],
            f.factor[1]);
}

static void trace_fine(uint64_t seed, FILE *out)
{
    struct fine f = draw_fine(seed);
    fprintf(out, "mean load K T / E = %g\n", f.mean);
    for (size_t i = 0; i < 2; i++)
        fprintf(out, "%g x %g = %g, rounded up: C = %zu\n", f.factor[i],
                f.mean, f.factor[i] * f.mean, f.slots[i]);
}

struct two { size_t tokens, wanted[EXPERTS], slots[2], dropped[2];
             double factor[2], wasted[2]; };

static void fill_two(struct two *b, size_t top_k, const double *weight,
                     struct random *r)
{
    struct skew s = skew_new(b->tokens, EXPERTS, top_k);
    skew_draw(&s, weight, top_k == 1, r);
    for (size_t i = 0; i < 2; i++) {
        skew_fill(&s, GATE_SOFTMAX, b->factor[i], CAPACITY_POSITION);
        b->slots[i] = s.capacity.slots;
        b->dropped[i] = s.count.dropped, b->wasted[i] = s.wasted;
    }
    for (size_t e = 0; e < EXPERTS; e++) b->wanted[e] = s.wanted[e];
    skew_free(&s);
}

static struct two draw_loads(uint64_t seed)
{
    static const double weight[EXPERTS] = {4, 1, 1, 1};
    struct random r = random_seeded(seed);
    for (int i = 0; i < TRIES; i++) {
        struct two b = {.tokens = 8 + random_below(&r, 9)};
        b.factor[0] = 1 + random_below(&r, 3) / 4.0;
        b.factor[1] = b.factor[0] / 2;
        fill_two(&b, 2, weight, &r);
        if (b.dropped[0] > 1) return b;
    }
    stop("no batch with refusals in %d draws", TRIES);
}

static struct lesson_answer solve_refused(uint64_t seed)
{
    return lesson_value(draw_loads(seed).dropped[0]);
}

static struct lesson_answer without_k(uint64_t seed)
{
    return lesson_value(draw_loads(seed).dropped[1]);
}

static struct lesson_answer pooled(uint64_t seed)
{
    struct two b = draw_loads(seed);
    double over = 2.0 * b.tokens - EXPERTS * (double)b.slots[0];
    return unless(b.dropped[0], fmax(0, over));
}

static void pose_refused(uint64_t seed, FILE *out)
{
    struct two b = draw_loads(seed);
    const size_t *n = b.wanted;
    fprintf(out, "T = %zu   E = %d   K = 2   capacity factor %g\n"
            "expert       0    1    2    3\n"
            "chosen by %4zu %4zu %4zu %4zu\n", b.tokens, EXPERTS,
            b.factor[0], n[0], n[1], n[2], n[3]);
}

static void trace_refused(uint64_t seed, FILE *out)
{
    struct two b = draw_loads(seed);
    size_t c = b.slots[0];
    fprintf(out, "C = ceil(%g x 2 x %zu / %d) = %zu\n", b.factor[0],
            b.tokens, EXPERTS, c);
    for (size_t e = 0; e < EXPERTS; e++)
        fprintf(out, "expert %zu  chosen by %2zu  refuses %zu\n", e,
                b.wanted[e], b.wanted[e] > c ? b.wanted[e] - c : 0);
}

struct token { double x, out[2], h; real gate[2], kept[2];
               int is_free[2], share_out; };

static void weigh(struct token *k)
{
    size_t expert[] = {0, 1}, slot[] = {0, 0};
    struct routes r = {1, 2, 2, 1, expert, {1, 2, k->gate}};
    struct capacity c = {2, 2, 1, slot, NULL, NULL};
    for (size_t i = 0; i < 2; i++)
        if (!k->is_free[i]) slot[i] = CAPACITY_DROPPED;
    capacity_gates(&c, &r, k->share_out, (struct matrix){1, 2, k->kept});
    k->h = k->x + k->kept[0] * k->out[0] + k->kept[1] * k->out[1];
}

static struct token draw_token(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct token k = {0};
    size_t lost = random_below(&r, 3); /* the first, second, or both */
    k.is_free[0] = lost == 1, k.is_free[1] = lost == 0;
    k.share_out = random_below(&r, 2);
    k.gate[0] = (5.5 + random_below(&r, 4)) / 10;
    k.gate[1] = 1 - k.gate[0];
    k.x = (1 + random_below(&r, 8)) / (random_below(&r, 2) ? 4. : -4.);
    k.out[0] = 1 + random_below(&r, 9) / 2.0;
    k.out[1] = -1 - (random_below(&r, 9) / 2.0);
    weigh(&k);
    return k;
}

static struct lesson_answer solve_leaves(uint64_t seed)
{
    return lesson_value(draw_token(seed).h);
}

static struct lesson_answer instead(uint64_t seed, struct token wrong)
{
    weigh(&wrong);
    return unless(draw_token(seed).h, wrong.h);
}

static struct lesson_answer nothing_lost(uint64_t seed)
{
    struct token k = draw_token(seed);
    k.is_free[0] = k.is_free[1] = 1;
    return instead(seed, k);
}

static struct lesson_answer no_residual(uint64_t seed)
{
    struct token k = draw_token(seed);
    k.x = 0;
    return instead(seed, k);
}

static struct lesson_answer other_rule(uint64_t seed)
{
    struct token k = draw_token(seed);
    k.share_out = !k.share_out;
    return instead(seed, k);
}

static void pose_leaves(uint64_t seed, FILE *out)
{
    struct token k = draw_token(seed);
    fprintf(out, "one coordinate: x = %.2f\n", k.x);
    for (size_t i = 0; i < 2; i++)
        fprintf(out, "expert %zu  gate %.2f  output %5.2f  %s\n", i,
                k.gate[i], k.out[i],
                k.is_free[i] ? "has a free slot" : "is full");
    fprintf(out, "gates after a drop: %s\n", k.share_out
            ? "shared out, the survivor gets both" : "as they are");
}

static void trace_leaves(uint64_t seed, FILE *out)
{
    struct token k = draw_token(seed);
    fprintf(out, "gates left: %.2f and %.2f\nh = %.2f + %.2f x %.2f + "
            "%.2f x %.2f = %.4f\n", k.kept[0], k.kept[1], k.x,
            k.kept[0], k.out[0], k.kept[1], k.out[1], k.h);
}

static double empty(const struct two *b)
{
    return 1 - (b->dropped[0] - b->dropped[1])
               / (double)(EXPERTS * (b->slots[1] - b->slots[0]));
}

static struct two draw_exact(uint64_t seed)
{
    struct random r = random_seeded(seed);
    for (int i = 0; i < TRIES; i++) {
        struct two b = {.factor = {1, 1.25}};
        double weight[EXPERTS];
        for (size_t e = 0; e < EXPERTS; e++) {
            weight[e] = 1 + random_below(&r, 9);
            b.tokens += 16 * weight[e];
        }
        fill_two(&b, 1, weight, &r);
        if (b.dropped[1] && fabs(empty(&b) - b.wasted[1]) > 0.02)
            return b;
    }
    stop("no skewed batch in %d draws", TRIES);
}

static struct lesson_answer solve_empty(uint64_t seed)
{
    struct two b = draw_exact(seed);
    return lesson_value(empty(&b));
}

static struct lesson_answer all_waste(uint64_t seed)
{
    return lesson_value(draw_exact(seed).wasted[1]);
}

static void pose_empty(uint64_t seed, FILE *out)
{
    struct two b = draw_exact(seed);
    const size_t *n = b.wanted;
    fprintf(out, "T = %zu   E = %d   K = 1\nloads of exactly %zu, %zu, "
            "%zu and %zu tokens\n", b.tokens, EXPERTS, n[0], n[1], n[2],
            n[3]);
}

static void trace_empty(uint64_t seed, FILE *out)
{
    struct two b = draw_exact(seed);
    const size_t *n = b.wanted;
    for (size_t k = 0; k < 2; k++)
        fprintf(out, "cf %-4g  C = %-3zu dropped %zu of %zu   wasted "
                "%.4f of %zu slots\n", b.factor[k], b.slots[k],
                b.dropped[k], b.tokens, b.wasted[k],
                EXPERTS * b.slots[k]);
    fprintf(out, "added %zu slots, saved %zu tokens: %.4f stay empty\n"
            "verify: build/chapter5 --tokens %zu --experts %d "
            "--batch exact \\\n    --shares %zu,%zu,%zu,%zu "
            "--capacity-factor 1.25\n",
            EXPERTS * (b.slots[1] - b.slots[0]),
            b.dropped[0] - b.dropped[1], empty(&b), b.tokens, EXPERTS,
            n[0], n[1], n[2], n[3]);
}

static const struct lesson rows[] = {
    {"5.1", "A perfectly balanced router still drops tokens", "1.1.4",
     6, "Each token goes to an expert drawn evenly, and an expert has "
     "slots for its fair share. What share of the tokens finds no "
     "slot, on the average, from 0 to 1?", NULL, LESSON_NUMBER, 0.04,
     {0},
     {"Throw six dice: how often does each number come up just once?",
      "About half of the experts are above their share. By how much?",
      "A count of mean n scatters by about the root of n."},
     pose_even, solve_even, trace_even, {{"Only if every expert got "
       "exactly its share, every time.", nothing}}},
    {"5.2", "A capacity factor is a whole number of slots in disguise",
     "1.1.4", 6, "How many slots does each expert gain when the factor "
     "is raised?", NULL, LESSON_NUMBER, 0, {0},
     {"How many choices does an expert get in the mean?",
      "Slots are whole. How many are there before, how many after?",
      "Factor times K T / E, rounded up, for both factors."},
     pose_fine, solve_fine, trace_fine, {{"There is no part of a slot: "
       "C is rounded up both times.", not_rounded}}},
    {"5.3", "Capacity factor decides how many tokens each expert can "
     "refuse", "1.1.4", 7, "How many choices of this batch are "
     "dropped?", NULL, LESSON_NUMBER, 0, {0},
     {"First find C: every token makes K choices.",
      "Only an expert that is over C refuses.",
      "Free slots of other experts do not help."},
     pose_refused, solve_refused, trace_refused,
     {{"K is missing from the capacity.", without_k},
      {"That lends the free slots of some experts to the others.",
       pooled}}},
    {"5.4", "Dropped tokens skip the MoE layer entirely: only the "
     "residual survives", "1.2.5", 7, "The token chose both experts. "
     "What leaves the layer in this coordinate, the residual added?",
     NULL, LESSON_NUMBER, 0.01, {0},
     {"A full expert adds nothing.", "x is always added.",
      "Shared out: the survivor gets the sum of both gates."},
     pose_leaves, solve_leaves, trace_leaves,
     {{"That is what leaves if nothing is dropped.", nothing_lost},
      {"The residual is missing: x is always added.", no_residual},
      {"Look again at the gates after a drop.", other_rule}}},
    {"5.5", "Predict cf = 1.0 vs cf = 1.25 on an imbalanced batch, "
     "then ablate to verify", "1.4.1", 12,
     "For both factors, predict the tokens dropped and the share of "
     "the slots wasted. Then answer: of the slots that 1.25 adds, what "
     "share stays empty, from 0 to 1?", NULL, LESSON_NUMBER, 0.01, {0},
     {"Find C at both factors. Who is over it?",
      "Every expert gets the new slots. Who can use them?",
      "Tokens saved, over slots added, are the part that is used."},
     pose_empty, solve_empty, trace_empty,
     {{"Only a full expert can use a new slot.", nothing},
      {"That is the waste among all slots at 1.25.", all_waste}}},
};

const struct lesson_table lessons5 = {rows, sizeof rows / sizeof *rows};
