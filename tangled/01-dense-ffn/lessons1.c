#include "lesson.h"
#include "look.h"

struct sizes { size_t width, hidden, tokens, newlines, narrow, experts,
                      top_k; };

static struct sizes draw_sizes(uint64_t seed)
{
    struct random r = random_seeded(seed);
    struct sizes s = {.width = 8 * (1 + random_below(&r, 8))};
    s.hidden = s.width * (random_below(&r, 2) ? 4 : 8);
    s.newlines = 3 + random_below(&r, 6);
    s.tokens = s.newlines * (6 + random_below(&r, 4));
    s.narrow = s.hidden / (random_below(&r, 2) ? 4 : 2);
    s.experts = random_below(&r, 2) ? 16 : 8;
    s.top_k = 1 + random_below(&r, 3);
    return s;
}

static void spend_on_newlines(uint64_t seed, struct lesson_problem *l)
{
    struct sizes s = draw_sizes(seed);
    double one = (double)ffn_flops_per_token(s.width, s.hidden);
    double all = (double)s.newlines * one;
    fprintf(l->given, "D = %zu    H = %zu\nT = %zu characters, %zu of "
            "them newlines\n", s.width, s.hidden, s.tokens, s.newlines);
    l->right = lesson_value(all);
    l->wrong[0] = lesson_value(0);
    l->wrong[1] = lesson_value(all / 2);
    l->wrong[2] = lesson_value((double)s.tokens * one);
    fprintf(l->way, "up and down  2 D H + 2 H D = 4 x %zu x %zu = "
            "%.0f\nnewlines     %zu x %.0f = %.0f\n", s.width,
            s.hidden, one, s.newlines, one, all);
}

static void replace_the_block(uint64_t seed, struct lesson_problem *l)
{
    struct sizes s = draw_sizes(seed);
    double k = (double)s.top_k, e = (double)s.experts;
    double block = (double)ffn_flops_per_token(s.width, s.hidden);
    double expert = (double)ffn_flops_per_token(s.width, s.narrow);
    fprintf(l->given, "D = %zu\ndense block  H = %zu\nexperts      "
            "H = %zu    E = %zu    K = %zu\n", s.width, s.hidden,
            s.narrow, s.experts, s.top_k);
    l->right = lesson_value(k * expert / block);
    l->wrong[0] = lesson_value(e * expert / block);
    l->wrong[1] = lesson_value(k);
    l->wrong[2] = lesson_value(k / e);
    fprintf(l->way, "dense block  4 x %zu x %zu = %.0f\nexperts      "
            "%zu x 4 x %zu x %zu = %.0f\n", s.width, s.hidden, block,
            s.top_k, s.width, s.narrow, k * expert);
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

static void give_trained(uint64_t seed, struct lesson_problem *l)
{
    fprintf(l->given, "T = %d    D = %d    H = %d    ReLU\n"
            "trained from seed %llu\n", LOOK_TOKENS, CHARLM_WIDTH,
            CHARLM_HIDDEN, (unsigned long long)seed);
}

static void count_zeros(uint64_t seed, struct lesson_problem *l)
{
    const struct look *seen = look(seed);
    int n = LOOK_TOKENS * CHARLM_HIDDEN;
    give_trained(seed, l);
    l->right = lesson_value(seen[1].zero);
    l->wrong[0] = lesson_value(seen[0].zero);
    l->wrong[1] = lesson_value(0);
    fprintf(l->way, "zero       %.0f of T H = %d values\nuntrained  "
            "%.0f\n", seen[1].zero * n, n, seen[0].zero * n);
}

static void keep_a_quarter(uint64_t seed, struct lesson_problem *l)
{
    const struct look *seen = look(seed);
    give_trained(seed, l);
    l->right = lesson_value(seen[1].top);
    l->wrong[0] = lesson_value(seen[0].top);
    l->wrong[1] = lesson_value(0.5);
    l->wrong[2] = lesson_value(0.25);
    fprintf(l->way, "kept       %d of %d units per token\nnot zero   "
            "%.1f, the weakest are left out\nuntrained  carries %.4f\n",
            CHARLM_HIDDEN / 4, CHARLM_HIDDEN,
            (1 - seen[1].zero) * CHARLM_HIDDEN, seen[0].top);
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
     spend_on_newlines,
     {"A dense block skips nothing: a newline goes through both "
      "products like any character.",
      "Half is missing: a product, or the additions.",
      "That is the whole text."}},
    {"1.2", "The zeros after a ReLU are not coin flips", "1.1.1", 6,
     "The block is trained to guess the next character, then reads "
     "other text. What share of its hidden values is exactly zero "
     "after the ReLU? Answer with a number from 0 to 1.", NULL,
     LESSON_CONSTANT, 0.06, {0},
     {"Untrained weights are symmetric around zero, and so are the "
      "numbers that reach the ReLU.", "Training makes units answer to "
      "some characters and stay silent for the others.",
      "More than a half, less than nine tenths."},
     count_zeros,
     {"That is with random weights: coin flips.",
      "That is GELU's: small numbers, but no exact zeros."}},
    {"1.3", "Dense models pay for parameters they barely use", "2.1.1",
     6, "For each token, only the strongest quarter of the hidden "
     "units is kept. What share of the output's squared norm does not "
     "go missing? Answer with a number from 0 to 1.", NULL,
     LESSON_CONSTANT, 0.03, {0},
     {"More than a quarter: strengths are far from equal.",
      "Compare a quarter with the share of units that are not zero.",
      "Few units beyond the quarter answer at all, the weak ones."},
     keep_a_quarter,
     {"So it is with random weights, where half of the units answer; "
      "trained, hardly more than a quarter.",
      "Squaring favors the strong units: the quarter carries much "
      "more than half.",
      "A quarter of the units is not a quarter of the output: their "
      "strengths are far from equal."}},
    {"1.4", "An expert is just a feed-forward block, nothing more",
     "2.1.2", 6, "A dense block is replaced by a mixture of E experts; "
     "each token goes to K of them. A token's FLOPs are now those of "
     "how many dense blocks? Count experts only.", "dense blocks",
     LESSON_NUMBER, 0.001, {0},
     {"What an expert costs is what any block of its width costs.",
      "Experts that a token does not go to cost it nothing.",
      "K x the expert's H, over the dense block's H."},
     replace_the_block,
     {"That is what all the experts would cost. A token runs only K "
      "of them.",
      "An expert is narrower than the dense block, and costs as much "
      "less.",
      "That is against a block that holds what all experts hold, not "
      "against the one that is given."}},
};

const struct lesson_table lessons1 = {rows, sizeof rows / sizeof *rows};
