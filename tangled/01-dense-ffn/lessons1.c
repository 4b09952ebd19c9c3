#include "charlm.h"
#include "lesson.h"

/* draw the sizes of a block */
struct sizes { size_t width, hidden, experts, top_k; };

static struct sizes draw_sizes(uint64_t seed)
{
    struct random r = random_seeded(seed);
    size_t width = 8 * (1 + random_below(&r, 8));
    size_t hidden = width * (2 + random_below(&r, 3));
    size_t experts = 4 + random_below(&r, 13);
    return (struct sizes){width, hidden, experts,
                          1 + random_below(&r, 3)};
}

/* teach lesson 1.1, what a token costs */
/* pose and solve a token's cost */
static void pose_block(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "D = %zu    H = %zu\n", s.width, s.hidden);
}

static struct lesson_answer solve_flops(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    return lesson_value((double)ffn_flops_per_token(s.width, s.hidden));
}

/* show how a token's cost adds up */
static void trace_flops(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    size_t product = 2 * s.width * s.hidden;
    fprintf(out, "up    [1, %zu] x [%zu, %zu]  2 D H = %zu\n",
            s.width, s.width, s.hidden, product);
    fprintf(out, "down  [1, %zu] x [%zu, %zu]  2 H D = %zu\n",
            s.hidden, s.hidden, s.width, product);
    fprintf(out, "sum                        4 D H = %zu\n",
            2 * product);
}

/* miscount a token's cost */
static struct lesson_answer half_the_flops(uint64_t seed)
{
    return lesson_value(solve_flops(seed).value[0] / 2);
}

static struct lesson_answer count_parameters(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    return lesson_value((double)ffn_parameters(s.width, s.hidden));
}

/* teach lessons 1.2 and 1.3, what hidden units carry */
/* see what a trained block holds */
enum { LOOK = 256 }; /* characters that the lessons look at */

struct seen { double zero, top; };

/* look into a trained block */
static struct seen train_and_look(uint64_t seed)
{
    char text[LOOK + 1];
    struct charlm model = charlm_trained(seed);
    struct charlm_work work = charlm_work_new(&model, LOOK);
    charlm_text(text, sizeof text, seed);
    charlm_accuracy(&model, &work, text, CHARLM_HIDDEN);
    struct matrix h = work.trace.hidden;
    struct seen s = {ffn_zero_share(h),
                     ffn_top_share(&model.ffn, h, h.cols / 4)};
    charlm_work_free(&work), charlm_free(&model);
    return s;
}

/* look only once */
static struct seen look_inside(uint64_t seed)
{
    static struct { uint64_t seed; struct seen seen; int known; } last;
    if (!last.known || last.seed != seed) {
        last.seen = train_and_look(seed);
        last.seed = seed, last.known = 1;
    }
    return last.seen;
}

/* pose a trained block */
static void pose_trained(uint64_t seed, FILE *out)
{
    fprintf(out, "T = %d    D = %d    H = %d    ReLU\n"
            "trained from seed %llu\n", LOOK, CHARLM_WIDTH,
            CHARLM_HIDDEN, (unsigned long long)seed);
}

/* solve the two shares */
static struct lesson_answer solve_zeros(uint64_t seed)
{
    return lesson_value(look_inside(seed).zero);
}

static struct lesson_answer solve_quarter(uint64_t seed)
{
    return lesson_value(look_inside(seed).top);
}

/* show how many values are zero */
static void trace_zeros(uint64_t seed, FILE *out)
{
    double zero = look_inside(seed).zero;
    fprintf(out, "hidden values  T H = %d\n", LOOK * CHARLM_HIDDEN);
    fprintf(out, "zero           %.0f, a share of %.3f\n",
            zero * LOOK * CHARLM_HIDDEN, zero);
}

/* show what the strongest quarter carries */
static void trace_quarter(uint64_t seed, FILE *out)
{
    struct seen s = look_inside(seed);
    fprintf(out, "units kept     %d of %d per token, the strongest\n",
            CHARLM_HIDDEN / 4, CHARLM_HIDDEN);
    fprintf(out, "units not zero %.1f per token\n",
            (1 - s.zero) * CHARLM_HIDDEN);
    fprintf(out, "share carried  %.4f\n", s.top);
}

/* guess a half or a quarter */
static struct lesson_answer a_half(uint64_t seed)
{
    (void)seed;
    return lesson_value(0.5);
}

static struct lesson_answer a_quarter(uint64_t seed)
{
    (void)seed;
    return lesson_value(0.25);
}

