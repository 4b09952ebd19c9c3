#include <math.h>
#include <string.h>
#include "lesson.h"
#include "topk.h"

struct sizes { size_t width, experts, top_k, tokens; };

static struct sizes draw_sizes(uint64_t seed)
{
    struct random r = random_seeded(seed);
    size_t width = 4 * (1 + random_below(&r, 4));
    size_t experts = 8 + 4 * random_below(&r, 6);
    size_t top_k = 2 + random_below(&r, 2);
    return (struct sizes){width, experts, top_k,
                          10 * (2 + random_below(&r, 9))};
}

static void pose_sizes(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "T = %zu    E = %zu    K = %zu\n", s.tokens, s.experts,
            s.top_k);
}

static struct lesson_answer solve_share(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    uint64_t one = ffn_parameters(s.width, 4 * s.width);
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
    struct sizes s = draw_sizes(seed);
    fprintf(out, "used   K = %zu experts\nidle   E - K = %zu experts\n"
            "share  K / E = %zu / %zu = %.4f\n", s.top_k,
            s.experts - s.top_k, s.top_k, s.experts,
            solve_share(seed).value[0]);
}

enum { FIVE = 5, FOUR = 4 };
struct five { real z[FIVE * FOUR]; struct lesson_answer first, last; };

static struct five draw_five(uint64_t seed)
{
    struct random random = random_seeded(seed);
    struct five f = {{0}, {FIVE, {0}}, {FIVE, {0}}};
    struct routes r = routes_new(FIVE, FOUR, 1);
    int alike;
    do {
        alike = 0;
        for (size_t i = 0; i < FIVE * FOUR; i++)
            f.z[i] = (real)random_below(&random, 7) - 3;
        routes_select(&r, (struct matrix){FIVE, FOUR, f.z});
        for (size_t t = 0; t < FIVE; t++) {
            const real *row = f.z + t * FOUR, most = row[r.expert[t]];
            f.first.value[t] = (double)r.expert[t];
            for (size_t e = 0; e < FOUR; e++)
                if (row[e] == most) f.last.value[t] = (double)e;
            for (size_t s = 0; s < t; s++)
                alike |= !memcmp(row, f.z + s * FOUR, FOUR * sizeof *row);
        }
    } while (alike || lesson_passes(0, f.first, f.last));
    routes_free(&r);
    return f;
}

static void pose_five(uint64_t seed, FILE *out)
{
    struct five f = draw_five(seed);
    for (size_t t = 0; t < FIVE; t++)
        fprintf(out, "token %zu  logits %3g %3g %3g %3g\n", t,
                (double)f.z[FOUR * t], (double)f.z[FOUR * t + 1],
                (double)f.z[FOUR * t + 2], (double)f.z[FOUR * t + 3]);
}

static struct lesson_answer solve_five(uint64_t seed)
{
    return draw_five(seed).first;
}

static struct lesson_answer later_wins(uint64_t seed)
{
    return draw_five(seed).last;
}

static void trace_five(uint64_t seed, FILE *out)
{
    struct five f = draw_five(seed);
    for (size_t t = 0; t < FIVE; t++) {
        size_t e = (size_t)f.first.value[t];
        fprintf(out, "token %zu  largest logit %2g  expert %zu%s\n", t,
                (double)f.z[FOUR * t + e], e,
                f.first.value[t] == f.last.value[t] ? "" : ", by the tie");
    }
}

enum { SIX = 6 };
struct token { size_t n[SIX], sum, expert[2];
               double out[SIX], gate[2], kept, y; };

static struct token draw_token(uint64_t seed, enum routes_gate gate)
{
    struct random r = random_seeded(seed);
    struct token w = {.sum = 0};
    real z[SIX], p[SIX];
    struct matrix logits = {1, SIX, z}, soft = {1, SIX, p};
    struct routes routes = routes_new(1, SIX, 2);
    size_t sure = random_below(&r, 2), least = 3 + random_below(&r, 4);
    size_t step = 2 + random_below(&r, 4), other = random_below(&r, 6);
    double sign = random_below(&r, 2) ? 8 : -8;
    for (size_t i = 0; i < SIX; i++) {
        size_t e = (i + 1) * step % 7 - 1;
        w.n[e] = !sure ? least + i : i < 4 ? 1 + i / 3 : least * (i - 3);
        w.sum += w.n[e];
        w.out[e] = sign * (double)((i + 1) * (other + 1) % 7);
        z[e] = (real)log((double)w.n[e]);
    }
    routes_fill(&routes, gate, soft, logits);
    w.kept = routes_kept(&routes, soft);
    for (size_t k = 0; k < 2; k++) {
        w.expert[k] = routes.expert[k];
        w.gate[k] = (double)routes.gate.at[k];
        w.y += w.gate[k] * w.out[w.expert[k]];
    }
    routes_free(&routes);
    return w;
}

static void pose_mass(uint64_t seed, FILE *out)
{
    struct token w = draw_token(seed, GATE_RENORM);
    fprintf(out, "expert      0     1     2     3     4     5\nlogit  ");
    for (size_t e = 0; e < SIX; e++) fprintf(out, " ln %2zu", w.n[e]);
    fprintf(out, "\n");
}

static struct lesson_answer kept_mass(uint64_t seed)
{
    return lesson_value(draw_token(seed, GATE_RENORM).kept);
}

static struct lesson_answer solve_mass(uint64_t seed)
{
    return lesson_value(1 - draw_token(seed, GATE_RENORM).kept);
}

