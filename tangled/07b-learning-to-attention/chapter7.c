/* Chapter 7: from counting to attention, in bits a character. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "bigram.h"
#include "fit.h"
#include "health.h"
#include "loss.h"
#include "mlpfit.h"
#include "print.h"
#include "program.h"
#include "results.h"
#include "stop.h"

extern const struct lesson_table lessons7;

enum { WIDTH = 64, HEADS = 4, BLOCKS = 2, WINDOW = 32, WINDOWS = 64,
       CONTEXT = 8, STACK = 3, COUNTED = 1500, EXAM = 16,
       DESCENT = 2000, CURVE = 15, FEW = 4 };
enum { ALL, ONLY_MLP, ONLY_DENSE, ONLY_MOE };
static const double smooth = 0.1, peak = 3e-3, plain_rate = 30,
    adam_rate = 0.05, stack_rate = 0.1;
static size_t steps = 60, which, hidden = 64, experts = 4, top_k = 1,
    seed = LESSON_BOOK_SEED, activation = FFN_GELU, norm = NORM_LAYER,
    residual, column = 1, timed;
static double alpha = 0.01, scale = 1, last = 0.1;
static const char *prompt = "12+07=";

static const char *const models[] = {"all", "mlp", "dense", "moe",
                                     NULL},
    *const activations[] = {"relu", "gelu", "tanh", NULL},
    *const norms[] = {"none", "rms", "layer", "batch", NULL},
    *const answers[] = {"no", "yes", NULL};
static const struct args_option options[] = {
    {"--steps", "training steps", ARGS_COUNT, &steps, 0, 100000, NULL},
    {"--model", "what to train", ARGS_CHOICE, &which, 0, 0, models},
    {"--prompt", "what the models go on from", ARGS_TEXT, &prompt,
     1, 64, NULL},
    {"--hidden", "hidden units, H", ARGS_COUNT, &hidden, 1, 4096, NULL},
    {"--activation", "of the MLP", ARGS_CHOICE, &activation, 0, 0,
     activations},
    {"--norm", "of the MLP", ARGS_CHOICE, &norm, 0, 0, norms},
    {"--scale", "of the MLP's blocks at first", ARGS_NUMBER, &scale,
     0, 100, NULL},
    {"--residual", "its blocks add to what they read", ARGS_CHOICE,
     &residual, 0, 0, answers},
    {"--last", "of its last product at first", ARGS_NUMBER, &last,
     0, 100, NULL},
    {"--experts", "experts of the MoE, E", ARGS_COUNT, &experts, 2, 64,
     NULL},
    {"--top-k", "experts kept per token, K", ARGS_COUNT, &top_k, 1, 64,
     NULL},
    {"--alpha", "weight of the auxiliary loss", ARGS_NUMBER, &alpha,
     0, 100, NULL},
    {"--column", "the transformers know it", ARGS_CHOICE, &column,
     0, 0, answers},
    {"--seconds", "say how long each took", ARGS_CHOICE, &timed, 0, 0,
     answers},
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

enum { UNIFORM, UNIGRAM, COUNTS, LEARNED, MLP, DENSE, MOE, RUNGS };
static struct rung {
    const char *name;
    int trained;
    struct mlpfit mlp;
    struct fit fit;
    batch_guess *guess;
    void *model;
    uint64_t parameters, flops;
    struct batch_bits held, train;
    double exact, seconds;
} rung[RUNGS] = {{.name = "uniform"}, {.name = "unigram"},
    {.name = "counted"}, {.name = "learned"}, {.name = "mlp"},
    {.name = "dense"}, {.name = "moe"}};

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
    loss_right(rows, b->target, b->right);
}

static void examine(struct rung *r)
{
    r->held = batch_bits(&batch, CORPUS_HELD, EXAM, r->guess, r->model);
    r->exact = batch_exact(&batch, CORPUS_HELD, r->guess, r->model);
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

static double seconds_since(clock_t before)
{
    return (double)(clock() - before) / CLOCKS_PER_SEC;
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
    descend(0);
    clock_t before = clock();
    descend(1);
    rung[LEARNED].seconds = seconds_since(before);
    for (size_t i = UNIFORM; i <= LEARNED; i++) {
        rung[i].parameters = i == UNIFORM ? 0
            : i == UNIGRAM ? symbols : symbols * symbols;
        rung[i].guess = table_guess, rung[i].model = &table[i];
        examine(&rung[i]);
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

static struct mlp_options mlp_options_of(double first, size_t kind)
{
    return (struct mlp_options){symbols, WINDOW, CONTEXT, WIDTH, hidden,
        STACK, (enum ffn_activation)activation, (enum norm_kind)kind,
        (int)residual, 0, sqrt(3.0 / CONTEXT), first, last};
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
    if (r == &rung[DENSE] && !column)
        snprintf(name, sizeof name, "no-column");
    for (size_t d = 0; d < TEXT_DOMAINS; d++)
        results_add(&results, name, seed, step, domains[d],
                    r->held.domain[d]);
    results_add(&results, name, seed, step, "all", r->held.all);
    results_add(&results, name, seed, step, "exact", r->exact);
    if (step != steps) return;
    results_add(&results, name, seed, step, "train", r->train.all);
    results_add(&results, name, seed, step, "parameters",
                (double)r->parameters);
    results_add(&results, name, seed, step, "flops", (double)r->flops);
    results_add(&results, name, seed, step, "seconds", r->seconds);
}

static void hear(void *model, uint64_t step, double loss)
{
    (void)model, (void)loss;
    if (!pupil || step * CURVE % steps || step == steps) return;
    examine(pupil);
    add_rows(pupil, step);
}

/* A column's table that stays zero says nothing. */
static double without_column(void *fit, struct random *random)
{
    double loss = fit_gradient(fit, random);
    matrix_clear(((struct fit *)fit)->grad.column);
    return loss;
}

