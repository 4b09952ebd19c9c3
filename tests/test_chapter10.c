/* Chapter 10: real routers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "check.h"
#include "designs.h"
#include "hotspot.h"
#include "lesson.h"
#include "lessons.h"
#include "practice.h"
#include "settle.h"
#include "softmax.h"
#include "stop.h"
#include "topk.h"
#include "touch.h"

extern const struct lesson_table lessons10;

static void program(void) { check_program(10, ""); }
static void lessons(void) { check_lessons(&lessons10, 200, ""); }

static void refusals(void)
{
    check_refuses(10, (const struct check_refusal[]){
        {"--design mixtral", "such as mixtral-8x7b mixtral-8x22b"}, {"--design xyz", "--data designs"},
        {"--design mixtral", "got 'mixtral'"},
        {"--log 3 --ask padding,router", "padding, layers, biases and mixed"},
        {"--log 3 --ask padding,padding", "each once"}, {"--ask padding", "goes with --log"},
        {"--experts 4 --top-k 5", "number of experts, 4, got 5"}, {NULL, NULL}});
}

/* ---- The table ---- */

static struct designs table_of_book(void)
{
    struct designs table;
    char wrong[DESIGNS_WRONG] = "";
    CU_ASSERT_EQUAL(designs_table(&table, wrong) || designs_check(&table, wrong), 0);
    CU_ASSERT_STRING_EQUAL(wrong, "");
    return table;
}

static void every_total(void)
{
    struct designs table = table_of_book();
    size_t whole = 0;
    CU_ASSERT(table.count >= 60);
    for (size_t i = 0; i < table.count; i++) {
        const struct design *d = &table.at[i];
        struct designs_count n = designs_count(d);
        whole += (size_t)n.whole;
        if (!n.whole) continue;
        double off = fabs(n.total / 1e9 / d->total - 1);
        CU_ASSERT(off <= 0.02 || *d->why);
        CU_ASSERT(n.total == n.experts + n.shared + n.routers + n.attention + n.dense + n.norms + n.embedding
                                 + n.head);
        CU_ASSERT(n.active[0] >= n.active[1] && n.active[1] >= n.active[2] && n.active[0] <= n.total);
        CU_ASSERT(designs_share(d) > 0 && designs_share(d) < 1);
        CU_ASSERT(designs_halved(d) > 1 && designs_halved(d) < 2);
        CU_ASSERT(*d->source != 0);
    }
    CU_ASSERT(whole >= 30);
    designs_free(&table);
}

/* Held out: to the last digit that is known, and as published. */
static void known_totals(void)
{
    static const struct { const char *key; double total, active; } known[] = {
        {"mixtral-8x7b", 46702792704, 12879925248}, {"deepseek-v3", 671.026e9, 37.55e9},
        {"llama-4-maverick", 400.7e9, 17.18e9}, {"qwen3-235b-a22b", 235.094e9, 22.19e9},
        {"dots.llm1", 142.8e9, 14.02e9}, {"olmoe-1b-7b", 6.919e9, 1.282e9}, {"gpt-oss-120b", 116.83e9, 5.71e9},
        {"kimi-k2", 1026.4e9, 32.86e9}, {"longcat-flash", 560.66e9, 32.18e9}, {"deepseek-v2", 235.74e9, 21.38e9}};
    struct designs table = table_of_book();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        const struct design *d = designs_find(&table, known[i].key);
        CU_ASSERT_FATAL(d != NULL);
        struct designs_count n = designs_count(d);
        CU_ASSERT(i ? fabs(n.total / known[i].total - 1) < 2e-4 : n.total == known[i].total);
        CU_ASSERT(i ? fabs(n.active[0] / known[i].active - 1) < 2e-3 : n.active[0] == known[i].active);
    }
    CU_ASSERT(designs_find(&table, "mixtral") == NULL);
    const struct design *c = designs_find(&table, "switch-c"), *xxl = designs_find(&table, "switch-xxl");
    CU_ASSERT_DOUBLE_EQUAL(designs_count(c).experts / 1e9, 1570.3, 0.1);
    CU_ASSERT_DOUBLE_EQUAL(designs_count(xxl).experts / 1e9, 193.3, 0.1);
    designs_free(&table);
}

