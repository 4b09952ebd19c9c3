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

static void share_experts(uint64_t seed, struct lesson_problem *l)
{
    struct topk_sizes s = draw_sizes(seed);
    uint64_t one = ffn_parameters(s.width, s.hidden);
    double used = (double)(s.top_k * one) / (double)(s.experts * one);
    fprintf(l->given, "T = %zu    E = %zu    K = %zu\n", s.tokens,
            s.experts, s.top_k);
    l->right = lesson_value(used);
    l->wrong[0] = lesson_value(1 - used);
    l->wrong[1] = lesson_value(1 / (double)s.experts);
    fprintf(l->way, "used  K / E = %zu / %zu = %.4f\n"
            "idle  E - K = %zu\n", s.top_k, s.experts, used,
            s.experts - s.top_k);
}

static void send_to_one(uint64_t seed, struct lesson_problem *l)
{
    struct drawn_ties d = drawn_ties(seed);
    l->right.count = l->wrong[0].count = DRAWN_TOKENS;
    for (size_t t = 0; t < DRAWN_TOKENS; t++) {
        const real *z = d.z + DRAWN_EXPERTS * t;
        size_t first = d.first[t], last = d.last[t];
        fprintf(l->given, "token %zu  logits %3g %3g %3g %3g\n", t,
                (double)z[0], (double)z[1], (double)z[2], (double)z[3]);
        l->right.value[t] = (double)first;
        l->wrong[0].value[t] = (double)last;
        fprintf(l->way, "token %zu  expert %zu%s\n", t, first,
                first == last ? "" : ", the lower of equals");
    }
}

static void discard_mass(uint64_t seed, struct lesson_problem *l)
{
    struct drawn_token d = drawn_token(seed, GATE_RENORM);
    size_t kept = d.n[d.expert[0]] + d.n[d.expert[1]];
    for (size_t e = 0; e < DRAWN_SIX; e++)
        fprintf(l->given, "expert %zu  logit ln %2zu\n", e, d.n[e]);
    l->right = lesson_value(1 - d.kept);
    l->wrong[0] = lesson_value(d.kept);
    fprintf(l->way, "Z = %zu\nkept       %zu / %zu = %.4f\n"
            "discarded  %zu / %zu = %.4f: %s\n", d.sum, kept, d.sum,
            d.kept, d.sum - kept, d.sum, 1 - d.kept,
            d.kept < 0.5 ? "most" : "not most");
}

static void mix_outputs(uint64_t seed, struct lesson_problem *l)
{
    struct drawn_token d = drawn_token(seed, GATE_RENORM);
    for (size_t e = 0; e < DRAWN_SIX; e++)
        fprintf(l->given, "expert %zu  logit ln %2zu  output %3g\n", e,
                d.n[e], d.out[e]);
    l->right = lesson_value(d.y);
    l->wrong[0] = lesson_value(drawn_token(seed, GATE_SOFTMAX).y);
    for (size_t k = 0; k < 2; k++)
        fprintf(l->way, "expert %zu  gate %.4f  x %3g = %8.3f\n",
                d.expert[k], d.gate[k], d.out[d.expert[k]],
                d.gate[k] * d.out[d.expert[k]]);
    fprintf(l->way, "sum %32.3f\n", d.y);
}

static struct topk run_layer(struct topk_sizes s, uint64_t seed)
{
    struct random random = random_seeded(seed);
    struct topk layer = topk_new(s, GATE_RENORM, 1, &random);
    struct matrix x = matrix_new(s.tokens, s.width);
    struct matrix y = matrix_new(s.tokens, s.width);
    for (size_t i = 0; i < x.rows * x.cols; i++)
        x.at[i] = (real)random_symmetric(&random, 2);
    topk_route(&layer, x);
    topk_forward(&layer, y, x);
    matrix_free(&x), matrix_free(&y);
    return layer;
}

static void count_rows(uint64_t seed, struct lesson_problem *l)
{
    struct topk_sizes s = draw_sizes(seed);
    struct topk layer = run_layer(s, seed);
    size_t naive = s.experts * s.tokens;
    fprintf(l->given, "T = %zu    E = %zu    K = %zu\n", s.tokens,
            s.experts, s.top_k);
    l->right = lesson_value((double)layer.expert_rows);
    l->wrong[0] = lesson_value((double)naive);
    l->wrong[1] = lesson_value((double)s.tokens);
    fprintf(l->way, "K T = %zu x %zu = %zu\n"
            "naive: E T = %zu x %zu = %zu\n", s.top_k, s.tokens,
            s.top_k * s.tokens, s.experts, s.tokens, naive);
    topk_free(&layer);
}

