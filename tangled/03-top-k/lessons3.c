#include "drawn.h"
#include "lesson.h"
#include "topk.h"

static struct topk_sizes draw_sizes(uint64_t seed)
{
    struct random r = random_seeded(seed);
    size_t width = 4 * (1 + random_below(&r, 4));
    size_t experts = 8 + 4 * random_below(&r, 6);
    size_t top_k = 2 + random_below(&r, 2);
    return (struct topk_sizes){10 * (2 + random_below(&r, 9)), width,
                               4 * width, experts, top_k};
}

static void pose_sizes(uint64_t seed, FILE *out)
{
    struct topk_sizes s = draw_sizes(seed);
    fprintf(out, "T = %zu    E = %zu    K = %zu\n", s.tokens, s.experts,
            s.top_k);
}

static struct lesson_answer solve_share(uint64_t seed)
{
    struct topk_sizes s = draw_sizes(seed);
    uint64_t one = ffn_parameters(s.width, s.hidden);
    return lesson_value((double)(s.top_k * one)
                     / (double)(s.experts * one));
}

static struct lesson_answer idle_share(uint64_t seed)
{
    return lesson_value(1 - solve_share(seed).value[0]);
}

static struct lesson_answer one_expert(uint64_t seed)
{
    return lesson_value(1 / (double)draw_sizes(seed).experts);
}

static void trace_share(uint64_t seed, FILE *out)
{
    struct topk_sizes s = draw_sizes(seed);
    fprintf(out, "used  K / E = %zu / %zu = %.4f\nidle  E - K = %zu\n",
            s.top_k, s.experts, solve_share(seed).value[0],
            s.experts - s.top_k);
}

enum { FIVE = DRAWN_TOKENS, FOUR = DRAWN_EXPERTS };

static void pose_five(uint64_t seed, FILE *out)
{
    struct drawn_ties f = drawn_ties(seed);
    for (size_t t = 0; t < FIVE; t++)
        fprintf(out, "token %zu  logits %3g %3g %3g %3g\n", t,
                (double)f.z[FOUR * t], (double)f.z[FOUR * t + 1],
                (double)f.z[FOUR * t + 2], (double)f.z[FOUR * t + 3]);
}

static struct lesson_answer five(const size_t expert[FIVE])
{
    struct lesson_answer answer = {.count = FIVE};
    for (size_t t = 0; t < FIVE; t++)
        answer.value[t] = (double)expert[t];
    return answer;
}

static struct lesson_answer solve_five(uint64_t seed)
{
    return five(drawn_ties(seed).first);
}

static struct lesson_answer later_wins(uint64_t seed)
{
    return five(drawn_ties(seed).last);
}

static void trace_five(uint64_t seed, FILE *out)
{
    struct drawn_ties f = drawn_ties(seed);
    for (size_t t = 0; t < FIVE; t++)
        fprintf(out, "token %zu  expert %zu%s\n", t, f.first[t],
                f.first[t] == f.last[t] ? "" : ", the lower of equals");
}

static void pose_mass(uint64_t seed, FILE *out)
{
    struct drawn_token w = drawn_token(seed, GATE_RENORM);
    for (size_t e = 0; e < DRAWN_SIX; e++)
        fprintf(out, "expert %zu  logit ln %2zu\n", e, w.n[e]);
}

static struct lesson_answer kept_mass(uint64_t seed)
{
    return lesson_value(drawn_token(seed, GATE_RENORM).kept);
}

static struct lesson_answer solve_mass(uint64_t seed)
{
    return lesson_value(1 - drawn_token(seed, GATE_RENORM).kept);
}

static void trace_mass(uint64_t seed, FILE *out)
{
    struct drawn_token w = drawn_token(seed, GATE_RENORM);
    size_t kept = w.n[w.expert[0]] + w.n[w.expert[1]];
    fprintf(out, "Z = %zu\nkept       %zu / %zu = %.4f\n"
            "discarded  %zu / %zu = %.4f: %s\n", w.sum, kept, w.sum,
            w.kept, w.sum - kept, w.sum, 1 - w.kept,
            w.kept < 0.5 ? "most" : "not most");
}

static void pose_mix(uint64_t seed, FILE *out)
{
    struct drawn_token w = drawn_token(seed, GATE_RENORM);
    for (size_t e = 0; e < DRAWN_SIX; e++)
        fprintf(out, "expert %zu  logit ln %2zu  output %3g\n", e,
                w.n[e], w.out[e]);
}

static struct lesson_answer solve_mix(uint64_t seed)
{
    return lesson_value(drawn_token(seed, GATE_RENORM).y);
}

static struct lesson_answer without_renorm(uint64_t seed)
{
    return lesson_value(drawn_token(seed, GATE_SOFTMAX).y);
}

static void trace_mix(uint64_t seed, FILE *out)
{
    struct drawn_token w = drawn_token(seed, GATE_RENORM);
    for (size_t k = 0; k < 2; k++)
        fprintf(out, "expert %zu  gate %.4f  x %3g = %8.3f\n",
                w.expert[k], w.gate[k], w.out[w.expert[k]],
                w.gate[k] * w.out[w.expert[k]]);
    fprintf(out, "sum %32.3f\n", w.y);
}

struct measured { size_t rows, idle; double kept; };