/* By another way: the parts of a small model, one by one. */
static void small_model(void)
{
    struct design d = {.attention = "gqa", .layers = 3, .dense_layers = 1, .moe_layers = -1, .width = 4, .heads = 2,
        .kv_heads = 1, .head_width = 2, .vocabulary = 10, .tied = 0, .dense_hidden = 5, .experts = 3, .top_k = 2,
        .hidden = 6, .matrices = 3, .expert_bias = -1, .latent = -1, .identities = -1, .shared = 1,
        .shared_hidden = 7, .shared_gate = -1, .select_bias = 1, .router_bias = -1, .attention_bias = -1,
        .qk_norm = -1, .q_latent = -1, .kv_latent = -1, .qk_plain = -1, .qk_rope = -1, .v_width = -1, .groups = -1,
        .open = -1};
    struct designs_count n = designs_count(&d);
    CU_ASSERT_EQUAL(n.expert, 3 * 4 * 6);
    CU_ASSERT_EQUAL(n.experts, 2 * 3 * 72);
    CU_ASSERT_EQUAL(n.attention, 3 * (4 * 4 + 2 * 4 * 2 + 4 * 4));
    CU_ASSERT_EQUAL(n.routers, 2 * (4 * 3 + 3));
    CU_ASSERT_EQUAL(n.shared, 2 * 3 * 4 * 7);
    CU_ASSERT_EQUAL(n.dense, 3 * 4 * 5);
    CU_ASSERT_EQUAL(n.norms, 7 * 4);
    CU_ASSERT_EQUAL(n.total, 432 + 144 + 30 + 168 + 60 + 28 + 40 + 40);
    CU_ASSERT_EQUAL(n.total - n.active[0], 2 * 1 * 72);
    CU_ASSERT_EQUAL(n.active[0] - n.active[1], 40);
    CU_ASSERT_EQUAL(n.active[1] - n.active[2], 40);
    d.tied = 1; /* the one matrix is the head: it is multiplied with */
    n = designs_count(&d);
    CU_ASSERT(n.active[0] == n.active[1] && n.active[1] - n.active[2] == 40);
    d.attention = "mla", d.kv_latent = 3, d.qk_plain = 2, d.qk_rope = 1, d.v_width = 2;
    n = designs_count(&d);
    CU_ASSERT_EQUAL(n.attention, 3 * (4 * 2 * 3 + 4 * (3 + 1) + 3 + 3 * 2 * (2 + 2) + 2 * 2 * 4));
    d.attention = "hybrid";
    CU_ASSERT(!designs_count(&d).whole && designs_count(&d).experts == 432);
}

/* ---- Rows that contradict themselves ---- */

enum { CELLS = 49 };

/* The table's header and the row of Mixtral, with one cell changed; what is wrong. */
static void with_cell(const char *column, const char *cell, const char *words)
{
    struct check_output head = check_run("head -n 1 data/routers.tsv | tr '\\t' '\\n'");
    struct check_output row = check_run("grep '^mixtral-8x7b' data/routers.tsv | tr '\\t' '\\n'");
    char *lines[2] = {calloc(4000, 1), calloc(4000, 1)}, *names = head.out, *cells = row.out;
    CU_ASSERT_FATAL(lines[0] && lines[1]);
    size_t seen = 0;
    for (size_t i = 0; i < CELLS; i++) {
        size_t a = strcspn(names, "\n"), b = strcspn(cells, "\n");
        int here = strlen(column) == a && !strncmp(names, column, a);
        seen += (size_t)here;
        sprintf(lines[0] + strlen(lines[0]), "%s%.*s", i ? "\t" : "", (int)a, names);
        if (here) sprintf(lines[1] + strlen(lines[1]), "%s%s", i ? "\t" : "", cell);
        else sprintf(lines[1] + strlen(lines[1]), "%s%.*s", i ? "\t" : "", (int)b, cells);
        names += a + 1, cells += b + 1;
    }
    CU_ASSERT_EQUAL(seen, 1);
    struct designs table;
    char wrong[DESIGNS_WRONG] = "";
    int failed = designs_read(&table, (const char *const *)lines, 2, wrong) || designs_check(&table, wrong);
    CU_ASSERT_EQUAL(failed, *words != 0);
    CU_ASSERT(!*words || (strstr(wrong, words) && strstr(wrong, "data/routers.tsv:2: ")));
    if (*words && !strstr(wrong, words)) fprintf(stderr, "%s = '%s': %s\n", column, cell, wrong);
    designs_free(&table), free(lines[0]), free(lines[1]);
    check_free(&head), check_free(&row);
}

