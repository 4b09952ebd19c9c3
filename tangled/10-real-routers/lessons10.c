#include <math.h>
#include "designs.h"
#include "hotspot.h"
#include "lesson.h"
#include "random.h"
#include "router.h"
#include "stop.h"
#include "touch.h"

static struct lesson_answer unless(double right, double wrong,
                                   double tolerance)
{
    return fabs(wrong - right) <= tolerance
        ? (struct lesson_answer){0, {0}} : lesson_value(wrong);
}

static void halve_choices(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    struct designs table;
    char wrong[DESIGNS_WRONG];
    if (designs_table(&table, wrong)) stop("%s", wrong);
    const struct design *d = designs_find(&table, "mixtral-8x7b");
    while (seed != LESSON_BOOK_SEED) {
        d = &table.at[random_below(&r, table.count)];
        if (designs_count(d).whole && !*d->why
            && fmod(d->top_k, 2) == 0) break;
    }
    struct designs_count n = designs_count(d);
    double share = designs_share(d), right = designs_halved(d);
    double chosen = n.moe_layers * d->top_k * n.expert;
    fprintf(l->given, "%s: %.0f MoE layers, E = %.0f, K = %.0f\n"
            "one expert: %.1f million weights\n"
            "a token is multiplied with %.2f billion weights in all\n",
            d->model, n.moe_layers, d->experts, d->top_k,
            n.expert / 1e6, n.active[1] / 1e9);
    l->right = lesson_value(right);
    l->wrong[0] = unless(right, 2, 0.05);
    l->wrong[1] = unless(right, 1 / (1 - share), 0.05);
    fprintf(l->way, "chosen experts  %.0f x %.0f x %.1f million = %.2f "
            "billion\nr  %.2f / %.2f = %.3f\n1 / (1 - r / 2) = %.2f\n",
            n.moe_layers, d->top_k, n.expert / 1e6, chosen / 1e9,
            chosen / 1e9, n.active[1] / 1e9, share, right);
    designs_free(&table);
}

static double digits(double experts, double top_k)
{
    return floor(designs_ways(experts, top_k) + 1e-9) + 1;
}

static void cut_experts(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    double e = 8 + 4 * (double)random_below(&r, 5);
    double m = 2 + (double)random_below(&r, 3);
    double right = digits(m * e, 2 * m);
    char before[32], after[32];
    designs_ways_text(before, e, 2);
    designs_ways_text(after, m * e, 2 * m);
    fprintf(l->given, "before: E = %.0f, K = 2, %s ways\n"
            "every expert is cut in %.0f: E = %.0f, K = %.0f\n", e,
            before, m, m * e, 2 * m);
    l->right = lesson_value(right);
    l->wrong[0] = unless(right, floor(designs_ways(e, 2) + log10(m))
                         + 1, 0);
    l->wrong[1] = unless(right, digits(m * e, 2), 0);
    fprintf(l->way, "%.0f choose 2 = %s\n%.0f choose %.0f = %s\n", e,
            before, m * e, 2 * m, after);
}

static void find_cause(uint64_t seed, struct lesson_problem *l)
{
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    struct hotspot log = hotspot_plant(&model, seed);
    charlm_free(&model);
    size_t bill = 0;
    hotspot_plot(l->given, &log);
    for (size_t i = 0; i < HOTSPOT_CAUSES; i++)
        hotspot_ask(l->given, &log, (enum hotspot_cause)i);
    l->right = lesson_value((double)log.cause + 1);
    if (log.cause == HOTSPOT_PADDING)
        l->wrong[0] = lesson_value(HOTSPOT_DOMAIN + 1);
    if (log.cause == HOTSPOT_DOMAIN)
        l->wrong[1] = lesson_value(HOTSPOT_BIASES + 1);
    if (log.cause == HOTSPOT_BIASES)
        l->wrong[2] = lesson_value(HOTSPOT_DOMAIN + 1);
    for (size_t i = 0; i <= (size_t)log.cause; i++)
        bill += hotspot_prices[i];
    fprintf(l->way, "even would be %.0f%% for two of %d\n"
            "asked in the order of price, it shows in \"%s\", for %zu "
            "in all\nexperts %zu and %zu were planted\n",
            200.0 / HOTSPOT_EXPERTS, HOTSPOT_EXPERTS,
            hotspot_names[log.cause], bill, log.hot[0], log.hot[1]);
}

