#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "designs.h"
#include "hotspot.h"
#include "practice.h"
#include "print.h"
#include "program.h"
#include "router.h"
#include "scores.h"
#include "settle.h"
#include "stop.h"
#include "topk.h"
#include "touch.h"

extern const struct lesson_table lessons10;

enum { LOGS = 1000000, MOST = 512 };
static const char *design = "", *ask = "";
static size_t tokens = 512, experts = 16, top_k = 2, log_seed,
    seed = LESSON_BOOK_SEED;
static const struct args_option options[] = {
    {"--design", "print a model's card, mixtral-8x7b for one",
     ARGS_TEXT, &design, 1, 60, NULL},
    {"--log", "print a routing log with two hot experts", ARGS_COUNT,
     &log_seed, 1, LOGS, NULL},
    {"--ask", "measure a log: padding,layers,biases,mixed", ARGS_TEXT,
     &ask, 1, 60, NULL},
    {"--tokens", "characters of the sample, T", ARGS_COUNT, &tokens, 64,
     4096, NULL},
    {"--experts", "of a small batch's router, E", ARGS_COUNT, &experts,
     2, MOST, NULL},
    {"--top-k", "experts kept there, K", ARGS_COUNT, &top_k, 1, 64,
     NULL},
    {"--seed", "of the sample and its routers", ARGS_COUNT, &seed, 0,
     4294967295, NULL},
    {0}};

static struct designs table;
static const struct design *chosen;
static char wrong[DESIGNS_WRONG];

static int asked(const char *name)
{
    size_t n = strlen(name);
    for (const char *at = ask; (at = strstr(at, name)); at += n)
        if ((at == ask || at[-1] == ',') && (!at[n] || at[n] == ','))
            return 1;
    return 0;
}

static void check_ask(const struct args *args)
{
    size_t names = 0, commas = 0;
    for (size_t i = 0; hotspot_names[i]; i++)
        names += (size_t)asked(hotspot_names[i]);
    for (const char *c = ask; *c; c++) commas += *c == ',';
    if (*ask && names != commas + 1)
        args_reject(args, "--ask", "--ask padding,layers", "takes "
                    "padding, layers, biases and mixed, each once, "
                    "with commas between, got '%s'", ask);
    if (*ask && !log_seed)
        args_reject(args, "--ask", "--log 4 --ask padding",
                    "goes with --log");
}

static void check(const struct args *args)
{
    check_ask(args);
    if (top_k > experts)
        args_reject(args, "--top-k", "--top-k 1", "must be from 1 to "
                    "the number of experts, %zu, got %zu", experts,
                    top_k);
    if (designs_table(&table, wrong)
        || designs_check(&table, wrong)) return; /* prepare says so */
    chosen = *design ? designs_find(&table, design) : NULL;
    if (!*design || chosen) return;
    char near[200] = "";
    for (size_t i = 0, n = 0; i < table.count && n < 120; i++)
        if (table.at[i].key[0] == *design)
            n += (size_t)sprintf(near + n, " %.60s", table.at[i].key);
    args_reject(args, "--design", "--design mixtral-8x7b",
                "must be a key of data/routers.tsv (all: build/"
                "chapter10 --data designs)%s%s, got '%s'",
                *near ? ", such as" : "", near, design);
}

static char *text;
static size_t *number;
static struct matrix x, z;
static struct routes routed[PRACTICE_ROWS], small;
static struct practice_sums sums[PRACTICE_ROWS];
static double input_relu, input_gelu, groups_differ, closed_differ,
    lower_differ;

static void draw_sample(void)
{
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    struct random r = random_seeded(seed);
    struct router router = router_new(CHARLM_WIDTH, PRACTICE_EXPERTS, 1,
                                      &r);
    text = room(tokens + 1, 1), number = room(tokens, sizeof *number);
    x = matrix_new(tokens, CHARLM_WIDTH);
    z = matrix_new(tokens, PRACTICE_EXPERTS);
    charlm_text(text, tokens + 1, seed);
    charlm_vectors(&model, x, text);
    router_forward(&router, z, x);
    for (size_t t = 0; t < tokens; t++)
        number[t] = text_symbol(text[t]);
    charlm_free(&model), router_free(&router);
}

static double differ(const struct routes *a, const struct routes *b)
{
    size_t moved = 0;
    for (size_t t = 0; t < a->tokens; t++) {
        size_t same = 0;
        for (size_t k = 0; k < a->top_k * b->top_k; k++)
            same += routes_expert(a, t, k / b->top_k)
                 == routes_expert(b, t, k % b->top_k);
        moved += same < a->top_k;
    }
    return (double)moved / (double)a->tokens;
}