static void contradictions(void)
{
    with_cell("year", "2023", "");
    with_cell("K", "9", "K is above E");
    with_cell("dense_layers", "33", "more dense layers than layers");
    with_cell("active", "48", "active is above total");
    with_cell("kv_heads", "7", "does not divide heads");
    with_cell("groups", "3", "does not divide E");
    with_cell("shared", "1", "do not agree");
    with_cell("kv_latent", "512", "has no latent");
    with_cell("source", "", "no source");
    with_cell("total", "56", "make 46.70 billion parameters, and total says 56");
    with_cell("hidden", "4096", "make 14.4"); /* a wrong width is a wrong total */
    with_cell("why", "a dense block", "but it is not");
    with_cell("layers", "many", "layers is no number: 'many'");
    with_cell("width", "-4", "width is no number");
    with_cell("capacity", "", "");
    with_cell("read", "shape:C gate:C params:C", "balance is filled");
    with_cell("read", "shape:C gate:M balance:C capacity:S params:C", "gate is filled");
}

static void broken_tables(void)
{
    struct designs table;
    char wrong[DESIGNS_WRONG];
    const char *no_header[] = {"model\tE"};
    CU_ASSERT(designs_read(&table, no_header, 1, wrong) && strstr(wrong, ":1: the first line must name"));
    designs_free(&table);
    CU_ASSERT(designs_read(&table, no_header, 0, wrong));
    designs_free(&table);
    struct check_output head = check_run("head -n 1 data/routers.tsv");
    head.out[strcspn(head.out, "\n")] = 0;
    const char *few[] = {head.out, "x\ty\tz"};
    CU_ASSERT(designs_read(&table, few, 2, wrong) && strstr(wrong, ":2: a row has 49 cells"));
    designs_free(&table), check_free(&head);
}

/* ---- Ways ---- */

static void ways(void)
{
    char text[32];
    CU_ASSERT_DOUBLE_EQUAL(designs_ways(8, 2), log10(28), 1e-12);
    CU_ASSERT_DOUBLE_EQUAL(designs_ways(64, 8), log10(4426165368.0), 1e-12);
    designs_ways_text(text, 64, 8);
    CU_ASSERT_STRING_EQUAL(text, "4426165368");
    designs_ways_text(text, 256, 8);
    CU_ASSERT_STRING_EQUAL(text, "409663695276000");
    designs_ways_text(text, 896, 16);
    CU_ASSERT_STRING_EQUAL(text, "10^33.9");
    designs_ways_text(text, 128, 1);
    CU_ASSERT_STRING_EQUAL(text, "128");
}

/* ---- Conventions, against Python ---- */

static struct scores_rule rule_of(const char *name)
{
    static const struct { const char *name; struct scores_rule rule; } rules[] = {
        {"softmax", {.gate = GATE_SOFTMAX}}, {"renorm", {.gate = GATE_RENORM}}, {"sigmoid", {.gate = GATE_SIGMOID}},
        {"own", {.gate = GATE_OWN}}, {"sigmoid-bias", {.gate = GATE_SIGMOID, .scale = 2.5}},
        {"root-bias", {.gate = GATE_ROOT, .scale = 1.5}}, {"softmax-bias", {.gate = GATE_SOFTMAX, .scale = 6}},
        {"groups-maximum", {.gate = GATE_SOFTMAX, .scale = 16, .groups = 4, .open = 2, .best = 1}},
        {"groups-two", {.gate = GATE_SIGMOID, .scale = 2.5, .groups = 4, .open = 2, .best = 2}},
        {"groups-zero", {.gate = GATE_SIGMOID, .scale = 2.5, .groups = 4, .open = 2, .best = 2, .zeros = 1}},
        {"hash", {.gate = GATE_ROOT, .scale = 1.5}}};
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (!strcmp(rules[i].name, name)) return rules[i].rule;
    CU_FAIL_FATAL("a convention that the C does not know");
    return rules[0].rule;
}

/* One printed row; what differs from it. */
static size_t row_differs(char *line)
{
    enum { MOST = 32 };
    char name[32];
    size_t experts, top_k, number, wrong = 0;
    int used;
    if (sscanf(line, "%31s %zu %zu %zu%n", name, &experts, &top_k, &number, &used) != 4) return 1;
    char *at = line + used;
    real z[MOST], bias[MOST], p[MOST], s[MOST];
    for (size_t i = 0; i < experts; i++) z[i] = (real)strtod(at, &at);
    for (size_t i = 0; i < experts; i++) bias[i] = (real)strtod(at, &at);
    struct scores_rule rule = rule_of(name);
    struct matrix logits = {1, experts, z}, soft = {1, experts, p}, compared = {1, experts, s};
    struct routes routes = routes_new(1, experts, top_k);
    if (strstr(name, "bias") || strstr(name, "two") || strstr(name, "zero")) rule.bias = bias;
    softmax_rows(soft, NULL, logits);
    if (!strcmp(name, "hash")) scores_hash(&routes, &number);
    else scores_select(&routes, &rule, compared, logits);
    scores_weigh(&routes, &rule, logits, soft);
    for (size_t k = 0; k < top_k; k++) wrong += strtoul(at, &at, 10) != routes_expert(&routes, 0, k);
    for (size_t k = 0; k < top_k; k++) {
        double want = strtod(at, &at), got = (double)routes.gate.at[k];
        wrong += isnan(want) ? !isnan(got) : !(fabs(want - got) <= 1e-5 * fmax(1, fabs(want)));
    }
    routes_free(&routes);
    return wrong;
}

