#include "lesson.h"
#include "look.h"

struct problem {
    size_t width, hidden, tokens, newlines, narrow, experts, top_k;
    double block, expert; /* FLOPs of a token */
};

static struct problem draw(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct problem p = {.width = 8 * (1 + random_below(&r, 8))};
    p.hidden = p.width * (random_below(&r, 2) ? 4 : 8);
    p.newlines = 3 + random_below(&r, 6);
    p.tokens = p.newlines * (6 + random_below(&r, 4));
    p.narrow = p.hidden / (random_below(&r, 2) ? 4 : 2);
    p.experts = random_below(&r, 2) ? 16 : 8;
    p.top_k = 1 + random_below(&r, 3);
    p.block = (double)ffn_flops_per_token(p.width, p.hidden);
    p.expert = (double)ffn_flops_per_token(p.width, p.narrow);
    return p;
}

static const struct look *look(uint64_t seed) /* untrained, trained */
{
    static struct look seen[2];
    static uint64_t of;
    if (of == seed && seen->zero > 0) return seen;
    struct random r = random_seeded(of = seed);
    struct charlm model = charlm_new(CHARLM_WIDTH, CHARLM_HIDDEN,
                                     FFN_RELU, &r);
    seen[0] = look_at(&model, seed), charlm_free(&model);
    model = charlm_trained(seed);
    seen[1] = look_at(&model, seed), charlm_free(&model);
    return seen;
}

#define ANSWER(name, value) \
    static struct lesson_answer name(uint64_t seed) { \
        struct problem p = draw(seed); \
        return (void)p, lesson_value(value); }
ANSWER(newlines_cost, p.newlines * p.block)
ANSWER(half_of_it, p.newlines * p.block / 2)
ANSWER(whole_text, p.tokens * p.block)
ANSWER(nothing, 0)
ANSWER(zeros, look(seed)[1].zero)
ANSWER(untrained_zeros, look(seed)[0].zero)
ANSWER(quarter, look(seed)[1].top)
ANSWER(untrained_quarter, look(seed)[0].top)
ANSWER(a_quarter, 0.25)
ANSWER(a_half, 0.5)
ANSWER(a_bit_more, 0.6)
ANSWER(experts_cost, p.top_k * p.expert / p.block)
ANSWER(all_experts, p.experts * p.expert / p.block)
ANSWER(as_wide, p.top_k)
ANSWER(of_all, (double)p.top_k / p.experts)

static void pose_text(uint64_t seed, FILE *out)
{
    struct problem p = draw(seed);
    fprintf(out, "D = %zu    H = %zu\nT = %zu characters, %zu of them "
            "newlines\n", p.width, p.hidden, p.tokens, p.newlines);
}

static void trace_text(uint64_t seed, FILE *out)
{
    struct problem p = draw(seed);
    fprintf(out, "up and down  2 D H + 2 H D = 4 x %zu x %zu = %.0f\n"
            "newlines     %zu x %.0f = %.0f\n", p.width, p.hidden,
            p.block, p.newlines, p.block, p.newlines * p.block);
}

static void pose_trained(uint64_t seed, FILE *out)
{
    fprintf(out, "T = %d    D = %d    H = %d    ReLU\n"
            "trained from seed %llu\n", LOOK_TOKENS, CHARLM_WIDTH,
            CHARLM_HIDDEN, (unsigned long long)seed);
}

static void trace_zeros(uint64_t seed, FILE *out)
{
    int all = LOOK_TOKENS * CHARLM_HIDDEN;
    fprintf(out, "zero       %.0f of T H = %d values\nuntrained  "
            "%.0f\n", look(seed)[1].zero * all, all,
            look(seed)[0].zero * all);
}

static void trace_quarter(uint64_t seed, FILE *out)
{
    const struct look *seen = look(seed); /* untrained, trained */
    fprintf(out, "kept       %d of %d units per token\nnot zero   "
            "%.1f, the weakest are left out\nuntrained  carries %.4f\n",
            CHARLM_HIDDEN / 4, CHARLM_HIDDEN,
            (1 - seen[1].zero) * CHARLM_HIDDEN, seen[0].top);
}

