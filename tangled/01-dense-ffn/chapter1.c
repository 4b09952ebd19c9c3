/* Chapter 1: train a dense FFN on the sample text, then look inside. */
/* include what chapter 1 needs */
#include <math.h>
#include <stdio.h>
#include "args.h"
#include "charlm.h"
#include "lesson.h"
#include "print.h"
#include "text.h"

/* set the knobs of chapter 1 */
static size_t tokens = 256, width = CHARLM_WIDTH,
    hidden = CHARLM_HIDDEN, activation = FFN_RELU,
    steps = CHARLM_STEPS, seed = LESSON_BOOK_SEED;
static double rate = CHARLM_RATE;

extern const struct lesson_table lessons1;

static const char *const activations[] = {"relu", "gelu", NULL};
static const char *const tables[] = {"top-share", NULL};

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

static struct snapshot look(const struct charlm *model,
                            struct charlm_work *work, const char *text)
{
    struct matrix h = work->trace.hidden;
    struct snapshot s = {
        .right = charlm_accuracy(model, work, text, hidden)};
    /* take the shares */
    s.zero = ffn_zero_share(h);
    s.dead = dead_share(h);
    s.top = ffn_top_share(&model->ffn, h, hidden / 4);
    s.quarter = charlm_accuracy(model, work, text, hidden / 4);
    s.overlap = quarter_overlap(h); /* only the quarter is left in h */
    return s;
}

/* print the values of chapter 1 */
static void print_values(struct snapshot before, struct snapshot after)
{
    FILE *out = stdout;
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
static void print_curve(const struct charlm *before,
                        const struct charlm *after,
                        struct charlm_work *work, const char *text)
{
    enum { POINTS = 32 };
    double share[2][POINTS + 1];
    for (int side = 0; side < 2; side++) {
        const struct charlm *model = side ? after : before;
        charlm_accuracy(model, work, text, hidden);
        for (size_t i = 0; i <= POINTS; i++)
            share[side][i] = ffn_top_share(&model->ffn,
                work->trace.hidden, i * hidden / POINTS);
    }
    /* print the rows of the curve */
    printf("# kept\tuntrained\ttrained\n");
    for (size_t i = 0; i <= POINTS; i++)
        printf("%.6g\t%.6g\t%.6g\n", (double)(i * hidden / POINTS)
               / (double)hidden, share[0][i], share[1][i]);
}

/* print the traced run of chapter 1 */
static void print_run(const char *text, struct snapshot before,
                      struct snapshot after)
{
    FILE *out = stdout;
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
    fprintf(out, "    parameters       %8zu\n",
            ffn_parameters(width, hidden));
    fprintf(out, "    FLOPs per token  %8zu\n",
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
int main(int argc, char **argv)
{
    const struct args args = {"chapter1",
        "train a dense FFN on the sample text, then look inside",
        options, tables};
    struct args_request request = args_parse(&args, argc, argv);
    if (request.output == ARGS_LESSONS) {
        lesson_list(stdout, &lessons1, seed);
        return print_end(args.program);
    }
    /* train a copy and keep the original */
    struct random first = random_seeded(seed), random = first;
    struct charlm before = charlm_new(width, hidden,
        (enum ffn_activation)activation, &first);
    struct charlm after = charlm_new(width, hidden,
        (enum ffn_activation)activation, &random);
    double loss = charlm_train(&after, steps, rate, &random);
    if (!isfinite(loss)) {
        fprintf(stderr, "chapter1: training diverged at --rate %g "
                "(try --rate %g)\n", rate, rate / 4);
        return 1;
    }
    /* print what was asked for */
    static char text[100001];
    charlm_text(text, tokens + 1, seed);
    struct charlm_work work = charlm_work_new(&after, tokens);
    struct snapshot was = look(&before, &work, text);
    struct snapshot is = look(&after, &work, text);
    if (request.output == ARGS_VALUES) print_values(was, is);
    else if (request.output == ARGS_DATA)
        print_curve(&before, &after, &work, text);
    else print_run(text, was, is);
    charlm_work_free(&work);
    charlm_free(&before);
    charlm_free(&after);
    return print_end(args.program);
}