static void train_rung(struct rung *r, struct weights *list,
    double (*gradient)(void *model, struct random *random))
{
    if (pupil) pupil = r;
    struct train t = {.name = r->name, .list = list,
        .gradient = gradient, .hear = hear, .context = r->model,
        .steps = steps, .warm = steps < 500 ? steps / 5 : 100,
        .rate = peak, .clip = 1, .tokens = WINDOWS * WINDOW,
        .seed = seed};
    clock_t before = clock();
    train_run(&t);
    r->seconds = seconds_since(before);
    examine(r);
}

static void climb_mlp(struct rung *r)
{
    struct mlp_options o = mlp_options_of(scale, norm);
    if (r->trained++) return;
    r->mlp = mlpfit_new(o, WINDOWS, &corpus, seed);
    r->guess = mlpfit_guess, r->model = &r->mlp;
    r->parameters = mlp_parameters(&o), r->flops = mlp_flops(&o);
    train_rung(r, &r->mlp.list, mlpfit_gradient);
}

static void climb(struct rung *r, struct gpt_options o)
{
    if (r->trained++) return;
    r->fit = fit_new(o, WINDOWS, &corpus, seed);
    if (!column) matrix_clear(r->fit.gpt.column);
    r->guess = fit_guess, r->model = &r->fit;
    r->parameters = gpt_parameters(&o), r->flops = gpt_flops(&o);
    train_rung(r, &r->fit.list,
               column ? fit_gradient : without_column);
}

static void climb_all(void)
{
    if (which == ALL || which == ONLY_MLP) climb_mlp(&rung[MLP]);
    if (which == ALL || which == ONLY_DENSE)
        climb(&rung[DENSE], options_of(0));
    if (which == ALL || which == ONLY_MOE)
        climb(&rung[MOE], options_of(1));
}

static void done(void)
{
    for (size_t i = UNIFORM; i <= LEARNED; i++) matrix_free(&table[i]);
    for (size_t i = DENSE; i < RUNGS; i++)
        if (rung[i].trained) fit_free(&rung[i].fit);
    if (rung[MLP].trained) mlpfit_free(&rung[MLP].mlp);
    corpus_free(&corpus), batch_free(&batch), matrix_free(&rows);
    free(count);
}

static size_t next_of(size_t at, const size_t *text, size_t length,
                      struct random *r)
{
    struct rung *g = &rung[at];
    size_t next;
    if (at <= LEARNED) {
        struct matrix row = matrix_rows(rows, 0, 1);
        bigram_rows(row, table[at], &text[length - 1]);
        return loss_sample(row, r);
    }
    if (at == MLP) {
        struct mlp_work *work = mlp_work_new(&g->mlp.mlp.options,
                                             WINDOW);
        mlp_freeze(work, 1);
        next = mlp_next(&g->mlp.mlp, work, text, length, r);
        mlp_work_free(work);
    } else {
        struct gpt_work *work = gpt_work_new(&g->fit.gpt.options,
                                             WINDOW);
        next = gpt_next(&g->fit.gpt, work, text, length, r);
        gpt_work_free(work);
    }
    return next;
}