static void pose_mixture(uint64_t seed, FILE *out)
{
    struct problem p = draw(seed);
    fprintf(out, "D = %zu\ndense block  H = %zu\nexperts      H = %zu"
            "    E = %zu    K = %zu\n", p.width, p.hidden, p.narrow,
            p.experts, p.top_k);
}

static void trace_mixture(uint64_t seed, FILE *out)
{
    struct problem p = draw(seed);
    fprintf(out, "dense block  4 x %zu x %zu = %.0f\nexperts      "
            "%zu x 4 x %zu x %zu = %.0f\n", p.width, p.hidden, p.block,
            p.top_k, p.width, p.narrow, p.top_k * p.expert);
}

static const struct lesson rows[] = {
    {"1.1", "A dense FFN runs every neuron on every token, even when "
     "it shouldn't", "1.1.1", 6, "The block reads a text, its "
     "newlines, too. How many FLOPs does it spend on the newlines? "
     "Count both products; leave out biases and activation.",
     "FLOPs", LESSON_NUMBER, 0, {0},
     {"The block does not know which character a row stands for.",
      "A newline takes two products: D numbers up to H, and H down to "
      "D. Each has D x H multiplications and as many additions.",
      "The number of newlines x 4 x D x H."},
     pose_text, newlines_cost, trace_text,
     {{"A dense block skips nothing: a newline goes through both "
       "products like any character.", nothing},
      {"Half is missing: a product, or the additions.", half_of_it},
      {"That is the whole text.", whole_text}}},
    {"1.2", "The zeros after a ReLU are not coin flips", "1.1.1", 6,
     "The block is trained to guess the next character, then reads "
     "other text. What share of its hidden values is exactly zero "
     "after the ReLU? Answer with a number from 0 to 1.", NULL,
     LESSON_CONSTANT, 0.07, {0},
     {"Untrained weights are symmetric around zero, and so are the "
      "numbers that reach the ReLU.", "Training makes units answer to "
      "some characters and stay silent for the others.",
      "More than a half, less than nine tenths."},
     pose_trained, zeros, trace_zeros,
     {{"That is with random weights: coin flips.", untrained_zeros},
      {"Training goes further from the coin flips.", a_bit_more},
      {"That is GELU's: small numbers, but no exact zeros.", nothing}}},
    {"1.3", "Dense models pay for parameters they barely use", "2.1.1",
     6, "For each token, only the strongest quarter of the hidden "
     "units is kept. What share of the output's squared norm does not "
     "go missing? Answer with a number from 0 to 1.", NULL,
     LESSON_CONSTANT, 0.03, {0},
     {"More than a quarter: strengths are far from equal.",
      "Compare a quarter with the share of units that are not zero.",
      "Few units beyond the quarter answer at all, the weak ones."},
     pose_trained, quarter, trace_quarter,
     {{"So it is with random weights, where half of the units answer; "
       "trained, hardly more than a quarter.", untrained_quarter},
      {"Squaring favors the strong units: the quarter carries much "
       "more than half.", a_half},
      {"A quarter of the units is not a quarter of the output: their "
       "strengths are far from equal.", a_quarter}}},
    {"1.4", "An expert is just a feed-forward block, nothing more",
     "2.1.2", 6, "A dense block is replaced by a mixture of E experts; "
     "each token goes to K of them. How many times what it cost does a "
     "token cost now? Count experts only.", "times", LESSON_NUMBER,
     0.001, {0},
     {"What an expert costs is what any block of its width costs.",
      "Experts that a token does not go to cost it nothing.",
      "K x the expert's H, over the dense block's H."},
     pose_mixture, experts_cost, trace_mixture,
     {{"That is what all the experts would cost. A token runs only K "
       "of them.", all_experts},
      {"An expert is narrower than the dense block, and costs as much "
       "less.", as_wide},
      {"That is against a block that holds what all experts hold, not "
       "against the one that is given.", of_all}}},
};

const struct lesson_table lessons1 = {rows, sizeof rows / sizeof *rows};
