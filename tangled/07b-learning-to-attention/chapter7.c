/* Chapter 7: from counting to attention, in bits a character. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "bigram.h"
#include "fit.h"
#include "loss.h"
#include "print.h"
#include "program.h"
#include "results.h"
#include "stop.h"

extern const struct lesson_table lessons7;

enum { WIDTH = 64, HEADS = 4, BLOCKS = 2, WINDOW = 32, WINDOWS = 64,
       COUNTED = 1500, EXAM = 16, DESCENT = 2000, CURVE = 15 };
static const double smooth = 0.1, peak = 3e-3, plain_rate = 30,
    adam_rate = 0.05;
static size_t steps = 60, which, hidden = 64, experts = 4, top_k = 1,
    seed = LESSON_BOOK_SEED;
static double alpha = 0.01;
static const char *prompt = "12+07=";

static const char *const models[] = {"both", "dense", "moe", NULL};
static const struct args_option options[] = {
    {"--steps", "training steps", ARGS_COUNT, &steps, 0, 100000, NULL},
    {"--model", "what to train", ARGS_CHOICE, &which, 0, 0, models},
    {"--hidden", "hidden units, H", ARGS_COUNT, &hidden, 1, 4096, NULL},
    {"--experts", "experts of the MoE, E", ARGS_COUNT, &experts, 2, 64,
     NULL},
    {"--top-k", "experts kept per token, K", ARGS_COUNT, &top_k, 1, 64,
     NULL},
    {"--alpha", "weight of the auxiliary loss", ARGS_NUMBER, &alpha,
     0, 100, NULL},
    {"--prompt", "what the models go on from", ARGS_TEXT, &prompt,
     1, 64, NULL},
    {"--seed", "of the random numbers", ARGS_COUNT, &seed,
     0, 4294967295, NULL},
    {0},
};

static void check(const struct args *args)
{
    char try[40];
    snprintf(try, sizeof try, "--top-k %zu", experts);
    if (top_k > experts)
        args_reject(args, "--top-k", try, "must be at most --experts, "
                    "%zu, got %zu", experts, top_k);
    for (const char *c = prompt; *c; c++) {
        size_t known = 0;
        while (known < text_symbols() && text_char(known) != *c)
            known++;
        if (known == text_symbols())
            args_reject(args, "--prompt", "--prompt 12+07=", "must be "
                "of characters that the corpus has, got '%c'", *c);
    }
}

enum { UNIFORM, UNIGRAM, COUNTS, LEARNED, DENSE, MOE, RUNGS };
static struct rung {
    const char *name;
    int trained;
    struct fit fit;
    uint64_t parameters, flops;
    struct batch_bits held, train;
    double seconds;
} rung[RUNGS] = {{.name = "uniform"}, {.name = "unigram"},
    {.name = "counted"}, {.name = "learned"}, {.name = "dense"},
    {.name = "moe"}};

static struct corpus corpus;
static struct batch batch;
static struct matrix table[LEARNED + 1], rows; /* [V, V], [T, V] */
static uint64_t *count;
static double least, gap[2][DESCENT + 1];
static struct results results;
static size_t symbols;

static void table_guess(void *logits, struct batch *b)
{
    bigram_rows(rows, *(struct matrix *)logits, b->symbol);
    loss_forward(rows, rows, b->target, b->each);
}

static void descend(int adam)
{
    struct matrix slope = matrix_new(symbols, symbols);
    struct weights list = {0};
    matrix_clear(table[LEARNED]);
    weights_add(&list, "table", table[LEARNED], slope);
    struct adamw adamw = adamw_new(&list);
    adamw.decay = 0;
    for (size_t i = 0; i <= DESCENT; i++) {
        gap[adam][i] = bigram_loss(slope, table[LEARNED], count)
                     - least;
        if (!adam) weights_step(&list, plain_rate);
        else adamw_step(&adamw, &list,
                        adamw_rate(adam_rate, i, 1, DESCENT));
    }
    adamw_free(&adamw), weights_free(&list), matrix_free(&slope);
}