static struct routes fill_row(struct practice row)
{
    struct routes r = routes_new(tokens, PRACTICE_EXPERTS, row.top_k);
    practice_fill(&row, &r, z, number);
    return r;
}

static double input_gap(enum ffn_activation activation)
{
    struct random r = random_seeded(seed);
    struct topk layer = topk_new((struct topk_sizes){tokens,
        CHARLM_WIDTH, CHARLM_HIDDEN, PRACTICE_EXPERTS, 1}, GATE_OWN, 1,
        &r);
    struct matrix y[2] = {matrix_new(tokens, CHARLM_WIDTH),
                          matrix_new(tokens, CHARLM_WIDTH)};
    for (size_t e = 0; e < PRACTICE_EXPERTS; e++)
        layer.experts[e].activation = activation;
    topk_route(&layer, x);
    for (int in = 0; in < 2; in++)
        layer.gate_in = in, topk_forward(&layer, y[in], x);
    double size = sqrt(matrix_squares(y[0]));
    matrix_add(y[1], y[1], -1, y[0]);
    double gap = sqrt(matrix_squares(y[1])) / size;
    matrix_free(&y[0]), matrix_free(&y[1]), topk_free(&layer);
    return gap < 1e-5 ? 0 : gap; /* rounding */
}

static void run_conventions(void)
{
    for (size_t i = 0; i < PRACTICE_ROWS; i++) {
        routed[i] = fill_row(practice_rows[i]);
        sums[i] = practice_measure(&practice_rows[i], &routed[i], z);
    }
    struct practice most = practice_rows[8];
    most.rule.best = 1;
    struct routes by_most = fill_row(most);
    groups_differ = differ(&by_most, &routed[8]);
    closed_differ = differ(&routed[8], &routed[9]);
    lower_differ = differ(&routed[8], &routed[10]);
    input_relu = input_gap(FFN_RELU), input_gelu = input_gap(FFN_GELU);
    routes_free(&by_most);
}

static size_t whole, within, capacity_rows, dropless;

static int prepare(void)
{
    if (*wrong) {
        fprintf(stderr, "%s\n", wrong);
        return 1;
    }
    for (size_t i = 0; i < table.count; i++) {
        struct designs_count n = designs_count(&table.at[i]);
        whole += (size_t)n.whole;
        within += n.whole && !*table.at[i].why;
        const char *capacity = table.at[i].capacity;
        capacity_rows += *capacity != 0;
        dropless += strstr(capacity, "dropless") != NULL
                 || strstr(capacity, "none") != NULL
                 || strstr(capacity, "no drops") != NULL;
    }
    draw_sample(), run_conventions();
    struct random r = random_seeded(seed);
    struct router router = router_new(CHARLM_WIDTH, experts, 1, &r);
    struct matrix logits = matrix_new(tokens, experts);
    small = routes_new(tokens, experts, top_k);
    router_forward(&router, logits, x), routes_select(&small, logits);
    router_free(&router), matrix_free(&logits);
    return 0;
}

static void done(void)
{
    for (size_t i = 0; i < PRACTICE_ROWS; i++) routes_free(&routed[i]);
    routes_free(&small), designs_free(&table);
    matrix_free(&x), matrix_free(&z);
    free(text), free(number);
}

static const char *how(const struct design *d, const char *group)
{
    const char *mark = strstr(d->read, group);
    return mark && mark[strlen(group)] == 'S' ? " (second-hand)" : "";
}

static void print_words(FILE *out, const char *label, const char *words)
{
    size_t at = 0, n;
    if (*words) fprintf(out, "    %-12s", label);
    for (; *words; words += n + (words[n] != 0)) {
        n = strcspn(words, " ");
        if (at && at + n > 57) at = 0, fprintf(out, "\n%16s", "");
        fprintf(out, " %.*s", (int)n, words), at += n + 1;
        if (!words[n]) fprintf(out, "\n");
    }
}

static void print_text(FILE *out, const char *label, const char *words,
                       const char *read)
{
    char said[400];
    snprintf(said, sizeof said, "%s%s", words, read);
    if (*words) print_words(out, label, said);
    else fprintf(out, "    %-12s not stated\n", label);
}

