#include <math.h>
#include <stdlib.h>
#include "lesson.h"
#include "router.h"
#include "softmax.h"
#include "topk.h"

/* draw the sizes of a layer */
struct sizes { size_t width, hidden, experts, top_k, tokens; };

static struct sizes draw_sizes(uint64_t seed)
{
    struct random r = random_seeded(seed);
    size_t width = 4 * (1 + random_below(&r, 4));
    size_t experts = 8 + 4 * random_below(&r, 6);
    size_t top_k = 2 + random_below(&r, 2);
    return (struct sizes){width, 4 * width, experts, top_k,
                          10 * (2 + random_below(&r, 9))};
}

/* teach lesson 3.1, the active share */
/* pose and solve the active share */
static void pose_share(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "E = %zu    K = %zu\n", s.experts, s.top_k);
}

static struct lesson_answer solve_share(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    size_t one = (size_t)ffn_parameters(s.width, s.hidden);
    return lesson_value((double)(s.top_k * one)
                     / (double)(s.experts * one));
}

/* misjudge the active share */
static struct lesson_answer idle_share(uint64_t seed)
{
    return lesson_value(1 - solve_share(seed).value[0]);
}

static struct lesson_answer one_expert(uint64_t seed)
{
    return lesson_value(1 / (double)draw_sizes(seed).experts);
}

/* show the active share */
static void trace_share(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "used   K = %zu experts\nidle   E - K = %zu experts\n"
            "share  K / E = %zu / %zu = %.4f\n", s.top_k,
            s.experts - s.top_k, s.top_k, s.experts,
            solve_share(seed).value[0]);
}

/* teach lesson 3.2, five tokens */
/* settle ties either way */
enum { FIVE = 5 };

static struct lesson_answer best_of(const real *z, int later)
{
    struct lesson_answer answer = {FIVE, {0}};
    for (size_t t = 0; t < FIVE; t++) {
        size_t best = 0;
        for (size_t e = 1; e < 4; e++) {
            real a = z[4 * t + e], b = z[4 * t + best];
            if (a > b || (later && a == b)) best = e;
        }
        answer.value[t] = (double)best;
    }
    return answer;
}

/* draw five tokens with a tie */
static void draw_five(uint64_t seed, real z[FIVE * 4])
{
    struct random r = random_seeded(seed);
    for (int ties = 0; !ties; ) {
        for (size_t i = 0; i < FIVE * 4; i++)
            z[i] = (real)random_below(&r, 7) - 3;
        struct lesson_answer low = best_of(z, 0), high = best_of(z, 1);
        for (size_t t = 0; t < FIVE; t++)
            ties |= low.value[t] != high.value[t];
    }
}

/* print five tokens */
static void print_five(uint64_t seed, FILE *out, int answers)
{
    real z[FIVE * 4];
    struct routes r = routes_new(FIVE, 4, 1);
    draw_five(seed, z);
    routes_select(&r, (struct matrix){FIVE, 4, z});
    for (size_t t = 0; t < FIVE; t++) {
        fprintf(out, "token %zu  logits", t);
        for (size_t e = 0; e < 4; e++)
            fprintf(out, " %3g", (double)z[4 * t + e]);
        if (answers) fprintf(out, "  expert %zu", r.expert[t]);
        fprintf(out, "\n");
    }
    routes_free(&r);
}

/* pose and show five tokens */
static void pose_five(uint64_t seed, FILE *out)
{
    print_five(seed, out, 0);
}

static void trace_five(uint64_t seed, FILE *out)
{
    print_five(seed, out, 1);
}

/* solve five tokens */
static struct lesson_answer solve_five(uint64_t seed)
{
    real z[FIVE * 4];
    struct lesson_answer answer = {FIVE, {0}};
    struct routes r = routes_new(FIVE, 4, 1);
    draw_five(seed, z);
    routes_select(&r, (struct matrix){FIVE, 4, z});
    for (size_t t = 0; t < FIVE; t++)
        answer.value[t] = (double)r.expert[t];
    routes_free(&r);
    return answer;
}

/* let the later expert win */
static struct lesson_answer later_wins(uint64_t seed)
{
    real z[FIVE * 4];
    draw_five(seed, z);
    return best_of(z, 1);
}

/* teach lesson 3.3, discarded mass */
/* draw six whole numbers */
struct counts { size_t n[6], sum, top_k; };

static struct counts draw_counts(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct counts c = {.top_k = 1 + random_below(&r, 2)};
    size_t strong = random_below(&r, 6);
    for (size_t i = 0; i < 6; i++) {
        c.n[i] = i == strong ? 8 + random_below(&r, 2)
                             : 4 + random_below(&r, 3);
        c.sum += c.n[i];
    }
    return c;
}