static void climb_tables(void)
{
    struct random r = random_seeded(seed);
    for (size_t i = 0; i < COUNTED; i++) {
        batch_draw(&batch, CORPUS_TRAIN, &r);
        bigram_count(count, symbols, batch.symbol, batch.target,
                     WINDOWS * WINDOW);
    }
    bigram_from_counts(table[COUNTS], count, 1e-9);
    least = bigram_loss(table[UNIFORM], table[COUNTS], count);
    matrix_clear(table[UNIFORM]);
    bigram_unigram(table[UNIGRAM], count, smooth);
    bigram_from_counts(table[COUNTS], count, smooth);
    descend(0), descend(1);
    for (size_t i = UNIFORM; i <= LEARNED; i++) {
        rung[i].parameters = i == UNIFORM ? 0
            : i == UNIGRAM ? symbols : symbols * symbols;
        rung[i].held = batch_bits(&batch, CORPUS_HELD, EXAM,
                                  table_guess, &table[i]);
    }
}

static int prepare(void)
{
    symbols = text_symbols();
    corpus = corpus_new(CORPUS_REVERSED);
    batch = batch_new(&corpus, WINDOWS, WINDOW);
    rows = matrix_new(WINDOWS * WINDOW, symbols);
    count = room(symbols * symbols, sizeof *count);
    for (size_t i = UNIFORM; i <= LEARNED; i++)
        table[i] = matrix_new(symbols, symbols);
    return 0;
}

static struct gpt_options options_of(int moe)
{
    struct gpt_options o = {symbols, WINDOW, HEADS, BLOCKS,
        {.width = WIDTH, .hidden = hidden, .experts = 1, .top_k = 1,
         .gate = GATE_RENORM, .activation = FFN_GELU}};
    if (moe) { /* all that changes */
        o.layer.experts = experts, o.layer.top_k = top_k;
        o.layer.alpha = alpha;
        if (top_k == 1) o.layer.gate = GATE_SOFTMAX;
    }
    return o;
}

static const char *const domains[] = {"names", "sums", "code"};
static struct rung *pupil; /* NULL: no exams on the way */
static void add_rows(const struct rung *r, uint64_t step)
{
    char name[RESULTS_NAME];
    snprintf(name, sizeof name, "%s", r->name);
    if (r == &rung[MOE]) snprintf(name, sizeof name, "moe%zu", top_k);
    for (size_t d = 0; d < TEXT_DOMAINS; d++)
        results_add(&results, name, seed, step, domains[d],
                    r->held.domain[d]);
    results_add(&results, name, seed, step, "all", r->held.all);
    if (step != steps) return;
    results_add(&results, name, seed, step, "train", r->train.all);
    results_add(&results, name, seed, step, "parameters",
                (double)r->parameters);
    results_add(&results, name, seed, step, "flops", (double)r->flops);
    results_add(&results, name, seed, step, "seconds", r->seconds);
}

static void examine(void *fit, uint64_t step, double loss)
{
    (void)loss;
    if (!pupil || step * CURVE % steps || step == steps)
        return;
    pupil->held = batch_bits(&batch, CORPUS_HELD, EXAM, fit_guess, fit);
    add_rows(pupil, step);
}

static void climb(struct rung *r, struct gpt_options o)
{
    if (r->trained++) return;
    r->fit = fit_new(o, WINDOWS, &corpus, seed);
    if (pupil) pupil = r;
    r->parameters = gpt_parameters(&o), r->flops = gpt_flops(&o);
    struct train t = {.name = r->name, .list = &r->fit.list,
        .gradient = fit_gradient, .hear = examine, .context = &r->fit,
        .steps = steps, .warm = steps < 500 ? steps / 5 : 100,
        .rate = peak, .clip = 1, .tokens = WINDOWS * WINDOW,
        .seed = seed};
    clock_t before = clock();
    train_run(&t);
    r->seconds = (double)(clock() - before) / CLOCKS_PER_SEC;
    r->held = batch_bits(&batch, CORPUS_HELD, EXAM, fit_guess, &r->fit);
}

static void climb_all(void)
{
    if (which != 2) climb(&rung[DENSE], options_of(0));
    if (which != 1) climb(&rung[MOE], options_of(1));
}

