/* Chapter 7: counting, learning, attending. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "bigram.h"
#include "check.h"
#include "corpus.h"
#include "gpt.h"
#include "loss.h"

#ifdef REAL_DOUBLE
struct small { struct gpt_options o; struct gpt gpt, grad; struct gpt_work *work; size_t symbol[12], target[12];
               struct weights list; };

static double small_loss(void *context)
{
    struct small *s = context;
    double sum = gpt_forward(&s->gpt, s->work, s->symbol, s->target, NULL);
    for (size_t i = 0; i < s->o.blocks; i++)
        sum += s->o.layer.alpha * gpt_moe(s->work, i)->aux + s->o.layer.zeta * gpt_moe(s->work, i)->z_loss;
    return sum;
}

/* Every parameter group of a small transformer, dense and routed, by differences. */
static void gradients(void)
{
    static const struct { size_t experts, top_k; enum routes_gate gate; double alpha; } kinds[] = {
        {1, 1, GATE_RENORM, 0}, {3, 1, GATE_SOFTMAX, 0.01}, {3, 2, GATE_RENORM, 0.1}, {4, 2, GATE_SIGMOID, 0.01}};
    struct random r = check_random();
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        struct small s = {.o = {5, 4, 2, 2, {.width = 6, .hidden = 7, .experts = kinds[k].experts,
            .top_k = kinds[k].top_k, .gate = kinds[k].gate, .activation = FFN_GELU, .alpha = kinds[k].alpha,
            .zeta = kinds[k].alpha}}};
        s.gpt = gpt_new(s.o, &r), s.grad = gpt_new(s.o, &r);
        s.work = gpt_work_new(&s.o, 12);
        gpt_weights(&s.list, &s.gpt, &s.grad);
        for (size_t i = 0; i < s.list.count; i++) { /* away from zeros and ones */
            struct matrix m = s.list.at[i].value;
            for (size_t j = 0; j < m.rows * m.cols; j++) m.at[j] += (real)random_symmetric(&r, 0.5);
        }
        for (size_t t = 0; t < 12; t++) s.symbol[t] = random_below(&r, 5), s.target[t] = random_below(&r, 5);
        small_loss(&s);
        gpt_backward(&s.gpt, &s.grad, s.work, s.symbol);
        double error = weights_error(&s.list, small_loss, &s);
        CU_ASSERT(error < 1e-6);
        if (!(error < 1e-6)) printf("\n    kind %zu: error %g", k, error);
        weights_free(&s.list), gpt_free(&s.gpt), gpt_free(&s.grad), gpt_work_free(s.work);
    }
}
#endif

static void no_look_ahead(void)
{
    struct random r = check_random();
    struct gpt_options o = {7, 8, 2, 2, {.width = 8, .hidden = 6, .experts = 2, .top_k = 1, .gate = GATE_SOFTMAX}};
    struct gpt gpt = gpt_new(o, &r);
    struct gpt_work *a = gpt_work_new(&o, 8), *b = gpt_work_new(&o, 8);
    size_t one[8], two[8];
    for (size_t i = 0; i < 8; i++) one[i] = two[i] = 1 + random_below(&r, 6);
    for (size_t i = 5; i < 8; i++) two[i] = 1 + random_below(&r, 6);
    double first[8], second[8];
    gpt_forward(&gpt, a, one, one, first), gpt_forward(&gpt, b, two, one, second);
    for (size_t i = 0; i < 5; i++) CU_ASSERT(first[i] == second[i]);
    gpt_free(&gpt), gpt_work_free(a), gpt_work_free(b);
}

/* The counted table is where descent ends: its slopes are zero, and its loss is least. */
static void counts_are_the_optimum(void)
{
    struct random r = check_random();
    struct corpus c = corpus_new(CORPUS_REVERSED);
    size_t n = text_symbols(), *symbol = malloc(64 * 33 * sizeof *symbol);
    uint64_t *count = calloc(n * n, sizeof *count);
    struct matrix table = matrix_new(n, n), slope = matrix_new(n, n);
    CU_ASSERT_FATAL(symbol && count);
    corpus_windows(&c, CORPUS_TRAIN, 64, 33, symbol, NULL, &r);
    bigram_count(count, n, symbol, 64, 33);
    bigram_from_counts(table, count, 1e-9);
    double least = bigram_loss(table, slope, symbol, 64, 33);
    CU_ASSERT(sqrt(matrix_squares(slope)) < 1e-6);
    for (int i = 0; i < 20; i++) {
        size_t at = random_below(&r, n * n);
        real kept = table.at[at];
        if (!count[at]) continue;
        table.at[at] += (real)random_symmetric(&r, 2);
        CU_ASSERT(bigram_loss(table, (struct matrix){0}, symbol, 64, 33) >= least - 1e-6);
        table.at[at] = kept;
    }
    free(symbol), free(count), matrix_free(&table), matrix_free(&slope), corpus_free(&c);
}