/* pose the discarded mass */
static void pose_counts(uint64_t seed, FILE *out)
{
    struct counts c = draw_counts(seed);
    fprintf(out, "logits ");
    for (size_t i = 0; i < 6; i++) fprintf(out, "  ln %zu", c.n[i]);
    fprintf(out, "\nK = %zu\n", c.top_k);
}

/* measure what is kept of six */
static double kept_of_counts(const struct counts *c, double *gate)
{
    real z[6], p[6];
    double kept = 0;
    struct matrix logits = {1, 6, z}, softmax = {1, 6, p};
    struct routes r = routes_new(1, 6, c->top_k);
    /* route the six logits */
    for (size_t i = 0; i < 6; i++) z[i] = (real)log((double)c->n[i]);
    softmax_rows(softmax, NULL, logits);
    routes_select(&r, logits);
    routes_weigh(&r, GATE_RENORM, logits, logits);
    for (size_t k = 0; k < c->top_k; k++)
        kept += (double)p[r.expert[k]];
    *gate = (double)r.gate.at[0];
    routes_free(&r);
    return kept;
}

/* solve and misjudge the discarded mass */
static struct lesson_answer solve_discarded(uint64_t seed)
{
    struct counts c = draw_counts(seed);
    double gate;
    return lesson_value(1 - kept_of_counts(&c, &gate));
}

static struct lesson_answer kept_instead(uint64_t seed)
{
    return lesson_value(1 - solve_discarded(seed).value[0]);
}

/* show the discarded mass */
static void trace_discarded(uint64_t seed, FILE *out)
{
    struct counts c = draw_counts(seed);
    double gate, kept = kept_of_counts(&c, &gate);
    fprintf(out, "Z = %zu\nkept       %.0f / %zu = %.4f\n"
            "discarded  %.0f / %zu = %.4f\n", c.sum,
            kept * (double)c.sum, c.sum, kept,
            (1 - kept) * (double)c.sum, c.sum, 1 - kept);
    fprintf(out, "first gate, renormalized  %.4f\n", gate);
}

/* teach lesson 3.4, expert calls */
/* pose the expert calls */
static void pose_calls(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "T = %zu    E = %zu    K = %zu\n", s.tokens, s.experts,
            s.top_k);
}

/* count the rows of a small layer */
static struct lesson_answer solve_calls(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    /* make a small layer */
    struct random random = random_seeded(seed);
    struct matrix x = matrix_new(s.tokens, s.width);
    struct matrix y = matrix_new(s.tokens, s.width);
    struct matrix z = matrix_new(s.tokens, s.experts);
    struct routes r = routes_new(s.tokens, s.experts, s.top_k);
    struct topk_work work = topk_work_new(s.tokens, s.width, s.hidden);
    struct ffn *experts = calloc(s.experts, sizeof *experts);
    if (!experts) abort();
    for (size_t i = 0; i < s.tokens * s.experts; i++)
        z.at[i] = (real)random_symmetric(&random, 1);
    for (size_t e = 0; e < s.experts; e++)
        experts[e] = ffn_new(s.width, s.hidden, FFN_RELU, &random);
    routes_select(&r, z);
    routes_weigh(&r, GATE_RENORM, z, z);
    topk_forward(y, x, &r, experts, &work);
    struct lesson_answer answer =
        lesson_value((double)work.expert_rows);
    /* free the small layer */
    for (size_t e = 0; e < s.experts; e++) ffn_free(&experts[e]);
    free(experts);
    matrix_free(&x), matrix_free(&y), matrix_free(&z);
    routes_free(&r), topk_work_free(&work);
    return answer;
}

/* miscount the expert calls */
static struct lesson_answer all_calls(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    return lesson_value((double)(s.experts * s.tokens));
}

static struct lesson_answer calls_without_k(uint64_t seed)
{
    return lesson_value((double)draw_sizes(seed).tokens);
}

/* show the expert calls */
static void trace_calls(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "K T = %zu x %zu = %zu\n"
            "naive: E T = %zu x %zu = %zu\n",
            s.top_k, s.tokens, s.top_k * s.tokens, s.experts, s.tokens,
            s.experts * s.tokens);
}

/* teach lesson 3.5, one coordinate */
/* draw and route one token */
struct weighed { real z[4], p[4], gate[2], out[4]; size_t expert[2]; };

static struct weighed draw_weighed(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct weighed w;
    size_t first = random_below(&r, 4);
    /* draw logits and outputs */
    static const size_t whole[] = {6, 2, 1, 1};
    int sign = random_below(&r, 2) ? 1 : -1;
    for (size_t i = 0; i < 4; i++) {
        size_t size = 8 * (1 + random_below(&r, 9));
        w.z[i] = (real)log((double)whole[(i + first) % 4]);
        w.out[i] = (real)size * (real)sign;
    }
    /* route the token */
    struct matrix z = {1, 4, w.z};
    struct routes routes = routes_new(1, 4, 2);
    routes_select(&routes, z);
    routes_weigh(&routes, GATE_RENORM, z, z);
    softmax_rows((struct matrix){1, 4, w.p}, NULL, z);
    for (size_t k = 0; k < 2; k++) {
        w.expert[k] = routes.expert[k];
        w.gate[k] = routes.gate.at[k];
    }
    routes_free(&routes);
    return w;
}