static void print_sample(FILE *out, size_t at)
{
    enum { DRAWN = 44 };
    struct random r = random_seeded(seed);
    size_t text[200], length = 0, asked = strlen(prompt);
    for (; length < asked; length++)
        text[length] = text_symbol(prompt[length]);
    fprintf(out, "    %-8s %s", rung[at].name, prompt);
    for (; length < asked + DRAWN; length++) {
        text[length] = next_of(at, text, length, &r);
        char c = text_char(text[length]);
        fprintf(out, "%s", c == '\n' ? " / " : print_char(c));
    }
    fprintf(out, "\n");
}

static void print_ladder(FILE *out)
{
    print_part(out, "The ladder: bits a character, held out");
    fprintf(out, "    %-9s %8s %8s %6s %6s %6s %6s %6s%s\n", "",
            "numbers", "FLOPs", "names", "sums", "code", "all",
            "right", timed ? " seconds" : "");
    for (size_t i = 0; i < RUNGS; i++) {
        const struct rung *r = &rung[i];
        if (i > LEARNED && !r->trained) continue;
        fprintf(out, "    %-9s %8" PRIu64 " %8" PRIu64
                " %6.2f %6.2f %6.2f %6.2f %5.1f%%", r->name,
                r->parameters, r->flops, r->held.domain[0],
                r->held.domain[1], r->held.domain[2], r->held.all,
                100 * r->exact);
        if (timed) fprintf(out, " %7.1f", r->seconds);
        fprintf(out, "\n");
    }
}

static void print_rows(FILE *out)
{
    int tables = which == ALL || which == ONLY_MLP;
    pupil = rung;
    if (tables) climb_tables();
    climb_all();
    for (size_t i = 0; i < RUNGS; i++) {
        struct rung *r = &rung[i];
        if (i > LEARNED ? !r->trained : !tables) continue;
        r->train = batch_bits(&batch, CORPUS_TRAIN, EXAM, r->guess,
                              r->model);
        add_rows(r, steps);
    }
    results_write(out, &results);
    results_free(&results);
}

static int seen_before(size_t i, int by_name)
{
    const struct result *r = &results.at[i], *at = results.at;
    for (size_t j = 0; j < i; j++)
        if (!strcmp(by_name ? at[j].name : at[j].model,
                    by_name ? r->name : r->model)) return 1;
    return 0;
}

static void summarize(FILE *out, const char *model)
{
    uint64_t step = 0;
    size_t seeds = 0;
    for (size_t i = 0; i < results.count; i++)
        if (!strcmp(results.at[i].model, model)
            && results.at[i].step > step) step = results.at[i].step;
    for (size_t i = 0; i < results.count && !seeds; i++)
        seeds = results_over(&results, model, results.at[i].name,
                             step).seeds;
    fprintf(out, "%s\t%zu\t%" PRIu64, model, seeds, step);
    for (size_t i = 0; i < results.count; i++) {
        struct results_summary all = results_over(&results, model,
            results.at[i].name, step);
        if (!seen_before(i, 1))
            fprintf(out, "\t%.6g\t%.3g", all.mean, all.deviation);
    }
    fprintf(out, "\n");
}

