/* Chapter 7: counting, learning, attending. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "bigram.h"
#include "check.h"
#include "corpus.h"
#include "fit.h"
#include "lessons.h"
#include "loss.h"

extern const struct lesson_table lessons7;
static void lessons(void) { check_lessons(&lessons7, 200, ""); }

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
    struct batch b = batch_new(&c, 64, 32);
    size_t n = text_symbols();
    uint64_t *count = calloc(n * n, sizeof *count);
    struct matrix table = matrix_new(n, n), slope = matrix_new(n, n), other = matrix_new(n, n);
    CU_ASSERT_FATAL(count != NULL);
    batch_draw(&b, CORPUS_TRAIN, &r);
    bigram_count(count, n, b.symbol, b.target, 64 * 32);
    bigram_from_counts(table, count, 1e-9);
    double least = bigram_loss(slope, table, count);
    CU_ASSERT(sqrt(matrix_squares(slope)) < 1e-6);
    for (int i = 0; i < 20; i++) {
        size_t at = random_below(&r, n * n);
        real kept = table.at[at];
        if (!count[at]) continue;
        table.at[at] += (real)random_symmetric(&r, 2);
        CU_ASSERT(bigram_loss(other, table, count) >= least - 1e-6);
        table.at[at] = kept;
    }
    /* The mean over counted pairs is the mean over the pairs themselves, one by one. */
    struct matrix rows = matrix_new(64 * 32, n);
    bigram_rows(rows, table, b.symbol);
    CU_ASSERT_DOUBLE_EQUAL(loss_forward(rows, rows, b.target, NULL), least, 1e-5);
    /* A unigram has one row, of what comes; it is no better than the bigram on what both counted. */
    bigram_unigram(other, count, 0.5);
    for (size_t v = 0; v < n; v++) {
        double all = 0.5;
        for (size_t a = 0; a < n; a++) all += (double)count[a * n + v];
        size_t a = random_below(&r, n);
        CU_ASSERT_DOUBLE_EQUAL(exp((double)matrix_row(other, a)[v]), all, 1e-5 * all);
    }
    CU_ASSERT(bigram_loss(slope, other, count) > least);
    free(count), matrix_free(&table), matrix_free(&slope), matrix_free(&other), matrix_free(&rows);
    batch_free(&b), corpus_free(&c);
}

static void zeros(void *model, struct batch *b)
{
    (void)model;
    for (size_t t = 0; t < b->windows * b->length; t++) b->each[t] = (double)b->target[t];
}

/* Answers are the text one on; bits are means over a domain's characters; and every call asks the same. */
static void questions_and_answers(void)
{
    struct random r = check_random();
    struct corpus c = corpus_new(CORPUS_PLAIN);
    struct batch b = batch_new(&c, 50, 20);
    batch_draw(&b, CORPUS_HELD, &r);
    for (size_t w = 0; w < 50; w++)
        for (size_t s = 0; s + 1 < 20; s++) CU_ASSERT_EQUAL(b.target[w * 20 + s], b.symbol[w * 20 + s + 1]);
    struct batch_bits bits = batch_bits(&b, CORPUS_HELD, 1, zeros, NULL), again = batch_bits(&b, CORPUS_HELD, 1, zeros, NULL);
    CU_ASSERT(!memcmp(&bits, &again, sizeof bits));
    double sum[TEXT_DOMAINS] = {0}, count[TEXT_DOMAINS] = {0}, all = 0;
    for (size_t w = 0; w < 50; w++)
        for (size_t s = 0; s < 20; s++) {
            size_t d = b.domain[w * 21 + s + 1];
            sum[d] += (double)b.text[w * 21 + s + 1] / log(2), count[d]++, all += (double)b.target[w * 20 + s] / log(2);
        }
    for (size_t d = 0; d < TEXT_DOMAINS; d++) CU_ASSERT_DOUBLE_EQUAL(bits.domain[d], sum[d] / count[d], 1e-9);
    CU_ASSERT_DOUBLE_EQUAL(bits.all, all / 1000, 1e-9);
    batch_free(&b), corpus_free(&c);
}