static void split(void)
{
    for (int sums = CORPUS_PLAIN; sums <= CORPUS_REVERSED; sums++) {
        struct corpus c = corpus_new((enum corpus_sums)sums);
        for (size_t d = 0; d < TEXT_DOMAINS; d++) {
            double held = (double)c.lines[CORPUS_HELD][d].count, all = held + (double)c.lines[CORPUS_TRAIN][d].count;
            CU_ASSERT(held / all > 0.08 && held / all < 0.12);
        }
        CU_ASSERT(c.lines[CORPUS_TRAIN][TEXT_NAMES].count + c.lines[CORPUS_HELD][TEXT_NAMES].count == 8403);
        CU_ASSERT(c.lines[CORPUS_TRAIN][TEXT_ARITHMETIC].count + c.lines[CORPUS_HELD][TEXT_ARITHMETIC].count == 15219);
        /* no line on both sides, and a sum's mirror image on the same */
        struct corpus_lines *t = &c.lines[CORPUS_TRAIN][TEXT_ARITHMETIC], *h = &c.lines[CORPUS_HELD][TEXT_ARITHMETIC];
        char seen[100][100] = {{0}};
        for (int part = 0; part < 2; part++) {
            struct corpus_lines *l = part ? h : t;
            for (size_t i = 0; i < l->count; i++) {
                size_t a, b;
                char sign;
                if (sscanf(l->at[i], "%zu%c%zu", &a, &sign, &b) != 3 || sign != '+') continue;
                CU_ASSERT_FATAL(a < 100 && b < 100);
                CU_ASSERT(!seen[a][b] && (!seen[b][a] || a == b || seen[b][a] == part + 1));
                seen[a][b] = (char)(part + 1);
            }
        }
        for (size_t a = 0; a < 100; a++) for (size_t b = 0; b < 100; b++) CU_ASSERT(seen[a][b] && seen[a][b] == seen[b][a]);
        corpus_free(&c);
    }
}

static void thirds(void)
{
    struct random r = check_random();
    struct corpus c = corpus_new(CORPUS_REVERSED);
    enum { WINDOWS = 2000, LENGTH = 33 };
    size_t *symbol = malloc(WINDOWS * LENGTH * sizeof *symbol), of[TEXT_DOMAINS] = {0};
    unsigned char *domain = malloc(WINDOWS * LENGTH);
    CU_ASSERT_FATAL(symbol && domain);
    corpus_windows(&c, CORPUS_TRAIN, WINDOWS, LENGTH, symbol, domain, &r);
    for (size_t i = 0; i < WINDOWS * LENGTH; i++) of[domain[i]]++;
    for (size_t d = 0; d < TEXT_DOMAINS; d++)
        CU_ASSERT_DOUBLE_EQUAL((double)of[d] / (WINDOWS * LENGTH), 1.0 / 3, 0.04);
    free(symbol), free(domain), corpus_free(&c);
}

static void loss_by_definition(void)
{
    struct random r = check_random();
    struct matrix z = check_matrix(&r, 20, 7, 5), d = matrix_new(20, 7);
    size_t target[20];
    double sum = 0, each[20];
    for (size_t t = 0; t < 20; t++) target[t] = random_below(&r, 7);
    double loss = loss_forward(d, z, target, each);
    for (size_t t = 0; t < 20; t++) {
        double all = 0, slopes = 0;
        for (size_t v = 0; v < 7; v++) all += exp((double)matrix_row(z, t)[v]);
        double own = log(all) - (double)matrix_row(z, t)[target[t]];
        CU_ASSERT_DOUBLE_EQUAL(each[t], own, 1e-5);
        sum += own / 20;
        for (size_t v = 0; v < 7; v++) slopes += (double)matrix_row(d, t)[v];
        CU_ASSERT_DOUBLE_EQUAL(slopes, 0, 1e-6);
    }
    CU_ASSERT_DOUBLE_EQUAL(loss, sum, 1e-5);
    struct matrix even = matrix_new(3, 7);
    CU_ASSERT_DOUBLE_EQUAL(loss_bits(loss_forward(even, even, target, NULL)), log2(7), 1e-6);
    matrix_free(&z), matrix_free(&d), matrix_free(&even);
}

SUITE(7) {
    check_case("the split is by domain, and mirrored sums stay together", split);
    check_case("each domain has a third of the characters", thirds);
    check_case("cross-entropy agrees with its definition; even is log V", loss_by_definition);
    check_case("the counted table is the learned table's optimum", counts_are_the_optimum);
    check_case("no token looks ahead", no_look_ahead);
#ifdef REAL_DOUBLE
    check_case("gradients of the transformer, dense and routed, by differences", gradients);
#endif
}