/* guess nothing */
static struct lesson_answer nothing(uint64_t seed)
{
    (void)seed;
    return lesson_value(0);
}

/* teach lesson 1.4, what a token uses */
/* pose and solve what a token uses */
static void pose_experts(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    fprintf(out, "D = %zu    H = %zu    E = %zu    K = %zu\n",
            s.width, s.hidden, s.experts, s.top_k);
}

static struct lesson_answer solve_used(uint64_t seed)
{
    return lesson_value((double)draw_sizes(seed).top_k
                     * count_parameters(seed).value[0]);
}

/* show what a token uses */
static void trace_used(uint64_t seed, FILE *out)
{
    struct sizes s = draw_sizes(seed);
    size_t one = (size_t)ffn_parameters(s.width, s.hidden);
    fprintf(out, "one expert  2 D H + H + D = %zu\n", one);
    fprintf(out, "held        %zu x %zu = %zu\n", s.experts, one,
            s.experts * one);
    fprintf(out, "used        %zu x %zu = %zu\n", s.top_k, one,
            s.top_k * one);
}

/* miscount what a token uses */
static struct lesson_answer all_experts(uint64_t seed)
{
    return lesson_value((double)draw_sizes(seed).experts
                     * count_parameters(seed).value[0]);
}

static struct lesson_answer without_biases(uint64_t seed)
{
    struct sizes s = draw_sizes(seed);
    return lesson_value((double)(s.top_k * 2 * s.width * s.hidden));
}

/* lessons of chapter 1 */
static const struct lesson rows[] = {
    {"1.1", "A dense FFN runs every neuron on every token, "
     "even when it shouldn't", "1.1.1", 6,
     "How many floating-point operations does this block spend on one "
     "token? Count both products, biases and bend left out.", "FLOPs",
     LESSON_NUMBER, 0, {0},
     {"Two products: D numbers up to H, then H numbers down to D.",
      "A product of [1, D] with [D, H] has D x H multiplications and "
      "as many additions.", "4 x D x H."},
     pose_block, solve_flops, trace_flops,
     {{"One of the two products, or a multiplication and its addition "
       "counted as one.", half_the_flops},
      {"That is the number of parameters. Each weight is multiplied "
       "and added once, so it costs two.", count_parameters}}},
    {"1.2", "The zeros after a ReLU are not coin flips", "1.1.1", 6,
     "The block is trained to guess the next character, then reads "
     "other text. What share of its hidden values is exactly zero "
     "after the ReLU? Answer with a number from 0 to 1.", NULL,
     LESSON_CONSTANT, 0.1, {0},
     {"Untrained weights are symmetric around zero, and so are the "
      "numbers that reach the ReLU.",
      "Training makes units answer to some characters and stay silent "
      "for the others.", "More than a half, less than nine tenths."},
     pose_trained, solve_zeros, trace_zeros,
     {{"That is the share with random weights: coin flips.", a_half},
      {"That is GELU's: small numbers, but no exact zeros.", nothing}}},
    {"1.3", "Dense models pay for parameters they barely use", "2.1.1",
     6, "For each token, only the strongest quarter of the hidden "
     "units is kept. What share of the output's squared norm does not "
     "go missing? Answer with a number from 0 to 1.", NULL,
     LESSON_CONSTANT, 0.03, {0},
     {"More than a quarter: strengths are far from equal.",
      "Compare a quarter with the share of units that are not zero at "
      "all.", "Only a few units beyond the quarter answer at all, and "
      "they are the weak ones."},
     pose_trained, solve_quarter, trace_quarter,
     {{"A quarter of the units is not a quarter of the output: their "
       "strengths are far from equal.", a_quarter},
      {"Squaring favors the strong units: the quarter carries much "
       "more than half.", a_half}}},
    {"1.4", "An expert is just a feed-forward block, nothing more",
     "2.1.2", 6, "A mixture holds E experts and sends each token to K "
     "of them. How many expert parameters does one token use, biases "
     "included?", "parameters", LESSON_NUMBER, 0, {0},
     {"Start with one block.", "One block has 2 D H weights and H + D "
      "biases.", "K x (2 D H + H + D)."},
     pose_experts, solve_used, trace_used,
     {{"That is what the mixture holds, not what a token uses.",
       all_experts},
      {"The biases are missing: H + D for each expert used.",
       without_biases}}},
};

const struct lesson_table lessons1 = {rows, sizeof rows / sizeof *rows};