static void print_shape(FILE *out, const struct design *d)
{
    double layers = designs_count(d).moe_layers;
    print_part(out, "The row");
    if (d->layers >= 0 && d->width >= 0)
        fprintf(out, "    layers       %g, of which %g are MoE, "
                "D = %g%s\n", d->layers, layers, d->width,
                how(d, "shape:"));
    if (d->hidden >= 0 && d->experts >= 0)
        fprintf(out, "    experts      E = %g, K = %g, H = %g, "
                "%g matrices%s\n", d->experts, d->top_k, d->hidden,
                d->matrices, d->expert_bias > 0 ? " and biases" : "");
    if (d->identities > 0)
        fprintf(out, "    identities   %g\n", d->identities);
    if (d->shared > 0)
        fprintf(out, "    shared       %g, in all %g wide%s\n",
                d->shared, d->shared_hidden,
                d->shared_gate > 0 ? ", times a gate" : "");
    if (!d->shared) fprintf(out, "    shared       none\n");
    print_text(out, "attention", d->attention, "");
    print_text(out, "gate", d->gate, how(d, "gate:"));
    print_text(out, "selects on", d->select_on, "");
    print_text(out, "divided", d->renormalized, "");
    print_text(out, "scale", d->scale, "");
    if (d->groups > 1)
        fprintf(out, "    groups       %g, of which %g are open\n",
                d->groups, d->open);
    print_text(out, "balance", d->balance, how(d, "balance:"));
    print_text(out, "coefficient", d->coefficient, "");
    print_text(out, "capacity", d->capacity, how(d, "capacity:"));
}

static void print_beside(FILE *out, const char *label, double mine,
                         double published)
{
    fprintf(out, "    %-28s %10.3f", label, mine / 1e9);
    if (published >= 0)
        fprintf(out, " %10g %+9.1f%%", published,
                100 * (mine / 1e9 / published - 1));
    fprintf(out, "\n");
}

static double bytes_read(const struct design *d, double batch)
{
    struct designs_count n = designs_count(d);
    double e = d->experts, all = e + fmax(d->identities, 0);
    double each = touch_expected(all, d->top_k, batch) * e / all;
    return 2 * (n.active[1] + n.moe_layers * n.expert
                            * (each - d->top_k));
}

static void print_card(FILE *out, const struct design *d)
{
    struct designs_count n = designs_count(d);
    char ways[32];
    fprintf(out, "%s, %g\n", d->model, d->year);
    print_shape(out, d);
    print_part(out, "Billions of parameters");
    fprintf(out, "    %28s %10s %10s %10s\n", "", "recomputed",
            "published", "difference");
    if (n.experts > 0)
        print_beside(out, "routed experts", n.experts, -1);
    if (n.whole) {
        print_beside(out, "all", n.total, d->total);
        print_beside(out, "active", n.active[0], d->active);
        print_beside(out, "  without embedding", n.active[1],
                     d->active);
        print_beside(out, "  without both ends", n.active[2],
                     d->active);
    } else if (d->total >= 0) {
        fprintf(out, "    %-28s %10s %10g\n", "all", "?", d->total);
        fprintf(out, "    %-28s %10s %10g\n", "active", "?",
                fmax(d->active, 0));
    }
    print_part(out, "What follows");
    if (n.whole)
        fprintf(out, "    operations a token  %.1f billion\n"
                "    weights, 2 bytes    %.1f GB for one token, %.1f "
                "for 16\n    share of K experts  "
                "%.2f of the work\n", 2 * n.active[1] / 1e9,
                2 * n.active[1] / 1e9, bytes_read(d, 16) / 1e9,
                designs_share(d));
    if (d->experts > 0 && d->top_k > 0) {
        designs_ways_text(ways, d->experts, d->top_k);
        fprintf(out, "    ways to choose      %s\n"
                "    K/E                 1/%.4g\n", ways,
                d->experts / d->top_k);
    }
    fprintf(out, "\n");
    print_words(out, "source:", d->source);
    print_words(out, "but:", d->why);
    print_words(out, "note:", d->note);
}

static void print_log(FILE *out)
{
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    struct hotspot log = hotspot_plant(&model, log_seed);
    size_t bill = 0;
    fprintf(out, "Load of layer 0, K = %d\n", HOTSPOT_TOP_K);
    hotspot_plot(out, &log);
    for (size_t i = 0; i < HOTSPOT_CAUSES; i++)
        if (asked(hotspot_names[i])) {
            hotspot_ask(out, &log, (enum hotspot_cause)i);
            bill += hotspot_prices[i];
        }
    fprintf(out, "asked for: %zu\n", bill);
    charlm_free(&model);
}

