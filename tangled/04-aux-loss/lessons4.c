#include <math.h>
#include "balance.h"
#include "lesson.h"

/* draw a load and probabilities */
struct load { size_t count[4], tenths[4]; double f[4], p[4]; };

static struct load draw_once(struct random *r)
{
    struct load l = {{5, 1, 1, 1}, {1, 1, 1, 1}, {0}, {0}};
    for (size_t i = 0; i < 4; i++) l.count[random_below(r, 4)]++;
    for (size_t i = 0; i < 6; i++) l.tenths[random_below(r, 2)]++;
    for (size_t e = 0; e < 4; e++) {
        l.f[e] = (double)l.count[e] / 12;
        l.p[e] = (double)l.tenths[e] / 10;
    }
    return l;
}

/* draw until every expert is pushed */
static struct load draw_load(uint64_t seed)
{
    struct random r = random_seeded(seed);
    for (;;) {
        struct load l = draw_once(&r);
        double average = balance_loss(l.f, l.p, 4) / 4;
        int clear = fabs(4 * average - 1) > 0.1;
        for (size_t e = 0; e < 4; e++)
            clear &= fabs(l.f[e] - average) > 0.01;
        if (clear) return l;
    }
}

/* show a load and probabilities */
static void pose_load(uint64_t seed, FILE *out)
{
    struct load l = draw_load(seed);
    fprintf(out, "expert        0    1    2    3\nchoices  ");
    for (size_t e = 0; e < 4; e++) fprintf(out, " %4zu", l.count[e]);
    fprintf(out, "  of 12\nP        ");
    for (size_t e = 0; e < 4; e++) fprintf(out, " %4.1f", l.p[e]);
    fprintf(out, "\n");
}

/* teach lesson 4.1, the product */
/* solve lesson 4.1 */
static struct lesson_answer solve_loss(uint64_t seed)
{
    struct load l = draw_load(seed);
    return lesson_value(balance_loss(l.f, l.p, 4));
}

static struct lesson_answer without_e(uint64_t seed)
{
    return lesson_value(solve_loss(seed).value[0] / 4);
}

/* show lesson 4.1 */
static void trace_loss(uint64_t seed, FILE *out)
{
    struct load l = draw_load(seed);
    for (size_t e = 0; e < 4; e++)
        fprintf(out, "expert %zu  f P = %zu/12 x %.1f = %.4f\n", e,
                l.count[e], l.p[e], l.f[e] * l.p[e]);
    fprintf(out, "E x sum = %.4f\n", solve_loss(seed).value[0]);
}

/* teach lesson 4.2, below one */
static size_t draw_experts(uint64_t seed)
{
    struct random r = random_seeded(seed);
    return 3 + random_below(&r, 14);
}

static void pose_below(uint64_t seed, FILE *out)
{
    fprintf(out, "E = %zu    K = 1\n", draw_experts(seed));
}

/* solve lesson 4.2 */
static struct lesson_answer solve_below(uint64_t seed)
{
    double f[16] = {0}, p[16] = {0};
    size_t experts = draw_experts(seed), tokens = 2 * experts;
    for (size_t t = 0; t < tokens; t++) {
        size_t certain = t + 1 < experts ? t + 1 : 0;
        f[certain] += 1 / (double)tokens;
        for (size_t e = 0; e < experts; e++)
            p[e] += (certain ? e == certain : 1 / (double)experts)
                  / (double)tokens;
    }
    return lesson_value(balance_loss(f, p, experts));
}

/* show lesson 4.2 */
static struct lesson_answer exactly_one(uint64_t seed)
{
    (void)seed;
    return lesson_value(1);
}

static void trace_below(uint64_t seed, FILE *out)
{
    size_t e = draw_experts(seed);
    fprintf(out, "1 - (E - 1) / (4 E) = 1 - %zu / %zu = %.4f\n", e - 1,
            4 * e, solve_below(seed).value[0]);
}

/* teach lesson 4.3, the push */
static struct lesson_answer pushed(uint64_t seed, double direction)
{
    struct load l = draw_load(seed);
    real p[4], dz[4] = {0};
    struct lesson_answer answer = {0, {0}};
    for (size_t e = 0; e < 4; e++) p[e] = (real)l.p[e];
    balance_loss_backward((struct matrix){1, 4, dz},
                          (struct matrix){1, 4, p}, l.f, 1);
    for (size_t e = 0; e < 4; e++)
        if (direction * (double)dz[e] < -1e-6)
            answer.value[answer.count++] = (double)e;
    return answer;
}