/* pose one coordinate */
static void pose_weighed(uint64_t seed, FILE *out)
{
    struct weighed w = draw_weighed(seed);
    fprintf(out, "K = 2, top-k then softmax\n");
    for (size_t i = 0; i < 4; i++)
        fprintf(out, "expert %zu  logit ln %.0f  output %4g\n", i,
                exp((double)w.z[i]), (double)w.out[i]);
}

/* solve one coordinate */
static struct lesson_answer solve_weighed(uint64_t seed)
{
    struct weighed w = draw_weighed(seed);
    double y = 0;
    for (size_t k = 0; k < 2; k++)
        y += (double)w.gate[k] * (double)w.out[w.expert[k]];
    return lesson_value(y);
}

/* forget to renormalize */
static struct lesson_answer without_renorm(uint64_t seed)
{
    struct weighed w = draw_weighed(seed);
    double y = 0;
    for (size_t k = 0; k < 2; k++)
        y += (double)w.p[w.expert[k]] * (double)w.out[w.expert[k]];
    return lesson_value(y);
}

/* show one coordinate */
static void trace_weighed(uint64_t seed, FILE *out)
{
    struct weighed w = draw_weighed(seed);
    for (size_t k = 0; k < 2; k++)
        fprintf(out, "expert %zu  gate %.4f  x %4g = %8.3f\n",
                w.expert[k], (double)w.gate[k],
                (double)w.out[w.expert[k]],
                (double)(w.gate[k] * w.out[w.expert[k]]));
    fprintf(out, "sum %33.3f\n", solve_weighed(seed).value[0]);
}

/* lessons of chapter 3 */
static const struct lesson rows[] = {
    {"3.1", "Most experts sit idle on every token: that's the feature",
     "2.1.4", 6, "All experts have the same size. What share of the "
     "experts' parameters does one token use?", NULL, LESSON_NUMBER,
     0.005, {0},
     {"A token meets K experts.", "The layer holds E of them, all "
      "alike.", "K / E."},
     pose_share, solve_share, trace_share,
     {{"That is the share that sits idle.", idle_share},
      {"A token goes to K experts, not to one.", one_expert}}},
    {"3.2", "Switch routing sends each token to exactly one expert",
     "1.2.2", 6, "K = 1. Which expert gets each of the five tokens? "
     "Answer with five expert numbers, in the order of the tokens.",
     NULL, LESSON_EXPERTS, 0, {0},
     {"No softmax is needed: it keeps the order.",
      "In each row, find the largest logit. Experts count from 0.",
      "Two are equally large? The lower expert number wins."},
     pose_five, solve_five, trace_five,
     {{"A tie goes to the lower expert, not to the later one.",
       later_wins}}},
    {"3.3", "Top-2 routing throws away most of what the router said",
     "2.2.3", 7, "What share of the router's probability is discarded?",
     NULL, LESSON_NUMBER, 0.005, {0},
     {"The exponential of ln n is n.", "Z is the sum of the six whole "
      "numbers.", "Add up the numbers that are not kept, divide by Z."},
     pose_counts, solve_discarded, trace_discarded,
     {{"That is the kept mass; the discarded is the rest.",
       kept_instead}}},
    {"3.4", "Only the chosen experts compute, everyone else is silent",
     "2.2.4", 7, "How many rows do the experts compute in this batch, "
     "all together?", "rows", LESSON_NUMBER, 0, {0},
     {"Count token by token, not expert by expert.",
      "Each token is a row in each of the experts it goes to.",
      "K x T, however the tokens are spread."},
     pose_calls, solve_calls, trace_calls,
     {{"That is the naive layer: every expert on every token.",
       all_calls},
      {"K is missing: each token goes to K experts.",
       calls_without_k}}},
    {"3.5", "Combine expert outputs: weighted sum, then move on",
     "2.2.5", 7, "The first number of each expert's output is given, "
     "for this token, as if all had run. What is the first number of "
     "the layer's output?", NULL, LESSON_NUMBER, 0.05, {0},
     {"Only the two experts with the largest logits count.",
      "Their gates are n / (n + m), with n and m their whole numbers.",
      "Each gate times its expert's output, added up."},
     pose_weighed, solve_weighed, trace_weighed,
     {{"The probabilities were not renormalized: the two gates must "
       "sum to 1.", without_renorm}}},
};

const struct lesson_table lessons3 = {rows, sizeof rows / sizeof *rows};