static void trace_mass(uint64_t seed, FILE *out)
{
    struct token w = draw_token(seed, GATE_RENORM);
    size_t kept = w.n[w.expert[0]] + w.n[w.expert[1]];
    fprintf(out, "Z = %zu\nkept       %zu / %zu = %.4f\n"
            "discarded  %zu / %zu = %.4f: %s\n", w.sum, kept, w.sum,
            w.kept, w.sum - kept, w.sum, 1 - w.kept,
            w.kept < 0.5 ? "most" : "not most");
}

static void pose_mix(uint64_t seed, FILE *out)
{
    struct token w = draw_token(seed, GATE_RENORM);
    pose_mass(seed, out);
    fprintf(out, "output ");
    for (size_t e = 0; e < SIX; e++) fprintf(out, " %5g", w.out[e]);
    fprintf(out, "\n");
}

static struct lesson_answer solve_mix(uint64_t seed)
{
    return lesson_value(draw_token(seed, GATE_RENORM).y);
}

static struct lesson_answer without_renorm(uint64_t seed)
{
    return lesson_value(draw_token(seed, GATE_SOFTMAX).y);
}

static void trace_mix(uint64_t seed, FILE *out)
{
    struct token w = draw_token(seed, GATE_RENORM);
    for (size_t k = 0; k < 2; k++)
        fprintf(out, "expert %zu  gate %.4f  x %3g = %8.3f\n",
                w.expert[k], w.gate[k], w.out[w.expert[k]],
                w.gate[k] * w.out[w.expert[k]]);
    fprintf(out, "sum %32.3f\n", w.y);
}

struct measured { size_t rows, idle; double kept; };

static struct measured measure(struct sizes s, uint64_t seed)
{
    struct random random = random_seeded(seed);
    struct matrix z = matrix_new(s.tokens, s.experts);
    struct matrix p = matrix_new(s.tokens, s.experts);
    struct matrix x = matrix_new(s.tokens, s.width);
    struct matrix y = matrix_new(s.tokens, s.width);
    struct routes r = routes_new(s.tokens, s.experts, s.top_k);
    struct topk_work work = topk_work_new(s.tokens, s.width, s.width);
    struct ffn *experts = topk_experts_new(s.experts, s.width, s.width,
                                           &random);
    for (size_t i = 0; i < z.rows * z.cols; i++)
        z.at[i] = (real)random_symmetric(&random, 2);
    routes_fill(&r, GATE_RENORM, p, z);
    topk_forward(y, x, &r, experts, &work);
    struct measured m = {work.expert_rows,
        s.experts - work.expert_rows / s.tokens, routes_kept(&r, p)};
    matrix_free(&z), matrix_free(&p), matrix_free(&x), matrix_free(&y);
    topk_work_free(&work), topk_experts_free(experts, s.experts);
    routes_free(&r);
    return m;
}

static struct lesson_answer solve_calls(uint64_t seed)
{
    return lesson_value((double)measure(draw_sizes(seed), seed).rows);
}

static struct lesson_answer all_calls(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    return lesson_value((double)(s.experts * s.tokens));
}

static struct lesson_answer calls_without_k(uint64_t seed)
{
    return lesson_value((double)draw_sizes(seed).tokens);
}

static void trace_calls(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "K T = %zu x %zu = %zu\n"
            "naive: E T = %zu x %zu = %zu\n",
            s.top_k, s.tokens, s.top_k * s.tokens, s.experts, s.tokens,
            s.experts * s.tokens);
}

static void pose_twice(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    pose_sizes(seed, out);
    fprintf(out, "rows  %zu\n\nthen E = %zu\n", measure(s, seed).rows,
            2 * s.experts);
}

static struct lesson_answer solve_twice(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    s.experts *= 2;
    return lesson_value((double)measure(s, seed).rows);
}

static struct lesson_answer twice_work(uint64_t seed)
{
    return lesson_value(2 * solve_twice(seed).value[0]);
}

static void trace_twice(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
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
     {{"A tie goes to the lower expert, not to the later one.",
       later_wins}}},
    {"3.3", "Top-2 routing throws away most of what the router said",
     "2.2.3", 7, "Is that so for this token? K = 2. What share of the "
     "router's probability is discarded? (Most is more than a half.)",
     NULL, LESSON_NUMBER, 0.005, {0},
     {"The exponential of ln n is n.", "Z is the sum of the six whole "
      "numbers.", "Add up the numbers that are not kept, divide by Z."},
     pose_mass, solve_mass, trace_mass,
     {{"That is the kept mass; the discarded is the rest.",
       kept_mass}}},
    {"3.4", "Only the chosen experts compute, everyone else is silent",
     "2.2.4", 7, "How many rows do the experts compute in this batch, "
     "all together?", "rows", LESSON_NUMBER, 0, {0},
     {"Count token by token, not expert by expert.",
      "Each token is a row in each of the experts it goes to.",
      "K x T, however the tokens are spread."},
     pose_sizes, solve_calls, trace_calls,
     {{"That is the naive layer: every expert on every token.",
       all_calls},
      {"K is missing: each token goes to K experts.",
       calls_without_k}}},
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
     "An untrained layer is made again with twice the experts; the "
     "tokens and K stay. How many rows do the experts compute now? And "
     "before you look: what of the idle experts, and the kept mass?",
     "rows", LESSON_NUMBER, 0, {0},
     {"What does a token know of the experts that it is not sent to?",
      "Count token by token: to how many experts does each go?",
      "K x T, before and after."},
     pose_twice, solve_twice, trace_twice,
     {{"Each token still goes to K experts. E is in the memory that "
       "the layer takes, not in its work.", twice_work}}},
};

const struct lesson_table lessons3 = {lessons,
                                      sizeof lessons / sizeof *lessons};