static void print_conventions(FILE *out)
{
    print_part(out, "The conventions, on the same logits");
    fprintf(out, " %-21s %-12s %-15s gates moved  eff.  run\n", "",
            "", "its two best");
    for (size_t i = 0; i < PRACTICE_ROWS; i++) {
        const struct practice *p = &practice_rows[i];
        char at[64];
        int n = snprintf(at, sizeof at, "%zu %.2f", routed[i].expert[0],
                         (double)routed[i].gate.at[0]);
        if (p->top_k > 1)
            snprintf(at + n, sizeof at - (size_t)n, " %zu %.2f",
                     routed[i].expert[1],
                     (double)routed[i].gate.at[1]);
        fprintf(out, " %-21s %-12s %-15s %5.2f %4.0f%% %5.1f "
                "%4.1f\n", p->name, p->model, at, sums[i].gates,
                100 * sums[i].moved, sums[i].effective, sums[i].run);
    }
}

static void lean(struct matrix to)
{
    for (size_t i = 0; i < tokens * PRACTICE_EXPERTS; i++)
        to.at[i] = (real)exp(scores_log(GATE_SIGMOID, (double)z.at[i]
            + (double)(i % PRACTICE_EXPERTS) / 6));
}

static double settled[2][4];
static const size_t settle_steps[2][4] = {{0, 100, 400, 1000},
                                          {0, 1, 4, 16}};

static void settle(void)
{
    struct matrix leaning = matrix_new(tokens, PRACTICE_EXPERTS);
    lean(leaning);
    for (size_t way = 0; way < 2; way++) {
        double b[PRACTICE_EXPERTS] = {0};
        for (size_t i = 0, before = 0; i < 4; i++) {
            size_t n = settle_steps[way][i] - before;
            if (way) settle_quantile(b, leaning, PRACTICE_TOP_K, n);
            else settle_sign(b, leaning, PRACTICE_TOP_K, 0.001, n);
            settled[way][i] = settle_violation(leaning, b,
                                               PRACTICE_TOP_K);
            before = settle_steps[way][i];
        }
    }
    matrix_free(&leaning);
}

static void print_settle(FILE *out)
{
    static const char *const ways[] = {"sign steps of 0.001",
                                       "quantile updates"};
    settle();
    print_part(out, "Biases settle: MaxVio on frozen scores");
    for (size_t way = 0; way < 2; way++) {
        fprintf(out, "    %-19s", ways[way]);
        for (size_t i = 0; i < 4; i++)
            fprintf(out, " %4zu: %.3f", settle_steps[way][i],
                    settled[way][i]);
        fprintf(out, "\n");
    }
}

static void print_small(FILE *out)
{
    print_part(out, "A small batch: different experts that it touches");
    fprintf(out, "        B  expected  neighbors  far apart\n");
    for (size_t b = 1; b <= 64 && b <= tokens; b *= 2)
        fprintf(out, "    %5zu  %8.2f  %9.2f  %9.2f\n", b,
                touch_expected((double)experts, (double)top_k,
                               (double)b), touch_counted(&small, b, 1),
                touch_counted(&small, b, tokens / b));
}

static void print_run(FILE *out)
{
    if (chosen) { print_card(out, chosen); return; }
    if (log_seed) { print_log(out); return; }
    fprintf(out, "Real routers, and rules side by side\n");
    print_part(out, "The table");
    fprintf(out, "    models %zu, in full %zu, within %g%% of what is "
            "published %zu\n", table.count, whole,
            100 * DESIGNS_TOLERANCE, within);
    print_conventions(out), print_settle(out), print_small(out);
}

static void print_design(FILE *out, const struct design *d)
{
    struct designs_count n = designs_count(d);
    print_value(out, "design.published", d->total);
    print_value(out, "design.experts", d->experts);
    print_value(out, "design.top_k", d->top_k);
    print_value(out, "design.identities", fmax(d->identities, 0));
    print_value(out, "design.moe_layers", n.moe_layers);
    print_value(out, "design.all_experts", n.moe_layers * d->experts);
    print_value(out, "design.experts_total", n.experts / 1e9);
    print_value(out, "design.total", n.total / 1e9);
    print_value(out, "design.of_published", n.total / 1e9 / d->total);
    print_value(out, "design.active", n.active[0] / 1e9);
    print_value(out, "design.active_head", n.active[1] / 1e9);
    print_value(out, "design.active_inner", n.active[2] / 1e9);
    print_value(out, "design.active_share", n.active[0] / n.total);
    print_value(out, "design.experts_share", n.experts / n.total);
    print_value(out, "design.share", designs_share(d));
    print_value(out, "design.halved", designs_halved(d));
    print_value(out, "design.wide", d->hidden / d->width);
    print_value(out, "design.read_16", bytes_read(d, 16) / 2
                                       / n.total);
}