static void python_agrees(void)
{
    struct check_output have = check_run("command -v python3");
    int found = have.status == 0;
    check_free(&have);
    if (!found) return; /* the script is for who has it; CI does */
    struct check_output rows = check_run("python3 tests/routes_reference.py 1000");
    size_t count = 0, differ = 0;
    CU_ASSERT_EQUAL(rows.status, 0);
    for (char *line = rows.out, *end; (end = strchr(line, '\n')); line = end + 1, count++) {
        *end = 0;
        size_t wrong = row_differs(line);
        if (wrong && !differ) fprintf(stderr, "differs: %s\n", line);
        differ += wrong != 0;
    }
    CU_ASSERT_EQUAL(count, 11 * 1000);
    CU_ASSERT_EQUAL(differ, 0);
    check_free(&rows);
}

/* The rows that stand side by side: one convention in two orders; biased ones are
 * even; a lower bias moves nothing that is closed with -inf. */
static void side_by_side(void)
{
    enum { T = 200, E = PRACTICE_EXPERTS, K = PRACTICE_TOP_K };
    struct random r = check_random();
    struct matrix z = check_matrix(&r, T, E, 2);
    size_t number[T];
    struct routes at[PRACTICE_ROWS];
    for (size_t t = 0; t < T; t++) number[t] = t % 7;
    for (size_t i = 0; i < PRACTICE_ROWS; i++) {
        at[i] = routes_new(T, E, practice_rows[i].top_k);
        practice_fill(&practice_rows[i], &at[i], z, number);
        struct practice_sums s = practice_measure(&practice_rows[i], &at[i], z);
        double scale = practice_rows[i].rule.scale;
        enum routes_gate gate = practice_rows[i].rule.gate;
        if (gate != GATE_SOFTMAX && gate != GATE_OWN) CU_ASSERT_DOUBLE_EQUAL(s.gates, scale == 0 ? 1 : scale, 1e-5);
        if (practice_rows[i].biased && !practice_rows[i].rule.groups) CU_ASSERT(s.effective > E - 0.3);
        if (!practice_rows[i].biased && !practice_rows[i].hash && !practice_rows[i].rule.groups)
            CU_ASSERT_EQUAL(s.moved, 0);
        CU_ASSERT(practice_rows[i].identities ? s.run < K : fabs(s.run - (double)practice_rows[i].top_k) < 1e-9);
    }
    CU_ASSERT(check_gap(at[1].gate, at[2].gate) == 0);
    struct practice lower = practice_rows[8];
    lower.lower = 1;
    struct routes moved = routes_new(T, E, K);
    practice_fill(&lower, &moved, z, number);
    CU_ASSERT(!memcmp(moved.expert, at[8].expert, T * K * sizeof(size_t)));
    CU_ASSERT(memcmp(at[10].expert, at[8].expert, T * K * sizeof(size_t)));
    routes_free(&moved), matrix_free(&z);
    for (size_t i = 0; i < PRACTICE_ROWS; i++) routes_free(&at[i]);
}

/* ---- Biases settle ---- */

/* No sign step leads further than rate times steps; quantiles get there sooner. */
static void settling(void)
{
    enum { T = 120, E = 6 };
    struct random r = check_random();
    struct matrix s = check_matrix(&r, T, E, 1);
    for (size_t i = 0; i < T * E; i++) s.at[i] = (real)(1 / (1 + exp(-(double)s.at[i] - (double)(i % E))));
    double sign[E] = {0}, quantile[E] = {0};
    double before = settle_violation(s, sign, 2);
    settle_sign(sign, s, 2, 0.001, 50);
    settle_quantile(quantile, s, 2, 8);
    for (size_t e = 0; e < E; e++) CU_ASSERT(fabs(sign[e]) <= 0.05 + 1e-6);
    CU_ASSERT(before > 0.5 && settle_violation(s, sign, 2) > 0.5 * before);
    CU_ASSERT(settle_violation(s, quantile, 2) < 0.3 * before);
    matrix_free(&s);
}