static void double_experts(uint64_t seed, struct lesson_problem *l)
{
    struct topk_sizes s = draw_sizes(seed);
    fprintf(l->given, "T = %zu    K = %zu\n", s.tokens, s.top_k);
    fprintf(l->way, "           rows   idle  kept mass\n");
    for (int twice = 0; twice < 2; twice++, s.experts *= 2) {
        struct topk layer = run_layer(s, seed);
        size_t rows = layer.expert_rows;
        fprintf(l->given, "E = %-3zu  ", s.experts);
        if (twice) fprintf(l->given, "   ? rows\n");
        else fprintf(l->given, "%4zu rows\n", rows);
        l->right = lesson_value((double)rows);
        l->wrong[0] = lesson_value(2 * (double)rows);
        fprintf(l->way, "E = %-4zu %6zu %6zu %10.3f\n", s.experts, rows,
                s.experts - rows / s.tokens,
                routes_kept(&layer.routes, layer.p));
        topk_free(&layer);
    }
}

static const struct lesson rows[] = {
    {"3.1", "Most experts sit idle on every token: that's the feature",
     "2.1.4", 6, "All experts have the same size. What share of the "
     "experts' parameters does one token use?", NULL, LESSON_NUMBER,
     0.005, {0},
     {"A token meets K experts.", "The layer holds E of them, all "
      "alike.", "K / E."},
     share_experts,
     {"That is the share that sits idle.",
      "A token goes to K experts, not to one."}},
    {"3.2", "Switch routing sends each token to exactly one expert",
     "1.2.2", 6, "K = 1. Which expert gets each of the five tokens? "
     "Answer with five expert numbers, in the order of the tokens.",
     NULL, LESSON_EXPERTS, 0, {0},
     {"No softmax is needed: it keeps the order.",
      "In each row, find the largest logit. Experts count from 0.",
      "Two are equally large? The lower expert number wins."},
     send_to_one, {"A tie goes to the lower expert number."}},
    {"3.3", "Top-2 routing throws away most of what the router said",
     "2.2.3", 7, "Is that so for this token? K = 2. What share of the "
     "router's probability is discarded? (Most is more than a half.)",
     NULL, LESSON_NUMBER, 0.005, {0},
     {"The exponential of ln n is n.", "Z is the sum of the six whole "
      "numbers.", "Add up the numbers that are not kept, divide by Z."},
     discard_mass, {"That is the kept mass, not the discarded."}},
    {"3.4", "Only the chosen experts compute, everyone else is silent",
     "2.2.4", 7, "How many rows do the experts compute in this batch, "
     "all together?", "rows", LESSON_NUMBER, 0, {0},
     {"Count token by token, not expert by expert.",
      "Each token is a row in each of the experts it goes to.",
      "K x T, however the tokens are spread."},
     count_rows,
     {"That is the naive layer: every expert on every token.",
      "K is missing: a token goes to K experts."}},
    {"3.5", "Combine expert outputs: weighted sum, then move on",
     "2.2.5", 7, "K = 2, top-k then softmax. The first number of each "
     "expert's output is given, as if all had run. What is the first "
     "number of the layer's output?", NULL, LESSON_NUMBER, 0.05, {0},
     {"Only the two experts with the largest logits count.",
      "Their gates are n / (n + m), with n and m their whole numbers.",
      "Each gate times its expert's output, added up."},
     mix_outputs,
     {"The probabilities were not renormalized: the two gates must "
      "sum to 1."}},
    {"3.6", "Twice the experts, twice the work", "2.1.4", 7,
     "The same tokens, the same K, twice the experts. How many rows do "
     "they compute now? (Guess, too, what becomes of the idle experts "
     "and of the kept mass: the trace tells.)",
     "rows", LESSON_NUMBER, 0, {0},
     {"What does a token know of the experts that it is not sent to?",
      "Count token by token: to how many experts does each go?",
      "K x T, before and after."},
     double_experts,
     {"A token still goes to K experts: E costs memory, not work."}},
};

const struct lesson_table lessons3 = {rows, sizeof rows / sizeof *rows};
