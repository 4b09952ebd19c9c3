#include <math.h>
#include <string.h>
#include "fit.h"
#include "health.h"
#include "lesson.h"
#include "loss.h"

static void ask_the_untrained(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    size_t options = (size_t)8 << random_below(&r, 5);
    real z[128] = {0};
    size_t came = random_below(&r, options);
    struct matrix row = {1, options, z};
    double nats = loss_forward(row, row, &came, NULL);
    fprintf(l->given, "V = %zu characters, all logits 0\n", options);
    l->right = lesson_value(loss_bits(nats));
    l->wrong[0] = lesson_value(nats);
    l->wrong[1] = lesson_value((double)options / 2);
    l->wrong[2] = lesson_value(0);
    fprintf(l->way, "every p = 1 / %zu\n-log2 p = log2 %zu = %g\n",
            options, options, loss_bits(nats));
}

static double slope_left(size_t blocks, double scale,
                         struct random *r)
{
    enum { SYMBOLS = 20, TOKENS = 64 };
    size_t symbol[TOKENS], target[TOKENS];
    struct mlp_options o = {SYMBOLS, TOKENS, 4, 32, 32, blocks,
        FFN_TANH, NORM_NONE, 0, 0, sqrt(3.0 / 4), scale, 1};
    struct mlp mlp = mlp_new(o, r), grad = mlp_new(o, r);
    struct mlp_work *work = mlp_work_new(&o, TOKENS);
    for (size_t t = 0; t < TOKENS; t++) {
        symbol[t] = random_below(r, SYMBOLS);
        target[t] = random_below(r, SYMBOLS);
    }
    mlp_forward(&mlp, work, symbol, target, NULL);
    mlp_backward(&mlp, &grad, work, symbol);
    double left = health_of(&mlp, work, 0).slope
                / health_of(&mlp, work, blocks - 1).slope;
    mlp_free(&mlp), mlp_free(&grad), mlp_work_free(work);
    return left;
}

static void which_scale_dies(uint64_t seed, struct lesson_problem *l)
{
    static const double scales[] = {0.2, 0.3, 0.4, 0.5, 1, 4};
    struct random r = random_seeded(seed);
    size_t one, two, blocks;
    double left[2];
    do {
        one = random_below(&r, 6), two = random_below(&r, 6);
        blocks = 3 + random_below(&r, 4);
        left[0] = slope_left(blocks, scales[one], &r);
        left[1] = slope_left(blocks, scales[two], &r);
    } while (one == two || fabs(log(left[0] / 0.01)) < log(2)
             || fabs(log(left[1] / 0.01)) < log(2));
    int dies[2] = {left[0] < 0.01, left[1] < 0.01};
    fprintf(l->given, "%zu blocks of tanh, no residual, no norm\n"
            "stack 1: scale %g\nstack 2: scale %g\n", blocks,
            scales[one], scales[two]);
    l->right = lesson_value(dies[0] ? dies[1] ? 3 : 1
                                    : dies[1] ? 2 : 4);
    if (one == 5 || two == 5) /* the scale of 4 */
        l->wrong[0] = lesson_value(one == 5 ? 1 : 2);
    for (int i = 0; i < 2; i++) {
        double s = scales[i ? two : one];
        fprintf(l->way, "stack %d: 1.4 * %g * %g = %.3g a block, %zu "
                "times between first and last;\n"
                "         measured: %.2g of the slope is left%s\n",
                i + 1, s, s, 1.4 * s * s, blocks - 1, left[i],
                dies[i] ? ", dead" : "");
    }
    fprintf(l->way, "tanh takes the rest: its slope is at most one\n");
}

static void who_may_look(uint64_t seed, struct lesson_problem *l)
{
    static const char *const lines[] = {"12+07=910", "a(1,r,x);",
                                        "elizabeth", "98-45=350"};
    struct random r = random_seeded(seed);
    const char *line = lines[random_below(&r, 4)];
    size_t length = strlen(line), at = 2 + random_below(&r, length - 4);
    struct attention a = attention_new(8, 2, 1, &r);
    struct attention_work w = attention_work_new(length, length, 8, 2);
    struct matrix x = matrix_new(length, 8), y = matrix_new(length, 8),
                  z = matrix_new(length, 8);
    for (size_t i = 0; i < length * 8; i++)
        x.at[i] = (real)random_symmetric(&r, 1);
    attention_forward(&a, y, x, &w);
    for (size_t d = 0; d < 8; d++) matrix_row(x, at)[d] += 1;
    attention_forward(&a, z, x, &w);
    size_t moved = 0;
    for (size_t t = 0; t < length; t++)
        moved += memcmp(matrix_row(y, t), matrix_row(z, t),
                        8 * sizeof *z.at) != 0;
    fprintf(l->given, "text   %s\nplace  ", line);
    for (size_t t = 0; t < length; t++) fprintf(l->given, "%zu", t);
    fprintf(l->given, "\nchanged: the vector of '%c' at place %zu\n",
            line[at], at);
    l->right = lesson_value((double)moved);
    l->wrong[0] = lesson_value(1);
    l->wrong[1] = lesson_value((double)length);
    l->wrong[2] = lesson_value((double)(at + 1));
    if (moved == at + 1) l->wrong[2].count = 0;
    fprintf(l->way, "places %zu to %zu may look at place %zu: %zu\n",
            at, length - 1, at, moved);
    attention_free(&a), attention_work_free(&w);
    matrix_free(&x), matrix_free(&y), matrix_free(&z);
}