static double count_touched(size_t experts, size_t top_k, size_t batch,
                            struct random *random)
{
    enum { T = 256 };
    char text[T + 1];
    struct charlm model = charlm_trained(LESSON_BOOK_SEED);
    struct router router = router_new(CHARLM_WIDTH, experts, 1, random);
    struct matrix x = matrix_new(T, CHARLM_WIDTH);
    struct matrix z = matrix_new(T, experts);
    struct routes routes = routes_new(T, experts, top_k);
    charlm_text(text, T + 1, LESSON_BOOK_SEED);
    charlm_vectors(&model, x, text);
    router_forward(&router, z, x), routes_select(&routes, z);
    double touched = touch_counted(&routes, batch, 1);
    charlm_free(&model), router_free(&router), routes_free(&routes);
    matrix_free(&x), matrix_free(&z);
    return touched;
}

static void touch_experts(uint64_t seed, struct lesson_problem *l)
{
    struct random r = random_seeded(seed);
    size_t experts = (size_t)8 << random_below(&r, 5);
    size_t top_k = (size_t)1 << random_below(&r, 3);
    size_t batch = 2 + random_below(&r, 14);
    double e = (double)experts, k = (double)top_k, b = (double)batch;
    double right = touch_expected(e, k, b), most = fmin(e, k * b);
    fprintf(l->given, "E = %zu    K = %zu    B = %zu\n", experts, top_k,
            batch);
    l->right = lesson_value(right);
    l->wrong[0] = unless(right, most, 1);
    l->wrong[1] = unless(right, k, 1);
    fprintf(l->way, "left alone by a token   1 - %zu/%zu = %.4f\n"
            "left alone by all %-3zu    %.4f\ntouched  %zu x (1 - "
            "%.4f) = %.2f\nneighbors, not at random: %.2f\n",
            top_k, experts, 1 - k / e, batch, pow(1 - k / e, b),
            experts, pow(1 - k / e, b), right,
            count_touched(experts, top_k, batch, &r));
}

static const struct lesson rows[] = {
    {"10.1", "A teammate proposes 'just use top-1 like Switch' to "
     "halve training cost", "1.3.1", 7, "K is halved, all else stays. "
     "By what factor can the work of a token shrink at most? Work is "
     "the number of weights that it is multiplied with.", NULL,
     LESSON_NUMBER, 0.03, {0},
     {"What does K not change? Attention, shared and dense blocks, the "
      "head.", "Which share r of the weights are the chosen experts: "
      "layers x K x one expert, over all?",
      "Half of r goes away: all over what is left, 1 / (1 - r / 2)."},
     halve_choices,
     {"Only the chosen experts are halved; the rest of the model "
      "stays.", "Half of the experts' work goes away, not all of it."}},
    {"10.2", "Mixtral has 8 experts; DeepSeek-MoE has 64: why pick a "
     "number?", "1.3.2", 8, "Every expert is cut in m narrower ones, "
     "and m times as many are chosen: the same parameters, the same "
     "work. How many digits has the number of ways to choose now?",
     "digits", LESSON_NUMBER, 0, {0},
     {"Not m times as many ways: pieces of different experts can be "
      "mixed.", "m E choose m K is a product of m K factors: the first "
      "is m E, the last about E / K - 1.", "Multiply (m E - i) / (i + "
      "1) for i from 0 to m K - 1; a power of ten is enough."},
     cut_experts,
     {"That is m times as many. The pieces need not stay together.",
      "That chooses K of the pieces. The choices are m times as many, "
      "too: m K."}},
    {"10.3", "Training loss is fine, but the utilization plot shows "
     "two hot experts", "1.3.3", 8, "The plot is of one layer, number "
     "0, and one batch; \"the two\" are its hot experts, the biases "
     "those of experts 0 to 7. Which is the cause?",
     NULL, LESSON_CHOICE, 0,
     {"padding, all routed alike", "opposite skews in two layers",
      "biases that are not updated", "a batch of one domain"},
     {"Even is a quarter for two of eight. Go through the answers in "
      "the order of price; the first that fits is the cause.",
      "A quarter without padding? Or in the mean of the layers? In one "
      "layer alone it says nothing.", "A bias that never moved is "
      "exactly 0.000. Else: a quarter over mixed text?"},
     find_cause,
     {"Mixed text is even because there is no padding in it.",
      "Those biases have moved, and over mixed text they balance.",
      "Over mixed text the two are hot as well."}},
    {"10.4", "Your inference batch is small: does the router behave "
     "the same?", "1.3.4", 8, "B tokens take K of E experts each, at "
     "random. How many different experts must be read from memory, on "
     "average? (To within one.)", "experts", LESSON_NUMBER, 1, {0},
     {"Two tokens can choose the same expert: it is read once.",
      "What is the chance that one token leaves an expert alone? That "
      "all B do?", "E x (1 - (1 - K/E)^B)."},
     touch_experts,
     {"That counts an expert again for each token that chose it.",
      "That is what one token reads."}},
};

const struct lesson_table lessons10 = {rows,
                                       sizeof rows / sizeof *rows};