/* What is drawn comes as often as its probability says; an impossible one never. */
static void samples(void)
{
    enum { DRAWS = 20000 };
    struct random r = check_random();
    double p[4] = {0.5, 0.3, 0, 0.2};
    size_t came[4] = {0};
    for (int i = 0; i < DRAWS; i++) {
        real z[4];
        for (size_t v = 0; v < 4; v++) z[v] = (real)(p[v] > 0 ? log(p[v]) + 3 : (double)-INFINITY);
        came[loss_sample((struct matrix){1, 4, z}, &r)]++;
    }
    CU_ASSERT(came[2] == 0);
    for (size_t v = 0; v < 4; v++) CU_ASSERT_DOUBLE_EQUAL((double)came[v] / DRAWS, p[v], 0.02);
}

/* Rows leave with mean square one, or mean zero and variance one; a row's size does not matter. */
static void normalized(void)
{
    struct random r = check_random();
    struct matrix x = check_matrix(&r, 9, 16, 3), y = matrix_new(9, 16), z = matrix_new(9, 16), gain = matrix_new(1, 16);
    double scale[9], mean[9];
    for (size_t d = 0; d < 16; d++) gain.at[d] = 1;
    for (int kind = NORM_RMS; kind <= NORM_LAYER; kind++) {
        norm_forward((enum norm_kind)kind, y, x, gain, scale, mean);
        for (size_t t = 0; t < 9; t++) {
            double squares = 0, sum = 0;
            for (size_t d = 0; d < 16; d++) sum += (double)matrix_row(y, t)[d], squares += pow((double)matrix_row(y, t)[d], 2);
            CU_ASSERT_DOUBLE_EQUAL(squares / 16, 1, 1e-3);
            if (kind == NORM_LAYER) CU_ASSERT_DOUBLE_EQUAL(sum, 0, 1e-4);
        }
        for (size_t i = 0; i < 9 * 16; i++) x.at[i] *= 10;
        norm_forward((enum norm_kind)kind, z, x, gain, scale, mean);
        CU_ASSERT(check_gap(y, z) < 1e-3);
        for (size_t i = 0; i < 9 * 16; i++) x.at[i] = (real)((double)x.at[i] / 10);
    }
    matrix_free(&x), matrix_free(&y), matrix_free(&z), matrix_free(&gain);
}

/* Tokens that fetch with equal scores fetch the mean; all weights of a row sum to one, and none is ahead. */
static void attention_weights_rows(void)
{
    struct random r = check_random();
    struct attention a = attention_new(8, 2, 1, &r);
    struct attention_work w = attention_work_new(12, 6, 8, 2);
    struct matrix x = check_matrix(&r, 12, 8, 1), y = matrix_new(12, 8);
    attention_forward(&a, y, x, &w);
    for (size_t i = 0; i < w.share.rows; i++) {
        double sum = 0;
        for (size_t j = 0; j < 6; j++) {
            double share = (double)matrix_row(w.share, i)[j];
            CU_ASSERT(j <= i % 6 ? share > 0 : share == 0);
            sum += share;
        }
        CU_ASSERT_DOUBLE_EQUAL(sum, 1, 1e-5);
    }
    for (size_t d = 0; d < 8; d++) for (size_t c = 0; c < 16; c++) matrix_row(a.qkv, d)[c] = 0; /* no query, no key */
    attention_forward(&a, y, x, &w);
    for (size_t i = 0; i < w.share.rows; i++)
        for (size_t j = 0; j <= i % 6; j++)
            CU_ASSERT_DOUBLE_EQUAL((double)matrix_row(w.share, i)[j], 1.0 / (double)(i % 6 + 1), 1e-6);
    attention_free(&a), attention_work_free(&w), matrix_free(&x), matrix_free(&y);
}