/* ---- Two hot experts ---- */

/* Whatever is planted shows in its measurement, and in none that is asked before it. */
static void planted(void)
{
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    size_t of[HOTSPOT_CAUSES] = {0};
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct hotspot h = hotspot_plant(&model, seed);
        double plot = h.load[h.hot[0]] + h.load[h.hot[1]], even = 0.25, near = 0.06, sum = 0;
        for (size_t e = 0; e < HOTSPOT_EXPERTS; e++) {
            sum += h.load[e];
            CU_ASSERT(e == h.hot[0] || e == h.hot[1] || h.load[e] < fmin(h.load[h.hot[0]], h.load[h.hot[1]]));
        }
        CU_ASSERT_DOUBLE_EQUAL(sum, 1, 1e-9);
        CU_ASSERT(plot > 0.38 && h.hot[0] != h.hot[1]);
        int padding = fabs(h.padding - even) < near, layers = fabs(h.mean - even) < near;
        int dead = h.bias[h.hot[0]] == 0 && h.bias[h.hot[1]] == 0, mixed = fabs(h.corpus - even) < near;
        CU_ASSERT_EQUAL(padding, h.cause == HOTSPOT_PADDING);
        if (h.cause != HOTSPOT_PADDING) CU_ASSERT_EQUAL(layers, h.cause == HOTSPOT_LAYERS);
        CU_ASSERT_EQUAL(dead, h.cause == HOTSPOT_BIASES);
        CU_ASSERT_EQUAL(mixed, h.cause == HOTSPOT_DOMAIN || h.cause == HOTSPOT_PADDING);
        of[h.cause]++;
    }
    for (size_t i = 0; i < HOTSPOT_CAUSES; i++) CU_ASSERT(of[i] > 20);
    charlm_free(&model);
}

/* ---- Small batches ---- */

static void touching(void)
{
    enum { T = 4000, E = 16, K = 2 };
    struct random r = check_random();
    struct routes routes = routes_new(T, E, K);
    for (size_t i = 0; i < T * K; i += K) {
        routes.expert[i] = random_below(&r, E);
        do routes.expert[i + 1] = random_below(&r, E);
        while (routes.expert[i + 1] == routes.expert[i]);
    }
    CU_ASSERT_EQUAL(touch_counted(&routes, 1, 1), K);
    for (size_t b = 2; b <= 32; b *= 2) {
        CU_ASSERT_DOUBLE_EQUAL(touch_counted(&routes, b, 1), touch_expected(E, K, (double)b), 0.1);
        CU_ASSERT_DOUBLE_EQUAL(touch_counted(&routes, b, 101), touch_expected(E, K, (double)b), 0.1);
    }
    CU_ASSERT_DOUBLE_EQUAL(touch_repeats(&routes), 1.0 / E, 0.02);
    for (size_t i = 0; i < T * K; i++) routes.expert[i] = i % K;
    CU_ASSERT(touch_counted(&routes, 32, 1) == K && touch_repeats(&routes) == 1);
    CU_ASSERT_DOUBLE_EQUAL(touch_expected(128, 8, 16), 82.42, 0.01);
    routes_free(&routes);
}

SUITE(10) {
    check_case("the program keeps its promises", program);
    check_case("the lessons are sound", lessons);
    check_case("what is not allowed is refused, with what is", refusals);
    check_case("every total that can be computed is the published one, or says why", every_total); /* designs_table */
    check_case("known totals, to the last digit", known_totals); /* designs_count designs_find */
    check_case("a small model, part by part", small_model); /* designs_count */
    check_case("a row that contradicts itself is refused with its line", contradictions); /* designs_check */
    check_case("tables that are none", broken_tables); /* designs_read */
    check_case("ways to choose, exact and as a power", ways); /* designs_ways designs_ways_text */
    check_case("11 conventions agree with Python, 1,000 rows each", python_agrees); /* scores_select scores_weigh */
    check_case("conventions side by side", side_by_side); /* practice_fill practice_measure */
    check_case("biases settle, by steps and by quantiles", settling); /* settle_sign settle_quantile */
    check_case("what is planted is what shows", planted); /* hotspot_plant */
    check_case("experts touched: counted as expected", touching); /* touch_counted touch_expected touch_repeats */
}