static void done(void)
{
    for (size_t i = UNIFORM; i <= LEARNED; i++) matrix_free(&table[i]);
    for (size_t i = DENSE; i < RUNGS; i++)
        if (rung[i].trained) fit_free(&rung[i].fit);
    corpus_free(&corpus), batch_free(&batch), matrix_free(&rows);
    free(count);
}

static void print_sample(FILE *out, size_t at)
{
    enum { DRAWN = 44 };
    struct random r = random_seeded(seed);
    struct gpt_options o = options_of(0);
    struct gpt_work *work = NULL;
    size_t text[200], length = 0, asked = strlen(prompt);
    if (rung[at].trained) {
        o = rung[at].fit.gpt.options;
        work = gpt_work_new(&o, WINDOW);
    }
    for (; length < asked; length++)
        text[length] = text_symbol(prompt[length]);
    fprintf(out, "    %-8s %s", rung[at].name, prompt);
    for (; length < asked + DRAWN; length++) {
        struct matrix row = matrix_rows(rows, 0, 1);
        if (!work) bigram_rows(row, table[at], &text[length - 1]);
        text[length] = work
            ? gpt_next(&rung[at].fit.gpt, work, text, length, &r)
            : loss_sample(row, &r);
        char c = text_char(text[length]);
        fprintf(out, "%s", c == '\n' ? " / " : print_char(c));
    }
    fprintf(out, "\n");
    if (work) gpt_work_free(work);
}

static void print_ladder(FILE *out)
{
    print_part(out, "The ladder: bits a character, held out");
    fprintf(out, "    %-10s %9s %9s %7s %6s %6s %6s\n", "", "numbers",
            "FLOPs", "names", "sums", "code", "all");
    for (size_t i = 0; i < RUNGS; i++) {
        const struct rung *r = &rung[i];
        if (i > LEARNED && !r->trained) continue;
        fprintf(out, "    %-10s %9" PRIu64 " %9" PRIu64
                " %7.2f %6.2f %6.2f %6.2f\n", r->name, r->parameters,
                r->flops, r->held.domain[0], r->held.domain[1],
                r->held.domain[2], r->held.all);
    }
}

static void print_rows(FILE *out)
{
    pupil = rung;
    climb_tables();
    climb_all();
    for (size_t i = 0; i < RUNGS; i++) {
        struct rung *r = &rung[i];
        if (i > LEARNED ? !r->trained : which == 2) continue;
        r->train = batch_bits(&batch, CORPUS_TRAIN, EXAM,
            i > LEARNED ? fit_guess : table_guess,
            i > LEARNED ? (void *)&r->fit : (void *)&table[i]);
        add_rows(r, steps);
    }
    results_write(out, &results);
    results_free(&results);
}

static void print_summary(FILE *out)
{
    static const char *const names[] = {"parameters", "flops", "names",
        "sums", "code", "all", "train", "seconds"};
    enum { NAMES = sizeof names / sizeof *names };
    size_t bad = results_read(&results, stdin);
    if (bad) stop("line %zu is no row of a result", bad);
    fprintf(out, "# model:\tseeds\tstep");
    for (size_t i = 0; i < NAMES; i++)
        fprintf(out, "\t%s\t%s deviation", names[i], names[i]);
    fprintf(out, "\n");
    for (size_t i = 0; i < results.count; i++) {
        const struct result *r = &results.at[i];
        struct results_summary all = results_over(&results, r->model,
                                                  "train", r->step);
        int first = !strcmp(r->name, "train");
        for (size_t j = 0; j < i && first; j++)
            first = strcmp(results.at[j].model, r->model)
                 || strcmp(results.at[j].name, "train");
        if (!first) continue;
        fprintf(out, "%s\t%zu\t%" PRIu64, r->model, all.seeds, r->step);
        for (size_t n = 0; n < NAMES; n++) {
            all = results_over(&results, r->model, names[n], r->step);
            fprintf(out, "\t%.6g\t%.3g", all.mean, all.deviation);
        }
        fprintf(out, "\n");
    }
    results_free(&results);
}

