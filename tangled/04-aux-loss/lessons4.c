#include <math.h>
#include "balance.h"
#include "cases.h"
#include "collapse.h"
#include "lesson.h"

struct layer { size_t experts, top_k; };

static struct layer draw_layer(uint64_t seed)
{
    struct random r = random_seeded(seed);
    size_t experts = (size_t)8 << random_below(&r, 4);
    return (struct layer){experts, 2 + 2 * random_below(&r, 2)};
}

static void pose_layer(uint64_t seed, FILE *out)
{
    struct layer l = draw_layer(seed);
    fprintf(out, "E = %zu    K = %zu\n", l.experts, l.top_k);
}

static struct lesson_answer solve_collapse(uint64_t seed)
{
    struct layer l = draw_layer(seed);
    return lesson_value(cases_loss(cases_collapsed(l.experts, l.top_k),
                                   l.top_k, cases_book));
}

static void trace_collapse(uint64_t seed, FILE *out)
{
    struct layer l = draw_layer(seed);
    fprintf(out, "even: sum of f P = 1/%zu, so the constant is %zu\n"
            "collapse: sum of f P = %zu x 1/%zu x 1/%zu, times %zu\n",
            l.experts, l.experts, l.top_k, l.top_k, l.top_k, l.experts);
}

static struct lesson_answer without_e(uint64_t seed)
{
    return lesson_value(1 / (double)draw_layer(seed).top_k);
}

static struct lesson_answer just_e(uint64_t seed)
{
    return lesson_value((double)draw_layer(seed).experts);
}

struct batch { size_t own, each, undecided; };

static struct batch draw_batch(uint64_t seed)
{
    struct random r = random_seeded(seed);
    return (struct batch){random_below(&r, 4), 1 + random_below(&r, 2),
                          5 + random_below(&r, 4)};
}

static void pose_batch(uint64_t seed, FILE *out)
{
    struct batch b = draw_batch(seed);
    fprintf(out, "E = 4    K = 1\ncertain of expert 0: %zu    of 1, of "
            "2, of 3: %zu each\nundecided, to expert 0: %zu\n", b.own,
            b.each, b.undecided);
}

static double count_batch(uint64_t seed, double f[4], double p[4])
{
    struct batch b = draw_batch(seed);
    struct matrix z = cases_mixed(4, b.own, b.each, b.undecided);
    cases_count(f, p, z, 1, cases_book);
    matrix_free(&z);
    return balance_loss(f, p, 4);
}

static struct lesson_answer solve_batch(uint64_t seed)
{
    double f[4], p[4], loss = count_batch(seed, f, p);
    return lesson_value(fabs(loss - 1) < 1e-6 ? 2 : loss > 1 ? 1 : 3);
}

static void trace_batch(uint64_t seed, FILE *out)
{
    double f[4], p[4], loss = count_batch(seed, f, p);
    for (size_t e = 0; e < 4; e++)
        fprintf(out, "expert %zu  f = %.3f  P = %.3f\n", e, f[e], p[e]);
    fprintf(out, "E x sum of f P = %.4f\n", loss);
}

static struct lesson_answer always_above(uint64_t seed)
{
    return solve_batch(seed).value[0] == 1 ? lesson_none()
                                           : lesson_value(1);
}

struct load { double f[4], average; real p[4]; };

static struct load draw_load(uint64_t seed)
{
    static const double twelfths[] = {6, 3, 2, 1};
    struct random r = random_seeded(seed);
    size_t turn = random_below(&r, 4), back = random_below(&r, 2);
    size_t likes = 3 * random_below(&r, 2);
    struct load l = {.average = 0};
    for (size_t i = 0; i < 4; i++) {
        size_t e = back ? (turn + 4 - i) % 4 : (turn + i) % 4;
        l.f[e] = twelfths[i] / 12, l.p[e] = (real)(i == likes ? 0.7 : 0.1);
        l.average += l.f[e] * (double)l.p[e];
    }
    return l;
}

static void pose_load(uint64_t seed, FILE *out)
{
    struct load l = draw_load(seed);
    fprintf(out, "          choices  the token's p\n");
    for (size_t e = 0; e < 4; e++)
        fprintf(out, "expert %zu  %2.0f / 12  %13.1f\n", e, 12 * l.f[e],
                (double)l.p[e]);
}

/* The experts that go up, if sign is 1, or down, if it is -1. */
static struct lesson_answer pushed(struct load l, double sign)
{
    real dz[4] = {0};
    struct lesson_answer answer = {0, {0}};
    balance_loss_backward((struct matrix){1, 4, dz},
                          (struct matrix){1, 4, l.p}, 1, l.f, sign);
    for (size_t e = 0; e < 4; e++)
        if (dz[e] < 0) answer.value[answer.count++] = (double)e;
    return answer;
}

static struct lesson_answer solve_push(uint64_t seed)
{
    return pushed(draw_load(seed), 1);
}

static struct lesson_answer wrong_way(uint64_t seed)
{
    return pushed(draw_load(seed), -1);
}

static struct lesson_answer below_even(uint64_t seed)
{
    struct load l = draw_load(seed);
    for (size_t e = 0; e < 4; e++) l.p[e] = (real)0.25;
    return pushed(l, 1);
}

static void trace_push(uint64_t seed, FILE *out)
{
    struct load l = draw_load(seed);
    fprintf(out, "the token's average, sum of f p = %.4f\n", l.average);
    for (size_t e = 0; e < 4; e++)
        fprintf(out, "expert %zu  f = %.4f  %s\n", e, l.f[e],
                l.f[e] < l.average ? "below: up" : "above: down");
}