static void print_values(FILE *out)
{
    const struct design *v3 = designs_find(&table, "deepseek-v3");
    const struct design *cat = designs_find(&table, "longcat-flash");
    if (chosen) print_design(out, chosen);
    print_value(out, "designs.tolerance", 100 * DESIGNS_TOLERANCE);
    print_count(out, "real.experts", PRACTICE_EXPERTS);
    print_count(out, "real.top_k", PRACTICE_TOP_K);
    print_count(out, "real.idle", PRACTICE_IDLE);
    print_count(out, "real.log_experts", HOTSPOT_EXPERTS);
    print_value(out, "real.longcat_choices",
                cat->experts + cat->identities);
    print_value(out, "real.ways_16_2", round(pow(10,
        designs_ways(16, 2))));
    print_count(out, "real.ways_64_8", (uint64_t)round(pow(10,
        designs_ways(64, 8))));
    print_value(out, "switch.at_1", 1000 / 860.0 - 1); /* examples */
    print_value(out, "switch.at_125", 910 / 790.0 - 1); /* a second, */
    print_value(out, "switch.at_2", 860 / 840.0 - 1); /* top-1, -2 */
    print_value(out, "practice.moved_bias", sums[5].moved);
    print_value(out, "practice.kept_sum", sums[0].gates);
    print_value(out, "practice.run_identity", sums[12].run);
    for (size_t b = 16; b <= 256; b *= 16) {
        double touched = touch_expected(v3->experts, v3->top_k,
                                        (double)b);
        char name[32];
        snprintf(name, sizeof name, "touch.v3_%zu", b);
        print_value(out, name, touched);
        snprintf(name, sizeof name, "touch.v3_%zu_each", b);
        print_value(out, name, touched / (double)b);
    }
}

static void print_cell(FILE *out, double value)
{
    if (isnan(value) || value < 0) fprintf(out, "\tNaN");
    else fprintf(out, "\t%.6g", value);
}

static void print_designs(FILE *out)
{
    fprintf(out, "# key\tyear\tactive\ttotal\tK/E\tways\twidth of an "
            "expert\tname\n");
    for (size_t i = 0; i < table.count; i++) {
        const struct design *d = &table.at[i];
        int known = d->experts > 0 && d->top_k > 0;
        fprintf(out, "%s\t%g", d->key, d->year);
        print_cell(out, d->active), print_cell(out, d->total);
        print_cell(out, known ? d->top_k / d->experts : NAN);
        print_cell(out, known ? designs_ways(d->experts, d->top_k)
                   : NAN);
        print_cell(out, d->hidden > 0 && d->width > 0
                   ? d->hidden / d->width : NAN);
        fprintf(out, "\t%s\n", d->model);
    }
}

int main(int argc, char **argv)
{
    static const struct program_value known[] = {
        {"designs.count", &table.count, NULL},
        {"designs.whole", &whole, NULL},
        {"designs.within", &within, NULL},
        {"real.tokens", &tokens, NULL},
        {"real.capacity_rows", &capacity_rows, NULL},
        {"real.dropless", &dropless, NULL},
        {"touch.experts", &experts, NULL},
        {"touch.top_k", &top_k, NULL},
        {"practice.input_relu", NULL, &input_relu},
        {"practice.input_gelu", NULL, &input_gelu},
        {"practice.groups_differ", NULL, &groups_differ},
        {"practice.closed_differ", NULL, &closed_differ},
        {"practice.lower_differ", NULL, &lower_differ}, {0}};
    static const struct args_table tables[] = {
        {"designs", print_designs}, {0}};
    static const struct program program = {
        .name = "chapter10", .about = "recompute what real routers "
        "cost, and run their rules side by side", .options = options,
        .lessons = &lessons10, .seed = &seed, .check = check,
        .prepare = prepare, .run = print_run, .values = print_values,
        .known = known, .tables = tables, .done = done};
    return program_main(&program, argc, argv);
}