static void print_run(FILE *out)
{
    climb_tables();
    climb_all();
    fprintf(out, "From counting to attention, V = %zu\n", symbols);
    print_part(out, "The corpus");
    fprintf(out, "    %-10s %9s %9s   held out, for example\n", "",
            "lines", "held out");
    for (size_t d = 0; d < TEXT_DOMAINS; d++)
        fprintf(out, "    %-10s %9zu %9zu   %s", domains[d],
                corpus.lines[CORPUS_TRAIN][d].count,
                corpus.lines[CORPUS_HELD][d].count,
                corpus.lines[CORPUS_HELD][d].at
                    [corpus.lines[CORPUS_HELD][d].count / 3]);
    print_ladder(out);
    print_part(out, "Samples, nothing filtered; / is a new line");
    for (size_t i = UNIGRAM; i < RUNGS; i++)
        if (i <= COUNTS || rung[i].trained) print_sample(out, i);
}

static double sums_floor(void)
{
    static const double share[] = {0.5, 0.4, 0.1};
    double weight = 0, all = 0, bits = 0, length = 0;
    for (size_t d = 0; d < TEXT_DOMAINS; d++) {
        const struct corpus_lines *l = &corpus.lines[CORPUS_HELD][d];
        double one = (double)l->count / (double)l->characters;
        all += one;
        if (d == TEXT_ARITHMETIC) weight = one, length = 1 / one;
    }
    for (size_t sign = 0; sign < 3; sign++) {
        double lines = 0;
        for (size_t part = 0; part < CORPUS_PARTS; part++) {
            const struct corpus_lines *l
                = &corpus.lines[part][TEXT_ARITHMETIC];
            for (size_t i = 0; i < l->count; i++)
                lines += strchr(l->at[i], "+-*"[sign]) != NULL;
        }
        bits += share[sign] * log2(lines / share[sign]);
    }
    return (bits + log2(all / weight)) / length;
}

static void print_values(FILE *out)
{
    climb_tables();
    uint64_t pairs = 0, never = 0;
    struct gpt_options dense = options_of(0), moe = options_of(1);
    uint64_t attention = attention_flops(WIDTH, WINDOW);
    uint64_t ffn = moe_flops(&dense.layer, 1);
    uint64_t block = 2 * WIDTH + attention_parameters(WIDTH)
                   + moe_parameters(&dense.layer);
    struct fit first = fit_new(dense, WINDOWS, &corpus, seed);
    print_value(out, "gpt.untrained", batch_bits(&batch, CORPUS_HELD,
                EXAM, fit_guess, &first).all);
    fit_free(&first);
    print_count(out, "gpt.width", WIDTH);
    print_count(out, "gpt.hidden", hidden);
    print_count(out, "gpt.heads", HEADS);
    print_count(out, "gpt.blocks", BLOCKS);
    print_count(out, "gpt.window", WINDOW);
    print_count(out, "ladder.steps", steps);
    print_count(out, "ladder.tokens", WINDOWS * WINDOW);
    print_count(out, "dense.parameters", gpt_parameters(&dense));
    print_count(out, "moe.parameters", gpt_parameters(&moe));
    print_count(out, "dense.flops", gpt_flops(&dense));
    print_count(out, "moe.flops", gpt_flops(&moe));
    print_count(out, "moe.experts", experts);
    print_count(out, "block.parameters", block);
    print_value(out, "block.ffn_share",
                (double)ffn_parameters(WIDTH, hidden) / (double)block);
    print_value(out, "block.ffn_flops_share", (double)ffn
                / (double)(ffn + attention + 2 * WIDTH));
    print_value(out, "attention.window_share", 1
        - 8.0 * WIDTH * WIDTH / (double)attention);
    print_value(out, "sums.floor", sums_floor());
    for (size_t i = 0; i < symbols * symbols; i++)
        pairs += count[i], never += !count[i];
    print_count(out, "corpus.symbols", symbols);
    print_value(out, "corpus.uniform_bits", log2((double)symbols));
    print_count(out, "bigram.pairs", pairs);
    print_count(out, "bigram.never", never);
    print_value(out, "bigram.never_share", (double)never
                / (double)(symbols * symbols));
    print_value(out, "bigram.smooth", smooth);
    print_count(out, "bigram.steps", DESCENT);
    print_value(out, "bigram.start", loss_bits(gap[0][0]));
    print_value(out, "bigram.least", loss_bits(least));
    print_value(out, "bigram.gap_plain", loss_bits(gap[0][DESCENT]));
    print_value(out, "bigram.gap_adamw", loss_bits(gap[1][DESCENT]));
    for (size_t i = UNIFORM; i <= LEARNED; i++) {
        char name[40];
        snprintf(name, sizeof name, "%s.held", rung[i].name);
        print_value(out, name, rung[i].held.all);
    }
}