enum { RUNS = 4, STEPS = 300 };
struct trial { struct collapse_options options; size_t first; };

static struct trial draw_trial(uint64_t seed)
{
    static const double common[] = {0, 3, 1};
    struct random r = random_seeded(seed);
    double c = common[random_below(&r, 3)];
    return (struct trial){{8, 1, STEPS, c, 0, 0, 0},
                          1 + random_below(&r, 1000)};
}

static void pose_trial(uint64_t seed, FILE *out)
{
    struct trial trial = draw_trial(seed);
    fprintf(out, "E = 8    K = 1    common part c = %g    %d steps\n"
            "%d runs, from seeds %zu to %zu\n", trial.options.common,
            STEPS, RUNS, trial.first, trial.first + RUNS - 1);
}

static struct collapse_runs train(uint64_t seed)
{
    static struct { uint64_t seed; struct collapse_runs runs; } last;
    if (last.runs.mean == 0 || last.seed != seed) {
        struct trial trial = draw_trial(seed);
        struct charlm model = charlm_trained(LESSON_BOOK_SEED);
        last.runs = collapse_repeat(&trial.options, &model, trial.first,
                                    RUNS, NULL);
        last.seed = seed, charlm_free(&model);
    }
    return last.runs;
}

static struct lesson_answer solve_trial(uint64_t seed)
{
    return lesson_value(train(seed).mean);
}

static void trace_trial(uint64_t seed, FILE *out)
{
    struct collapse_runs runs = train(seed);
    fprintf(out, "effective experts, exp(H): %.2f on average, from %.2f "
            "to %.2f\nthe busiest expert has %.0f%% of the tokens\n",
            runs.mean, runs.least, runs.most, 100 * runs.top);
}

/* A slogan is a mistake where it is not within the tolerance. */
#define NEAR 0.75
static struct lesson_answer slogan(uint64_t seed, double effective)
{
    return fabs(train(seed).mean - effective) <= NEAR
        ? lesson_none() : lesson_value(effective);
}

static struct lesson_answer one(uint64_t seed)
{
    return slogan(seed, 1);
}

static struct lesson_answer two(uint64_t seed)
{
    return slogan(seed, 2);
}

static const struct lesson rows[] = {
    {"4.1", "The auxiliary loss is one inner product, computed per "
     "batch", "1.2.3", 7, "A loss is a constant times the sum of f[i] x "
     "P[i], and an even batch scores 1, whatever E is. Now every token "
     "chooses the same K experts, and these share all of the "
     "probability equally. What does the batch score?",
     NULL, LESSON_NUMBER, 0.01, {0},
     {"Find the constant first: even means f = P = 1/E for all E.",
      "In collapse f = P = 1/K for K experts, and 0 for the others.",
      "The constant is E, the sum is K x 1/K x 1/K."},
     pose_layer, solve_collapse, trace_collapse,
     {{"That is the sum of f P. With the same constant, 1, an even "
       "batch would score 1/E.", without_e},
      {"One expert with everything has that loss. Here K share it.",
       just_e}}},
    {"4.2", "One is not the least", "1.2.3", 7,
     "Expert 0 has more tokens than any other. Is the auxiliary loss of "
     "the batch above 1, exactly 1, or below 1?", NULL,
     LESSON_CHOICE, 0, {"above 1", "exactly 1", "below 1"},
     {"The load leans to expert 0. Where does the probability lean?",
      "Undecided tokens give all experts the same: only certain tokens "
      "make P lean.",
      "Compare those certain of expert 0 with those certain of 1."},
     pose_batch, solve_batch, trace_batch,
     {{"Load alone does not make the loss large: the probability must "
       "lean to the same experts.", always_above}}},
    {"4.3", "Auxiliary losses don't pick experts, they push for "
     "fairness", "2.3.2", 7, "A token has these probabilities. After "
     "one step against the slope of the auxiliary loss, which experts' "
     "logits are higher? Name them all, lowest number first.", NULL,
     LESSON_EXPERTS, 0, {0},
     {"Some logits go up, some down: the softmax only compares.",
      "Busier than what? The token weighs loads by its probabilities.",
      "Up go the experts whose f is below the sum of f[i] x p[i]."},
     pose_load, solve_push, trace_push,
     {{"Those go down: they are busier than the token's average.",
       wrong_way},
      {"Those have less than 1/E of the choices. What counts is the "
       "load that this token meets on average.", below_even}}},
    {"4.4", "Without a load-balancing loss, the router picks two "
     "experts forever; or all tokens go to one expert", "1.1.3 2.3.1",
     7, "A router and its experts train with nothing to balance them. "
     "How many effective experts are in use over the last 100 steps, "
     "on average over the runs?", NULL, LESSON_NUMBER, NEAR, {0},
     {"exp(H) is 1 if one expert has all, 8 if all have the same.",
      "What the tokens share works like a bias: the larger c, the more "
      "tokens can follow one expert.",
      "Close to one for c = 3, a few for c = 1, most for c = 0."},
     pose_trial, solve_trial, trace_trial,
     {{"Two is a slogan: the number depends on what tokens share.",
       two},
      {"One for all would be full collapse.", one}}},
};

const struct lesson_table lessons4 = {rows, sizeof rows / sizeof *rows};