static void weigh_a_block(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    uint64_t width = 64 * (1 + random_below(&r, 8));
    uint64_t times = 3 + random_below(&r, 4);
    uint64_t ffn = ffn_parameters(width, times * width);
    uint64_t attention = attention_parameters(width);
    double share = 100 * (double)ffn / (double)(ffn + attention);
    fprintf(l->given, "D = %llu    H = %llu\n",
            (unsigned long long)width,
            (unsigned long long)(times * width));
    l->right = lesson_value(share);
    l->wrong[0] = lesson_value(50);
    l->wrong[1] = lesson_value(100 - share);
    l->wrong[2] = lesson_value(100 * (double)times
                               / (double)(times + 4));
    if (times == 4) l->wrong[2].count = 0; /* 50, too */
    fprintf(l->way, "attention  4 D D            = %9llu\n"
            "FFN        2 D H + H + D    = %9llu\n"
            "share                       = %9.1f %%\n",
            (unsigned long long)attention, (unsigned long long)ffn,
            share);
}

static void add_experts(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    struct moe_options o = {.width = 64, .hidden = 256, .top_k = 1};
    o.experts = (size_t)4 << random_below(&r, 4);
    double attention = (double)attention_parameters(o.width);
    double dense = attention
        + (double)ffn_parameters(o.width, o.hidden);
    double times = (attention + (double)moe_parameters(&o)) / dense;
    fprintf(l->given, "D = 64    H = 256    E = %zu    K = 1\n",
            o.experts);
    l->right = lesson_value(times);
    l->wrong[0] = lesson_value((double)o.experts);
    l->wrong[1] = lesson_value(1);
    fprintf(l->way, "attention %.0f, one FFN %.0f, layer %llu\n"
            "%.0f + %llu over %.0f = %.2f times as many\n"
            "a token's FLOPs: one expert, as before, and the router\n",
            attention, dense - attention,
            (unsigned long long)moe_parameters(&o), attention,
            (unsigned long long)moe_parameters(&o), dense, times);
}

static const struct lesson lessons[] = {
    {"7.1", "The first loss is known before the first step",
     "", 6, "Before its first step a model's logits are all nearly "
     "equal. What does it pay, in bits a character?", "bits",
     LESSON_NUMBER, 0.01, {0},
     {"Equal logits are equal probabilities: what is each?",
      "A model pays -log2 p for the character that came, whichever "
      "it is.", "How often must 1 be doubled to get V?"},
     ask_the_untrained,
     {"That is in nats, with the natural logarithm; a bit is log 2 of "
      "them.", "Not half of V: the logarithm of V.",
      "Nothing is paid only by who was sure and right."}},
    {"7.2", "What is multiplied often must be near one",
     "", 7, "In which of the two stacks does the slope that reaches "
     "the first block die: less than a hundredth of the last one's?",
     NULL, LESSON_CHOICE, 0,
     {"In stack 1", "In stack 2", "In both", "In neither"},
     {"How often is a slope multiplied between the last block and the "
      "first?",
      "A block multiplies it by 1.4 times the scale squared, or "
      "somewhat less, as long as its units are not saturated. How much "
      "is left after all blocks?",
      "Saturated units do not kill it: the few that are not pass it on "
      "many times larger."},
     which_scale_dies,
     {"Most of its units are saturated and pass nothing on, but the "
      "others multiply by large weights: slopes grow on the way."}},
    {"7.3", "A head looks back, never ahead", "", 6,
     "One token's vector is changed on its way into causal attention. "
     "At how many places of this text does what comes out change?",
     "places", LESSON_NUMBER, 0, {0},
     {"Which places have a weight for the changed one?",
      "Token i has weights for j <= i only.",
      "The place itself, and all places after it."},
     who_may_look,
     {"It is looked at by all tokens after it, too.",
      "Tokens before it cannot look ahead.",
      "Those are the places that it may look at; asked is who may look "
      "at it."}},
    {"7.4", "Most of a block's numbers are in its FFN", "", 7,
     "Which share of a block's parameters is the FFN's? (Leave out the "
     "gains of the normalization.)", "percent", LESSON_NUMBER, 1, {0},
     {"Attention has four matrices of D by D: for q, k, v and for what "
      "was fetched.", "The FFN has two, of D by H and of H by D.",
      "2 H / (2 H + 4 D), nearly."},
     weigh_a_block,
     {"They are equal only at H = 2 D.", "That is attention's share.",
      "The FFN has two matrices of D by H, not one."}},
    {"7.5", "Experts multiply the FFN, not the block", "", 7,
     "The FFN of a block, without a router, becomes a layer of E "
     "experts of its size. How many times as many parameters has the "
     "block then?", "times",
     LESSON_NUMBER, 0.2, {0},
     {"Attention stays as it is.",
      "One of the two parts becomes E times as large; the router is "
      "small.", "Attention is 4 D D, an FFN about 8 D D here: "
      "(4 + 8 E) / 12."},
     add_experts,
     {"Only the FFN is there E times; attention is there once.",
      "That is what a token's FLOPs do: they hardly change."}},
};

const struct lesson_table lessons7 = {lessons,
                                      sizeof lessons / sizeof *lessons};