static void print_descent(FILE *out)
{
    climb_tables();
    fprintf(out, "# step\tplain\tadamw\n");
    for (size_t i = 0; i <= DESCENT; i += 1 + i / 20)
        fprintf(out, "%zu\t%.6g\t%.6g\n", i, loss_bits(gap[0][i]),
                loss_bits(gap[1][i]));
}

static void print_attention(FILE *out)
{
    size_t length = strlen(prompt), symbol[WINDOW] = {0};
    climb(&rung[DENSE], options_of(0));
    struct gpt_options o = rung[DENSE].fit.gpt.options;
    struct gpt_work *work = gpt_work_new(&o, WINDOW);
    double each[WINDOW];
    for (size_t i = 0; i < length && i < WINDOW; i++)
        symbol[i] = text_symbol(prompt[i]);
    gpt_forward(&rung[DENSE].fit.gpt, work, symbol, symbol, each);
    struct matrix share = gpt_attention(work, 0)->share;
    fprintf(out, "# head:\tfrom:\tto:\tshare\n");
    for (size_t i = 0; i < HEADS * WINDOW; i++)
        for (size_t j = 0; i % WINDOW < length && j <= i % WINDOW; j++)
            fprintf(out, "%zu\t%zu\t%zu\t%.4g\n", i / WINDOW,
                    i % WINDOW, j, (double)matrix_row(share, i)[j]);
    gpt_work_free(work);
}

static void print_numbers(FILE *out, const char *kind,
                          const struct weight *w, struct matrix m)
{
    fprintf(out, "%s\t%s\t%zu\t%zu", kind, w->name, m.rows, m.cols);
    for (size_t i = 0; i < m.rows * m.cols; i++)
        fprintf(out, "\t%.17g", (double)m.at[i]);
    fprintf(out, "\n");
}

static void print_gradient(FILE *out)
{
    climb_all();
    struct fit *f = &rung[which == 1 ? DENSE : MOE].fit;
    const struct gpt_options *o = &f->gpt.options;
    struct random r = random_seeded(seed);
    double loss = fit_gradient(f, &r);
    fprintf(out, "# heads\tblocks\twindow\texperts\ttop-k\tsoftmax\t"
            "alpha\tloss\n%zu\t%zu\t%zu\t%zu\t%zu\t%d\t%.17g\t%.17g\n",
            o->heads, o->blocks, o->window, o->layer.experts,
            o->layer.top_k, o->layer.gate == GATE_SOFTMAX,
            o->layer.alpha, loss);
    for (size_t t = 0; t < WINDOWS * WINDOW; t++)
        fprintf(out, "token\t%zu\t%zu\n", f->batch.symbol[t],
                f->batch.target[t]);
    for (size_t i = 0; i < f->list.count; i++) {
        const struct weight *w = &f->list.at[i];
        print_numbers(out, "value", w, w->value);
        print_numbers(out, "slope", w, w->slope);
    }
}

int main(int argc, char **argv)
{
    static const struct args_table tables[] = {
        {"descent", print_descent}, {"attention", print_attention},
        {"rows", print_rows}, {"summary", print_summary},
        {"gradient", print_gradient}, {0}};
    static const struct program program = {
        .name = "chapter7", .about = "from counting to attention, in "
        "bits a character", .options = options, .lessons = &lessons7,
        .seed = &seed, .check = check, .prepare = prepare,
        .run = print_run, .values = print_values, .tables = tables,
        .done = done};
    return program_main(&program, argc, argv);
}
