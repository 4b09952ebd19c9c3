/* Chapter 1: train a dense FFN on the sample text, then look inside. */
/* include what chapter 1 needs */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include "args.h"
#include "charlm.h"
#include "print.h"
#include "program.h"

/* set the knobs of chapter 1 */
static size_t tokens = 256, width = CHARLM_WIDTH,
    hidden = CHARLM_HIDDEN, activation = FFN_RELU,
    steps = CHARLM_STEPS, seed = LESSON_BOOK_SEED;
static double rate = CHARLM_RATE;

extern const struct lesson_table lessons1;

static const char *const activations[] = {"relu", "gelu", NULL};

/* list the options of chapter 1 */
static const struct args_option options[] = {
    {"--tokens", "characters to look at, T", ARGS_COUNT, &tokens,
     1, 100000, NULL},
    {"--width", "numbers per token, D", ARGS_COUNT, &width,
     1, 512, NULL},
    {"--hidden", "hidden units, H", ARGS_COUNT, &hidden,
     4, 4096, NULL},
    {"--activation", "the bend", ARGS_CHOICE, &activation,
     0, 0, activations},
    {"--steps", "training steps", ARGS_COUNT, &steps, 0, 100000, NULL},
    {"--rate", "training rate", ARGS_NUMBER, &rate, 0, 10, NULL},
    {"--seed", "of the random numbers", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

/* measure a block */
struct snapshot { double zero, dead, top, overlap, right, quarter; };

static struct charlm untrained, trained;
static struct charlm_work work;
static struct snapshot before, after;
static char text[100001];

/* compare the quarters of two tokens */
static double quarter_overlap(struct matrix kept)
{
    size_t here = 0, both = 0;
    for (size_t t = 0; t < kept.rows; t++) {
        size_t other = (t + kept.rows / 2) % kept.rows;
        for (size_t j = 0; j < kept.cols; j++) {
            int answers = matrix_row(kept, t)[j] != 0;
            here += (size_t)answers;
            both += answers && matrix_row(kept, other)[j] != 0;
        }
    }
    return here ? (double)both / (double)here : 0;
}

/* count the units that never answer */
static double dead_share(struct matrix h)
{
    size_t dead = 0;
    for (size_t j = 0; j < h.cols; j++) {
        int answers = 0;
        for (size_t t = 0; t < h.rows; t++)
            answers |= matrix_row(h, t)[j] != 0;
        dead += !answers;
    }
    return (double)dead / (double)h.cols;
}

static struct snapshot look(const struct charlm *model)
{
    struct matrix h = work.trace.hidden;
    struct snapshot s = {
        .right = charlm_accuracy(model, &work, text, hidden)};
    /* take the shares */
    s.zero = ffn_zero_share(h);
    s.dead = dead_share(h);
    s.top = ffn_top_share(&model->ffn, h, hidden / 4);
    s.quarter = charlm_accuracy(model, &work, text, hidden / 4);
    s.overlap = quarter_overlap(h); /* only the quarter is left in h */
    return s;
}

/* print the values of chapter 1 */
static void print_values(FILE *out)
{
    print_count(out, "ffn.tokens", tokens);
    print_count(out, "ffn.width", width);
    print_count(out, "ffn.hidden", hidden);
    print_count(out, "ffn.parameters", ffn_parameters(width, hidden));
    print_count(out, "ffn.flops_per_token",
                ffn_flops_per_token(width, hidden));
    /* print what the hidden units carry */
    print_value(out, "ffn.zero_share", after.zero);
    print_value(out, "ffn.zero_share_untrained", before.zero);
    print_value(out, "ffn.top_quarter_share", after.top);
    print_value(out, "ffn.top_quarter_share_untrained", before.top);
    /* print what else the hidden units show */
    print_value(out, "ffn.wasted_flops_share", after.zero / 2);
    print_value(out, "ffn.dead_share", after.dead);
    print_value(out, "ffn.quarter_overlap", after.overlap);
    print_value(out, "charlm.accuracy_quarter", after.quarter);
    /* print the values of the training */
    print_count(out, "charlm.context", CHARLM_CONTEXT);
    print_count(out, "charlm.symbols", text_symbols());
    print_count(out, "charlm.batch", CHARLM_BATCH);
    print_count(out, "charlm.steps", steps);
    print_value(out, "charlm.accuracy", after.right);
    print_value(out, "charlm.accuracy_untrained", before.right);
}

/* print the curve of kept units */
static void print_curve(FILE *out)
{
    enum { POINTS = 32 };
    double share[2][POINTS + 1];
    for (int side = 0; side < 2; side++) {
        const struct charlm *model = side ? &trained : &untrained;
        charlm_accuracy(model, &work, text, hidden);
        for (size_t i = 0; i <= POINTS; i++)
            share[side][i] = ffn_top_share(&model->ffn,
                work.trace.hidden, i * hidden / POINTS);
    }
    /* print the rows of the curve */
    fprintf(out, "# kept\tuntrained\ttrained\n");
    for (size_t i = 0; i <= POINTS; i++)
        fprintf(out, "%.6g\t%.6g\t%.6g\n", (double)(i * hidden / POINTS)
               / (double)hidden, share[0][i], share[1][i]);
}

/* print the traced run of chapter 1 */
static void print_run(FILE *out)
{
    fprintf(out, "A dense feed-forward block, "
            "T = %zu, D = %zu, H = %zu\n", tokens, width, hidden);
    /* show the text */
    print_part(out, "The text");
    for (size_t t = 0, lines = 0; t < tokens && lines < 6; t++) {
        int first = !t || text[t - 1] == '\n';
        fprintf(out, "%s%c", first ? "    " : "", text[t]);
        lines += text[t] == '\n';
    }
    /* show the shapes and the costs */
    print_part(out, "The shapes");
    fprintf(out, "    x       [%zu, %zu]  T, D\n", tokens, width);
    fprintf(out, "    hidden  [%zu, %zu]  T, H\n", tokens, hidden);
    fprintf(out, "    y       [%zu, %zu]  T, D\n", tokens, width);
    print_part(out, "The costs");
    fprintf(out, "    parameters       %8" PRIu64 "\n",
            ffn_parameters(width, hidden));
    fprintf(out, "    FLOPs per token  %8" PRIu64 "\n",
            ffn_flops_per_token(width, hidden));
    print_part(out, "What training changed");
    /* show what training changed */
    struct { const char *what; double before, after; } rows[] = {
        {"next characters guessed", before.right, after.right},
        {"  with the top quarter only", before.quarter, after.quarter},
        {"hidden units at zero", before.zero, after.zero},
        {"  for every token", before.dead, after.dead},
        {"carried by the top quarter", before.top, after.top},
        {"quarters shared by two tokens", before.overlap, after.overlap},
    };
    fprintf(out, "    %-30s %8s %8s\n", "", "before", "after");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        fprintf(out, "    %-30s %7.1f%% %7.1f%%\n", rows[i].what,
                100 * rows[i].before, 100 * rows[i].after);
}

/* main of chapter 1 */
/* Train a copy and keep the original, then look into both. */
static int prepare(void)
{
    struct random first = random_seeded(seed), random = first;
    untrained = charlm_new(width, hidden,
        (enum ffn_activation)activation, &first);
    trained = charlm_new(width, hidden,
        (enum ffn_activation)activation, &random);
    double loss = charlm_train(&trained, steps, rate, &random);
    if (!isfinite(loss)) {
        fprintf(stderr, "chapter1: training diverged at --rate %g "
                "(try --rate %g)\n", rate, rate / 4);
        return 1;
    }
    charlm_text(text, tokens + 1, seed);
    work = charlm_work_new(&trained, tokens);
    before = look(&untrained);
    after = look(&trained);
    return 0;
}

static void done(void)
{
    charlm_work_free(&work);
    charlm_free(&untrained), charlm_free(&trained);
}

int main(int argc, char **argv)
{
    static const struct args_table tables[] = {
        {"top-share", print_curve}, {0}};
    static const struct program program = {
        .name = "chapter1", .about = "train a dense FFN on the sample "
        "text, then look inside", .options = options,
        .lessons = &lessons1, .seed = &seed, .prepare = prepare,
        .run = print_run, .values = print_values, .tables = tables,
        .done = done};
    return program_main(&program, argc, argv);
}