/* The formulas for parameters are what the list of weights has. */
static void parameters(void)
{
    struct random r = check_random();
    for (int round = 0; round < 10; round++) {
        size_t heads = 1 + random_below(&r, 3), experts = 1 + random_below(&r, 5);
        struct gpt_options o = {2 + random_below(&r, 9), 1 + random_below(&r, 9), heads, random_below(&r, 4),
            {.width = heads * (1 + random_below(&r, 5)), .hidden = 1 + random_below(&r, 9), .experts = experts,
             .top_k = 1 + random_below(&r, experts), .shared = random_below(&r, 2), .gate = GATE_RENORM}};
        struct gpt gpt = gpt_new(o, &r);
        struct weights list = {0};
        gpt_weights(&list, &gpt, &gpt);
        CU_ASSERT_EQUAL(weights_count(&list), gpt_parameters(&o));
        weights_free(&list), gpt_free(&gpt);
    }
}

/* More of the same text, the same batches: the same loss to the last bit, and it falls. */
static void training_repeats(void)
{
    struct corpus c = corpus_new(CORPUS_REVERSED);
    struct gpt_options o = {text_symbols(), 16, 2, 1, {.width = 16, .hidden = 16, .experts = 2, .top_k = 1,
                            .gate = GATE_SOFTMAX, .activation = FFN_GELU, .alpha = 0.01}};
    double loss[2];
    struct batch_bits before = {{0}, 0}, after = {{0}, 0};
    for (int i = 0; i < 2; i++) {
        struct fit f = fit_new(o, 16, &c, 3);
        struct train t = {.name = "test", .list = &f.list, .gradient = fit_gradient, .context = &f, .steps = 60, .warm = 10,
                          .rate = 1e-2, .clip = 1, .tokens = 256, .seed = 5};
        before = batch_bits(&f.batch, CORPUS_HELD, 4, fit_guess, &f);
        loss[i] = train_run(&t);
        after = batch_bits(&f.batch, CORPUS_HELD, 4, fit_guess, &f);
        fit_free(&f);
    }
    CU_ASSERT(loss[0] == loss[1]);
    CU_ASSERT(fabs(before.all - log2((double)text_symbols())) < 1);
    CU_ASSERT(after.all < before.all - 0.7);
    corpus_free(&c);
}

static void program(void)
{
    check_program(7, "--steps 1");
    static const struct check_refusal rows[] = {
        {"--top-k 5", "--top-k must be at most --experts, 4, got 5 (try --top-k 4)"},
        {"--prompt 'A'", "--prompt must be of characters that the corpus has, got 'A' (try --prompt 12+07=)"},
        {"--prompt ''", "must be text, its length from 1 to 64, got ''"},
        {"--model mlp", "must be both or dense or moe"},
        {NULL, NULL}};
    check_refuses(7, rows);
    CU_ASSERT_DOUBLE_EQUAL(check_value(7, "--steps 0", "uniform.held"), log2(check_value(7, "--steps 0", "corpus.symbols")), 1e-5);
}

/* Rows of results become a mean and a deviation a model. */
static void summary(void)
{
    struct check_output got = check_run("printf 'a\\t1\\t5\\ttrain\\t2\\na\\t1\\t5\\tall\\t3\\na\\t2\\t5\\ttrain\\t4\\n"
                                        "a\\t2\\t5\\tall\\t5\\n' | " CHECK_BUILD "/chapter7 --data summary");
    CU_ASSERT_EQUAL(got.status, 0);
    CU_ASSERT(strstr(got.out, "\na\t2\t5\t") && strstr(got.out, "\t4\t1.41\t3\t1.41\t"));
    check_free(&got);
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
    check_case("questions have the text's answers, and everybody is asked the same", questions_and_answers);
    check_case("what is drawn comes as often as it should", samples);
    check_case("normalized rows have size one", normalized);
    check_case("a row of attention sums to one; equal scores fetch the mean", attention_weights_rows);
    check_case("no token looks ahead", no_look_ahead);
    check_case("parameters are what is in the list", parameters);
    check_case("training repeats to the last bit, and the loss falls", training_repeats);
    check_case("rows of results are summarized by model", summary);
    check_case("the program keeps its promises", program);
    check_case("the lessons keep theirs", lessons);
#ifdef REAL_DOUBLE
    check_case("gradients of the transformer, dense and routed, by differences", gradients);
#endif
}
