#include <math.h>
#include "balance.h"
#include "cases.h"
#include "collapse.h"
#include "lesson.h"

static struct layer { size_t experts, top_k; } draw_layer(uint64_t seed)
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

static struct batch { size_t own, each, undecided; double f[4], p[4]; }
    draw_batch(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct batch b = {.undecided = 6 + random_below(&r, 4)};
    b.own = random_below(&r, 4), b.each = 1 + random_below(&r, 3);
    struct matrix z = cases_mixed(4, b.own, b.each, b.undecided);
    cases_count(b.f, b.p, z, 1, cases_book);
    matrix_free(&z);
    return b;
}

static void pose_batch(uint64_t seed, FILE *out)
{
    struct batch b = draw_batch(seed);
    fprintf(out, "E = 4    K = 1\nundecided, to expert 0: %zu\n"
            "certain of expert 0: %zu\n"
            "certain of 1, of 2, and of 3: %zu each\n", b.undecided,
            b.own, b.each);
}

static struct lesson_answer solve_batch(uint64_t seed)
{
    struct batch b = draw_batch(seed);
    double over = balance_loss(b.f, b.p, 4) - 1;
    return lesson_value(fabs(over) < 1e-6 ? 2 : over > 0 ? 1 : 3);
}

static void trace_batch(uint64_t seed, FILE *out)
{
    struct batch b = draw_batch(seed);
    fprintf(out, "expert 0:     f = %.3f, P = %.3f\n"
            "each other:   f = %.3f, P = %.3f\nE x sum of f P = %.4f\n",
            b.f[0], b.p[0], b.f[1], b.p[1], balance_loss(b.f, b.p, 4));
}

static struct lesson_answer always_above(uint64_t seed)
{
    return solve_batch(seed).value[0] == 1 ? lesson_none()
                                           : lesson_value(1);
}

static struct load { double f[4], average; real p[4]; }
    draw_load(uint64_t seed)
{
    static const double twelfths[] = {6, 3, 2, 1};
    struct random r = random_seeded(seed);
    size_t turn = random_below(&r, 4), likes = 3 * random_below(&r, 2);
    size_t step = 1 + 2 * random_below(&r, 2);
    struct load l = {.average = 0};
    for (size_t i = 0; i < 4; i++) {
        size_t e = (turn + step * i) % 4;
        l.f[e] = twelfths[i] / 12, l.p[e] = i == likes ? 7 : 1;
        l.p[e] /= 10, l.average += l.f[e] * (double)l.p[e];
    }
    return l;
}

static void pose_load(uint64_t seed, FILE *out)
{
    struct load l = draw_load(seed);
    for (size_t e = 0; e < 4; e++)
        fprintf(out, "expert %zu  choices %1.0f of 12    p = %.1f\n", e,
                12 * l.f[e], (double)l.p[e]);
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
static struct trial { uint64_t seed; size_t first; double common;
                      struct collapse_runs runs; }
    run_trial(uint64_t seed)
{
    static struct trial last;
    if (last.first && last.seed == seed) return last;
    struct random r = random_seeded(seed);
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    last.seed = seed, last.first = 1 + random_below(&r, 1000);
    last.common = (double[]){0, 1, 3}[random_below(&r, 3)];
    struct collapse_options options = {8, 1, STEPS, last.common,
                                       collapse_balances[0]};
    last.runs = collapse_repeat(&options, &model, last.first, RUNS,
                                NULL);
    charlm_free(&model);
    return last;
}

static void pose_trial(uint64_t seed, FILE *out)
{
    struct trial trial = run_trial(seed);
    fprintf(out, "E = 8    K = 1    c = %g    %d runs\n%d steps each, "
            "the last %d count\n", trial.common, RUNS, STEPS,
            COLLAPSE_WINDOW);
}

static struct lesson_answer solve_trial(uint64_t seed)
{
    return lesson_value(run_trial(seed).runs.mean);
}

static void trace_trial(uint64_t seed, FILE *out)
{
    struct trial t = run_trial(seed);
    fprintf(out, "exp(H): %.2f on average, from %.2f to %.2f\nthe "
            "busiest expert has %.0f%% of the tokens\nbuild/chapter4 "
            "--shared %g --seed %zu --seeds %d\n", t.runs.mean,
            t.runs.least, t.runs.most, 100 * t.runs.top, t.common,
            t.first, RUNS);
}

#define NEAR 0.75 /* the tolerance: no mistake is within it */
static struct lesson_answer two(uint64_t seed)
{
    return fabs(run_trial(seed).runs.mean - 2) <= NEAR
        ? lesson_none() : lesson_value(2);
}

static const struct lesson rows[] = {
    {"4.1", "The auxiliary loss is one inner product, computed per "
     "batch", "1.2.3", 7, "A loss is a constant times the sum of f[i] "
     "x P[i]; an even batch scores 1. Now all tokens choose the same K "
     "experts, which share all probability. What is the score then?",
     NULL, LESSON_NUMBER, 0.01, {0},
     {"Find the constant first: even means f = P = 1/E for all E.",
      "In collapse f = P = 1/K for K experts, and 0 for the others.",
      "The constant is E, the sum is K x 1/K x 1/K."},
     pose_layer, solve_collapse, trace_collapse,
     {{"That is the sum. But then an even batch would score 1/E.",
       without_e},
      {"One expert with everything has that loss. Here K share it.",
       just_e}}},
    {"4.2", "One is not the least", "1.2.3", 7,
     "Expert 0 has more tokens than any other. Is the auxiliary loss "
     "of the batch above 1, exactly 1, or below 1?", NULL,
     LESSON_CHOICE, 0, {"above 1", "exactly 1", "below 1"},
     {"The load leans to expert 0. Where does the probability lean?",
      "Undecided tokens give all experts the same.",
      "Compare those certain of expert 0 with those certain of 1."},
     pose_batch, solve_batch, trace_batch,
     {{"The load leans to expert 0, but P must do so, too.",
       always_above}}},
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
      {"They have less than 1/E of the choices. The token compares "
       "with the load that it meets on average.", below_even}}},
    {"4.4", "Without a load-balancing loss, the router picks two "
     "experts forever; or all tokens go to one expert", "1.1.3 2.3.1",
     7, "Nothing balances this router. How many effective experts are "
     "in use at the end, on average over the runs?", NULL,
     LESSON_NUMBER, NEAR, {0},
     {"exp(H) is 1 if one expert has all, 8 if all have the same.",
      "The larger c, the more tokens can follow one expert.",
      "Close to one for c = 3, a few for c = 1, most for c = 0."},
     pose_trial, solve_trial, trace_trial,
     {{"Two is a slogan: it depends on what tokens share.", two}}},
};

const struct lesson_table lessons4 = {rows, sizeof rows / sizeof *rows};