static struct measured measure(struct topk_sizes s, uint64_t seed)
{
    struct random random = random_seeded(seed);
    struct topk layer = topk_new(s, GATE_RENORM, 1, &random);
    struct matrix x = matrix_new(s.tokens, s.width);
    struct matrix y = matrix_new(s.tokens, s.width);
    for (size_t i = 0; i < x.rows * x.cols; i++)
        x.at[i] = (real)random_symmetric(&random, 2);
    topk_route(&layer, x);
    topk_forward(&layer, y, x);
    struct measured m = {layer.expert_rows,
        s.experts - layer.expert_rows / s.tokens,
        routes_kept(&layer.routes, layer.p)};
    matrix_free(&x), matrix_free(&y), topk_free(&layer);
    return m;
}

static struct lesson_answer solve_calls(uint64_t seed)
{
    return lesson_value((double)measure(draw_sizes(seed), seed).rows);
}

static struct lesson_answer all_calls(uint64_t seed)
{
    struct topk_sizes s = draw_sizes(seed);
    return lesson_value((double)(s.experts * s.tokens));
}

static struct lesson_answer calls_without_k(uint64_t seed)
{
    return lesson_value((double)draw_sizes(seed).tokens);
}

static void trace_calls(uint64_t seed, FILE *out)
{
    struct topk_sizes s = draw_sizes(seed);
    fprintf(out, "K T = %zu x %zu = %zu\n"
            "naive: E T = %zu x %zu = %zu\n",
            s.top_k, s.tokens, s.top_k * s.tokens, s.experts, s.tokens,
            s.experts * s.tokens);
}

static void pose_twice(uint64_t seed, FILE *out)
{
    struct topk_sizes s = draw_sizes(seed);
    fprintf(out, "T = %zu    K = %zu\nE = %-3zu  %4zu rows\n"
            "E = %-3zu     ? rows\n", s.tokens, s.top_k, s.experts,
            measure(s, seed).rows, 2 * s.experts);
}

static struct lesson_answer solve_twice(uint64_t seed)
{
    struct topk_sizes s = draw_sizes(seed);
    s.experts *= 2;
    return lesson_value((double)measure(s, seed).rows);
}

static struct lesson_answer twice_work(uint64_t seed)
{
    return lesson_value(2 * solve_twice(seed).value[0]);
}

static void trace_twice(uint64_t seed, FILE *out)
{
    struct topk_sizes s = draw_sizes(seed);
    fprintf(out, "           rows   idle  kept mass\n");
    for (int i = 0; i < 2; i++, s.experts *= 2) {
        struct measured m = measure(s, seed);
        fprintf(out, "E = %-4zu %6zu %6zu %10.3f\n", s.experts, m.rows,
                m.idle, m.kept);
    }
}

static const struct lesson lessons[] = {
    {"3.1", "Most experts sit idle on every token: that's the feature",
     "2.1.4", 6, "All experts have the same size. What share of the "
     "experts' parameters does one token use?", NULL, LESSON_NUMBER,
     0.005, {0},
     {"A token meets K experts.", "The layer holds E of them, all "
      "alike.", "K / E."},
     pose_sizes, solve_share, trace_share,
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
     {{"A tie goes to the lower expert number.", later_wins}}},
    {"3.3", "Top-2 routing throws away most of what the router said",
     "2.2.3", 7, "Is that so for this token? K = 2. What share of the "
     "router's probability is discarded? (Most is more than a half.)",
     NULL, LESSON_NUMBER, 0.005, {0},
     {"The exponential of ln n is n.", "Z is the sum of the six whole "
      "numbers.", "Add up the numbers that are not kept, divide by Z."},
     pose_mass, solve_mass, trace_mass,
     {{"That is the kept mass, not the discarded.", kept_mass}}},
    {"3.4", "Only the chosen experts compute, everyone else is silent",
     "2.2.4", 7, "How many rows do the experts compute in this batch, "
     "all together?", "rows", LESSON_NUMBER, 0, {0},
     {"Count token by token, not expert by expert.",
      "Each token is a row in each of the experts it goes to.",
      "K x T, however the tokens are spread."},
     pose_sizes, solve_calls, trace_calls,
     {{"That is the naive layer: every expert on every token.",
       all_calls},
      {"K is missing: a token goes to K experts.", calls_without_k}}},
    {"3.5", "Combine expert outputs: weighted sum, then move on",
     "2.2.5", 7, "K = 2, top-k then softmax. The first number of each "
     "expert's output is given, as if all had run. What is the first "
     "number of the layer's output?", NULL, LESSON_NUMBER, 0.05, {0},
     {"Only the two experts with the largest logits count.",
      "Their gates are n / (n + m), with n and m their whole numbers.",
      "Each gate times its expert's output, added up."},
     pose_mix, solve_mix, trace_mix,
     {{"The probabilities were not renormalized: the two gates must "
       "sum to 1.", without_renorm}}},
    {"3.6", "Twice the experts, twice the work", "2.1.4", 7,
     "The same tokens, the same K, twice the experts. How many rows do "
     "they compute now? (Guess, too, what becomes of the idle experts "
     "and of the kept mass: the trace tells.)",
     "rows", LESSON_NUMBER, 0, {0},
     {"What does a token know of the experts that it is not sent to?",
      "Count token by token: to how many experts does each go?",
      "K x T, before and after."},
     pose_twice, solve_twice, trace_twice,
     {{"A token still goes to K experts: E costs memory, not work.",
       twice_work}}},
};

const struct lesson_table lessons3 = {lessons,
                                      sizeof lessons / sizeof *lessons};
