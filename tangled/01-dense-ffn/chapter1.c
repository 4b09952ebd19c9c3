/* Chapter 1: train a dense FFN on the sample text, then look inside. */
#include <math.h>
#include <stdio.h>
#include "look.h"
#include "print.h"
#include "program.h"

extern const struct lesson_table lessons1;

static size_t tokens = LOOK_TOKENS, width = CHARLM_WIDTH,
    hidden = CHARLM_HIDDEN, activation = FFN_RELU,
    steps = CHARLM_STEPS, seed = LESSON_BOOK_SEED;
static double rate = CHARLM_RATE;

static const char *const activations[] = {"relu", "gelu", NULL};
static const struct args_option options[] = {
    {"--tokens", "characters to look at, T", ARGS_COUNT, &tokens,
     1, 100000, NULL},
    {"--width", "numbers per token, D", ARGS_COUNT, &width,
     1, 512, NULL},
    {"--hidden", "hidden units, H", ARGS_COUNT, &hidden, 4, 4096, NULL},
    {"--activation", "the activation", ARGS_CHOICE, &activation,
     0, 0, activations},
    {"--steps", "training steps", ARGS_COUNT, &steps, 0, 100000, NULL},
    {"--rate", "training rate", ARGS_NUMBER, &rate, 0, 10, NULL},
    {"--seed", "of the random numbers", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

static struct charlm model[2]; /* untrained, trained */
static struct look seen[2];
static struct charlm_work work;
static char text[100001];
static size_t context = CHARLM_CONTEXT, batch = CHARLM_BATCH, symbols,
    parameters, flops; /* of sizes as above, 32 bits hold them */

static int prepare(void)
{
    struct random r = random_seeded(seed), same = r;
    int book = width == CHARLM_WIDTH && hidden == CHARLM_HIDDEN
        && activation == FFN_RELU && steps == CHARLM_STEPS
        && rate == CHARLM_RATE;
    model[0] = charlm_new(width, hidden, activation, &same);
    model[1] = book ? charlm_trained(seed)
                    : charlm_new(width, hidden, activation, &r);
    double loss = charlm_train(&model[1], book ? 0 : steps, rate, &r);
    if (!isfinite(loss)) {
        fprintf(stderr, "chapter1: training diverged at --rate %g "
                "(try --rate %g)\n", rate, rate / 4);
        return 1;
    }
    charlm_text(text, tokens + 1, seed);
    work = charlm_work_new(model, tokens);
    for (int i = 0; i < 2; i++)
        seen[i] = look_into(&model[i], &work, text);
    parameters = ffn_parameters(width, hidden);
    flops = ffn_flops_per_token(width, hidden);
    symbols = text_symbols();
    return 0;
}

static void done(void)
{
    charlm_work_free(&work);
    charlm_free(&model[0]), charlm_free(&model[1]);
}

static const struct program_value known[] = {
    {"ffn.tokens", &tokens, NULL},
    {"ffn.width", &width, NULL},
    {"ffn.hidden", &hidden, NULL},
    {"ffn.parameters", &parameters, NULL},
    {"ffn.flops_per_token", &flops, NULL},
    {"ffn.zero_share", NULL, &seen[1].zero},
    {"ffn.zero_share_untrained", NULL, &seen[0].zero},
    {"ffn.top_quarter_share", NULL, &seen[1].top},
    {"ffn.top_quarter_share_untrained", NULL, &seen[0].top},
    {"ffn.wasted_flops_share", NULL, &seen[1].wasted},
    {"ffn.dead_share", NULL, &seen[1].dead},
    {"ffn.quarter_overlap", NULL, &seen[1].overlap},
    {"charlm.accuracy_quarter", NULL, &seen[1].quarter},
    {"charlm.context", &context, NULL},
    {"charlm.symbols", &symbols, NULL},
    {"charlm.batch", &batch, NULL},
    {"charlm.steps", &steps, NULL},
    {"charlm.accuracy", NULL, &seen[1].right},
    {"charlm.accuracy_untrained", NULL, &seen[0].right},
    {0},
};

static void print_curve(FILE *out)
{
    enum { POINTS = 32 };
    double share[2][POINTS + 1];
    for (int i = 0; i < 2; i++) {
        charlm_accuracy(&model[i], &work, text, hidden);
        for (size_t n = 0; n <= POINTS; n++)
            share[i][n] = ffn_top_share(&model[i].ffn,
                work.trace.hidden, n * hidden / POINTS);
    }
    fprintf(out, "# kept\tuntrained\ttrained\n");
    for (size_t n = 0; n <= POINTS; n++)
        fprintf(out, "%.6g\t%.6g\t%.6g\n", (double)(n * hidden / POINTS)
                / (double)hidden, share[0][n], share[1][n]);
}

static void print_units(FILE *out)
{
    struct matrix h = work.trace.hidden;
    struct matrix all = matrix_new(tokens, hidden);
    charlm_accuracy(&model[1], &work, text, hidden);
    row_copy(all.at, h.at, tokens * hidden);
    ffn_keep(&model[1].ffn, h, hidden / 4);
    fprintf(out, "# token\tunit\tkept\tcharacter\n");
    for (size_t i = 0; i < tokens * hidden; i++)
        if (all.at[i] != 0)
            fprintf(out, "%zu\t%zu\t%d\t%s\n", i / hidden, i % hidden,
                    h.at[i] != 0, print_char(text[i / hidden]));
    matrix_free(&all);
}

static void print_run(FILE *out)
{
    const struct look *a = &seen[0], *b = &seen[1];
    struct { const char *what; double before, after; } rows[] = {
        {"next characters guessed", a->right, b->right},
        {"  with the top quarter only", a->quarter, b->quarter},
        {"hidden units at zero", a->zero, b->zero},
        {"  for every token", a->dead, b->dead},
        {"carried by the top quarter", a->top, b->top},
        {"quarters shared by two tokens", a->overlap, b->overlap},
    };
    fprintf(out, "A dense feed-forward block, "
            "T = %zu, D = %zu, H = %zu\n", tokens, width, hidden);
    print_part(out, "The text");
    for (size_t t = 0, lines = 0; t < tokens && lines < 6; t++) {
        int first = !t || text[t - 1] == '\n';
        fprintf(out, "%s%c", first ? "    " : "", text[t]);
        lines += text[t] == '\n';
    }
    print_part(out, "The shapes");
    fprintf(out, "    x       [%zu, %zu]  T, D\n", tokens, width);
    fprintf(out, "    hidden  [%zu, %zu]  T, H\n", tokens, hidden);
    fprintf(out, "    y       [%zu, %zu]  T, D\n", tokens, width);
    print_part(out, "The costs");
    fprintf(out, "    parameters       %8zu\n"
            "    FLOPs per token  %8zu\n", parameters, flops);
    print_part(out, "What training changed");
    fprintf(out, "    %-30s %8s %8s\n", "", "before", "after");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        fprintf(out, "    %-30s %7.1f%% %7.1f%%\n", rows[i].what,
                100 * rows[i].before, 100 * rows[i].after);
}

int main(int argc, char **argv)
{
    static const struct args_table tables[] = {
        {"top-share", print_curve}, {"units", print_units}, {0}};
    static const struct program program = {
        .name = "chapter1", .about = "train a dense FFN on the sample "
        "text, then look inside", .options = options,
        .lessons = &lessons1, .seed = &seed, .prepare = prepare,
        .run = print_run, .known = known, .tables = tables,
        .done = done};
    return program_main(&program, argc, argv);
}