static void print_summary(FILE *out)
{
    size_t bad = results_read(&results, stdin);
    if (bad) stop("line %zu is no row of a result", bad);
    fprintf(out, "# model:\tseeds\tstep");
    for (size_t i = 0; i < results.count; i++) {
        const char *name = results.at[i].name;
        if (!seen_before(i, 1))
            fprintf(out, "\t%s\t%s deviation", name, name);
    }
    fprintf(out, "\n");
    for (size_t i = 0; i < results.count; i++)
        if (!seen_before(i, 0)) summarize(out, results.at[i].model);
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

static const double scales[] = {0.5, 1, 4};
enum { SCALES = 3, NORMS = 4 };

static void print_first(FILE *out)
{
    struct random r[2];
    struct mlpfit f[2];
    for (int i = 0; i < 2; i++) {
        last = i ? 10 : 0.1, r[i] = random_seeded(seed);
        f[i] = mlpfit_new(mlp_options_of(1, NORM_NONE), FEW, &corpus,
                          seed);
    }
    fprintf(out, "# step\tsmall\tlarge\n");
    for (uint64_t step = 0; step < 200; step++) {
        double small = mlpfit_gradient(&f[0], &r[0]);
        double large = mlpfit_gradient(&f[1], &r[1]);
        weights_step(&f[0].list, stack_rate);
        weights_step(&f[1].list, stack_rate);
        fprintf(out, "%" PRIu64 "\t%.2f\t%.2f\n", step,
                loss_bits(small), loss_bits(large));
    }
    mlpfit_free(&f[0]), mlpfit_free(&f[1]);
}

static struct stack { struct health health[STACK];
                      double ratio[STACK]; } stack[SCALES][NORMS];

static void look_at(struct mlpfit *f, struct stack *s)
{
    for (size_t i = 0, b = 0; i < f->list.count; i++) {
        if (!strstr(f->list.at[i].name, ".w1")) continue;
        s->health[b] = health_of(&f->mlp, f->work, b);
        s->ratio[b++] = health_ratio(&f->list.at[i], stack_rate);
    }
}

static void look_at_all(void)
{
    for (size_t i = 0; i < SCALES * NORMS; i++) {
        struct random r = random_seeded(seed);
        struct mlpfit f = mlpfit_new(
            mlp_options_of(scales[i / NORMS], i % NORMS), FEW, &corpus,
            seed);
        mlpfit_gradient(&f, &r);
        look_at(&f, &stack[i / NORMS][i % NORMS]);
        mlpfit_free(&f);
    }
}

static void print_health(FILE *out)
{
    look_at_all();
    fprintf(out, "# scale:\tnorm:\tblock:\tsize\tsaturated\tdead\t"
            "slope\tratio\n");
    for (size_t i = 0; i < SCALES * NORMS * STACK; i++) {
        size_t which_scale = i / STACK / NORMS, b = i % STACK;
        const struct stack *s = &stack[which_scale][i / STACK % NORMS];
        fprintf(out, "%g\t%s\t%zu\t%.3g\t%.3g\t%.3g\t%.3g\t%.3g\n",
                scales[which_scale], norms[i / STACK % NORMS], b + 1,
                s->health[b].size, s->health[b].saturated,
                s->health[b].dead, s->health[b].slope, s->ratio[b]);
    }
}

static void add_stack(struct mlpfit *f, const char *name)
{
    struct stack end;
    struct batch_bits bits = batch_bits(&f->batch, CORPUS_HELD,
        EXAM * WINDOWS / FEW, mlpfit_guess, f);
    look_at(f, &end);
    results_add(&results, name, seed, steps, "all", bits.all);
    for (size_t b = 0; b < STACK; b++) {
        char what[RESULTS_NAME];
        snprintf(what, sizeof what, "saturated%zu", b + 1);
        results_add(&results, name, seed, steps, what,
                    end.health[b].saturated);
        snprintf(what, sizeof what, "ratio%zu", b + 1);
        results_add(&results, name, seed, steps, what, end.ratio[b]);
    }
}

static void print_stacks(FILE *out)
{
    for (size_t i = 0; i < SCALES * NORMS; i++) {
        struct random r = random_seeded(seed);
        char name[RESULTS_NAME];
        struct mlpfit f = mlpfit_new(
            mlp_options_of(scales[i / NORMS], i % NORMS), FEW, &corpus,
            seed);
        for (size_t step = 0; step < steps; step++) {
            mlpfit_gradient(&f, &r);
            weights_step(&f.list, step * 10 < steps * 6
                                  ? stack_rate : stack_rate / 10);
        }
        snprintf(name, sizeof name, "%g-%s", scales[i / NORMS],
                 norms[i % NORMS]);
        add_stack(&f, name);
        mlpfit_free(&f);
    }
    results_write(out, &results);
    results_free(&results);
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

/* A statement of the sample text is its form, a letter, two operands
 * and the character in the middle. */
static double code_floor(void)
{
    double line = log2(4) + log2(26) + 2 * (log2(4) + (log2(10)
        + log2(26 * 3) + log2(26 * 10) + log2(26)) / 4) + log2(4);
    double weight = 0, all = 0, length = 0;
    for (size_t d = 0; d < TEXT_DOMAINS; d++) {
        const struct corpus_lines *l = &corpus.lines[CORPUS_HELD][d];
        double one = (double)l->count / (double)l->characters;
        all += one;
        if (d == TEXT_CODE) weight = one, length = 1 / one;
    }
    return (line + log2(all / weight)) / length;
}

static uint64_t sums_asked(void)
{
    const struct corpus_lines *l
        = &corpus.lines[CORPUS_HELD][TEXT_ARITHMETIC];
    uint64_t asked = 0;
    for (size_t i = 0; i < l->count; i++)
        asked += strchr(l->at[i], '+') != NULL;
    return asked;
}

static void print_stack_values(FILE *out)
{
    struct mlp_options o = mlp_options_of(scale, norm);
    struct mlpfit first = mlpfit_new(o, WINDOWS, &corpus, seed);
    print_value(out, "mlp.untrained", batch_bits(&batch, CORPUS_HELD,
                EXAM, mlpfit_guess, &first).all);
    mlpfit_free(&first);
    last = 10;
    first = mlpfit_new(mlp_options_of(scale, norm), WINDOWS, &corpus,
                       seed);
    print_value(out, "mlp.untrained_large", batch_bits(&batch,
                CORPUS_HELD, EXAM, mlpfit_guess, &first).all);
    mlpfit_free(&first);
    last = 0.1;
    print_count(out, "mlp.parameters", mlp_parameters(&o));
    print_count(out, "mlp.flops", mlp_flops(&o));
    print_count(out, "mlp.embeddings", CONTEXT * symbols * WIDTH);
    print_count(out, "mlp.context", CONTEXT);
    print_count(out, "mlp.blocks", STACK);
    print_count(out, "stack.tokens", FEW * WINDOW);
    print_value(out, "stack.rate", stack_rate);
    look_at_all();
    for (size_t i = 0; i < SCALES * NORMS * STACK; i++) {
        const struct stack *s
            = &stack[i / STACK / NORMS][i / STACK % NORMS];
        const struct health *h = &s->health[i % STACK];
        char name[80];
        int n = snprintf(name, sizeof name, "%s%zu.%s.%zu.", "scale",
                         i / STACK / NORMS, norms[i / STACK % NORMS],
                         i % STACK + 1);
        snprintf(name + n, sizeof name - (size_t)n, "size");
        print_value(out, name, h->size);
        snprintf(name + n, sizeof name - (size_t)n, "saturated");
        print_value(out, name, h->saturated);
        snprintf(name + n, sizeof name - (size_t)n, "slope");
        print_value(out, name, h->slope);
    }
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
    print_stack_values(out);
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
    print_value(out, "code.floor", code_floor());
    print_count(out, "sums.asked", sums_asked());
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

static void print_batch(FILE *out, const struct batch *drawn,
                        const struct weights *list)
{
    for (size_t t = 0; t < WINDOWS * WINDOW; t++)
        fprintf(out, "token\t%zu\t%zu\n", drawn->symbol[t],
                drawn->target[t]);
    for (size_t i = 0; i < list->count; i++) {
        print_numbers(out, "value", &list->at[i], list->at[i].value);
        print_numbers(out, "slope", &list->at[i], list->at[i].slope);
    }
}

static void print_gradient(FILE *out)
{
    struct random r = random_seeded(seed);
    climb_all();
    if (which == ONLY_MLP) {
        struct mlpfit *m = &rung[MLP].mlp;
        double loss = mlpfit_gradient(m, &r);
        fprintf(out, "# context\tblocks\twindow\tactivation\tnorm\t"
                "residual\tloss\n%d\t%d\t%d\t%zu\t%zu\t%zu\t%.17g\n",
                CONTEXT, STACK, WINDOW, activation, norm, residual,
                loss);
        print_batch(out, &m->batch, &m->list);
        return;
    }
    struct fit *f = &rung[which == ONLY_DENSE ? DENSE : MOE].fit;
    const struct gpt_options *o = &f->gpt.options;
    double loss = fit_gradient(f, &r);
    fprintf(out, "# heads\tblocks\twindow\texperts\ttop-k\tsoftmax\t"
            "alpha\tloss\n%zu\t%zu\t%zu\t%zu\t%zu\t%d\t%.17g\t%.17g\n",
            o->heads, o->blocks, o->window, o->layer.experts,
            o->layer.top_k, o->layer.gate == GATE_SOFTMAX,
            o->layer.alpha, loss);
    print_batch(out, &f->batch, &f->list);
}

int main(int argc, char **argv)
{
    static const struct args_table tables[] = {
        {"descent", print_descent}, {"attention", print_attention},
        {"first", print_first}, {"health", print_health},
        {"stacks", print_stacks},
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