/* solve lesson 4.3 */
static struct lesson_answer solve_push(uint64_t seed)
{
    return pushed(seed, 1);
}

static struct lesson_answer wrong_way(uint64_t seed)
{
    return pushed(seed, -1);
}

/* show lesson 4.3 */
static void trace_push(uint64_t seed, FILE *out)
{
    struct load l = draw_load(seed);
    double average = solve_loss(seed).value[0] / 4;
    fprintf(out, "average  sum of f p = %.4f\n", average);
    for (size_t e = 0; e < 4; e++)
        fprintf(out, "expert %zu  f = %.4f  %s\n", e, l.f[e],
                l.f[e] < average - 1e-9 ? "below: up"
                : l.f[e] > average + 1e-9 ? "above: down" : "stays");
}

/* teach lesson 4.4, effective experts */
/* pose lesson 4.4 */
static void pose_shares(uint64_t seed, FILE *out)
{
    struct load l = draw_load(seed);
    fprintf(out, "load   %zu : %zu : %zu : %zu\n", l.count[0],
            l.count[1], l.count[2], l.count[3]);
}

/* solve lesson 4.4 */
static struct lesson_answer solve_effective(uint64_t seed)
{
    struct load l = draw_load(seed);
    return lesson_value(balance_effective(l.f, 4));
}

static struct lesson_answer all_four(uint64_t seed)
{
    (void)seed;
    return lesson_value(4);
}

/* show lesson 4.4 */
static struct lesson_answer only_one(uint64_t seed)
{
    (void)seed;
    return lesson_value(1);
}

static void trace_effective(uint64_t seed, FILE *out)
{
    struct load l = draw_load(seed);
    for (size_t e = 0; e < 4; e++)
        fprintf(out, "-%.4f ln %.4f = %.4f\n", l.f[e], l.f[e],
                -l.f[e] * log(l.f[e]));
    fprintf(out, "H = %.4f   exp(H) = %.4f\n", balance_entropy(l.f, 4),
            balance_effective(l.f, 4));
}

/* lessons of chapter 4 */
static const struct lesson rows[] = {
    {"4.1", "The auxiliary loss is one tensor product, computed per "
     "batch", "1.2.3", 7, "What is the auxiliary loss of this batch?",
     NULL, LESSON_NUMBER, 0.01, {0},
     {"f is the choices of each expert, divided by all choices.",
      "Multiply f and P expert by expert and add up.",
      "Do not forget the factor E."},
     pose_load, solve_loss, trace_loss,
     {{"The factor E is missing: even routing would score 1/E.",
       without_e}}},
    {"4.2", "One is not the least", "1.2.3", 7,
     "A share (E - 1) / (2 E) of the tokens is certain, spread evenly "
     "over experts 1 to E - 1. The others are undecided and go to "
     "expert 0. What is the auxiliary loss?", NULL,
     LESSON_NUMBER, 0.005, {0},
     {"Expert 0 has most of the load and little of the probability.",
      "Take E = 2 first: f = (3/4, 1/4), P = (3/8, 5/8).",
      "1 - (E - 1) / (4 E)."},
     pose_below, solve_below, trace_below,
     {{"One is the value at even routing. It is not the least.",
       exactly_one}}},
    {"4.3", "Auxiliary losses don't pick experts, they push for "
     "fairness", "2.3.2", 7, "A token's own probabilities are P. One "
     "step against the gradient of the auxiliary loss: whose logits "
     "go up? Answer with the experts, lowest number first.", NULL,
     LESSON_EXPERTS, 0, {0},
     {"The push on expert j has the sign of the average minus f[j].",
      "The average is the sum of f[i] x P[i].",
      "Experts with f below the average go up."},
     pose_load, solve_push, trace_push,
     {{"Those go down: they are busier than the token's average.",
       wrong_way}}},
    {"4.4", "Without a load-balancing loss, the router picks two "
     "experts forever; or all tokens go to one expert", "1.1.3 2.3.1",
     7,
     "A run without balancing ended with this load. How many effective "
     "experts is that, exp(H)?", NULL, LESSON_NUMBER, 0.1, {0},
     {"Turn the load into shares of 12.",
      "H is the sum of -f ln f.", "More than one, less than four."},
     pose_shares, solve_effective, trace_effective,
     {{"All four have tokens, but not the same number.", all_four},
      {"The busiest has many tokens, not all.", only_one}}},
};

const struct lesson_table lessons4 = {rows, sizeof rows / sizeof *rows};
